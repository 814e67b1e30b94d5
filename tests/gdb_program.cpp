// Coroutines of two groups, parked at known places, and then a place to stop
// at: what test_gdb.py looks at with a debugger. With an argument it aborts
// there and may leave a core file behind.

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "naglfar/scheduler.hpp"
#include "naglfar/sys.hpp"

using namespace naglfar;

namespace {

int ends[2];

// Something is left to do after each of the calls, so none of them is a jump.
volatile int calls = 0;

[[gnu::noinline]] void waitForBytes(int depth) {
  if (depth > 0)
    waitForBytes(depth - 1);
  else
    Scheduler::current().wait(ends[0], Interest::read);
  calls = calls + depth;
}

[[gnu::noinline]] void waitForACall(int number) {
  Scheduler::current().park("a call");
  calls = calls + number;
}

[[gnu::noinline]] void waitForTime() {
  naglfar::sleep(std::chrono::hours(1));
  calls = calls + 1;
}

}  // namespace

// Breakpoints go here.
extern "C" [[gnu::noinline]] void breakHere() {
  std::cout << "here" << std::endl;
}

int main(int argc, char**) {
  sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
  Scheduler scheduler;
  go([] { waitForBytes(3); }).name = "byte reader";
  go([] { waitForACall(42); }).name = "callee";
  go([] { waitForTime(); }).name = "sleeper";
  TaskGroup group;
  group.go([] { waitForACall(43); }).name = "member";
  naglfar::yield();
  go([] {}).name = "newcomer";
  breakHere();
  if (argc > 1) std::abort();
  for (const int end : ends) sys::close(end);
}
