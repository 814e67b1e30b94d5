// Ten thousand coroutines that sleep. How much memory do their stacks use?
//! 3: 10000 asleep, in less than 250 MiB: yes

#include <sys/resource.h>

#include <cstdio>
#include <deque>

#include "naglfar/coroutine.hpp"

using namespace naglfar;

struct Sleeper final : Coroutine {
  explicit Sleeper(char* stack) : Coroutine(stack, StackPool::stackSize) {}
  void body() override {
    ++asleep;
    suspend();
  }
  static inline int asleep = 0;
};

int main() {
  StackPool pool;
  std::deque<Sleeper> sleepers;
  for (int i = 0; i < 10'000; ++i)
    sleepers.emplace_back(pool.acquire()).resume();
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  std::printf("%d asleep, in less than 250 MiB: %s\n", Sleeper::asleep,
              usage.ru_maxrss < 250 * 1024 ? "yes" : "no");
}
