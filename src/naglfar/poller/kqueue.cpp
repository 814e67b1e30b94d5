// The poller on kqueue(2): a filter for each direction, registered once, when
// a waiter first waits there, and edge triggered (EV_CLEAR).
//
// New filters are gathered and handed over by the kevent(2) that asks for
// news anyhow: to watch costs no call of its own. For why edges lose no
// wake-up, see epoll.cpp.
//
// Invariants:
// - A bit of a slot's `registered` says that the kernel has the filter or
//   that it stands in `added_`. In the latter case `added` has the bit, too.
// - An entry of `added_` whose slot has not that bit is void: the descriptor
//   was deregistered, and its number may be another file's. So to deregister
//   needs no search in the list.
//
// It asks sys for kqueue and kevent.

#include <sys/event.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "naglfar/poller.hpp"

namespace naglfar {

// [kqueue-backend]
using Event = struct kevent;  // kevent is a function, too

// The changes of this thread's next call, and its news. There is room before
// there are changes, so that poll() needs no memory.
static thread_local std::vector<Event> events;

static void makeRoom(std::size_t n) {
  if (events.size() < n) events.resize(std::max(n, 2 * events.size()));
}

const bool Poller::levelTriggered = false;

// A child of fork(2) has not inherited the kqueue. The number of the kqueue
// may by now be a file of the child, which the poller must not close.
void Poller::letGo() noexcept {
  kernel_.release();
  added_.clear();
}

void Poller::open() {
  makeRoom(256);
  kernel_ = sys::Fd(sys::check(sys::kqueue(), "kqueue"));
}
// [/kqueue-backend]

// [kqueue-attach]
// FreeBSD's struct kevent has one member more than that of other systems.
// EV_SET sets it, too.
static Event change(int fd, Interest interest, int flags) {
  Event event{};
  const short filter =
      interest == Interest::read ? EVFILT_READ : EVFILT_WRITE;
  EV_SET(&event, static_cast<std::uintptr_t>(fd), filter,
         static_cast<unsigned short>(flags), 0, 0, nullptr);
  return event;
}

// The next poll() finds out whether the descriptor can be watched.
void Poller::attach(int fd, Interest interest, Slot& slot) {
  makeRoom(added_.size() + 1);
  added_.emplace_back(fd, interest);
  slot.registered |= bit(interest);
  slot.added |= bit(interest);
}
// [/kqueue-attach]

// [kqueue-detach]
// The filters are deleted now, and not with the next poll(): by then the
// number may be another file's. EV_RECEIPT makes the kernel answer each
// change with an entry and nothing more. Without it there would be room for
// news, and the call would take news that concern other descriptors. What the
// answers say does not matter: a filter that is gone already (ENOENT, EBADF)
// is what we want.
void Poller::detach(int fd, Slot& slot) {
  Event deletions[2];
  int n = 0;
  for (const Interest interest : {Interest::read, Interest::write})
    if ((slot.registered & ~slot.added & bit(interest)) != 0)
      deletions[n++] = change(fd, interest, EV_DELETE | EV_RECEIPT);
  slot.added = 0;
  const timespec none{};
  if (n > 0) sys::kevent(kernel_.get(), deletions, n, deletions, n, &none);
}
// [/kqueue-detach]

// [kqueue-timeout]
// A wait of more than an hour becomes an hour: some kernels refuse large
// numbers, and poll() may return early.
static timespec limited(sys::Duration timeout) {
  using namespace std::chrono;
  timeout = std::min<sys::Duration>(timeout, hours(1));
  const auto whole = duration_cast<seconds>(timeout);
  timespec wait{};
  wait.tv_sec = static_cast<time_t>(whole.count());
  wait.tv_nsec = static_cast<long>((timeout - whole).count());
  return wait;
}
// [/kqueue-timeout]

// [kqueue-poll]
// All changes are applied before the kernel looks for news or waits, so after
// EINTR they are done as well; a change that failed would have ended the wait
// with an entry. There must be room for an entry for each change. The kernel
// reads a change before it writes there, so that one array serves for both.
bool Poller::poll(sys::Duration timeout, JobQueue& ready) {
  if (inherited_ && startAnew(ready)) timeout = sys::Duration::zero();
  int n = 0;
  for (const auto& [fd, interest] : added_)
    if ((slot(fd).added & bit(interest)) != 0)
      events[static_cast<std::size_t>(n++)] =
          change(fd, interest, EV_ADD | EV_CLEAR);
  const timespec wait = limited(timeout);
  n = sys::kevent(kernel_.get(), events.data(), n, events.data(),
                  static_cast<int>(events.size()),
                  timeout.count() < 0 ? nullptr : &wait);
  if (n == -1 && errno != EINTR) sys::fail(errno, "kevent");
  for (const auto& [fd, interest] : added_) slot(fd).added &= ~bit(interest);
  added_.clear();
  // [/kqueue-poll]

  // [kqueue-news]
  // EV_EOF needs no case of its own: data may be left before the end, and
  // the waiter reads until there is none. An EV_ADD that failed leaves no
  // filter behind; its waiter learns why.
  for (int i = 0; i < n; ++i) {
    const Event& event = events[static_cast<std::size_t>(i)];
    const int fd = static_cast<int>(event.ident);
    const bool failed = (event.flags & EV_ERROR) != 0 && event.data != 0;
    const Interest interest =
        event.filter == EVFILT_READ ? Interest::read : Interest::write;
    Slot& slot = this->slot(fd);
    if (failed) slot.registered &= ~bit(interest);
    wake(slot, interest, failed ? static_cast<int>(event.data) : 0, ready);
  }
  return n != 0;
}
// [/kqueue-news]

}  // namespace naglfar
