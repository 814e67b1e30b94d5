// A reader waits for a pipe, while the writer sleeps.
//! 8: the reader waits
//! 8: the writer writes
//! 8: the reader has read 5 bytes

#include <cstdio>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  const sys::Pipe pipe;
  go([&] {
    char buffer[16];
    ssize_t n = 0;
    while ((n = sys::read(pipe.reader.get(), buffer, sizeof buffer)) == -1) {
      std::puts("the reader waits");
      scheduler.wait(pipe.reader.get(), Interest::read);
    }
    std::printf("the reader has read %d bytes\n", static_cast<int>(n));
  });
  go([&] {
    sleep(std::chrono::milliseconds(10));
    std::puts("the writer writes");
    sys::check(sys::write(pipe.writer.get(), "hello", 5), "write");
  });
  scheduler.run();
}
