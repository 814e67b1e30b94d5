// Three coroutines wait for the same thing. One comes at a time, and each is
// for the coroutine that has waited longest.
//! 14: Ada has it
//! 14: Bob has it
//! 14: Cy has it

#include <cstdio>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  WaitQueue line;
  for (const char* name : {"Ada", "Bob", "Cy"})
    go([&line, name] {
      WaitQueue::Entry(line).wait("a coffee");
      std::printf("%s has it\n", name);
    });
  go([&line] {
    while (WaitQueue::Entry* next = line.first()) {
      next->notify();
      yield();
    }
  });
  scheduler.run();
}
