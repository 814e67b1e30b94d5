// The same socket, watched twice: by one epoll that is level triggered, and
// by another that is edge triggered.

#include <sys/epoll.h>

#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

class Watch {
 public:
  Watch(int fd, unsigned events) {
    epoll_event event{};
    event.events = events;
    sys::check(sys::epollCtl(epoll_.get(), EPOLL_CTL_ADD, fd, &event),
               "epoll_ctl");
  }
  // How many descriptors have news: 0 or 1.
  int ask() const {
    epoll_event event;
    return sys::check(sys::epollWait(epoll_.get(), &event, 1, 0),
                      "epoll_wait");
  }

 private:
  sys::Fd epoll_{sys::check(sys::epollCreate(), "epoll_create1")};
};

int main() {
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
  const Watch level(ends[0], EPOLLIN);
  const Watch edge(ends[0], EPOLLIN | EPOLLET);
  const auto show = [&](const char* what) {
    std::printf("%-22s %5d %5d\n", what, level.ask(), edge.ask());
  };

  char buffer[64];
  std::puts("                       level  edge");
  show("nothing yet");
  sys::check(sys::write(ends[1], "ab", 2), "write");
  show("two bytes arrive");
  show("we ask again");
  sys::check(sys::read(ends[0], buffer, 1), "read");
  show("one of them is read");
  sys::check(sys::write(ends[1], "c", 1), "write");
  show("a third arrives");
  sys::check(sys::read(ends[0], buffer, sizeof buffer), "read");
  show("all are read");
}
