// Two coroutines, and a channel each way. Each begins by reading.

#include <cstdio>

#include "naglfar/channel.hpp"

using namespace naglfar;

int main() {
  Channel<int> toClient;
  Channel<int> toServer;
  Scheduler scheduler;  // goes before what it unwinds
  go([&] {
    const int greeting = toClient.read();
    toServer.write(greeting + 1);
  }).name = "client";
  go([&] {
    const int request = toServer.read();
    toClient.write(request + 1);
  }).name = "server";
  try {
    scheduler.run();
  } catch (const Deadlock& error) {
    std::printf("%s", error.what());
    return 1;
  }
}
