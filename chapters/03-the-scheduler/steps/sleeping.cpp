// A coroutine sleeps for a tenth of a second. How often does it wake up?
//! 5: awake, after more than 4 switches
//! 6: awake, after 4 switches

#include <cstdio>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  go([] { sleep(std::chrono::milliseconds(100)); });
  scheduler.run();
  const auto switches = static_cast<int>(ledger.switches);
  std::printf("awake, after %s switches\n",
              switches > 4 ? "more than 4" : "4");
}
