// A reader with a slow machine takes all messages that have come meanwhile.
//! 7: took 3
//! 7: took 2

#include <cstdio>

#include "naglfar/channel.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  Channel<int> channel;
  go([&] {
    while (channel.wait()) {
      const auto taken = channel.readWaiting().size();
      std::printf("took %d\n", static_cast<int>(taken));
    }
  });
  go([&] {
    for (const int n : {1, 2, 3}) channel.write(n);
    yield();
    for (const int n : {4, 5}) channel.write(n);
    channel.close();
  });
  scheduler.run();
}
