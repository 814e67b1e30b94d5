/// @file scheduler.hpp
/// Who runs next: one thread, one queue.
///
/// The scheduler pops a job and runs it until it has nothing to do for now;
/// then the next. Coroutines are jobs, and so is the poller. There is no
/// switch after N milliseconds: each job must behave.
///
/// The thread's own stack takes part: when main waits for something, it runs
/// the others until somebody wakes it.
///
/// Invariants:
/// - Whoever is not in the queue has said what it waits for, and somebody
///   holds a pointer to it in order to wake it.
/// - Every wait stands in a loop or checks its reason: it may end in vain.
/// - Nobody left to run and somebody still parked is a Deadlock.
///
/// Asks of the layers below: Coroutine, Poller.

#pragma once

#include <functional>
#include <iosfwd>
#include <stdexcept>

#include "naglfar/coroutine.hpp"
#include "naglfar/poller.hpp"
#include "naglfar/scheduler/timer_heap.hpp"

namespace naglfar {

/// @addtogroup scheduler
/// @{

// [deadlock]
/// Nobody can run, and some wait for what nobody is left to do. The message
/// names each of them and what it waits for.
class Deadlock : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// [/deadlock]

// [scheduler]
/// One thread's scheduler. The thread makes one before it calls `go`, and it
/// is the thread's for as long as it lives.
class Scheduler {
 public:
  /// Also ignores SIGPIPE, as Python does: a write to a peer that is gone
  /// shall fail with EPIPE and not end the process.
  Scheduler();
  /// Unwinds the coroutines that are left.
  ~Scheduler();
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  /// @return This thread's scheduler.
  /// @throws std::logic_error If it has none.
  static Scheduler& current();
  /// @return This thread's scheduler, or null if it has none.
  static Scheduler* ofThread() { return current_; }
  /// Says that this thread has none. For a forked child that does one thing
  /// and exits: what is in the scheduler is for its parent to run.
  static void abandon() {
    current_ = nullptr;
    sys::beforeClose = nullptr;
  }

  /// Makes a coroutine and queues it.
  /// @param body What it runs: called without arguments.
  /// @return The coroutine, which exists until it ends.
  template <class Body>
  Coroutine& go(Body&& body) {
    Coroutine& coroutine = Coroutine::make(stacks_, std::forward<Body>(body));
    ready_.append(coroutine);
    return coroutine;
  }

  /// Runs until nothing is left to run. Called on the thread's own stack.
  /// @throws Deadlock If somebody waits for ever.
  void run();

  /// Lets the others run first.
  void yield();
  /// Lets the others run first, each third time that anybody calls it: for
  /// what is done in a loop, never waits, and makes work for others. A turn
  /// each time would cost more than that work.
  void yieldNowAndThen();

  // [scheduler-waiting]
  /// Waits until somebody calls `wake`. It may end in vain.
  /// @param waitsFor What for, for messages. A string that stays.
  /// @param waitsOn The descriptor that concerns, or -1.
  /// @param deadline When to give up.
  /// @return False if the deadline has passed, and nobody woke it before.
  /// @throws Deadlock On the thread's own stack, if nobody is left to wake
  /// it.
  bool park(const char* waitsFor, int waitsOn = -1,
            Deadline deadline = never);

  /// Queues a job. To wake one that stands in the queue changes nothing; the
  /// next park of one that runs ends in vain.
  /// @param job What self() returned to somebody who parked since.
  void wake(Job& job) { ready_.append(job); }

  /// @return The job that runs: what `wake` takes later.
  Job& self();

  /// Waits for a descriptor. Only after a system call has said EAGAIN.
  /// @param fd A nonblocking descriptor.
  /// @param interest The direction.
  /// @param deadline When to give up.
  /// @throws std::system_error ECANCELED if the descriptor was closed, EBUSY
  ///         if somebody waits there, errc::timed_out at the deadline.
  void wait(int fd, Interest interest, Deadline deadline = never);

  /// @param fd A descriptor.
  /// @return Poller::registered().
  bool registered(int fd) const { return poller_.registered(fd); }

  /// @param fd A descriptor that somebody has watched.
  /// @return Poller::generation().
  unsigned generation(int fd) const { return poller_.generation(fd); }
  /// Watches a descriptor on behalf of a job that is no coroutine.
  /// @param fd A nonblocking descriptor.
  /// @param interest The direction.
  /// @param waiter Who is woken.
  void watch(int fd, Interest interest, Waiter& waiter);
  /// Stops that.
  /// @param fd The descriptor.
  /// @param interest The direction.
  /// @param waiter Who waited.
  void unwatch(int fd, Interest interest, const Waiter& waiter) {
    poller_.unwatch(fd, interest, waiter);
  }
  /// Says that some of the watched descriptors, such as one that signals
  /// arrive on, are no reason to keep running.
  /// @param change How many more of them, or fewer.
  void background(int change) { background_ += change; }

  /// Wakes whoever waits for a descriptor, before it is closed.
  /// @param fd The descriptor.
  void deregister(int fd) { poller_.deregister(fd, ready_); }
  // [/scheduler-waiting]

  /// Lists all coroutines, and what each waits for.
  /// @param out Where to.
  void dump(std::ostream& out) const;

  /// What becomes of an exception that leaves a coroutine. By default a line
  /// on standard error; the others go on in any case.
  std::function<void(std::exception_ptr)> unhandled;

 private:
  // [scheduler-private]
  // The thread's own stack, as a job: to be run means to be woken.
  struct MainJob final : Job {
    void run() override { woken = true; }
    bool woken = false;
  };
  // The poller, as a job.
  struct PollerJob final : Job {
    explicit PollerJob(Scheduler& owner) : scheduler(owner) {}
    void run() override { scheduler.pollOnce(); }
    Scheduler& scheduler;
  };

  void runOne(Job& job);
  void runOthers(const char* waitsFor);
  void pollOnce();
  bool somethingToPollFor() const;
  void startPolling();
  std::string parked() const;
  static void inChild();

  JobQueue ready_;
  Poller poller_;
  StackPool stacks_;
  TimerHeap timers_;
  MainJob main_;
  PollerJob pollerJob_{*this};
  std::size_t background_ = 0;
  unsigned turnsKept_ = 0;  // by yieldNowAndThen()

  static inline constinit thread_local Scheduler* current_ = nullptr;
  // [/scheduler-private]
};
// [/scheduler]

// [go]
/// Runs a callable in a new coroutine (`go` in the 2009 library). It starts
/// when its turn comes, not at once.
/// @param callable What to run.
/// @param args Its arguments, copied or moved as std::bind_front does.
/// @return The coroutine, to give it a name.
template <class Callable, class... Args>
Coroutine& go(Callable&& callable, Args&&... args) {
  return Scheduler::current().go(
      [callable = std::forward<Callable>(callable),
       ... args = std::forward<Args>(args)]() mutable {
        std::invoke(std::move(callable), std::move(args)...);
      });
}

/// Lets the others run first.
inline void yield() {
  Scheduler::current().yield();
}

/// Waits.
/// @param duration How long, at least.
void sleep(sys::Duration duration);
// [/go]

// [wait-line]
/// Those who wait for the same thing, in the order in which they came.
class WaitQueue {
 public:
  /// A place in the line, on the stack of who waits. It leaves the line when
  /// it goes out of scope, however that happens.
  class Entry {
   public:
    /// Joins the line at its end.
    /// @param line The line.
    explicit Entry(WaitQueue& line);
    ~Entry() { leave(); }
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    /// @return True until somebody called it out of the line.
    bool waiting() const { return line_ != nullptr; }
    /// Leaves the line and is woken.
    void notify();

   private:
    friend class WaitQueue;
    void leave();
    WaitQueue* line_;
    Job& job_;
    Entry* next_ = nullptr;
    Entry* previous_;
  };

  WaitQueue() = default;
  /// Who still waits is not called. That is for coroutines which are unwound
  /// after what they wait for has gone, as at the end of a program.
  ~WaitQueue() {
    while (first_ != nullptr) first_->leave();
  }
  WaitQueue(const WaitQueue&) = delete;
  WaitQueue& operator=(const WaitQueue&) = delete;

  /// @return Who came first, or null.
  Entry* first() const { return first_; }
  /// Calls everybody.
  void notifyAll();

 private:
  Entry* first_ = nullptr;
  Entry* last_ = nullptr;
};
// [/wait-line]

/// @}

}  // namespace naglfar
