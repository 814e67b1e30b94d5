// Whoever answers a client that has left is sent a signal, and its default is
// death. One impatient client ends the server.

#include <csignal>
#include <cstdio>
#include <cstring>

#include "naglfar/sys.hpp"

using namespace naglfar;

int main() {
#ifdef CURED
  sys::ignoreSignal(SIGPIPE);
#endif
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::blocking), "socketpair");
  sys::close(ends[1]);
  std::puts("the client has left; now its answer");
  if (sys::write(ends[0], "10000", 5) == -1)
    std::printf("write: %s\n", std::strerror(errno));
  std::puts("the others are served");
}
