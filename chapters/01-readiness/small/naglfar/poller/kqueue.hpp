//[12
/// @file poller/kqueue.hpp
/// The part of the poller that asks kqueue(2): a filter for each direction,
/// registered when a waiter first waits there, and edge triggered (EV_CLEAR).
/// For why edges lose no wake-up, see poller/epoll.hpp.

#pragma once

#include <sys/event.h>

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "naglfar/poller.hpp"

namespace naglfar {

inline Poller::Poller() : kernel_(sys::check(sys::kqueue(), "kqueue")) {}

inline void Poller::attach(int fd, Interest interest, Slot& slot) {
  const unsigned bit = 1u << static_cast<int>(interest);
  if ((slot.registered & bit) != 0) return;
  struct kevent event {};
  EV_SET(&event, static_cast<std::uintptr_t>(fd),
         interest == Interest::read ? EVFILT_READ : EVFILT_WRITE,
         EV_ADD | EV_CLEAR, 0, 0, nullptr);
  sys::check(sys::kevent(kernel_.get(), &event, 1, nullptr, 0, nullptr),
             "kevent");
  slot.registered |= bit;
}

inline void Poller::poll(sys::Duration timeout, JobQueue& ready) {  //[13
  using namespace std::chrono;
  timeout = std::min<sys::Duration>(timeout, hours(1));
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

}  // namespace naglfar
//]
