// The separator of two lines comes in two pieces.
//! 7: one\r\n
//! 7: two

#include <cstdio>

#include "naglfar/scheduled_file.hpp"

using namespace naglfar;

static void show(const std::string& line) {
  for (const char c : line)
    c == '\r'   ? std::printf("\\r")
    : c == '\n' ? std::printf("\\n")
                : std::printf("%c", c);
  std::puts("");
}

int main() {
  Scheduler scheduler;
  sys::Pipe pipe;
  go([&] {
    ScheduledFile file(std::move(pipe.reader));
    show(file.readline(unlimited, "\r\n"));
    show(file.readline(unlimited, "\r\n"));
  });
  go([&] {
    goWrite(pipe.writer.get(), "one\r");
    yield();
    goWrite(pipe.writer.get(), "\ntwo");
    pipe.writer = sys::Fd();
  });
  scheduler.run();
}
