/// @file poller/epoll.hpp
/// The part of the poller that asks epoll(7): edge triggered, and registered
/// once for both directions.
///
/// Why this loses no wake-up: a waiter on a registered descriptor comes here
/// only after its system call said EAGAIN. Readiness that comes later is an
/// edge, and readiness that is there at EPOLL_CTL_ADD is told like an edge.

#pragma once

#include <sys/epoll.h>

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdint>

#include "naglfar/poller.hpp"

namespace naglfar {

inline Poller::Poller()
    : kernel_(sys::check(sys::epollCreate(), "epoll_create1")) {}

// An event carries the number of the descriptor and its generation.
inline void Poller::attach(int fd, Interest, Slot& slot) {
  if (slot.registered != 0) return;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 =
      std::uint64_t{slot.generation} << 32 | static_cast<std::uint32_t>(fd);
  sys::check(sys::epollCtl(kernel_.get(), EPOLL_CTL_ADD, fd, &event),
             "epoll_ctl");
  slot.registered = 1;
}

// To close a descriptor takes it out of the epoll.
inline void Poller::detach(int, Slot&) {}

inline void Poller::poll(sys::Duration timeout, JobQueue& ready) {
  // Rounded up: rounded down, a wait of half a millisecond would be none, and
  // the caller would ask again and again until its time has come.
  const auto whole = std::chrono::ceil<std::chrono::milliseconds>(timeout);
  epoll_event events[256];
  const int n = sys::epollWait(
      kernel_.get(), events, 256,
      static_cast<int>(std::clamp<long long>(whole.count(), -1, INT_MAX)));
  if (n == -1 && errno != EINTR) sys::fail(errno, "epoll_wait");
  for (int i = 0; i < n; ++i) {
    const std::uint64_t tag = events[i].data.u64;
    Slot& slot = this->slot(static_cast<int>(tag & 0xffffffff));
    if (tag >> 32 != slot.generation) continue;  // of an earlier file
    // An error or a hang-up concerns both: the next system call tells it.
    const bool broken = events[i].events & (EPOLLERR | EPOLLHUP);
    if (broken || events[i].events & (EPOLLIN | EPOLLRDHUP))
      wake(slot, Interest::read, 0, ready);
    if (broken || events[i].events & EPOLLOUT)
      wake(slot, Interest::write, 0, ready);
  }
}

}  // namespace naglfar
