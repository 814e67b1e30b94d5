/// @file poller.hpp
/// The poller turns "the kernel says that this descriptor is ready" into
/// "append that job to the queue". It never runs a job itself.
///
/// Invariant: no wake-up is lost for a waiter whose last system call on that
/// direction said EAGAIN. A wake-up may come in vain.
///
/// It asks for jobs and their queue, and sys for the calls of the kernel.

#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "naglfar/job.hpp"
#include "naglfar/sys.hpp"

namespace naglfar {

/// A direction of a descriptor.
enum class Interest { read, write };

class Poller;

/// A wait for one direction of a descriptor. It stands where the waiting is
/// done, and is over when it is woken or destroyed.
class Waiter {
 public:
  /// @param job Appended to the queue when there is news.
  explicit Waiter(Job& job) : job_(job) {}
  ~Waiter() { unwatch(); }
  Waiter& operator=(Waiter&&) = delete;  // nor may it be copied

  /// @return True from Poller::watch() until it is woken or unwatched.
  bool watching() const { return poller_ != nullptr; }
  /// Ends the wait.
  void unwatch();

  int error = 0;  ///< Why it was woken: an errno value, or 0 for readiness.

 private:
  friend class Poller;
  Job& job_;
  Poller* poller_ = nullptr;
  int fd_ = -1;
  Interest interest_ = Interest::read;
};

/// Watches descriptors.
class Poller {
 public:
  Poller();
  ~Poller() {
    for (Slot& slot : slots_)
      for (Waiter*& place : slot.waiters) remove(place);
  }

  /// Waits for one direction of a descriptor, after a system call has said
  /// EAGAIN. The waiter is woken once.
  /// @throws std::system_error EBUSY if another waiter waits there.
  void watch(int fd, Interest interest, Waiter& waiter) {
    Slot& slot = this->slot(fd);
    Waiter*& place = slot.waiters[static_cast<int>(interest)];
    if (place != nullptr) sys::fail(EBUSY, "watch: another waiter waits");
    attach(fd, interest, slot);
    waiter.error = 0;
    waiter.poller_ = this;
    waiter.fd_ = fd;
    waiter.interest_ = interest;
    place = &waiter;
    ++watching_;
  }

  /// Prepares for a descriptor's close: its waiters are woken with ECANCELED,
  /// and news of its number until now concern no later waiter.
  void deregister(int fd, JobQueue& ready) {
    if (fd < 0) return;
    Slot& slot = this->slot(fd);
    wake(slot, Interest::read, ECANCELED, ready);
    wake(slot, Interest::write, ECANCELED, ready);
    detach(fd, slot);
    slot.registered = 0;
    ++slot.generation;
  }

  /// @return How often the number was deregistered. If that changes, it
  ///         stands for another file now.
  unsigned generation(int fd) { return slot(fd).generation; }

  /// Asks the kernel for news and appends the jobs of the waiters concerned.
  /// @param timeout How long to wait for news; less than 0: for ever.
  void poll(sys::Duration timeout, JobQueue& ready);

  /// @return How many waiters there are.
  std::size_t watching() const { return watching_; }

 private:
  friend class Waiter;
  struct Slot {
    Waiter* waiters[2] = {nullptr, nullptr};
    unsigned registered = 0;  // what the kernel watches: a bit each
    unsigned generation = 0;
  };

  Slot& slot(int fd) {
    const auto index = static_cast<std::size_t>(fd);
    if (index >= slots_.size()) slots_.resize(2 * index + 64);
    return slots_[index];
  }
  Waiter* remove(Waiter*& place) {
    Waiter* waiter = std::exchange(place, nullptr);
    if (waiter == nullptr) return nullptr;
    waiter->poller_ = nullptr;
    --watching_;
    return waiter;
  }
  void wake(Slot& slot, Interest interest, int error, JobQueue& ready) {
    Waiter* waiter = remove(slot.waiters[static_cast<int>(interest)]);
    if (waiter == nullptr) return;
    waiter->error = error;
    ready.append(waiter->job_);
  }
  // The part that differs from kernel to kernel.
  void attach(int fd, Interest interest, Slot& slot);
  void detach(int fd, Slot& slot);

  sys::Fd kernel_;  // the epoll or the kqueue
  std::vector<Slot> slots_;
  std::size_t watching_ = 0;
};

inline void Waiter::unwatch() {
  if (poller_ == nullptr) return;
  Poller::Slot& slot = poller_->slot(fd_);
  poller_->remove(slot.waiters[static_cast<int>(interest_)]);
}

}  // namespace naglfar

#ifdef NAGLFAR_KQUEUE
#include "naglfar/poller/kqueue.hpp"
#else
#include "naglfar/poller/epoll.hpp"
#endif
