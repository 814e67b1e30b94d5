// A reader asks for ten bytes. Five come, and then five more.
//! 1: got 5
//! 1: got 5
//! 1: got 0: the end

#include <cstdio>

#include "naglfar/io.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  sys::Pipe pipe;
  go([&] {
    char buffer[10];
    std::size_t n = 0;
    do {
      n = goReadSome(pipe.reader.get(), buffer);
      const char* const end = n == 0 ? ": the end" : "";
      std::printf("got %d%s\n", static_cast<int>(n), end);
    } while (n > 0);
  });
  go([&] {
    for (int i = 0; i < 2; ++i) {
      sys::check(sys::write(pipe.writer.get(), "hello", 5), "write");
      sleep(std::chrono::milliseconds(5));
    }
    pipe.writer = sys::Fd();
  });
  scheduler.run();
}
