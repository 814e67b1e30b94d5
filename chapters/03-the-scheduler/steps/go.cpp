// Three functions run, one after the other, each in a coroutine of its own.
//! 1: Ada
//! 1: Bob
//! 1: Cy

#include <cstdio>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  for (const char* name : {"Ada", "Bob", "Cy"})
    scheduler.go([name] { std::puts(name); });
  scheduler.run();
}
