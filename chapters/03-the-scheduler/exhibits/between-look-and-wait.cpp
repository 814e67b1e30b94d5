// The handler of a signal sets a flag, and the loop looks at it before it
// waits. The signal comes after the look and before the wait. It has been
// delivered, so it ends no wait any more.

#include <sys/epoll.h>

#include <csignal>
#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

static volatile std::sig_atomic_t stop = 0;
static int pipeEnds[2];

static void onSignal(int) {
  stop = 1;
#ifdef CURED
  sys::write(pipeEnds[1], "", 1);
#endif
}

int main() {
  sys::check(sys::pipe(pipeEnds, sys::Mode::nonblocking), "pipe");
  const sys::Fd epoll(sys::check(sys::epollCreate(), "epoll_create1"));
  epoll_event event{};
  event.events = EPOLLIN;
  sys::check(sys::epollCtl(epoll.get(), EPOLL_CTL_ADD, pipeEnds[0], &event),
             "epoll_ctl");
  std::signal(SIGTERM, onSignal);

  while (!stop) {
    std::puts("no signal yet, so wait for news");
    std::raise(SIGTERM);  // just here, in the gap
    sys::epollWait(epoll.get(), &event, 1, -1);
  }
  std::puts("stopped by the signal");
}
