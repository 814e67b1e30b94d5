// The poller on epoll(7): edge triggered, registered once for both
// directions.
//
// Why that loses no wake-up: a waiter comes here only after its system call
// said EAGAIN, and no other job runs in between. Readiness that comes later
// is an edge, and readiness that was there at EPOLL_CTL_ADD is reported as
// one.
//
// Invariant: a slot's `registered` has both bits or none.

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstdint>
#include <memory>

#include "naglfar/poller.hpp"

namespace naglfar {

// [epoll-backend]
const bool Poller::levelTriggered = false;

struct Poller::Backend {
  sys::Fd epoll{sys::check(sys::epollCreate(), "epoll_create1")};
  std::array<epoll_event, 256> events;
};

Poller::Backend* Poller::makeBackend() {
  return std::make_unique<Backend>().release();
}

// A child that closes the inherited descriptor takes nothing from its parent.
void Poller::freeBackend(Backend* backend, bool /*inherited*/) {
  delete backend;
}
// [/epoll-backend]

// [epoll-attach]
namespace {

// An event carries the descriptor and the generation of its slot.
std::uint64_t tag(int fd, unsigned generation) {
  return std::uint64_t{generation} << 32 | static_cast<std::uint32_t>(fd);
}

}  // namespace

void Poller::attach(int fd, Interest /*interest*/, Slot& slot) {
  if (slot.registered != 0) return;
  epoll_event event{};
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  event.data.u64 = tag(fd, slot.generation);
  const int epoll = backend_->epoll.get();
  int result = sys::epollCtl(epoll, EPOLL_CTL_ADD, fd, &event);
  if (result == -1 && errno == EEXIST)  // forgotten, and not closed
    result = sys::epollCtl(epoll, EPOLL_CTL_MOD, fd, &event);
  sys::check(result, "epoll_ctl");
  slot.registered = bit(Interest::read) | bit(Interest::write);
}

// Closing the descriptor removes it from the set; a system call to do so
// before would be one for each connection. Where a duplicate keeps it in the
// set, its events have the tag of a generation that is over.
void Poller::detach(int /*fd*/, Slot& /*slot*/) {}
// [/epoll-attach]

// [epoll-poll]
namespace {

// epoll_wait counts in milliseconds. Rounded down, a wait of 0.5 ms would be
// none, and the caller would spin until its deadline.
int milliseconds(sys::Duration timeout) {
  if (timeout.count() < 0) return -1;
  const auto whole = std::chrono::ceil<std::chrono::milliseconds>(timeout);
  return static_cast<int>(std::min<long long>(whole.count(), INT_MAX));
}

}  // namespace

void Poller::poll(sys::Duration timeout, JobQueue& ready) {
  auto& events = backend_->events;
  const int n =
      sys::epollWait(backend_->epoll.get(), events.data(),
                     static_cast<int>(events.size()), milliseconds(timeout));
  if (n == -1 && errno == EINTR) return;
  sys::check(n, "epoll_wait");

  // An error or a hang-up concerns the waiters of both directions: the
  // waiter's next system call tells it what has happened.
  constexpr unsigned broken = EPOLLERR | EPOLLHUP;
  constexpr unsigned readable = EPOLLIN | EPOLLRDHUP | broken;
  constexpr unsigned writable = EPOLLOUT | broken;
  for (int i = 0; i < n; ++i) {
    const int fd = static_cast<int>(events[i].data.u64 & 0xffffffff);
    if (events[i].data.u64 !=
        tag(fd, slots_[static_cast<std::size_t>(fd)].generation))
      continue;
    if (events[i].events & readable) wake(fd, Interest::read, 0, ready);
    if (events[i].events & writable) wake(fd, Interest::write, 0, ready);
  }
}
// [/epoll-poll]

}  // namespace naglfar
