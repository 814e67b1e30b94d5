// There is no descriptor left for a client that connects, and later there is.
//! 4: the server ends: Too many open files
//! 5: the client was served

#include <sys/resource.h>

#include <cstdio>
#include <list>

#include "naglfar/server.hpp"

using namespace naglfar;

static void serve(ScheduledFile&, const sys::Address&, TCPServer& server) {
  std::puts("the client was served");
  server.shutdown();
}

int main() try {
  rlimit limit{64, 64};
  sys::check(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
  Scheduler scheduler;
  TCPServer server(sys::Address("127.0.0.1", 0), serve);
  go([&] { server.serve_forever(); });
  go([&] {
    std::list<sys::Fd> all;
    for (int fd = 0; (fd = sys::dup(1)) != -1;) all.emplace_back(fd);
    all.pop_back();  // for the client
    const auto client = ScheduledFile::connectTcp(server.server_address);
    sleep(std::chrono::milliseconds(10));
    all.clear();
  });
  scheduler.run();
} catch (const std::system_error& error) {
  std::printf("the server ends: %s\n", error.code().message().c_str());
}
