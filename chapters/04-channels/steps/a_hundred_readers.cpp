// A hundred readers wait, and a hundred messages come, one at a time. What
// does it cost that they wait?
//! 1: 100 messages read, 5150 turns of readers, 0 parks
//! 2: 100 messages read, 5150 turns of readers, 5050 parks
//! 3: 100 messages read, 200 turns of readers, 100 parks

#include <cstdio>

#include "naglfar/channel.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  Channel<int> channel;
  int read = 0;
  for (int i = 0; i < 100; ++i)
    go([&] {
      channel.read();
      ++read;
    });
  go([&] {
    for (int i = 0; i < 100; ++i) {
      channel.write(i);
      yield();
    }
  });
  scheduler.run();
  const auto turns = static_cast<int>(ledger.switches / 2) - 101;
  const auto parks = static_cast<int>(ledger.parks);
  std::printf("%d messages read, %d turns of readers, %d parks\n", read,
              turns, parks);
}
