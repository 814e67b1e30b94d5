// A thread waits for connections, and another one asks it to stop. It will,
// as soon as it looks.

#include <atomic>
#include <cstdio>
#include <thread>

#include "naglfar/sys.hpp"

using namespace naglfar;

static void acceptUntil(const std::atomic<bool>& stopping, int listener) {
  while (!stopping) {
    sys::Address client;
    const sys::Fd connection(sys::check(
        sys::accept(listener, client, sys::Mode::blocking), "accept4"));
  }
}

int main() {
  const sys::Fd listener(
      sys::check(sys::socket(sys::Mode::blocking), "socket"));
  sys::Address address("127.0.0.1", 0);
  sys::check(sys::bind(listener.get(), address), "bind");
  sys::check(sys::listen(listener.get(), 8), "listen");
  sys::check(sys::localAddress(listener.get(), address), "getsockname");
  std::atomic<bool> stopping = false;
  std::thread server([&] { acceptUntil(stopping, listener.get()); });

  // One client, so that we know the server to be in its loop.
  const sys::Fd client(
      sys::check(sys::socket(sys::Mode::blocking), "socket"));
  sys::check(sys::connect(client.get(), address), "connect");
  char byte;
  sys::check(sys::read(client.get(), &byte, 1), "read");
  std::this_thread::sleep_for(std::chrono::milliseconds(100));

  std::puts("one client was served; now stop");
  stopping = true;
  server.join();
  std::puts("the server has stopped");
}
