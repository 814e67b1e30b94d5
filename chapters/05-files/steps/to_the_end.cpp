// A reader takes three bytes, and then all that is left.
//! 6: abc
//! 6: defgh

#include <cstdio>

#include "naglfar/scheduled_file.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  sys::Pipe pipe;
  go([&] {
    ScheduledFile file(std::move(pipe.reader));
    std::puts(file.read(3).c_str());
    std::puts(file.read().c_str());
  });
  go([&] {
    ScheduledFile file(std::move(pipe.writer));
    file.write("abcde");
    file.flush();
    yield();
    file.write("fgh");
    file.close();
  });
  scheduler.run();
}
