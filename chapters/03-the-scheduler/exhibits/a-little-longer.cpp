// "Answer within 400 milliseconds." The limit is given to each read, and the
// peer sends a byte every 50 milliseconds: each read is in time, and all of
// them together are not.

#include <cstdio>
#include <system_error>

#include "naglfar/scheduler.hpp"

using namespace naglfar;
using namespace std::chrono_literals;

int main() {
  Scheduler scheduler;
  int ends[2];
  sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
  go([&] {
    for (int i = 0; i < 20; ++i) {
      naglfar::sleep(50ms);
      sys::check(sys::write(ends[1], "x", 1), "write");
    }
  });

  const Deadline deadline = after(400ms);
  try {
    for (int bytes = 0; bytes < 20; ++bytes) {
      char byte;
      while (sys::read(ends[0], &byte, 1) == -1)
#ifdef CURED
        scheduler.wait(ends[0], Interest::read, deadline);
#else
        scheduler.wait(ends[0], Interest::read, after(400ms));
#endif
    }
  } catch (const std::system_error&) {
    std::puts("given up before all had come");
    return sys::now() < deadline ? 1 : 0;
  }
  std::puts("20 bytes have come, in 1,000 milliseconds at least");
  return 1;
}
