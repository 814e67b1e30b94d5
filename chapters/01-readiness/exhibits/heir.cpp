// A connection is closed, its number goes to the next one, and so does its
// news: a duplicate keeps the first connection, and what epoll knows of it,
// alive.

#include <sys/epoll.h>

#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

// What an event shall say of a descriptor: its number, and which of the
// connections that had the number this is.
static std::uint64_t tag(int fd, std::uint64_t generation) {
  return generation << 32 | static_cast<unsigned>(fd);
}

int main() {
  const sys::Fd epoll(sys::check(sys::epollCreate(), "epoll_create1"));
  std::uint64_t generation = 0;  // of the number that matters here

  int first[2];
  sys::check(sys::socketpair(first, sys::Mode::nonblocking), "socketpair");
  epoll_event event{};
  event.events = EPOLLIN | EPOLLET;
  event.data.u64 = tag(first[0], generation);
  sys::check(sys::epollCtl(epoll.get(), EPOLL_CTL_ADD, first[0], &event),
             "epoll_ctl");
  const int duplicate = sys::check(sys::dup(first[0]), "dup");
  sys::close(first[0]);
#ifdef CURED
  ++generation;
#endif

  int second[2];
  sys::check(sys::socketpair(second, sys::Mode::nonblocking), "socketpair");
  std::printf("the second connection has the number of the first: %s\n",
              second[0] == first[0] ? "yes" : "no");

  sys::check(sys::write(first[1], "x", 1), "write");
  sys::check(sys::epollWait(epoll.get(), &event, 1, -1), "epoll_wait");
  const bool concernsHeir = event.data.u64 == tag(second[0], generation);
  std::printf("a byte for the first: %s\n",
              concernsHeir ? "the second is told to read" : "nobody is told");
  sys::close(duplicate);
  return concernsHeir ? 1 : 0;
}
