// A million bytes for a socket that holds fewer. As in 2009, the writer takes
// every error for the end, and EAGAIN is one.

#include <cstdio>
#include <string>
#include <string_view>

#include "naglfar/sys.hpp"

using namespace naglfar;

// Reads what is there, as the peer would when it gets to it.
static std::size_t takeAll(int fd) {
  char buffer[4096];
  std::size_t taken = 0;
  for (ssize_t n; (n = sys::read(fd, buffer, sizeof buffer)) > 0;)
    taken += static_cast<std::size_t>(n);
  return taken;
}

int main() {
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
  const std::string data(1'000'000, 'x');
  std::string_view unsent = data;
  std::size_t arrived = 0;
  while (!unsent.empty()) {
    const ssize_t n = sys::write(ends[0], unsent.data(), unsent.size());
    if (n == -1) {
#ifdef CURED
      if (errno == EAGAIN) {  // full: wait until the peer has taken some
        arrived += takeAll(ends[1]);
        continue;
      }
#endif
      break;
    }
    unsent.remove_prefix(static_cast<std::size_t>(n));
  }
  sys::close(ends[0]);
  arrived += takeAll(ends[1]);

  const bool whole = arrived == data.size();
  std::printf("%zu bytes were given to the writer, %s\n", data.size(),
              whole ? "and all of them arrived" : "and fewer arrived");
  return whole ? 0 : 1;
}
