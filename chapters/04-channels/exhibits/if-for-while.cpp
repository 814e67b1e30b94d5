// A queue of messages, and a line of readers who wait for one. Whoever writes
// wakes all of them; the first takes the message. The others have been woken,
// too.

#include <cstdio>
#include <deque>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

static std::deque<int> messages;
static WaitQueue readers;

static void waitInLine() {
  WaitQueue::Entry entry(readers);
  while (entry.waiting()) Scheduler::current().park("a message");
}

static bool read(const char* who) {
#ifdef CURED
  while (messages.empty()) waitInLine();
#else
  if (messages.empty()) waitInLine();
#endif
  if (messages.empty()) {
    std::printf("%s: woken, so there must be a message: there is none\n",
                who);
    return false;
  }
  std::printf("%s has read %d\n", who, messages.front());
  messages.pop_front();
  return true;
}

static void write(int message) {
  messages.push_back(message);
  readers.notifyAll();
}

int main() {
  Scheduler scheduler;
  bool good = true;
  for (const char* name : {"the first reader", "the second reader"})
    go([name, &good] { good = read(name) && good; });
  go([] {
    write(1);
    yield();
    write(2);
  });
  scheduler.run();
  return good ? 0 : 1;
}
