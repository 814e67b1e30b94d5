// A wait of 0.9 milliseconds, rounded down to whole ones, is no wait at all:
// the loop asks, hears that nothing has happened, and asks again.

#include <sys/epoll.h>

#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;
using namespace std::chrono_literals;

// What epoll_wait takes.
static int milliseconds(sys::Duration left) {
#ifdef CURED
  return static_cast<int>(
      std::chrono::ceil<std::chrono::milliseconds>(left).count());
#else
  return static_cast<int>(
      std::chrono::floor<std::chrono::milliseconds>(left).count());
#endif
}

int main() {
  const sys::Fd epoll(sys::check(sys::epollCreate(), "epoll_create1"));
  int asked = 0;
  for (int i = 0; i < 100; ++i) {
    const sys::Time deadline = sys::now() + 900us;
    for (sys::Time now; (now = sys::now()) < deadline; ++asked) {
      epoll_event event;
      sys::check(sys::epollWait(epoll.get(), &event, 1,
                                milliseconds(deadline - now)),
                 "epoll_wait");
    }
  }
  const bool spun = asked > 1000;
  std::printf("100 timers: %s\n",
              spun ? "more than 1,000 calls" : "a call or so for each");
  return spun ? 1 : 0;
}
