// 100 readers and 100 messages. With a line in which everybody is woken for
// each message, and with a channel, which wakes one.

#include <cstdio>
#include <deque>

#include "naglfar/channel.hpp"

using namespace naglfar;

// Right, and slow: who is woken looks again.
class Everybody {
 public:
  void write(int message) {
    messages_.push_back(message);
    readers_.notifyAll();
  }
  int read() {
    while (messages_.empty()) {
      WaitQueue::Entry entry(readers_);
      while (entry.waiting()) Scheduler::current().park("a message");
    }
    const int message = messages_.front();
    messages_.pop_front();
    return message;
  }

 private:
  std::deque<int> messages_;
  WaitQueue readers_;
};

template <class Messages>
static void run(const char* name) {
  Scheduler scheduler;
  Messages messages;
  const auto before = ledger.parks;
  for (int i = 0; i < 100; ++i) go([&] { messages.read(); });
  go([&] {
    for (int i = 0; i < 100; ++i) {
      messages.write(i);
      yield();
    }
  });
  scheduler.run();
  std::printf("%s: %llu parks\n", name,
              static_cast<unsigned long long>(ledger.parks - before));
}

int main() {
  run<Everybody>("everybody is woken");
  run<Channel<int>>("one is woken      ");
}
