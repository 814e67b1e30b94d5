// A client connects to a server, and another one to a port where none is.
//! 3: the server has a client
//! 3: the client is connected
//! 3: connect: Connection refused

#include <cstdio>
#include <system_error>

#include "naglfar/io.hpp"

using namespace naglfar;

static sys::Fd newSocket() {
  return sys::Fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
}

int main() {
  Scheduler scheduler;
  sys::Fd listener = newSocket();
  sys::Address address("127.0.0.1", 0);
  sys::check(sys::bind(listener.get(), address), "bind");
  sys::check(sys::listen(listener.get(), 5), "listen");
  sys::check(sys::localAddress(listener.get(), address), "getsockname");
  go([&] {
    sys::Address client;
    goAccept(listener.get(), client);
    std::puts("the server has a client");
    goClose(listener.release());
  });
  go([&] {
    yield();
    const sys::Fd first = newSocket();
    goConnect(first.get(), address);
    while (listener) yield();
    std::puts("the client is connected");
    try {
      const sys::Fd second = newSocket();
      goConnect(second.get(), address);
    } catch (const std::system_error& error) {
      std::puts(error.what());
    }
  });
  scheduler.run();
}
