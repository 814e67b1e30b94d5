// A reader waits for a pipe, but not for ever.
//! 8: woken, with nothing to read
//! 9: wait: Connection timed out

#include <cstdio>
#include <system_error>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  const sys::Pipe pipe;
  go([&] {
    try {
      scheduler.wait(pipe.reader.get(), Interest::read,
                     after(std::chrono::milliseconds(10)));
      std::puts("woken, with nothing to read");
    } catch (const std::system_error& error) {
      std::puts(error.what());
    }
  });
  scheduler.run();
}
