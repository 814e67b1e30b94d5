// Sleep sort: each number sleeps for a while as long as it is large, and is
// printed. How much work is it to sleep?
//! 6: 1 2 3
//! 6: 12 switches, more than 3 epoll_wait
//! 7: 1 2 3
//! 7: 12 switches, 3 epoll_wait or less

#include <cstdio>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  for (const int number : {3, 1, 2})
    go([number] {
      sleep(std::chrono::milliseconds(50 * number));
      std::printf("%d%c", number, number < 3 ? ' ' : '\n');
    });
  scheduler.run();
  std::printf("%d switches, %s\n", static_cast<int>(ledger.switches),
              ledger[Call::epoll_wait] > 3 ? "more than 3 epoll_wait"
                                           : "3 epoll_wait or less");
}
