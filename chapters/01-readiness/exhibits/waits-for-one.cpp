// One thread, two clients, blocking reads: whoever waits for the silent one
// never hears the other.

#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

int main() {
  int silent[2];
  int talker[2];
  sys::check(sys::socketpair(silent, sys::Mode::blocking), "socketpair");
  sys::check(sys::socketpair(talker, sys::Mode::blocking), "socketpair");
  sys::check(sys::write(talker[1], "hello", 5), "write");
  std::puts("one client has said hello, the other says nothing");

  char buffer[64];
  for (const int client : {silent[0], talker[0]}) {
    const ssize_t n = sys::read(client, buffer, sizeof buffer);
    std::printf("read %.*s\n", static_cast<int>(n), buffer);
  }
}
