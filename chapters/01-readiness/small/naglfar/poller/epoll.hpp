//[2
/// @file poller/epoll.hpp
/// The part of the poller that asks epoll(7): edge triggered, each descriptor
/// registered once, for both directions.
///
/// Why this loses no wake-up: a waiter on a registered descriptor comes here
/// only after its system call said EAGAIN. Readiness that comes later is an
/// edge, and readiness that is there at EPOLL_CTL_ADD is told like an edge.

#pragma once

#include <sys/epoll.h>

#include <algorithm>  //[11
#include <chrono>  //[3

#include "naglfar/poller.hpp"

namespace naglfar {

inline Poller::Poller()
    : kernel_(sys::check(sys::epollCreate(), "epoll_create1")) {}

//[2-3 inline void Poller::attach(int fd, Interest interest, Waiter& waiter) {
//[4-4 inline void Poller::attach(int fd, Interest interest, Slot&) {
//[5
inline void Poller::attach(int fd, Interest, Slot& slot) {
  if (slot.registered != 0) return;
  //]
  epoll_event event{};
  //[2-4 event.events = EPOLLET | (interest == Interest::read ? EPOLLIN : EPOLLOUT);
  event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;  //[5
  //[2-3 event.data.ptr = &waiter;
  event.data.fd = fd;  //[4
  sys::check(sys::epollCtl(kernel_.get(), EPOLL_CTL_ADD, fd, &event),
             "epoll_ctl");
  slot.registered = 1;  //[5
}

inline void Poller::poll(sys::Duration timeout, JobQueue& ready) {  //[3
  using namespace std::chrono;
  //[3-10 const auto wait = floor<milliseconds>(timeout);
  // Rounded up: rounded down, half a millisecond would be none, and the
  // caller would ask again and again until its time has come.
  timeout = std::min<sys::Duration>(timeout, hours(1));  //[11
  const auto wait =  //[11
      timeout.count() < 0 ? milliseconds(-1) : ceil<milliseconds>(timeout);
  //[3-5 constexpr int most = 1;
  constexpr int most = 256;  //[6
  epoll_event events[most];
  const int n = sys::epollWait(kernel_.get(), events, most,
                               static_cast<int>(wait.count()));
  //[3-6 sys::check(n, "epoll_wait");
  if (n == -1 && errno != EINTR) sys::fail(errno, "epoll_wait");  //[7
  for (int i = 0; i < n; ++i) {
    //[3-3 auto* waiter = static_cast<Waiter*>(events[i].data.ptr);
    //[3-3 waiter->unlink();
    //[3-3 ready.append(waiter->job_);
    Slot& slot = this->slot(events[i].data.fd);  //[4
    const unsigned news = events[i].events;  //[4
    //[4-6 if (news & EPOLLIN) wake(slot, Interest::read, ready);
    //[4-6 if (news & EPOLLOUT) wake(slot, Interest::write, ready);
    // An error or a hang-up concerns both: the next system call tells it.
    const bool broken = news & (EPOLLERR | EPOLLHUP);  //[7
    if (broken || news & (EPOLLIN | EPOLLRDHUP))  //[7
      wake(slot, Interest::read, ready);
    if (broken || news & EPOLLOUT) wake(slot, Interest::write, ready);  //[7
  }
}

}  // namespace naglfar
//]
