// A connect that has to wait is over when the socket can be written to. As
// in 2009, nobody asks how it ended. The port is closed.

#include <poll.h>

#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

// A port of this machine where nobody listens.
static sys::Address closedPort() {
  const sys::Fd fd(sys::check(sys::socket(sys::Mode::blocking), "socket"));
  sys::Address address("127.0.0.1", 0);
  sys::check(sys::bind(fd.get(), address), "bind");
  sys::check(sys::localAddress(fd.get(), address), "getsockname");
  return address;
}

static void connectTcp(int fd, const sys::Address& address) {
  if (sys::connect(fd, address) == 0) return;
  if (errno != EINPROGRESS) sys::fail(errno, "connect");
  pollfd entry{fd, POLLOUT, 0};
  sys::check(sys::poll(&entry, 1, -1), "poll");
#ifdef CURED
  int error = 0;
  sys::check(sys::pendingError(fd, error), "getsockopt");
  if (error != 0) sys::fail(error, "connect");
#endif
}

int main() {
  const sys::Address address = closedPort();
  const sys::Fd client(
      sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
  try {
    connectTcp(client.get(), address);
    std::puts("connected, to a port where nobody listens");
    return 1;
  } catch (const std::system_error& error) {
    std::printf("not connected: %s\n", error.code().message().c_str());
  }
}
