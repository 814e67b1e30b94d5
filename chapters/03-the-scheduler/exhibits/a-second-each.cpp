// A limit on each wait is no limit on all of them: a client that sends a byte
// shortly before each would be late is never given up.

#include <cstdio>
#include <system_error>

#include "naglfar/scheduler.hpp"

using namespace naglfar;
using namespace std::chrono_literals;

static constexpr sys::Duration limit = 500ms;

int main() {
  Scheduler scheduler;
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
  go([client = ends[1]] {
    for (int i = 0; i < 12; ++i) {
      sleep(limit / 10);
      sys::check(sys::write(client, "x", 1), "write");
    }
  });

  const sys::Time start = sys::now();
#ifdef CURED
  const Deadline deadline = after(limit);
#endif
  int bytes = 0;
  try {
    for (char byte; bytes < 12; ++bytes)
      while (sys::read(ends[0], &byte, 1) == -1)
#ifdef CURED
        scheduler.wait(ends[0], Interest::read, deadline);
#else
        scheduler.wait(ends[0], Interest::read, after(limit));
#endif
  } catch (const std::system_error&) {
    std::puts("given up before the twelfth byte");
    return 0;
  }
  std::printf("%d waits, and none of them was too long\n", bytes);
  if (sys::now() - start < limit) return 0;
  std::puts("together they were");
  return 1;
}
