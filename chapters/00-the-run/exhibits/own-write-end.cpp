// A pipe ends when nobody has its write end any more. A parent that waits for
// its child's end has one itself.

#include <unistd.h>

#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

int main() {
  int ends[2];
  sys::check(sys::pipe(ends, sys::Mode::blocking), "pipe");
  if (sys::check(sys::fork(), "fork") == 0) {
    std::puts("the child has finished");
    _exit(0);  // its write end closes with it
  }
#ifdef CURED
  sys::close(ends[1]);
#endif
  char byte;
  const ssize_t n = sys::check(sys::read(ends[0], &byte, 1), "read");
  std::printf("the pipe has %s\n", n == 0 ? "ended" : "a message");
}
