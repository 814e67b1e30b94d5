// A request in two pieces, cut in the middle of the empty line that ends it.
// The reader looks for that line in each piece by itself.

#include <cstdio>
#include <string>

#include "naglfar/sys.hpp"

using namespace naglfar;

int main() {
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::blocking), "socketpair");
  const std::string pieces[] = {"GET / HTTP/1.0\r\n\r", "\n"};

  std::string request;
  for (int i = 0;; ++i) {
    if (i < 2)
      sys::check(sys::write(ends[1], pieces[i].data(), pieces[i].size()),
                 "write");
    char buffer[64];
    const auto n = static_cast<std::size_t>(
        sys::check(sys::read(ends[0], buffer, sizeof buffer), "read"));
    request.append(buffer, n);
#ifdef CURED
    const bool ended = request.find("\r\n\r\n") != std::string::npos;
#else
    const std::string piece(buffer, n);
    const bool ended = piece.find("\r\n\r\n") != std::string::npos;
#endif
    std::printf("a piece of %zu, the end %s\n", n,
                ended ? "is there" : "is not in it");
    if (ended) break;
  }
  std::puts("the request is complete");
}
