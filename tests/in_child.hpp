// What ends a process happens in a child, and the test looks at how the child
// ended.

#pragma once

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <string>

#include "naglfar/sys.hpp"

namespace helpers {

// How a child ended, and what it said on standard output and standard error.
struct Fate {
  int status = 0;
  std::string said;
  int code() const { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
};

// Runs a function in a child. An end that does not come is ended by SIGALRM.
template <class Function>
Fate inChild(Function function) {
  namespace sys = naglfar::sys;
  int ends[2];
  REQUIRE(sys::pipe(ends, sys::Mode::blocking) == 0);
  const pid_t child = sys::fork();
  REQUIRE(child != -1);
  if (child == 0) {
    const rlimit noCore{0, 0};
    setrlimit(RLIMIT_CORE, &noCore);
    ::alarm(20);
    for (const int signal :
         {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGTERM})
      std::signal(signal, SIG_DFL);  // the test framework has caught them
    dup2(ends[1], STDERR_FILENO);
    dup2(ends[1], STDOUT_FILENO);
    function();
    _exit(99);
  }
  sys::close(ends[1]);
  Fate fate;
  std::array<char, 4096> text;
  for (;;) {
    const ssize_t n = sys::read(ends[0], text.data(), text.size());
    if (n <= 0) break;
    fate.said.append(text.data(), static_cast<std::size_t>(n));
  }
  sys::close(ends[0]);
  REQUIRE(sys::waitpid(child, &fate.status, 0) == child);
  return fate;
}

}  // namespace helpers
