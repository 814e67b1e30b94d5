// An fd_set has room for the numbers below FD_SETSIZE, and FD_SET does not
// look. Behind it lies something else.

#include <fcntl.h>
#include <sys/select.h>

#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

int main() {
  struct {
    fd_set readable;
    unsigned long balance = 0;  // some other variable
  } memory;
  FD_ZERO(&memory.readable);

  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
  const int fd = sys::check(fcntl(ends[0], F_DUPFD, FD_SETSIZE), "fcntl");
  std::printf("FD_SETSIZE is %d, and the descriptor is %d\n", FD_SETSIZE, fd);

  std::printf("the balance is %lu\n", memory.balance);
  FD_SET(fd, &memory.readable);
  std::printf("after FD_SET it is %lu\n", memory.balance);
  return memory.balance == 0 ? 0 : 1;
}
