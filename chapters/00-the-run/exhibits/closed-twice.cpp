// Closed twice: the second time, the number is somebody else's.

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "naglfar/sys.hpp"

using namespace naglfar;

int main() {
  int ours[2];
  sys::check(sys::pipe(ours, sys::Mode::blocking), "pipe");
#ifdef CURED
  sys::Fd writer(ours[1]);
  writer = sys::Fd();
#else
  sys::close(ours[1]);
#endif
  std::puts("we have closed our descriptor");

  const sys::Fd theirs(sys::check(sys::dup(ours[0]), "dup"));
  std::printf("somebody opens one, and gets %s number\n",
              theirs.get() == ours[1] ? "the same" : "another");

#ifdef CURED
  writer = sys::Fd();
#else
  sys::close(ours[1]);  // to be on the safe side
#endif
  std::puts("we close ours once more");

  const bool alive = sys::dup(theirs.get()) != -1;
  std::printf("theirs: %s\n", alive ? "open" : std::strerror(errno));
  return alive ? 0 : 1;
}
