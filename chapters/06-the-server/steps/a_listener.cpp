// A server listens. It has a port, and a client may connect already: the
// kernel keeps the connection until the server accepts it.
//! 1: it has a port: yes
//! 1: a client is connected

#include <cstdio>

#include "naglfar/server.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  TCPServer server(sys::Address("127.0.0.1", 0), nullptr);
  std::printf("it has a port: %s\n",
              server.server_address.port() != 0 ? "yes" : "no");
  go([&] {
    ScheduledFile::connectTcp(server.server_address);
    std::puts("a client is connected");
  });
  scheduler.run();
}
