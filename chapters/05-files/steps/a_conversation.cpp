// A client connects, asks and gets an answer. It need not think of flush().
//! 8: the server reads: hello?
//! 8: the client reads: hello!

#include <cstdio>

#include "naglfar/scheduled_file.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  const sys::Fd listener(
      sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
  sys::Address address("127.0.0.1", 0);
  sys::check(sys::bind(listener.get(), address), "bind");
  sys::check(sys::listen(listener.get(), 5), "listen");
  sys::check(sys::localAddress(listener.get(), address), "getsockname");
  go([&] {
    sys::Address client;
    ScheduledFile file(goAccept(listener.get(), client));
    std::printf("the server reads: %s", file.readline().c_str());
    file.write("hello!\n");
    file.close();
  });
  go([&] {
    ScheduledFile file = ScheduledFile::connectTcp(address);
    file.write("hello?\n");
    std::printf("the client reads: %s", file.readline().c_str());
  });
  scheduler.run();
}
