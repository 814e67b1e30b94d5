/// @file scheduler/task_group.hpp
/// Every coroutine that `go` makes belongs to a task group (libdill's bundle,
/// Trio's nursery), and its maker gets a handle of it.
///
/// A group can be waited for and cancelled as a whole. When it is destroyed,
/// none of its coroutines is left, except the caller. The outermost group is
/// the scheduler's.
///
/// Invariants:
/// - A coroutine that `go` made is in exactly one group, until it ends.
/// - An exception that leaves a coroutine is handed over once: to the call
///   that joins its Task; without a Task to TaskGroup::wait(); and if nothing
///   calls either, it leaves Scheduler::run().
/// - Tasks, groups and the scheduler may be destroyed in any order.
///
/// Cancellation is Unwind, thrown at the point where the coroutine waits. The
/// points of cancellation are park() and yield(), and the calls that use
/// them: wait, sleep, join, the go calls of io.hpp, channels, files. A call
/// that does not have to wait is such a point only when it is past the budget
/// of the turn.
///
/// Asks of the layers below: Coroutine; of the scheduler: park and wake, the
/// pool of stacks, and WaitQueue.

#pragma once

#include <cstddef>
#include <exception>
#include <functional>
#include <utility>

#include "naglfar/coroutine.hpp"
#include "naglfar/scheduler/timer_heap.hpp"
#include "naglfar/scheduler/wait_queue.hpp"

namespace naglfar {

class TaskGroup;

/// @addtogroup scheduler
/// @{

// [task]
/// The handle of a coroutine, which `go` returns. It stays valid after the
/// coroutine has ended, and may be ignored: to destroy it changes nothing for
/// the coroutine. It may be moved and destroyed while coroutines join it.
class Task : public List<Task>::Link {
 public:
  /// A handle of nothing, which is done.
  Task() = default;
  /// @param other A handle of nothing afterwards. Coroutines that join it
  ///        join this one instead.
  Task(Task&& other) noexcept { *this = std::move(other); }
  /// Destroys one handle and moves the other.
  /// @param other As above.
  /// @return This handle.
  Task& operator=(Task&& other) noexcept;
  /// An exception that was not joined goes to the group. Coroutines that
  /// still join the handle are told so, by ECANCELED.
  ~Task();

  /// @return True if the coroutine has ended.
  bool done() const { return name.coroutine_ == nullptr; }

  /// Waits until the coroutine has ended. What ends the wait early leaves the
  /// coroutine running. An exception that left the coroutine is thrown by the
  /// first call that can be told.
  /// @param deadline When to give up.
  /// @throws std::system_error errc::timed_out at the deadline, EDEADLK if a
  ///         coroutine joins itself, and ECANCELED if the handle is destroyed
  ///         before the coroutine has ended.
  void join(Deadline deadline = never);

  /// Cancels the coroutine: see Coroutine::destroy(). Does nothing if it has
  /// ended, or was cancelled already.
  void cancel() noexcept;

  /// The coroutine's name, for messages: `go(serve).name = "server"`.
  class Name {
   public:
    /// @param text A string that stays.
    /// @return This name.
    Name& operator=(const char* text) {
      if (coroutine_ != nullptr) coroutine_->name = text;
      return *this;
    }
    /// @return The name, or null if the coroutine has none or has ended.
    operator const char*() const {
      return coroutine_ != nullptr ? coroutine_->name : nullptr;
    }

   private:
    friend class Task;
    friend class TaskGroup;
    Coroutine* coroutine_ = nullptr;  // null once the coroutine has ended
  };
  Name name;  ///< Assign a string to it.

 private:
  // [task-private]
  friend class TaskGroup;
  // A call of join(), on some coroutine's stack. It follows the handle.
  struct Call : List<Call>::Link {
    Task* task = nullptr;
    bool told = true;  // or else the handle was destroyed too early
  };
  void handOver() noexcept;
  void rethrow();

  List<Call> calls_;
  WaitQueue joining_;
  // What left the coroutine, until a call joins. As long as it is not joined,
  // this handle stands in the group's list unjoined_.
  std::exception_ptr escaped_;
  TaskGroup* group_ = nullptr;  // valid while the handle stands there
  // [/task-private]
};
// [/task]

// [task-group]
/// Coroutines that belong together.
class TaskGroup final : public List<TaskGroup>::Link,
                        private Coroutine::Owner {
 public:
  /// Makes a group of this thread's scheduler.
  /// @throws std::logic_error If the thread has no scheduler.
  TaskGroup();
  /// Cancels what is left. A coroutine of the group that calls this itself
  /// goes on, cancelled, and is the scheduler's from now on. An exception
  /// that no call was told of leaves Scheduler::run().
  ~TaskGroup();

  /// Runs a callable in a new coroutine of this group.
  /// @param callable What to run.
  /// @param args Its arguments, copied or moved as std::bind_front does.
  /// @return Its handle.
  /// @throws std::system_error If there is no stack to be had.
  /// @throws std::logic_error If the scheduler has ended.
  template <class Callable, class... Args>
  Task go(Callable&& callable, Args&&... args) {
    return start(Coroutine::make(
        stacks(), [callable = std::forward<Callable>(callable),
                   ... args = std::forward<Args>(args)]() mutable {
          std::invoke(std::move(callable), std::move(args)...);
        }));
  }

  /// Waits until all coroutines of the group have ended, or the group was
  /// destroyed. A coroutine of the group that calls this waits for all
  /// others. The first exception that left a coroutine without a Task is
  /// thrown here; it has cancelled the others when it left that coroutine.
  /// @param deadline When to give up.
  /// @throws std::system_error errc::timed_out at the deadline: the group
  ///         goes on.
  void wait(Deadline deadline = never);

  /// Waits until one more coroutine of the group has ended. It may end in
  /// vain.
  /// @param deadline When to give up.
  /// @return False if the deadline came first.
  bool waitOne(Deadline deadline = never);

  /// Cancels all coroutines of the group, in the order in which they were
  /// made. Those that wait are gone when this returns; a coroutine that runs,
  /// such as the caller, is unwound where it waits next. To cancel twice
  /// changes nothing, and new coroutines can be made afterwards. Those that
  /// are made meanwhile, by destructors that call `go`, are cancelled, too.
  /// If there is no end of it, after 100,000 of them, the program is ended
  /// with a message (std::terminate).
  void cancel() noexcept;

  /// @return How many coroutines of the group there are.
  std::size_t size() const { return size_; }
  /// @return The scheduler that runs the group, or null if it has ended.
  Scheduler* scheduler() const { return scheduler_; }

 private:
  // [task-group-private]
  friend class Scheduler;
  friend class Task;
  struct Alive : List<Alive>::Link {};  // linked until the group is destroyed
  explicit TaskGroup(Scheduler& scheduler);  // the outermost
  StackPool& stacks();
  Task start(Coroutine& coroutine) noexcept;
  void ended(Coroutine& coroutine,
             const std::exception_ptr& escaped) noexcept override;
  void fail(const std::exception_ptr& escaped) noexcept;
  std::exception_ptr unclaimed() noexcept;
  // How many coroutines may be started by those that a call cancels.
  static constexpr std::size_t mostStarted = 100'000;
  [[noreturn]] static void cancelWithoutEnd();

  Scheduler* scheduler_;  // null once it has ended
  List<Coroutine> members_;
  std::size_t size_ = 0;
  List<Task> unjoined_;         // handles that hold an exception
  std::exception_ptr escaped_;  // of a member without a handle
  WaitQueue waiting_;           // in wait(): coroutines of others, and main
  WaitQueue memberWaits_;       // in wait(): a coroutine of the group itself
  WaitQueue waitingForOne_;     // in waitOne()
  List<Alive> alive_;           // of each wait()
  // [/task-group-private]
};
// [/task-group]

/// @}

}  // namespace naglfar
