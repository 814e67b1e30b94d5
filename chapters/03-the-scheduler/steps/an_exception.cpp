// One coroutine fails. What becomes of the other one, and of what it holds?
//! 11: main: out of coffee
//! 11: closed: no
//! 12: main: out of coffee
//! 12: closed: yes

#include <cstdio>
#include <stdexcept>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  {
    Scheduler scheduler;
    go([&] {
      const sys::Fd mine(sys::check(sys::dup(1), "dup"));
      scheduler.park("nothing");
    });
    go([] { throw std::runtime_error("out of coffee"); });
    try {
      scheduler.run();
    } catch (const std::exception& error) {
      std::printf("main: %s\n", error.what());
    }
  }
  // One close is that of the epoll.
  std::printf("closed: %s\n", ledger[Call::close] == 2 ? "yes" : "no");
}
