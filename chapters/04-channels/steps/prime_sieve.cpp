// The prime sieve of Hoare: each coroutine lets through what its own prime
// does not divide, and gives it to the next one.
//! 5: 2 3 5 7 11 13 17 19 23 29

#include <cstdio>
#include <list>

#include "naglfar/channel.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  std::list<Channel<int>> channels(1);
  go([&] {
    for (int i = 2; i < 30; ++i) channels.front().write(i);
    channels.front().close();
  });
  go([&] {
    for (;;) {
      Channel<int>& in = channels.back();
      const std::optional<int> prime = in.next();
      if (!prime) break;
      std::printf("%d%c", *prime, *prime < 29 ? ' ' : '\n');
      Channel<int>& out = channels.emplace_back();
      go([&in, &out, prime = *prime] {
        for (const int n : in)
          if (n % prime != 0) out.write(n);
        out.close();
      });
    }
  });
  scheduler.run();
}
