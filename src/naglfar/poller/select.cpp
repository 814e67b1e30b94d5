// The poller on select(2), for systems that have nothing better: level
// triggered, and the sets are built anew for every call.
//
// The kernel keeps nothing between calls, so there is nothing to register:
// `registered` only says that the descriptor was found open and its number
// small enough.
//
// Invariant: no descriptor from FD_SETSIZE on has a waiter, because FD_SET
// would write past the end of the set.
//
// It asks sys for select.

#include <algorithm>
#include <chrono>
#include <string>
#include <system_error>

#include "naglfar/poller.hpp"

namespace naglfar {

// [select-backend]
const bool Poller::levelTriggered = true;

static constexpr int setSize = FD_SETSIZE;  // unsigned in FreeBSD

void Poller::letGo() noexcept {}

void Poller::open() {}

void Poller::attach(int fd, Interest /*interest*/, Slot& slot) {
  if (fd >= setSize)
    throw std::system_error(
        EINVAL, std::generic_category(),
        "select: descriptor " + std::to_string(fd) +
            " is not below FD_SETSIZE (" + std::to_string(setSize) +
            "); build with NAGLFAR_POLLER=epoll or kqueue");
  // select(2) would not tell: it passes over numbers that no descriptor of
  // the process has reached.
  if (isClosed(fd)) sys::fail(EBADF, "select");
  slot.registered = bit(Interest::read) | bit(Interest::write);
}

void Poller::detach(int /*fd*/, Slot& /*slot*/) {}
// [/select-backend]

// [select-timeout]
// Rounded up: a wait of 0.3 us must not become none. A wait of more than an
// hour becomes an hour: some kernels refuse large numbers, and poll() may
// return early.
static timeval limited(sys::Duration timeout) {
  using namespace std::chrono;
  timeout = std::min<sys::Duration>(timeout, hours(1));
  const auto micros = ceil<microseconds>(timeout).count();
  timeval wait{};
  wait.tv_sec = static_cast<time_t>(micros / 1'000'000);
  wait.tv_usec = static_cast<suseconds_t>(micros % 1'000'000);
  return wait;
}
// [/select-timeout]

// [select-poll]
bool Poller::poll(sys::Duration timeout, JobQueue& ready) {
  if (inherited_ && startAnew(ready)) timeout = sys::Duration::zero();
  const auto end = std::min<std::size_t>(slots_.size(), setSize);
  fd_set sets[2];
  for (fd_set& set : sets) FD_ZERO(&set);
  int n = 0;
  for (std::size_t fd = 0; fd < end; ++fd)
    for (int direction = 0; direction < 2; ++direction)
      if (slots_[fd].waiters[direction] != nullptr) {
        n = static_cast<int>(fd) + 1;
        FD_SET(n - 1, &sets[direction]);
      }

  timeval wait = limited(timeout);
  const int found = sys::select(n, &sets[0], &sets[1],
                                timeout.count() < 0 ? nullptr : &wait);
  // [/select-poll]
  // [select-news]
  if (found == -1 && errno == EINTR) return true;
  const bool badSet = found == -1 && errno == EBADF;
  if (!badSet) sys::check(found, "select");

  // One closed descriptor fails the call for all. The waiters of that
  // descriptor get EBADF; for the others there is no news this time.
  for (int fd = 0; fd < n; ++fd) {
    const int error = badSet && isClosed(fd) ? EBADF : 0;
    for (const Interest interest : {Interest::read, Interest::write})
      if (error != 0 ||
          (found > 0 && FD_ISSET(fd, &sets[static_cast<int>(interest)])))
        wake(slot(fd), interest, error, ready);
  }
  return found != 0;
}
// [/select-news]

}  // namespace naglfar
