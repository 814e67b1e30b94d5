// As in 2009, the reader takes every error for the end of the stream. The
// client is cut off in the middle of its request.

#include <cstdio>
#include <string>

#include "naglfar/sys.hpp"

using namespace naglfar;

// Reads to the end of the stream.
static std::string readAll(int fd) {
  std::string data;
  for (;;) {
    char buffer[64];
    const ssize_t n = sys::read(fd, buffer, sizeof buffer);
#ifdef CURED
    sys::check(n, "read");
#endif
    if (n <= 0) return data;
    data.append(buffer, static_cast<std::size_t>(n));
  }
}

int main() {
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::blocking), "socketpair");
  sys::check(sys::write(ends[0], "welcome", 7), "write");
  sys::check(sys::write(ends[1], "pay 1000", 8), "write");  // of "pay 10000"
  sys::close(ends[1]);  // it has not read the greeting: that is a reset

  try {
    std::printf("the order is \"%s\"\n", readAll(ends[0]).c_str());
    std::puts("it was carried out");
    return 1;
  } catch (const std::system_error& error) {
    std::printf("no order: %s\n", error.code().message().c_str());
  }
}
