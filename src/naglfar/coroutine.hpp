/// @file coroutine.hpp
/// A coroutine: a function with a stack of its own, which can stop in the
/// middle and go on later.
///
/// Where things are on a coroutine's stack:
///
///     low                                                            high
///     | guard |      ... frames grow down <--  | closure | Coroutine |
///
/// The control block and the closure stand at the top of the stack that they
/// belong to. So a sleeping coroutine with small frames costs only the page
/// that it stands on.
///
/// Invariants:
/// - A coroutine is resumed only when it is new or suspended, by the thread
///   that made it, and suspends back to the stack that resumed it.
/// - A stack goes back to its pool only from another stack.
/// - A new coroutine stands in no list and has no owner. Only its maker
///   resumes it, unless the maker gives it an owner, as a task group does.
///
/// Asks of the layers below: Job, so that a coroutine can be queued, and
/// List, so that its owner can keep it in a list; of sys: memory for stacks,
/// poll and write for the report of an overflow.

#pragma once

#include <algorithm>
#include <cstdint>
#include <exception>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

#include "naglfar/coroutine/fiber_hooks.hpp"
#include "naglfar/coroutine/stack_pool.hpp"
#include "naglfar/coroutine/switch.hpp"
#include "naglfar/job.hpp"
#include "naglfar/sys.hpp"

namespace naglfar {

/// @addtogroup coroutine
/// @{

// [unwind]
/// Thrown where a coroutine waits when it is cancelled: it runs the
/// destructors on the stack. It is not a std::exception, so that `catch
/// (const std::exception&)` lets it through; a `catch (...)` must rethrow it.
struct Unwind {};

/// What the C++ runtime keeps for each thread: the exceptions being handled
/// and how many are in flight (Itanium C++ ABI 2.2.2). With many stacks to a
/// thread each needs its own, or `throw;` in one coroutine would rethrow
/// another's exception.
struct ExceptionState {
  void* caught = nullptr;     ///< The stack of exceptions being handled.
  unsigned int uncaught = 0;  ///< How many are in flight.
};
// [/unwind]

// [coroutine]
class Task;

/// A function that can be suspended and resumed.
class Coroutine final : public Job, public List<Coroutine>::Link {
 public:
  /// What a coroutine belongs to, such as a task group.
  class Owner {
   public:
    /// Called on another stack when a coroutine has ended, before it is gone.
    /// @param coroutine The coroutine. It must not be resumed any more.
    /// @param escaped The exception that left its function, or null.
    virtual void ended(Coroutine& coroutine,
                       const std::exception_ptr& escaped) noexcept = 0;

   protected:
    ~Owner() = default;
  };

  /// Makes a coroutine. It does not run before it is resumed.
  /// @param pool Where its stack comes from and goes back to.
  /// @param function What it runs: called without arguments.
  /// @return The coroutine, which lives on its own stack until it is done or
  ///         destroyed.
  /// @throws std::system_error If there is no stack to be had. What the copy
  ///         or the move of the function throws is passed on.
  template <class Function>
  static Coroutine& make(StackPool& pool, Function&& function);

  /// Goes on where it stopped, until it suspends or ends. A coroutine that
  /// has ended is gone when this returns. If an exception leaves the
  /// coroutine's function, its owner is told; without an owner it is thrown
  /// here.
  void resume();

  /// As a job, a coroutine runs by being resumed.
  void run() override { resume(); }

  /// Stops the running coroutine and goes on where it was resumed.
  /// @throws Unwind If it was cancelled.
  static void suspend();

  /// Cancels a coroutine. A new coroutine is gone when this returns, and has
  /// never run. A suspended one is unwound now, and gone when this returns. A
  /// coroutine that runs, because it has called this or has resumed the
  /// coroutine that has, is unwound where it suspends next. To cancel it
  /// twice changes nothing.
  /// @param coroutine In any state.
  static void destroy(Coroutine& coroutine) noexcept;

  /// @return True once it was cancelled.
  bool cancelled() const { return unwinding_; }

  /// @return The coroutine that runs, or null on the thread's own stack.
  static Coroutine* current() { return current_; }

  /// @return Its name, if it has one, and its number.
  std::string describe() const;

  const char* name = nullptr;      ///< For messages. A string that stays.
  const char* waitsFor = nullptr;  ///< What it is parked for, or null.
  int waitsOn = -1;                ///< The descriptor it waits on, or -1.
  Owner* owner = nullptr;          ///< Told of its end, if not null.
  Task* task = nullptr;            ///< The owner's handle of it, or null.

 private:
  // [coroutine-private]
  struct Body {
    void (*call)(void* closure);
    void (*destroy)(void* closure);
    void* closure;
  };
  Coroutine(StackPool& pool, char* stack, const Body& body);
  ~Coroutine() = default;
  static void entry();
  [[noreturn]] void end();
  void leave();
  void release();
  friend class OverflowReport;
  static void reportOverflow(const void* address);

  Context context_;
  Context resumerContext_;
  StackPool& pool_;
  char* stack_;
  Body body_;
  FiberHooks hooks_;
  ExceptionState exceptions_;
  std::exception_ptr escaped_;
  std::uint64_t number_;
  enum class State { made, suspended, running, done } state_ = State::made;
  bool unwinding_ = false;

  static inline constinit thread_local Coroutine* current_ = nullptr;
  static inline constinit thread_local std::uint64_t made_ = 0;
  // [/coroutine-private]
};
// [/coroutine]

// [make]
template <class Function>
Coroutine& Coroutine::make(StackPool& pool, Function&& function) {
  using Closure = std::decay_t<Function>;
  constexpr std::size_t alignment =
      std::max<std::size_t>(alignof(Closure), 64);
  static_assert(alignment <= 4096);
  static_assert(sizeof(Closure) <= 16 << 10,
                "the closure stands on the stack: keep large data elsewhere");

  char* stack = pool.acquire();
  FiberHooks::clean(stack, StackPool::stackSize);
  const auto below = [](char* place, std::size_t size) {
    const auto address = reinterpret_cast<std::uintptr_t>(place) - size;
    return reinterpret_cast<char*>(address & ~(alignment - 1));
  };
  char* control = below(stack + StackPool::stackSize, sizeof(Coroutine));
  char* closure = below(control, sizeof(Closure));
  Closure* made = nullptr;
  try {
    made = new (closure) Closure(std::forward<Function>(function));
    const Body body{
        [](void* place) { std::move (*static_cast<Closure*>(place))(); },
        [](void* place) { static_cast<Closure*>(place)->~Closure(); }, made};
    return *new (control) Coroutine(pool, stack, body);
  } catch (...) {
    if (made != nullptr) made->~Closure();
    pool.release(stack);
    throw;
  }
}
// [/make]

/// @}

}  // namespace naglfar
