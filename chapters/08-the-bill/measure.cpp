// Runs a program and says what it cost: measure SECONDS PROGRAM ARGUMENTS...
//
// A line of JSON follows the program's own output: its exit status, CPU time
// and peak memory, its children included, as wait4(2) tells them.
//
// Invariant: the program ends after SECONDS at the latest. It is a small
// program that starts it, for the peak of a process includes what it was
// before exec(2).

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "limits.hpp"

// [measure-start]
// In the child. An alarm outlives exec(2), and its signal ends who does not
// expect it.
[[noreturn]] static void become(unsigned seconds, char** command) {
  const std::size_t most = comet::descriptorLimit().hard;
  comet::raiseDescriptorLimit(most);
  alarm(seconds);
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
  const pid_t child = fork();
  if (child == 0) become(static_cast<unsigned>(std::atoi(argv[1])), argv + 2);
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
