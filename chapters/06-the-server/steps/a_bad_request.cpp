// A client asks something that the handler cannot answer. Then a good one
// comes.
//! 2: the program ends: no such name
//! 3: Exception while serving 127.0.0.1: no such name
//! 3: Hello, Ada

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "naglfar/server.hpp"

using namespace naglfar;

static void greet(ScheduledFile& client, const sys::Address&, TCPServer&) {
  const std::string name = client.readline();
  if (name == "?\n") throw std::runtime_error("no such name");
  client.write("Hello, " + name);
}

int main() try {
  Scheduler scheduler;
  TCPServer server(sys::Address("127.0.0.1", 0), greet);
  go([&] { server.serve_forever(); });
  go([&] {
    for (const char* name : {"?\n", "Ada\n"}) {
      ScheduledFile file = ScheduledFile::connectTcp(server.server_address);
      file.write(name);
      std::printf("%s", file.read().c_str());
    }
    std::fflush(nullptr);
    std::_Exit(0);  // the server of step 3 has no end
  });
  scheduler.run();
} catch (const std::exception& error) {
  std::printf("the program ends: %s\n", error.what());
}
