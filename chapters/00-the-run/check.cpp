// The parent of a run under --check.
//
// Invariant: the parent ends, whatever the run does, and no child outlives
// it.

#include "check.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <new>
#include <string>

#include "naglfar/sys.hpp"

namespace comet {

using namespace naglfar;

// [how-far]
// How far the run came, and which part of the reader's code comes next.
static std::string howFar(const Progress& p) {
  const auto of = [&p](std::size_t n) {
    return std::to_string(n) + " of " + std::to_string(p.clients);
  };
  if (p.connected < p.clients)
    return of(p.connected) +
           " clients have connected.\nThe next one waits for its connection, "
           "or has not begun: does the accept loop run,\nand is each "
           "coroutine that yields queued again?";
  if (p.waiting < p.clients)
    return "All clients have connected, and " + of(p.waiting) +
           " wait in the server.\nThe requests of the others were not read "
           "to their end: is a coroutine woken when\nits descriptor becomes "
           "readable, also if that happened before it waited?";
  if (p.answered < p.clients)
    return "All clients wait in the server, and " + of(p.answered) +
           " got their answers.\nIs each reader woken by its own message, is "
           "all of an answer written, and is the\nconnection closed behind "
           "it?";
  return "All clients got their answers, and the run does not end:\nwhich "
         "coroutine still waits? Is the accept loop told that its listener "
         "was closed?";
}
// [/how-far]

// [how-it-ended]
// Waits until the child ends or the patience is over. True if it has ended.
static bool endsInTime(int pipe) {
  pollfd entry{pipe, POLLIN, 0};
  int ready = 0;
  while ((ready = ::poll(&entry, 1, checkPatience * 1000)) == -1)
    if (errno != EINTR) sys::fail(errno, "poll");
  return ready == 1;
}

// What the parent says about the end, or nothing if the run is good.
static std::string verdict(bool ended, int status, const rusage& usage) {
  if (!ended) {
    const auto cpu = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec;
    return "the run does not finish. After " + std::to_string(checkPatience) +
           " s it " +
           (cpu >= 1  // a run that sleeps has used some hundredths
                ? "spins: something is asked again and again."
                : "sleeps: something is never woken.");
  }
  if (WIFSIGNALED(status))
    return std::string("the run was ended by ") +
           ::strsignal(WTERMSIG(status)) +
           (WTERMSIG(status) == SIGSEGV ? ". Was a stack used up, or used "
                                          "after its coroutine ended,\n"
                                          "or a pointer that is null?"
                                        : ".");
  return WEXITSTATUS(status) == 0 ? "" : "the run has failed, as it says.";
}
// [/how-it-ended]

// [run-under-check]
Progress& runUnderCheck(const char* program) {
  void* memory = sys::check(sys::mapShared(sizeof(Progress)), "mmap");
  Progress& progress = *new (memory) Progress{};
  int ends[2];
  sys::check(sys::pipe(ends, sys::Mode::blocking), "pipe");
  const pid_t child = sys::check(sys::fork(), "fork");
  if (child == 0) {
    ::close(ends[0]);  // the other end closes when the run ends, however
    return progress;
  }
  ::close(ends[1]);
  const bool ended = endsInTime(ends[0]);
  if (!ended) sys::kill(child, SIGKILL);
  int status = 0;
  rusage usage{};
  while (::wait4(child, &status, 0, &usage) == -1 && errno == EINTR) continue;
  const std::string problem = verdict(ended, status, usage);
  if (problem.empty()) std::exit(0);
  std::cerr << program << ": " << problem << '\n' << howFar(progress) << '\n';
  std::exit(1);
}
// [/run-under-check]

}  // namespace comet
