// A reader reads until there is nothing more to come. How does it know?
//! 3: deadlock: no job can run, and these wait for ever:
//! 3:   a coroutine waits for a message
//! 4: 1 2 3 and the end

#include <cstdio>
#include <stdexcept>

#include "naglfar/channel.hpp"

using namespace naglfar;

// With the channel of step 3, which has no end.
template <class C>
static void close(C& channel) {
  if constexpr (requires { channel.close(); }) channel.close();
}
template <class C>
static void readAll(C& channel) {
  if constexpr (requires { channel.next(); }) {
    while (std::optional<int> n = channel.next()) std::printf("%d ", *n);
    std::puts("and the end");
  } else {
    for (;;) channel.read();
  }
}

int main() try {
  Scheduler scheduler;
  Channel<int> channel;
  go([&] { readAll(channel); });
  go([&] {
    for (const int n : {1, 2, 3}) channel.write(n);
    close(channel);
  });
  scheduler.run();
} catch (const std::runtime_error& error) {
  std::printf("%s", error.what());
}
