// The poller on epoll(7): edge triggered, registered once for both
// directions.
//
// Why that loses no wake-up: a waiter on a registered descriptor comes here
// only after its system call said EAGAIN, and no other job runs in between.
// Readiness that comes later is an edge. Readiness that was there at
// EPOLL_CTL_ADD is reported like an edge.
//
// Invariant: a slot's `registered` has both bits or none.
//
// It asks sys for epollCreate, epollCtl and epollWait.

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstdint>

#include "naglfar/poller.hpp"

namespace naglfar {

// [epoll-backend]
const bool Poller::levelTriggered = false;

// A child closes the inherited epoll, which takes nothing from its parent:
// now there is a descriptor for the child's own.
void Poller::letGo() noexcept {
  kernel_ = sys::Fd();
}

void Poller::open() {
  kernel_ = sys::Fd(sys::check(sys::epollCreate(), "epoll_create1"));
}
// [/epoll-backend]

// [epoll-attach]
// An event carries the descriptor and the generation of its slot.
static std::uint64_t tag(int fd, unsigned generation) {
  return std::uint64_t{generation} << 32 | static_cast<std::uint32_t>(fd);
}

void Poller::attach(int fd, Interest /*interest*/, Slot& slot) {
  if (slot.registered != 0) return;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = tag(fd, slot.generation);
  const int epoll = kernel_.get();
  int result = sys::epollCtl(epoll, EPOLL_CTL_ADD, fd, &event);
  if (result == -1 && errno == EEXIST)  // deregistered, and not closed
    result = sys::epollCtl(epoll, EPOLL_CTL_MOD, fd, &event);
  sys::check(result, "epoll_ctl");
  slot.registered = bit(Interest::read) | bit(Interest::write);
}

// The close of a descriptor removes it from the set; to remove it before
// would cost one more system call for each connection. Where a duplicate
// keeps it in the set, its events have the tag of a generation that is over.
void Poller::detach(int /*fd*/, Slot& /*slot*/) {}
// [/epoll-attach]

// [epoll-poll]
// epoll_wait counts in milliseconds. Rounded down, a wait of 0.5 ms would be
// none, and the caller would spin until its deadline.
static int milliseconds(sys::Duration timeout) {
  if (timeout.count() < 0) return -1;
  const auto whole = std::chrono::ceil<std::chrono::milliseconds>(timeout);
  return static_cast<int>(std::min<long long>(whole.count(), INT_MAX));
}

bool Poller::poll(sys::Duration timeout, JobQueue& ready) {
  if (inherited_ && startAnew(ready)) timeout = sys::Duration::zero();
  std::array<epoll_event, 256> events;
  const int n =
      sys::epollWait(kernel_.get(), events.data(),
                     static_cast<int>(events.size()), milliseconds(timeout));
  if (n == -1 && errno == EINTR) return true;
  sys::check(n, "epoll_wait");

  // An error or a hang-up concerns the waiters of both directions: the
  // waiter's next system call tells it what has happened.
  constexpr unsigned broken = EPOLLERR | EPOLLHUP;
  constexpr unsigned readable = EPOLLIN | EPOLLRDHUP | broken;
  constexpr unsigned writable = EPOLLOUT | broken;
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    const int fd = static_cast<int>(event.data.u64 & 0xffffffff);
    Slot& slot = this->slot(fd);
    if (event.data.u64 != tag(fd, slot.generation)) continue;
    if (event.events & readable) wake(slot, Interest::read, 0, ready);
    if (event.events & writable) wake(slot, Interest::write, 0, ready);
  }
  return n > 0;
}
// [/epoll-poll]

}  // namespace naglfar
