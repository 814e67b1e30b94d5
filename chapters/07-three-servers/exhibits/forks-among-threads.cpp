// A process with two threads forks while one of them has a mutex. The child
// gets the mutex, locked, and not the thread that would unlock it.

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>

#include "naglfar/sys.hpp"

using namespace naglfar;

static std::mutex mutex;
static std::atomic<bool> taken = false;
static std::atomic<bool> forked = false;

static pid_t makeChild() {
  const pid_t child = sys::check(sys::fork(), "fork");
  if (child != 0) return child;
  std::puts("the child wants the mutex");
  const std::lock_guard lock(mutex);
  std::puts("the child has it");
  _exit(0);
}

int main() {
#ifdef CURED
  const pid_t child = makeChild();  // while there is one thread
#endif
  std::thread other([] {
    const std::lock_guard lock(mutex);
    taken.store(true);
    taken.notify_one();
    forked.wait(false);
  });
  taken.wait(false);
#ifndef CURED
  const pid_t child = makeChild();
#endif
  forked.store(true);
  forked.notify_one();
  other.join();
  sys::check(sys::waitpid(child, nullptr, 0), "waitpid");
  std::puts("the thread has ended, and so has the child");
}
