// The server is told to stop, while it waits for a client.
//! 4: serve_forever() has returned

#include <cstdio>

#include "naglfar/server.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  TCPServer server(sys::Address("127.0.0.1", 0), nullptr);
  go([&] {
    server.serve_forever();
    std::puts("serve_forever() has returned");
  });
  go([&] {
    yield();
    server.shutdown();
  });
  scheduler.run();
}
