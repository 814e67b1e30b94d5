// A loop that acts on EPOLLIN and on nothing else, as in 2009. The writer of
// a pipe leaves, and what epoll says then is EPOLLHUP.

#include <sys/epoll.h>

#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

int main() {
  int ends[2];
  sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
  const sys::Fd epoll(sys::check(sys::epollCreate(), "epoll_create1"));
  epoll_event event{};
  event.events = EPOLLIN;
  sys::check(sys::epollCtl(epoll.get(), EPOLL_CTL_ADD, ends[0], &event),
             "epoll_ctl");
  sys::close(ends[1]);
  std::puts("the writer has left");

  bool ended = false;
  for (bool firstTime = true; !ended; firstTime = false) {
    sys::check(sys::epollWait(epoll.get(), &event, 1, -1), "epoll_wait");
    if (firstTime)
      std::printf("told at once: EPOLLIN %s, EPOLLHUP %s\n",
                  event.events & EPOLLIN ? "yes" : "no",
                  event.events & EPOLLHUP ? "yes" : "no");
    if (event.events & EPOLLIN) {
      char byte;
      ended = sys::read(ends[0], &byte, 1) == 0;
    }
  }
  std::puts("the reader knows that it is over");
}
