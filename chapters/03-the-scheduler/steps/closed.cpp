// A reader waits for a pipe, and another coroutine closes that end of it. The
// kernel forgets the descriptor, so it will never have news.
//! 9: the reader is forgotten
//! 10: wait: Operation canceled

#include <cstdio>
#include <system_error>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  sys::Pipe pipe;
  go([&] {
    try {
      scheduler.wait(pipe.reader.get(), Interest::read,
                     after(std::chrono::milliseconds(50)));
    } catch (const std::system_error& error) {
      const bool forgotten = error.code() == std::errc::timed_out;
      std::puts(forgotten ? "the reader is forgotten" : error.what());
    }
  });
  go([&] { pipe.reader = sys::Fd(); });
  scheduler.run();
}
