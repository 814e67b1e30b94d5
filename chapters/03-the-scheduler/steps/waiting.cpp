// Ada waits until Bob has the coffee. Nothing runs in vain meanwhile.
//! 3: Bob cooks
//! 3: Ada drinks
//! 3: parks: 1

#include <cstdio>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  bool coffee = false;
  Coroutine& ada = go([&] {
    while (!coffee) scheduler.park("coffee");
    std::puts("Ada drinks");
  });
  go([&] {
    std::puts("Bob cooks");
    coffee = true;
    scheduler.wake(ada);
  });
  scheduler.run();
  std::printf("parks: %d\n", static_cast<int>(ledger.parks));
}
