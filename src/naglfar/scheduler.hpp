/// @file scheduler.hpp
/// Which job runs next: one thread, one queue.
///
/// The scheduler pops a job and runs it until it has nothing to do for now;
/// then the next. Coroutines are jobs, and so is the poller. There is no
/// switch after N milliseconds. A turn ends when the coroutine waits, or when
/// it has made `operationsPerTurn` operations that did not have to wait.
///
/// The thread's own stack takes part: when main waits for something, it runs
/// the other jobs until it is woken itself. So each call in which main may
/// wait throws what Scheduler::run() throws.
///
/// pthread_exit(3) in a coroutine, or pthread_cancel(3) where it waits,
/// unwinds the coroutine and then the thread's own stack, as far as the C++
/// library unwinds a stack for these calls (libstdc++ with glibc does). A
/// coroutine that is being cancelled must not end its thread.
///
/// Invariants:
/// - A coroutine that neither runs nor stands in the queue has said what it
///   waits for, and that object holds a pointer to the coroutine, to wake it.
/// - Every wait stands in a loop or checks its reason: it may end in vain.
/// - If no job can run and a coroutine, or main, is still parked, that is a
///   Deadlock.
/// - An object that registers with a scheduler takes itself out of the same
///   scheduler, and a scheduler that ends lets go of the objects that are
///   left: they may be destroyed in any order.
///
/// Asks of the layers below: Coroutine, StackPool, Poller; of sys: the clock,
/// beforeClose and afterOpen.

#pragma once

#include <functional>
#include <iosfwd>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "naglfar/coroutine.hpp"
#include "naglfar/poller.hpp"
#include "naglfar/scheduler/task_group.hpp"
#include "naglfar/scheduler/timer_heap.hpp"
#include "naglfar/scheduler/wait_queue.hpp"

namespace naglfar {

/// @addtogroup scheduler
/// @{

// [deadlock]
/// No job can run, and some coroutines wait for ever. The message names each
/// of them and what it waits for.
class Deadlock : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};
// [/deadlock]

// [scheduler]
/// The scheduler of one thread. The thread makes it before it calls `go`, and
/// it is the thread's for as long as it lives.
class Scheduler {
 public:
  /// How many operations a coroutine may make in a row that do not have to
  /// wait: reads, writes, accepts, connects, messages of channels, pieces of
  /// sendfile. Before one more, it lets the others run. The model is tokio's
  /// cooperative budget (tokio::task::coop).
  static constexpr unsigned operationsPerTurn = 64;

  /// Makes the thread's scheduler. It changes no signal of the process: a
  /// write of the library to a peer that is gone fails with EPIPE and sends
  /// no SIGPIPE.
  /// @throws std::logic_error If the thread has a scheduler already.
  /// @throws std::system_error As Poller::Poller().
  Scheduler();
  /// Cancels the coroutines that are left, of all groups. A coroutine may
  /// call exit(3), which destroys a static scheduler; the coroutine itself is
  /// not unwound then, and neither are those that have resumed it. Otherwise
  /// a coroutine must not destroy its scheduler: if it ends after that, the
  /// process is aborted with a message.
  ~Scheduler();

  /// @return This thread's scheduler.
  /// @throws std::logic_error If the thread has none.
  static Scheduler& current();
  /// @return This thread's scheduler, or null if the thread has none.
  static Scheduler* ofThread() { return current_; }
  /// Leaves this thread without its scheduler. For a forked child that does
  /// one thing and exits: the coroutines are for the parent to run.
  static void abandon() {
    current_ = nullptr;
    sys::beforeClose = sys::afterOpen = nullptr;
  }

  /// Runs a callable in a new coroutine of the outermost group.
  /// @param callable What to run.
  /// @param args Its arguments: see TaskGroup::go().
  /// @return Its handle.
  /// @throws std::system_error If there is no stack to be had.
  template <class Callable, class... Args>
  Task go(Callable&& callable, Args&&... args) {
    return tasks_.go(std::forward<Callable>(callable),
                     std::forward<Args>(args)...);
  }

  /// Runs until nothing is left to run. Called on the thread's own stack. An
  /// exception that left a coroutine and that no call was told of is thrown
  /// here, after the other coroutines were cancelled in order.
  /// @throws Deadlock If a coroutine waits for ever.
  /// @throws std::logic_error In a coroutine.
  void run();

  /// Cancels all coroutines, of all groups in the order of their making, and
  /// those that are made meanwhile: see TaskGroup::cancel().
  void cancel() noexcept;

  /// Lets the others run first. A point of cancellation.
  void yield();

  /// Counts one operation that may not have to wait against the budget of
  /// this thread's turn. Called before the operation, so that nothing is half
  /// done when the others run. Past the budget it yields, unless what runs is
  /// a job that cannot wait, or a coroutine that is being cancelled. It must
  /// not be called in a destructor, because yield() may throw.
  /// @param fd The descriptor that the operation is on, or -1.
  /// @throws std::system_error ECANCELED if another coroutine closed the
  ///         descriptor meanwhile.
  static void spend(int fd = -1);

  /// Counts one operation, for a job that cannot yield. Past the budget such
  /// a job queues itself and returns.
  /// @return True if the turn's budget was used up before.
  static bool overspends() {
    return current_ != nullptr && ++current_->operations_ > operationsPerTurn;
  }

  // [scheduler-waiting]
  /// Waits until `wake` is called. It may end in vain. A point of
  /// cancellation.
  /// @param waitsFor What for, for messages. A string that stays.
  /// @param waitsOn The descriptor that it waits on, or -1.
  /// @param deadline When to give up.
  /// @return False if the deadline has passed, and no wake() came before.
  /// @throws Deadlock On the thread's own stack, if no job is left that could
  ///         wake it.
  /// @throws std::logic_error As self().
  bool park(const char* waitsFor, int waitsOn = -1,
            Deadline deadline = never);

  /// Queues a job. To wake a job that stands in the queue changes nothing. If
  /// a coroutine that runs is woken, its next park ends in vain.
  /// @param job What self() returned to a coroutine or to main, or any other
  ///        job.
  void wake(Job& job) { ready_.append(job); }

  /// @return The job that runs, for wake() later: the coroutine, or main.
  /// @throws std::logic_error In a coroutine without a task group, such as a
  ///         generator: only its maker can resume it, so it cannot wait. And
  ///         in a job that is no coroutine.
  Job& self();

  /// Waits for a descriptor. Only after a system call has said EAGAIN.
  /// @param fd A nonblocking descriptor.
  /// @param interest The direction.
  /// @param deadline When to give up.
  /// @throws std::system_error As Poller::watch(), ECANCELED if the
  ///         descriptor was closed, errc::timed_out at the deadline.
  void wait(int fd, Interest interest, Deadline deadline = never);

  /// Watches a descriptor on behalf of a job.
  /// @param fd A nonblocking descriptor.
  /// @param interest The direction.
  /// @param waiter Is woken. Its destructor ends the watch.
  /// @throws std::system_error As Poller::watch().
  void watch(int fd, Interest interest, Waiter& waiter);

  /// Wakes what waits for a descriptor with ECANCELED, and lets the poller
  /// forget it. goClose() and sys::Fd call this. A program calls it before
  /// foreign code closes the descriptor or puts another file in its place.
  /// @param fd The descriptor. If it stays open, it can be waited for again.
  void deregister(int fd) { poller_.deregister(fd, ready_); }

  /// @return The poller, to ask it about a descriptor.
  const Poller& poller() const { return poller_; }
  // [/scheduler-waiting]

  /// Calls a function for each coroutine that has not ended, group by group.
  /// @param function Called with a const Coroutine&. It must not end a
  ///        coroutine.
  template <class Function>
  void forEachCoroutine(Function function) const {
    for (const TaskGroup* g = groups_.first(); g != nullptr;
         g = groups_.next(*g))
      for (const Coroutine* c = g->members_.first(); c != nullptr;
           c = g->members_.next(*c))
        function(*c);
  }
  /// Lists all coroutines, and what each waits for.
  /// @param out Where to. If its reader is slow, the thread waits for it:
  ///        while a program serves, it calls the other dump().
  void dump(std::ostream& out) const;
  /// The same as lines of the log (sys::log()), which never make the thread
  /// wait: what a full pipe does not take is dropped, and counted.
  void dump() const;

  /// What becomes of an exception that leaves a coroutine and that no call is
  /// told of. By default it leaves run(). If this function is set, it is
  /// called instead and the other coroutines go on:
  /// `scheduler.unhandled = Scheduler::print;`. It may throw, which leaves
  /// run(), but it must not end its thread: that ends the process.
  std::function<void(std::exception_ptr)> unhandled;
  /// A buffer for what runs, until it waits. A file reads into it, so that a
  /// coroutine that waits to read needs no buffer of its own.
  std::string scratch;
  /// Prints a line about an exception on standard error.
  /// @param escaped The exception.
  static void print(const std::exception_ptr& escaped);

 private:
  // [scheduler-private]
  friend class TaskGroup;

  // The thread's own stack, as a job: its turn ends runOthers().
  struct MainJob final : Job {
    void run() override {}
  };
  // The poller, as a job.
  struct PollerJob final : Job {
    explicit PollerJob(Scheduler& owner) : scheduler(owner) {}
    void run() override { scheduler.pollOnce(); }
    Scheduler& scheduler;
  };

  Job* next();
  void runOne(Job& job);
  void runOthers(const char* waitsFor);
  void fail(const std::exception_ptr& escaped) noexcept;
  bool allCancelled() const;
  void throwEscaped();
  void pollOnce();
  bool somethingToPollFor() const;
  void startPolling();
  std::string describe() const;

  JobQueue ready_;
  Poller poller_;
  StackPool stacks_;
  TimerHeap timers_;
  List<TaskGroup> groups_;
  TaskGroup tasks_{*this};  // the outermost
  MainJob main_;
  PollerJob pollerJob_{*this};
  unsigned operations_ = 0;  // of this turn
  bool runsJob_ = false;     // or else the thread's own stack runs
  std::exception_ptr escaped_;

  static inline constinit thread_local Scheduler* current_ = nullptr;
  // [/scheduler-private]
};
// [/scheduler]

// [go]
/// Runs a callable in a new coroutine (`go` in the 2009 library). It starts
/// when its turn comes, not at once.
/// @param callable What to run.
/// @param args Its arguments, copied or moved as std::bind_front does.
/// @return Its handle, which may be ignored.
/// @throws std::logic_error If the thread has no scheduler.
/// @throws std::system_error If there is no stack to be had.
template <class Callable, class... Args>
Task go(Callable&& callable, Args&&... args) {
  return Scheduler::current().go(std::forward<Callable>(callable),
                                 std::forward<Args>(args)...);
}

/// Lets the others run first. A point of cancellation.
inline void yield() {
  Scheduler::current().yield();
}

/// Lets time pass. A point of cancellation.
/// @param duration How long, at least.
void sleep(sys::Duration duration);
/// sleep(3) takes seconds as a number, and stops the whole thread. With
/// `using namespace naglfar` it would be chosen for `sleep(1)`: write
/// `sleep(1s)`.
/// @param seconds No length of time.
template <class Number>
requires std::is_arithmetic_v<Number>
void sleep(Number seconds) = delete;
/// The same where sleep(3) fits as well as a template.
/// @param seconds No length of time.
void sleep(unsigned seconds) = delete;
// [/go]

/// @}

}  // namespace naglfar
