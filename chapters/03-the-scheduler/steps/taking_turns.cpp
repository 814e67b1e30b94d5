// Two coroutines count, and each lets the other run after every number.
//! 2: Ada 1
//! 2: Bob 1
//! 2: Ada 2
//! 2: Bob 2

#include <cstdio>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

static void count(const char* name) {
  for (int i = 1; i <= 2; ++i) {
    std::printf("%s %d\n", name, i);
    yield();
  }
}

int main() {
  Scheduler scheduler;
  go([] { count("Ada"); });
  go([] { count("Bob"); });
  scheduler.run();
}
