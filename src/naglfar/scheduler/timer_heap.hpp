/// @file scheduler/timer_heap.hpp
/// When which job is to be woken: a binary heap, the earliest deadline on
/// top.
///
/// Invariant: every timer in the heap knows its place, so that a timer which
/// is no longer needed is taken out in O(log n) instead of being left to
/// expire.
///
/// Asks of the layers below: JobQueue; of sys: the clock.

#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "naglfar/job.hpp"
#include "naglfar/sys.hpp"

namespace naglfar {

/// @addtogroup scheduler
/// @{

// [deadline]
/// A point in time after which waiting is over.
using Deadline = sys::Time;

/// The deadline that never comes.
inline constexpr Deadline never = Deadline::max();

/// @param duration How long from now, in any unit. Less than 0 is past.
/// @return The deadline that is so far away; `never` if that is past all
///         time.
inline Deadline after(sys::Duration duration) {
  const Deadline now = sys::now();
  return duration < never - now ? now + duration : never;
}
// [/deadline]

// [timer]
class TimerHeap;

/// A job that is due at a deadline. It lives on the stack of the coroutine
/// that waits, and is in the heap from its construction until it expires or
/// goes out of scope. A timer for `never` is in no heap.
class Timer {
 public:
  /// @param heap The scheduler's timers.
  /// @param job Appended to the queue when the time has come.
  /// @param at When.
  Timer(TimerHeap& heap, Job& job, Deadline at);
  ~Timer();
  Timer& operator=(Timer&&) = delete;

  /// @return True if the time came before the job was queued.
  bool expired() const { return expired_; }

 private:
  friend class TimerHeap;
  TimerHeap& heap_;
  Job& job_;
  Deadline at_;
  bool expired_ = false;
  static constexpr auto outside = static_cast<std::size_t>(-1);
  std::size_t place_ = outside;
};
// [/timer]

// [timer-heap]
/// The timers of one scheduler.
class TimerHeap {
 public:
  /// Timers that are left are in no heap afterwards.
  ~TimerHeap() {
    for (Timer* timer : heap_) timer->place_ = Timer::outside;
  }
  TimerHeap& operator=(TimerHeap&&) = delete;

  /// Takes out what is due and appends its jobs.
  /// @param now What time it is.
  /// @param ready Where the jobs go.
  void expire(sys::Time now, JobQueue& ready) {
    while (next() <= now) {
      Timer& timer = *heap_.front();
      remove(timer);
      timer.expired_ = !timer.job_.queued();  // else it was woken in time
      ready.append(timer.job_);
    }
  }

  /// @return When the next timer is due, or `never` if there is none.
  Deadline next() const { return heap_.empty() ? never : heap_.front()->at_; }

 private:
  // [timer-heap-places]
  friend class Timer;

  void insert(Timer& timer) {
    heap_.push_back(&timer);
    sift(heap_.size() - 1, &timer);
  }
  void remove(Timer& timer) {
    const std::size_t hole = std::exchange(timer.place_, Timer::outside);
    Timer* last = heap_.back();
    heap_.pop_back();
    if (last != &timer) sift(hole, last);
  }
  void put(std::size_t place, Timer* timer) {
    heap_[place] = timer;
    timer->place_ = place;
  }
  // Puts a timer into a hole, after moving the hole to where it belongs: past
  // all later timers above, or else past all earlier ones below.
  void sift(std::size_t hole, Timer* timer) {
    for (std::size_t above; hole > 0; hole = above) {
      above = (hole - 1) / 2;
      if (heap_[above]->at_ <= timer->at_) break;
      put(hole, heap_[above]);
    }
    for (std::size_t below; (below = 2 * hole + 1) < heap_.size();
         hole = below) {
      if (below + 1 < heap_.size() &&
          heap_[below + 1]->at_ < heap_[below]->at_)
        ++below;
      if (timer->at_ <= heap_[below]->at_) break;
      put(hole, heap_[below]);
    }
    put(hole, timer);
  }
  // [/timer-heap-places]

  std::vector<Timer*> heap_;
};

inline Timer::Timer(TimerHeap& heap, Job& job, Deadline at)
    : heap_(heap), job_(job), at_(at) {
  if (at_ != never) heap_.insert(*this);
}

inline Timer::~Timer() {
  if (place_ != outside) heap_.remove(*this);
}
// [/timer-heap]

/// @}

}  // namespace naglfar
