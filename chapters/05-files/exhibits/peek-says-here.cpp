// Is the client still there? A look at the next byte, without taking it,
// says so for as long as there is one. This client has sent one and left.

#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

static bool isThere(int fd) {
#ifdef CURED
  sys::Ended ended{};
  sys::check(sys::ended(fd, ended), "poll");
  return ended == sys::Ended::nothing;
#else
  return sys::peek(fd) != 0;  // 0 bytes are the end of the stream
#endif
}

int main() {
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
  std::printf("before: it is %s\n", isThere(ends[0]) ? "there" : "gone");
  sys::check(sys::write(ends[1], "\n", 1), "write");
  std::printf("it has sent a byte: it is %s\n",
              isThere(ends[0]) ? "there" : "gone");
  sys::close(ends[1]);
  const bool there = isThere(ends[0]);
  std::printf("it has left: it is %s\n", there ? "there" : "gone");
  return there ? 1 : 0;
}
