// epoll knows sockets, pipes and terminals. It refuses a regular file, which
// is always ready.
//! 1: it is watched
//! 2: epoll_ctl: Operation not permitted

#include <fcntl.h>

#include <cstdio>

#include "naglfar/poller.hpp"

using namespace naglfar;

struct Nothing final : Job {
  void run() override {}
};

int main(int, char** argv) try {
  const sys::Fd file(sys::check(::open(argv[0], O_RDONLY), "open"));
  Nothing job;
  Waiter waiter(job);
  Poller poller;
  poller.watch(file.get(), Interest::read, waiter);
  std::puts("it is watched");
} catch (const std::system_error& error) {
  std::puts(error.what());
}
