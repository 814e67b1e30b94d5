// A listener whose owner is busy: connections wait in its backlog, and when
// that is full, connect(2) waits, too. Here both ends live in one thread.

#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

int main() {
  const sys::Fd listener(
      sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
  sys::Address address("127.0.0.1", 0);
  sys::check(sys::bind(listener.get(), address), "bind");
  sys::check(sys::listen(listener.get(), 1), "listen");
  sys::check(sys::localAddress(listener.get(), address), "getsockname");

  sys::Fd clients[5];
  int connected = 0;
  for (sys::Fd& client : clients) {
    client = sys::Fd(sys::check(sys::socket(sys::Mode::blocking), "socket"));
    sys::check(sys::connect(client.get(), address), "connect");
    std::printf("client %d is connected\n", ++connected);
  }

  sys::Address who;
  for (sys::Fd fd; (fd = sys::Fd(sys::accept(listener.get(), who,
                                             sys::Mode::nonblocking)));)
    std::puts("accepted");
}
