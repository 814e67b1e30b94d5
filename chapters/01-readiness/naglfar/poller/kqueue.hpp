//[12
/// @file poller/kqueue.hpp
/// The part of the poller that asks kqueue(2): a filter for each direction,
/// registered when a waiter first waits there, and edge triggered (EV_CLEAR).
/// For why edges lose no wake-up, see poller/epoll.hpp.

#pragma once

#include <sys/event.h>

#include <algorithm>
#include <chrono>

#include "naglfar/poller.hpp"

namespace naglfar {

inline Poller::Poller() : kernel_(sys::check(sys::kqueue(), "kqueue")) {}

inline int change(int kqueue, int fd, int interest, int flags) {
  struct kevent event {};
  EV_SET(&event, static_cast<std::uintptr_t>(fd),
         interest == 0 ? EVFILT_READ : EVFILT_WRITE,
         static_cast<unsigned short>(flags), 0, 0, nullptr);
  return sys::kevent(kqueue, &event, 1, nullptr, 0, nullptr);
}

inline void Poller::attach(int fd, Interest interest, Slot& slot) {
  const int direction = static_cast<int>(interest);
  if ((slot.registered >> direction & 1) != 0) return;
  sys::check(change(kernel_.get(), fd, direction, EV_ADD | EV_CLEAR),
             "kevent");
  slot.registered |= 1u << direction;
}

// Deleted before the close: news that are under way must not concern the next
// file with this number.
inline void Poller::detach(int fd, Slot& slot) {
  for (const int direction : {0, 1})
    if ((slot.registered >> direction & 1) != 0)
      change(kernel_.get(), fd, direction, EV_DELETE);
}

//[13
inline void Poller::poll(sys::Duration timeout, JobQueue& ready) {
  using namespace std::chrono;
  timeout = std::min<sys::Duration>(timeout, hours(1));  // poll may end early
  const auto whole = duration_cast<seconds>(timeout);
  timespec wait{};
  wait.tv_sec = static_cast<time_t>(whole.count());
  wait.tv_nsec = static_cast<long>((timeout - whole).count());
  struct kevent events[256];
  const int n = sys::kevent(kernel_.get(), nullptr, 0, events, 256,
                            timeout.count() < 0 ? nullptr : &wait);
  if (n == -1 && errno != EINTR) sys::fail(errno, "kevent");
  for (int i = 0; i < n; ++i)
    wake(slot(static_cast<int>(events[i].ident)),
         events[i].filter == EVFILT_READ ? Interest::read : Interest::write,
         ready);
}
//]

}  // namespace naglfar
//]
