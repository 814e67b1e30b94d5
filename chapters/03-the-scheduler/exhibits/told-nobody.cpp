// A coroutine suspends and tells nobody. By hand, as in chapter 02, it sleeps
// for ever; the scheduler says who waits, and for what.

#include <cstdio>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

#ifdef CURED
int main() {
  Scheduler scheduler;
  go([] { Scheduler::current().park("a message"); }).name = "reader";
  try {
    scheduler.run();
  } catch (const Deadlock& deadlock) {
    std::printf("%s", deadlock.what());
  }
}
#else
int main() {
  StackPool stacks;
  JobQueue ready;
  Poller poller;
  ready.append(Coroutine::make(stacks, [] {
    std::puts("the reader waits for a message");
    Coroutine::suspend();
    std::puts("the reader goes on");
  }));
  for (;;) {
    while (Job* job = ready.pop()) job->run();
    std::puts("nobody can run; the loop waits for news");
    poller.poll(sys::Duration{-1}, ready);
  }
}
#endif
