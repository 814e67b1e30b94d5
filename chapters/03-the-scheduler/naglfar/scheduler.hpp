/// @file scheduler.hpp
/// Which job runs next: one thread, one queue.
///
/// The scheduler takes a job out of the queue and runs it until it waits;
/// then the next one. Coroutines are jobs, and so is the poller. The thread's
/// own stack takes part: when main waits, it runs the other jobs meanwhile.
///
/// Invariants:
/// - A coroutine that neither runs nor stands in the queue has said what it
///   waits for, and a timer, the poller or a wait queue knows it.
/// - A wait may end in vain, so every wait stands in a loop.
///
/// It asks for Coroutine, StackPool and Poller, and sys for the clock.

#pragma once

#include <csignal>
#include <functional>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

#include "naglfar/coroutine.hpp"
#include "naglfar/poller.hpp"

namespace naglfar {

/// A point in time after which waiting is over.
using Deadline = sys::Time;
/// The deadline that never comes.
inline constexpr Deadline never = Deadline::max();

/// @return The deadline that is so far away, or `never` if that is past all
///         time.
inline Deadline after(sys::Duration duration) {
  const Deadline now = sys::now();
  return duration < never - now ? now + duration : never;
}

/// No job can run, and some coroutines wait for ever. The message names them.
class Deadlock : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The scheduler of one thread.
class Scheduler {
 public:
  Scheduler() {
    if (current_ != nullptr)
      throw std::logic_error("this thread has a Scheduler already");
    current_ = this;
    sys::ignoreSignal(SIGPIPE);  // a write to a peer that is gone is an error
    sys::beforeClose = [](int fd) { current_->deregister(fd); };
  }
  ~Scheduler() {
    cancel();
    sys::beforeClose = nullptr;
    current_ = nullptr;
  }
  Scheduler& operator=(Scheduler&&) = delete;

  /// @return This thread's scheduler.
  static Scheduler& current() {
    if (current_ == nullptr)
      throw std::logic_error("this thread has no Scheduler: make one first");
    return *current_;
  }

  /// Runs a callable in a new coroutine, when its turn comes.
  template <class Callable>
  Coroutine& go(Callable&& callable) {
    Coroutine& coroutine =
        Coroutine::make(stacks_, std::forward<Callable>(callable));
    coroutines_.append(coroutine);
    wake(coroutine);
    return coroutine;
  }

  /// Runs until no job is left. An exception that leaves a coroutine is
  /// thrown here, after the other coroutines were unwound.
  /// @throws Deadlock If coroutines are left then: they wait for ever.
  void run() {
    runUntil(nullptr);
    if (!coroutines_.empty()) throw Deadlock(report());
  }

  /// Unwinds all coroutines.
  void cancel() {
    while (Coroutine* coroutine = coroutines_.first())
      Coroutine::destroy(*coroutine);
  }

  /// Waits until `wake` is called. May end in vain.
  /// @param waitsFor What for, for messages.
  /// @param waitsOn The descriptor that it waits on, or -1.
  /// @param deadline When to give up.
  /// @return False if the deadline has passed and no wake() came before.
  bool park(const char* waitsFor, int waitsOn = -1,
            Deadline deadline = never) {
    const Timer timer(timers_, self(), deadline);
    ready_.append(pollerJob_);
    ++ledger.parks;
    leave(waitsFor, waitsOn);
    return !timer.expired;
  }
  /// Queues a job. A job that stands in the queue stays where it is.
  void wake(Job& job) { ready_.append(job); }
  /// Lets the others run first.
  void yield() {
    wake(self());
    ready_.append(pollerJob_);
    leave(nullptr, -1);
  }
  /// @return The job that runs, to wake it later: a coroutine, or main.
  Job& self() {
    Coroutine* coroutine = Coroutine::current();
    return coroutine != nullptr ? *coroutine : static_cast<Job&>(main_);
  }

  /// Waits for a descriptor, after a system call has said EAGAIN.
  /// @throws std::system_error ECANCELED if it was closed meanwhile,
  ///         errc::timed_out at the deadline.
  void wait(int fd, Interest interest, Deadline deadline = never) {
    const unsigned generation = poller_.generation(fd);
    Waiter waiter(self());
    poller_.watch(fd, interest, waiter);
    const bool woken = park(interest == Interest::read
                                ? "a descriptor to read from"
                                : "a descriptor to write to",
                            fd, deadline);
    if (poller_.generation(fd) != generation) sys::fail(ECANCELED, "wait");
    if (waiter.error != 0) sys::fail(waiter.error, "wait");
    if (!woken) sys::fail(ETIMEDOUT, "wait");
  }
  /// Wakes the coroutines that wait for a descriptor, before it is closed.
  void deregister(int fd) { poller_.deregister(fd, ready_); }

  /// Lists the coroutines, and what each of them waits for.
  void dump(std::ostream& out) const {
    for (const Coroutine* c = coroutines_.first(); c != nullptr;
         c = coroutines_.next(*c)) {
      out << "  " << (c->name != nullptr ? c->name : "coroutine");
      if (c->waitsFor == nullptr)
        out << " is ready to run";
      else
        out << " waits for " << c->waitsFor;
      if (c->waitsOn != -1) out << ", descriptor " << c->waitsOn;
      out << '\n';
    }
  }

 private:
  // A job that is due at a deadline. It stands on the stack that waits.
  struct Timer {
    using Set = std::set<std::pair<Deadline, Timer*>>;
    Timer(Set& set, Job& who, Deadline at) : job(who), timers(set), due(at) {
      if (due != never) timers.insert({due, this});
    }
    ~Timer() { timers.erase({due, this}); }
    Job& job;
    Set& timers;
    const Deadline due;
    bool expired = false;
  };
  // The thread's own stack, as a job: its turn ends runUntil().
  struct MainJob final : Job {
    void run() override {}
  };
  struct PollerJob final : Job {
    explicit PollerJob(Scheduler& owner) : scheduler(owner) {}
    void run() override { scheduler.pollOnce(); }
    Scheduler& scheduler;
  };

  // Runs jobs until this one has its turn, or none is left.
  bool runUntil(const Job* last) try {
    while (Job* job = ready_.pop()) {
      if (job == last) return true;
      job->run();
    }
    return false;
  } catch (...) {
    cancel();
    throw;
  }

  void leave(const char* waitsFor, int waitsOn) {
    if (Coroutine* self = Coroutine::current()) {
      self->waitsFor = waitsFor;
      self->waitsOn = waitsOn;
      Coroutine::suspend();
      self->waitsFor = nullptr;
      self->waitsOn = -1;
    } else if (!runUntil(&main_)) {
      throw Deadlock(report() + "  main waits for " + waitsFor + '\n');
    }
  }

  // The poller's turn. While other jobs can run it only looks; else it waits
  // for news or for the first timer.
  void pollOnce() {
    if (poller_.watching() == 0 && timers_.empty()) return;
    sys::Duration timeout{0};
    if (ready_.empty()) {
      const Deadline now = sys::now();
      timeout = timers_.empty() ? sys::Duration{-1}
                                : std::max(timers_.begin()->first, now) - now;
    }
    poller_.poll(timeout, ready_);
    const Deadline now = timers_.empty() ? Deadline::min() : sys::now();
    while (!timers_.empty() && timers_.begin()->first <= now) {
      Timer& timer = *timers_.begin()->second;
      timers_.erase(timers_.begin());
      timer.expired = !timer.job.queued();  // else it was woken in time
      wake(timer.job);
    }
    ready_.append(pollerJob_);
  }

  std::string report() const {
    std::ostringstream out;
    out << "deadlock: no job can run, and these wait for ever:\n";
    dump(out);
    return out.str();
  }

  JobQueue ready_;
  Poller poller_;
  StackPool stacks_;
  Timer::Set timers_;
  List<Coroutine> coroutines_;
  MainJob main_;
  PollerJob pollerJob_{*this};

  static inline thread_local Scheduler* current_ = nullptr;
};

/// Runs a callable in a new coroutine. It starts when its turn comes.
/// @param callable What to run.
/// @param args Its arguments, copied or moved.
/// @return The coroutine, so that it can be given a name.
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

/// Lets time pass.
inline void sleep(sys::Duration duration) {
  const Deadline deadline = after(duration);
  while (Scheduler::current().park("time to pass", -1, deadline)) continue;
}

/// Coroutines that wait for the same thing, in the order in which they came.
class WaitQueue {
 public:
  /// A place in the queue, on the stack of the coroutine that waits.
  class Entry : public List<Entry>::Link {
   public:
    explicit Entry(WaitQueue& queue)
        : scheduler_(Scheduler::current()), job_(scheduler_.self()) {
      queue.entries_.append(*this);
    }
    /// @return True until the entry was notified.
    bool waiting() const { return linked(); }
    /// Parks until the entry was notified.
    /// @throws std::system_error errc::timed_out at the deadline.
    void wait(const char* waitsFor, Deadline deadline = never) {
      while (waiting())
        if (!scheduler_.park(waitsFor, -1, deadline) && waiting())
          sys::fail(ETIMEDOUT, waitsFor);
    }
    /// Leaves the queue, and wakes its coroutine.
    void notify() {
      unlink();
      scheduler_.wake(job_);
    }

   private:
    Scheduler& scheduler_;
    Job& job_;
  };

  /// @return The entry that came first, or null.
  Entry* first() const { return entries_.first(); }
  /// Notifies all entries.
  void notifyAll() {
    while (Entry* entry = first()) entry->notify();
  }

 private:
  List<Entry> entries_;
};

}  // namespace naglfar
