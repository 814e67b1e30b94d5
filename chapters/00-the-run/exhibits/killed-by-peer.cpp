// A process that writes to a client which has left is sent a signal, and the
// default of this signal is death. One impatient client ends the server.

#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "naglfar/sys.hpp"

using namespace naglfar;

#ifdef CURED
constexpr auto writeTo = sys::write;  // send(2) with MSG_NOSIGNAL
#else
constexpr auto writeTo = ::write;
#endif

int main() {
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::blocking), "socketpair");
  sys::close(ends[1]);
  std::puts("the client has left; now its answer");
  if (writeTo(ends[0], "10000", 5) == -1)
    std::printf("write: %s\n", std::strerror(errno));
  std::puts("the others are served");
}
