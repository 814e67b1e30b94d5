// A wait of half a millisecond. epoll_wait counts whole ones.
//! 10: asked more than once: yes
//! 11: asked more than once: no

#include <cstdio>

#include "naglfar/poller.hpp"

using namespace naglfar;

int main() {
  Poller poller;
  JobQueue ready;
  const sys::Time end = sys::now() + std::chrono::microseconds(500);
  for (sys::Time now = sys::now(); now < end; now = sys::now())
    poller.poll(end - now, ready);
  std::printf("asked more than once: %s\n",
              ledger[Call::epoll_wait] > 1 ? "yes" : "no");
}
