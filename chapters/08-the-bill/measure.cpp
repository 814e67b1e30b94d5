// Runs a program and says what it cost: measure SECONDS PROGRAM ARGUMENTS...
//
// A line of JSON follows the program's own output: its exit status, CPU time
// and peak memory, its children included, as wait4(2) tells them.
//
// The peak of a process includes what it was before exec(2). So what starts
// it has to be small, and this is.
//
// Invariant: the program ends after SECONDS at the latest.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "limits.hpp"

// [measure-start]
static volatile pid_t child;

extern "C" void tooLong(int) {
  kill(child, SIGKILL);
}

[[noreturn]] static void become(char** command) {
  comet::raiseDescriptorLimit(comet::descriptorLimit().hard);
  execvp(command[0], command);
  std::perror(command[0]);
  _exit(127);
}
// [/measure-start]

// [measure-main]
int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: measure SECONDS PROGRAM [ARGUMENTS]\n", stderr);
    return 2;
  }
  child = fork();
  if (child == 0) become(argv + 2);
  std::signal(SIGALRM, tooLong);
  alarm(static_cast<unsigned>(std::atoi(argv[1])));
  int status = 0;
  rusage used{};
  if (child == -1 || wait4(child, &status, 0, &used) != child) {
    std::perror("measure");
    return 1;
  }
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) +
           static_cast<double>(time.tv_usec) * 1e-6;
  };
  std::printf(
      "{\"status\": %d, \"user_s\": %.6f, \"kernel_s\": %.6f, "
      "\"peak_kib\": %ld}\n",
      WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
      seconds(used.ru_utime), seconds(used.ru_stime), used.ru_maxrss);
}
// [/measure-main]
