// A server that has no descriptor left. A client waits in the backlog, so the
// listener is ready; and accept fails, because there is no number for the
// connection. "It will work next time."

#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <vector>

#include "naglfar/poller.hpp"

using namespace naglfar;

int main() {
  const sys::Fd listener(
      sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
  sys::Address address("localhost", 0);
  sys::check(sys::bind(listener.get(), address), "bind");
  sys::check(sys::listen(listener.get(), 8), "listen");
  sys::check(sys::localAddress(listener.get(), address), "getsockname");
  const sys::Fd client(
      sys::check(sys::socket(sys::Mode::blocking), "socket"));
  sys::check(sys::connect(client.get(), address), "connect");

  std::vector<sys::Fd> others;
  for (int fd = 0; fd != -1; fd = sys::dup(client.get()))
    if (fd > 0) others.emplace_back(fd);
  std::puts("no descriptor is left");

  for (;;) {
    sys::Address who;
    const int fd = sys::accept(listener.get(), who, sys::Mode::nonblocking);
    if (fd == -1 && errno == EMFILE) {
#ifdef CURED
      std::puts("none for this client: wait until a connection is closed");
      others.pop_back();  // a request ends
#endif
      continue;
    }
    sys::close(sys::check(fd, "accept4"));
    std::puts("the client is served");
    return 0;
  }
}
