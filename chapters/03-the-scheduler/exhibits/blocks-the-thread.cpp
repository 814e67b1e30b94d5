// One coroutine makes a call that waits. It does not wait alone: the thread
// waits, and whoever would write what it waits for is in the same thread.

#include <cstdio>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  int ends[2];
#ifdef CURED
  sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
#else
  sys::check(sys::pipe(ends, sys::Mode::blocking), "pipe");
#endif

  go([&] {
    std::puts("the reader reads");
    char byte = 0;
    while (sys::read(ends[0], &byte, 1) == -1 && errno == EAGAIN)
      Scheduler::current().wait(ends[0], Interest::read);
    std::printf("the reader has got: %c\n", byte);
  });
  go([&] {
    std::puts("the writer writes");
    sys::check(sys::write(ends[1], "x", 1), "write");
  });
  scheduler.run();
}
