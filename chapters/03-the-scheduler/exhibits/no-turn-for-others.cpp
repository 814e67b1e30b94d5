// A coroutine that is busy until somebody else has finished. It never gives
// the thread away, so the other never begins.

#include <atomic>
#include <cstdio>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  std::atomic<bool> finished = false;
  go([&] {
    std::puts("busy until the other has finished");
    while (!finished) {
#ifdef CURED
      yield();
#endif
    }
    std::puts("not busy any more");
  });
  go([&] {
    std::puts("the other runs");
    finished = true;
  });
  scheduler.run();
}
