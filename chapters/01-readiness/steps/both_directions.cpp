// One job waits to read from a socket, another to write to it, and both wait
// a hundred times. How often is the kernel told so?
//! 4: epoll_ctl: File exists
//! 5: 200 waits, 1 epoll_ctl

#include <cstdio>

#include "naglfar/poller.hpp"

using namespace naglfar;

static int waits = 0;

struct Counter final : Job {
  void run() override { ++waits; }
};

int main() try {
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
  const sys::Fd here(ends[0]);
  const sys::Fd there(ends[1]);
  Poller poller;
  JobQueue ready;
  for (int i = 0; i < 100; ++i) {
    Counter counter;
    Waiter reader(counter);
    Waiter writer(counter);
    poller.watch(here.get(), Interest::read, reader);
    poller.watch(here.get(), Interest::write, writer);
    sys::check(sys::write(there.get(), "!", 1), "write");
    char byte;
    poller.poll(std::chrono::seconds(1), ready);
    sys::check(sys::read(here.get(), &byte, 1), "read");
    waits += 2;
  }
  std::printf("%d waits, %d epoll_ctl\n", waits,
              static_cast<int>(ledger[Call::epoll_ctl]));
} catch (const std::system_error& error) {
  std::puts(error.what());
}
