/// @file scheduler.hpp
/// Which job runs next: one thread, one queue.
///
/// The scheduler takes a job out of the queue and runs it until it waits;
/// then the next one. Coroutines are jobs, and so is the poller.
///
/// Invariants:
/// - A coroutine that neither runs nor stands in the queue has said what it
///   waits for, and the clock, the poller or a wait queue knows it.
/// - A wait may end in vain, so every wait stands in a loop.
///
/// It asks for Coroutine, StackPool and Poller, and sys for the clock.

#pragma once

#include <algorithm>   //[7
#include <cerrno>      //[9
#include <functional>  //[13
#include <set>         //[6
#include <sstream>     //[4
#include <stdexcept>   //[2
#include <string>      //[4
#include <utility>

#include "naglfar/coroutine.hpp"
#include "naglfar/poller.hpp"  //[6

namespace naglfar {

/// A point in time after which waiting is over.
using Deadline = sys::Time;  //[5
/// The deadline that never comes.
inline constexpr Deadline never = Deadline::max();  //[5

/// @return The deadline that is so far away, or `never` if that is past all
///         time.
inline Deadline after(sys::Duration duration) {  //[5
  const Deadline now = sys::now();
  return duration < never - now ? now + duration : never;
}

/// No job can run, and some coroutines wait for ever. The message names them.
struct Deadlock : std::runtime_error {  //[4
  using std::runtime_error::runtime_error;
};

/// The scheduler of one thread.
class Scheduler {
 public:
  //[1-1 Scheduler() { current_ = this; }
  Scheduler() {  //[2
    if (current_ != nullptr)
      throw std::logic_error("this thread has a Scheduler already");
    current_ = this;
    sys::beforeClose = [](int fd) { current_->deregister(fd); };  //[10
  }
  //[1-9 ~Scheduler() { current_ = nullptr; }
  ~Scheduler() {  //[10
    cancel();  //[12
    sys::beforeClose = nullptr;
    current_ = nullptr;
  }
  Scheduler& operator=(Scheduler&&) = delete;  //[3
  //[2

  /// @return This thread's scheduler.
  static Scheduler& current() {
    if (current_ == nullptr)
      throw std::logic_error("this thread has no Scheduler: make one first");
    return *current_;
  }

  //]
  /// Runs a callable in a new coroutine, when its turn comes.
  /// @return The coroutine, to give it a name.
  //[1-12 template <class Callable>
  //[1-12 Coroutine& go(Callable&& callable) {
  //[1-12   Coroutine& coroutine =
  //[1-12       Coroutine::make(stacks_, std::forward<Callable>(callable));
  //[13
  template <class Callable, class... Args>
  Coroutine& go(Callable&& callable, Args&&... args) {
    Coroutine& coroutine = Coroutine::make(
        stacks_, [callable = std::forward<Callable>(callable),
                  ... args = std::forward<Args>(args)]() mutable {
          std::invoke(std::move(callable), std::move(args)...);
        });
    //]
    coroutines_.append(coroutine);
    ready_.append(coroutine);
    return coroutine;
  }

  /// Runs until no job is left.
  //[12
  /// An exception that leaves a coroutine is thrown here, after the other
  /// coroutines were unwound.
  /// @throws Deadlock If coroutines are left then: they wait for ever.
  //]
  //[1-11 void run() {
  void run() try {  //[12]
    //[1-5 while (Job* job = ready_.pop()) job->run();
    //[6-10 do {
    //[6-10   while (Job* job = ready_.pop()) job->run();
    //[6-10 } while (pollOnce());
    while (Job* job = ready_.pop()) job->run();              //[11
    if (!coroutines_.empty()) throw Deadlock(report());      //[4
    //[12
  } catch (...) {
    cancel();
    throw;
    //]
  }
  /// Unwinds all coroutines.
  void cancel() {  //[12
    while (Coroutine* coroutine = coroutines_.first())
      Coroutine::destroy(*coroutine);
  }

  /// Lets the others run first.
  void yield() {  //[2
    ready_.append(self());
    Coroutine::suspend();
  }
  //[3

  /// Waits until `wake` is called. May end in vain.
  /// @param waitsFor What for, for messages.
  //[9
  /// @param waitsOn The descriptor that it waits on, or -1.
  /// @param deadline When to give up.
  /// @return False if the deadline has passed and no wake() came before.
  //]
  //[3-5 void park(const char* waitsFor) {
  //[6-7 void park(const char* waitsFor, Deadline deadline = never) {
  //[8-8 void park(const char* waitsFor, int waitsOn = -1,
  //[8-8           Deadline deadline = never) {
  //[9
  bool park(const char* waitsFor, int waitsOn = -1,
            Deadline deadline = never) {
    //]
    Coroutine& self = this->self();
    //[6-7 if (deadline != never) waits_.insert({deadline, &self});
    //[8-8 if (waitsOn != -1 || deadline != never) waits_.insert({deadline, &self});
    Wait wait(waits_, self, deadline);  //[9
    if (waitsOn != -1 || deadline != never) waits_.insert({deadline, &wait});  //[9
    ready_.append(pollerJob_);  //[11
    ++ledger.parks;
    self.waitsFor = waitsFor;
    self.waitsOn = waitsOn;  //[8
    Coroutine::suspend();
    self.waitsFor = nullptr;
    //[6-8 waits_.erase({deadline, &self});
    return !wait.expired;  //[9
  }
  /// Queues a job. A job that stands in the queue stays where it is.
  void wake(Job& job) { ready_.append(job); }
  //]
  /// @return The coroutine that runs, to wake it later.
  Coroutine& self() {  //[2
    if (Coroutine* running = Coroutine::current()) return *running;
    throw std::logic_error("only a coroutine can wait: start it with go()");
  }

  /// Waits for a descriptor, after a system call has said EAGAIN.
  //[9
  /// @throws std::system_error errc::timed_out at the deadline.
  //]
  //[10
  /// @throws std::system_error ECANCELED if it was closed meanwhile.
  //]
  void wait(int fd, Interest interest, Deadline deadline = never) {  //[8
    const unsigned generation = poller_.generation(fd);  //[10
    const char* const what = interest == Interest::read ? "input" : "room";
    Waiter waiter(self());
    poller_.watch(fd, interest, waiter);
    //[8-8 park(what, fd, deadline);
    const bool inTime = park(what, fd, deadline);  //[9
    if (poller_.generation(fd) != generation) sys::fail(ECANCELED, "wait"); //[10
    //[8-9 if (waiter.error != 0) sys::fail(waiter.error, "wait");
    if (!inTime) sys::fail(ETIMEDOUT, "wait");                          //[9
  }
  /// Wakes the coroutines that wait for a descriptor, before it is closed.
  void deregister(int fd) { poller_.deregister(fd, ready_); }  //[10

  /// Lists the coroutines, and what each of them waits for.
  void dump(std::ostream& out) const {  //[4
    for (const Coroutine* c = coroutines_.first(); c != nullptr;
         c = coroutines_.next(*c)) {
      const bool waits = c->waitsFor != nullptr && !c->queued();
      out << "  " << (c->name != nullptr ? c->name : "a coroutine")
          << (waits ? " waits for " : " is ready to run")
          << (waits ? c->waitsFor : "");
      if (waits && c->waitsOn != -1) out << ", descriptor " << c->waitsOn;  //[8
      out << '\n';
    }
  }

 private:
  // A wait with a deadline. It stands on the stack of its coroutine.
  struct Wait {  //[9
    using Set = std::set<std::pair<Deadline, Wait*>>;
    Wait(Set& set, Job& waiting, Deadline at)
        : waits(set), job(waiting), due(at) {}
    ~Wait() { waits.erase({due, this}); }
    Set& waits;
    Job& job;
    const Deadline due;
    bool expired = false;
  };
  struct PollerJob final : Job {  //[11
    explicit PollerJob(Scheduler& owner) : scheduler(owner) {}
    void run() override { scheduler.pollOnce(); }
    Scheduler& scheduler;
  };
  //[6
  //]
  //[6-10 // Asks the kernel for news and the clock. False if nothing waits for them.
  //[6-10 bool pollOnce() {
  //[6-10   if (waits_.empty()) return false;
    //[6-6 poller_.poll(sys::Duration(0), ready_);
  //[11
  // The poller's turn: asks the kernel for news, and the clock.
  void pollOnce() {
    if (waits_.empty()) return;
    //]
    //[7
    // While other jobs can run, the poller only looks.
    sys::Duration timeout(ready_.empty() ? -1 : 0);
    // Deadline::min() minus now would overflow.
    const Deadline first = std::max(waits_.begin()->first, Deadline());
    if (ready_.empty() && first != never)
      timeout = std::max(first - sys::now(), sys::Duration::zero());
    poller_.poll(timeout, ready_);
    //]
    //[6
    const Deadline now = sys::now();
    while (!waits_.empty() && waits_.begin()->first <= now) {
      //[6-8 ready_.append(*waits_.begin()->second);
      Wait& wait = *waits_.begin()->second;  //[9
      wait.expired = !wait.job.queued();  // else it was woken in time  //[9
      ready_.append(wait.job);  //[9
      waits_.erase(waits_.begin());
    }
    //[6-10 return true;
    ready_.append(pollerJob_);  //[11
  }
  //]
  std::string report() const {  //[4
    std::ostringstream out;
    out << "deadlock: no job can run, and these wait for ever:\n";
    dump(out);
    return out.str();
  }

  JobQueue ready_;
  Poller poller_;  //[6
  StackPool stacks_;
  //[6-8 std::set<std::pair<Deadline, Job*>> waits_;
  // Every coroutine that the clock or the poller will wake. Those without a
  // deadline stand at the end.
  Wait::Set waits_;  //[9
  List<Coroutine> coroutines_;
  PollerJob pollerJob_{*this};  //[11

  static inline thread_local Scheduler* current_ = nullptr;
};

//[2
/// Runs a callable in a new coroutine. It starts when its turn comes.
/// @param callable What to run.
//[13
/// @param args Its arguments, copied or moved.
//]
/// @return The coroutine, to give it a name.
//[2-12 template <class Callable>
//[2-12 Coroutine& go(Callable&& callable) {
//[2-12   return Scheduler::current().go(std::forward<Callable>(callable));
//[13
template <class Callable, class... Args>
Coroutine& go(Callable&& callable, Args&&... args) {
  return Scheduler::current().go(std::forward<Callable>(callable),
                                 std::forward<Args>(args)...);
  //]
}

/// Lets the others run first.
inline void yield() {
  Scheduler::current().yield();
}

//]
/// Lets time pass.
inline void sleep(sys::Duration duration) {  //[5
  const Deadline deadline = after(duration);
  //[5-5 while (sys::now() < deadline) yield();
  //[6-8 while (sys::now() < deadline)
  //[6-7   Scheduler::current().park("time to pass", deadline);
  //[8-8   Scheduler::current().park("time to pass", -1, deadline);
  while (Scheduler::current().park("time to pass", -1, deadline)) continue;  //[9
}

/// Coroutines that wait for the same thing, in the order in which they came.
class WaitQueue {  //[14
 public:
  /// A place in the queue, on the stack of the coroutine that waits.
  class Entry : public List<Entry>::Link {
   public:
    explicit Entry(WaitQueue& queue) : job_(Scheduler::current().self()) {
      queue.entries_.append(*this);
    }
    /// @return True until the entry was notified.
    bool waiting() const { return linked(); }
    /// Parks until the entry was notified.
    /// @throws std::system_error errc::timed_out at the deadline.
    void wait(const char* waitsFor, Deadline deadline = never) {
      while (waiting())
        if (!Scheduler::current().park(waitsFor, -1, deadline) && waiting())
          sys::fail(ETIMEDOUT, waitsFor);
    }
    /// Leaves the queue, and wakes its coroutine.
    void notify() {
      unlink();
      Scheduler::current().wake(job_);
    }

   private:
    Job& job_;
  };

  /// @return The entry that came first, or null.
  Entry* first() const { return entries_.first(); }
  /// Notifies all entries.
  void notifyAll() {  //[15
    while (Entry* entry = first()) entry->notify();
  }

 private:
  List<Entry> entries_;
};

}  // namespace naglfar
