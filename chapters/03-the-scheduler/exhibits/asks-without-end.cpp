// A coroutine waits for another by asking again and again. Nobody interrupts
// it, and so the other never gets its turn.

#include <cstdio>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  bool done = false;
  volatile unsigned long questions = 0;

  go([&] {
    std::puts("one: is the other done?");
    while (!done) {
      questions = questions + 1;
#ifdef CURED
      yield();
#endif
    }
    std::puts("one: it is");
  });
  go([&] {
    std::puts("the other: done");
    done = true;
  });
  scheduler.run();
}
