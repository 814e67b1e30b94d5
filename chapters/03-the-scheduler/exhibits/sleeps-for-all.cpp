// A coroutine sleeps by the system's means. The thread sleeps with it, and so
// does everybody whom the thread should run.

#include <unistd.h>

#include <cstdio>

#include "naglfar/scheduler.hpp"

using namespace naglfar;
using namespace std::chrono_literals;

int main() {
  Scheduler scheduler;
  int turns = 0;
  bool asleep = true;
  go([&] {
    for (; asleep; ++turns) sleep(10ms);
  });
  go([&] {
#ifdef CURED
    sleep(500ms);
#else
    usleep(500'000);
#endif
    asleep = false;
    std::printf("while one slept the other had %s\n",
                turns > 0 ? "its turns" : "no turn");
  });
  while (asleep) sleep(10ms);
  const bool starved = turns == 0;
  scheduler.run();
  return starved ? 1 : 0;
}
