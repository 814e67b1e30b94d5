// A reader waits for a message, but not for ever. The message that comes
// later is for the next reader.
//! 6: a message: Connection timed out
//! 6: 42

#include <cstdio>
#include <system_error>

#include "naglfar/channel.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  Channel<int> channel;
  go([&] {
    try {
      channel.read(after(std::chrono::milliseconds(10)));
    } catch (const std::system_error& error) {
      std::puts(error.what());
    }
    channel.write(42);
    std::printf("%d\n", channel.read());
  });
  scheduler.run();
}
