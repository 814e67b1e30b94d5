// Three clients ask, and the server greets one after the other.
//! 2: Hello, Ada
//! 2: Hello, Bob
//! 2: Hello, Cy

#include <cstdio>
#include <cstdlib>

#include "naglfar/server.hpp"

using namespace naglfar;

static void greet(ScheduledFile& client, const sys::Address&, TCPServer&) {
  client.write("Hello, " + client.readline());
}

int main() {
  Scheduler scheduler;
  TCPServer server(sys::Address("127.0.0.1", 0), greet);
  go([&] { server.serve_forever(); });
  go([&] {
    for (const char* name : {"Ada\n", "Bob\n", "Cy\n"}) {
      ScheduledFile file = ScheduledFile::connectTcp(server.server_address);
      file.write(name);
      std::printf("%s", file.read().c_str());
    }
    std::fflush(nullptr);
    std::_Exit(0);  // the server of step 2 has no end
  });
  scheduler.run();
}
