/// @file scheduler/wait_queue.hpp
/// Coroutines that wait for the same thing, in the order in which they came.
/// The thread's own stack may be among them.
///
/// Invariant: an entry stands in its queue until it is notified or destroyed,
/// or the queue is. Either may be destroyed first, the entry or the queue.
///
/// Asks of the layers below: List; of the scheduler: self, park and wake.

#pragma once

#include "naglfar/job.hpp"
#include "naglfar/scheduler/timer_heap.hpp"

namespace naglfar {

class Scheduler;

/// @addtogroup scheduler
/// @{

// [wait-queue]
/// A queue of waiting jobs. A coroutine makes an Entry on its stack and parks
/// until the entry was notified: `WaitQueue::Entry(queue).wait("its turn");`
class WaitQueue {
 public:
  /// A place in the queue. It leaves the queue when it goes out of scope,
  /// however that happens.
  class Entry : public List<Entry>::Link {
   public:
    /// Enqueues the running job, at the end.
    /// @param queue The queue.
    /// @throws std::logic_error As Scheduler::current() and
    ///         Scheduler::self().
    explicit Entry(WaitQueue& queue);
    /// @return True until the entry was notified, or its queue was destroyed.
    bool waiting() const { return linked(); }
    /// Parks until the entry was notified.
    /// @param waitsFor What for, for messages. A string that stays.
    /// @param deadline When to give up.
    /// @throws std::system_error errc::timed_out at the deadline.
    void wait(const char* waitsFor, Deadline deadline = never);
    /// Leaves the queue, and wakes its job.
    void notify();

   private:
    Scheduler& scheduler_;
    Job& job_;
  };

  /// @return The entry that came first, or null.
  Entry* first() const { return entries_.first(); }
  /// @return True if no job waits.
  bool empty() const { return entries_.empty(); }
  /// Puts the entries of another queue at the end.
  /// @param other Empty afterwards.
  void append(WaitQueue& other) { entries_.append(other.entries_); }
  /// Notifies all entries.
  void notifyAll() {
    while (Entry* entry = first()) entry->notify();
  }

 private:
  List<Entry> entries_;
};
// [/wait-queue]

/// @}

}  // namespace naglfar
