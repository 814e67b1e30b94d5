// Edge triggered, and a reader that takes what fits its buffer and then waits
// for the rest. The rest is there already, so nothing will change.

#include <sys/epoll.h>

#include <cstdio>
#include <string>

#include "naglfar/sys.hpp"

using namespace naglfar;

int main() {
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
  const sys::Fd epoll(sys::check(sys::epollCreate(), "epoll_create1"));
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  sys::check(sys::epollCtl(epoll.get(), EPOLL_CTL_ADD, ends[0], &event),
             "epoll_ctl");
  sys::check(sys::write(ends[1], "GET /wait HTTP/1.0\r\n\r\n", 22), "write");

  std::string request;
  while (!request.ends_with("\r\n\r\n")) {
    sys::check(sys::epollWait(epoll.get(), &event, 1, -1), "epoll_wait");
    char buffer[16];
#ifdef CURED
    for (;;) {  // until the kernel says that there is no more
      const ssize_t n = sys::read(ends[0], buffer, sizeof buffer);
      if (n == -1 && errno == EAGAIN) break;
      request.append(buffer, static_cast<std::size_t>(n));
    }
#else
    const ssize_t n = sys::read(ends[0], buffer, sizeof buffer);
    request.append(buffer, static_cast<std::size_t>(n));
#endif
    std::printf("the request has %zu bytes so far\n", request.size());
  }
  std::puts("it is complete");
}
