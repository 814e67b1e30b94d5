/// @file poller.hpp
/// The poller turns "the kernel says that this descriptor is ready" into
/// "append that job to the queue". It never runs a job itself.
///
/// Invariant: no wake-up is lost for a waiter whose last system call on that
/// direction said EAGAIN. A wake-up may come in vain.
///
/// It asks for Job and List, and sys for the calls of epoll or kqueue.

#pragma once

#include <deque>  //[4

#include "naglfar/job.hpp"
#include "naglfar/sys.hpp"

namespace naglfar {

/// A direction of a descriptor.
enum class Interest { read, write };

/// A wait for one direction of one descriptor, on behalf of a job. It stands
/// where the waiting is done, and is over when it is woken or destroyed.
class Waiter : public List<Waiter>::Link {
 public:
  /// @param job Appended to the queue when there is news.
  explicit Waiter(Job& job) : job_(job) {}
  /// @return True from Poller::watch() until it is woken or unwatched.
  bool watching() const { return linked(); }  //[8
  /// Ends the wait.
  void unwatch() { unlink(); }  //[8
  int error = 0;  ///< Why it was woken: an errno value, or 0 for readiness.  //[9

 private:
  friend class Poller;
  Job& job_;
};

/// Watches descriptors.
class Poller {
 public:
  Poller();  //[2

  /// Waits for one direction of a descriptor, after a system call has said
  /// EAGAIN. The waiter is woken once.
  //[8
  /// @throws std::system_error EBUSY if another waiter waits there.
  //]
  //[1-1 void watch(int, Interest, Waiter& waiter) { waiting_.append(waiter); }
  void watch(int fd, Interest interest, Waiter& waiter) {  //[2
    //[2-3 attach(fd, interest, waiter);
    //[4
    Slot& slot = this->slot(fd);
    List<Waiter>& waiting = slot.waiting[static_cast<int>(interest)];
    if (!waiting.empty()) sys::fail(EBUSY, "watch: another waits");  //[8
    attach(fd, interest, slot);
    waiting.append(waiter);
    //]
    //[2-3 waiting_.append(waiter);
  }

  //[1-2 /// Wakes all waiters: appends their jobs.
  //[3
  /// Asks the kernel for news, and appends the jobs of the waiters concerned.
  //]
  /// @param timeout How long to wait for news; less than 0 is for ever. The
  ///        wait may end early.
  /// @param ready Where the jobs go.
  //[1-2 void poll(sys::Duration, JobQueue& ready) {
  //[1-2   while (Waiter* waiter = waiting_.pop()) ready.append(waiter->job_);
  //[1-2 }
  void poll(sys::Duration timeout, JobQueue& ready);  //[3

  /// Prepares for a descriptor's close, and wakes its waiters with ECANCELED.
  void deregister(int fd, JobQueue& ready) {  //[9
    // A number that was never watched has no slot, and -1 is past all slots.
    if (static_cast<std::size_t>(fd) >= slots_.size()) return;
    Slot& slot = this->slot(fd);
    wake(slot, Interest::read, ready, ECANCELED);
    wake(slot, Interest::write, ready, ECANCELED);
    slot.registered = 0;
    ++slot.generation;  //[10
  }

  /// @return How often the number was deregistered. If that changes, it
  ///         stands for another file now, or soon.
  unsigned generation(int fd) { return slot(fd).generation; }  //[10

 private:
  //[2-3 void attach(int fd, Interest interest, Waiter& waiter);
  //[4
  struct Slot {
    // At most one for each Interest.
    List<Waiter> waiting[2];
    // What the kernel watches for us: a bit for each Interest.
    unsigned registered = 0;  //[5
    unsigned generation = 0;  //[10
  };

  Slot& slot(int fd) {
    if (fd < 0) sys::fail(EBADF, "watch");  //[8
    while (slots_.size() <= static_cast<std::size_t>(fd))
      slots_.emplace_back();
    return slots_[static_cast<std::size_t>(fd)];
  }
  //[4-8 void wake(Slot& slot, Interest interest, JobQueue& ready) {
  void wake(Slot& slot, Interest interest, JobQueue& ready, int error = 0) {  //[9]
    Waiter* waiter = slot.waiting[static_cast<int>(interest)].pop();
    if (waiter == nullptr) return;
    waiter->error = error;  //[9
    ready.append(waiter->job_);
  }

  // What differs from kernel to kernel, besides poll(). A descriptor that is
  // closed is forgotten by the kernel.
  void attach(int fd, Interest interest, Slot& slot);

  //]
  // The epoll or the kqueue.
  sys::Fd kernel_;  //[2
  //[1-3 List<Waiter> waiting_;
  // Found by the number of the descriptor.
  std::deque<Slot> slots_;  //[4
};

}  // namespace naglfar
//[2

#ifdef NAGLFAR_KQUEUE
#include "naglfar/poller/kqueue.hpp"
#else
#include "naglfar/poller/epoll.hpp"
#endif
//]
