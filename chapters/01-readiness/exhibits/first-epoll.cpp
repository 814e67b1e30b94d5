// epoll in short: say once what is of interest, then ask what has news.

#include <sys/epoll.h>

#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

// Asks without waiting, and prints the answer.
static void ask(const sys::Fd& epoll) {
  epoll_event events[8];
  const int n =
      sys::check(sys::epollWait(epoll.get(), events, 8, 0), "epoll_wait");
  std::printf("  epoll_wait tells of %d", n);
  for (int i = 0; i < n; ++i) std::printf(": client %u", events[i].data.u32);
  std::puts("");
}

int main() {
  const sys::Fd epoll(sys::check(sys::epollCreate(), "epoll_create1"));
  int clients[3][2];
  for (unsigned i = 0; i < 3; ++i) {
    sys::check(sys::socketpair(clients[i], sys::Mode::nonblocking),
               "socketpair");
    epoll_event event{};
    event.events = EPOLLIN;  // tell me when there is something to read
    event.data.u32 = i;      // and say it by this name
    sys::check(
        sys::epollCtl(epoll.get(), EPOLL_CTL_ADD, clients[i][0], &event),
        "epoll_ctl");
  }
  std::puts("three clients are watched, nobody has said anything");
  ask(epoll);

  sys::check(sys::write(clients[1][1], "hi", 2), "write");
  std::puts("client 1 says something");
  ask(epoll);

  char buffer[64];
  sys::check(sys::read(clients[1][0], buffer, sizeof buffer), "read");
  std::puts("it is read");
  ask(epoll);
}
