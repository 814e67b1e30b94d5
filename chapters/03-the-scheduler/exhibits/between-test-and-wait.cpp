// A flag that a signal sets, tested before each wait. A signal between the
// test and the wait is lost. The exhibit sends it to itself there.

#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

#ifdef CURED
static int ends[2];

static void handle(int) {
  [[maybe_unused]] const ssize_t n = ::write(ends[1], "t", 1);
}

int main() {
  sys::check(sys::pipe(ends, sys::Mode::blocking), "pipe");
  std::signal(SIGTERM, handle);
  std::puts("about to wait");
  std::raise(SIGTERM);
  char byte;
  sys::check(sys::read(ends[0], &byte, 1), "read");
  std::puts("told to stop");
}
#else
static volatile std::sig_atomic_t stop = 0;

int main() {
  std::signal(SIGTERM, [](int) { stop = 1; });
  while (stop == 0) {
    std::puts("not told to stop, so about to wait");
    std::raise(SIGTERM);
    pause();
  }
  std::puts("told to stop");
}
#endif
