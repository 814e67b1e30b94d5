// A request opens a socket, and then something throws. What should have
// closed the socket stands behind that line.

#include <cstdio>
#include <stdexcept>
#include <string>
#include <system_error>

#include "naglfar/sys.hpp"

using namespace naglfar;

static void serve(bool good) {
#ifdef CURED
  const sys::Fd fd(sys::check(sys::socket(sys::Mode::blocking), "socket"));
  if (!good) throw std::invalid_argument("not a request");
#else
  const int fd = sys::check(sys::socket(sys::Mode::blocking), "socket");
  if (!good) throw std::invalid_argument("not a request");
  sys::close(fd);
#endif
}

int main() {
  std::puts("5,000 requests, and each second one is bad");
  for (int i = 0; i < 5'000; ++i) try {
      serve(i % 2 == 0);
    } catch (const std::invalid_argument&) {
      continue;  // this client is refused; the server lives
    } catch (const std::system_error& error) {
      std::string said = error.what();
      std::puts(said.insert(said.rfind(": ") + 1, "\n ").c_str());
      return 1;
    }
  std::puts("all were answered or refused");
}
