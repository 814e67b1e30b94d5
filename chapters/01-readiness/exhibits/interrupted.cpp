// A signal ends a system call that waits. Whoever takes EINTR for a failure
// dies of a timer.

#include <sys/epoll.h>
#include <sys/time.h>

#include <csignal>
#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

static volatile std::sig_atomic_t signals = 0;

int main() {
  std::signal(SIGALRM, [](int) { signals = signals + 1; });
  const itimerval tenMilliseconds{{0, 10'000}, {0, 10'000}};
  setitimer(ITIMER_REAL, &tenMilliseconds, nullptr);

  const sys::Fd epoll(sys::check(sys::epollCreate(), "epoll_create1"));
  std::puts("waiting until three signals have come");
  while (signals < 3) {
    epoll_event event;
    sys::check(sys::epollWait(epoll.get(), &event, 1, -1), "epoll_wait");
  }
  std::puts("three signals have come");
}
