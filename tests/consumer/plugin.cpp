// A shared library of somebody else, with coroutines inside.

#include "naglfar/channel.hpp"

int answer() {
  naglfar::Scheduler scheduler;
  naglfar::Channel<int> channel;
  naglfar::go([&] { channel.write(42); });
  return channel.read();
}
