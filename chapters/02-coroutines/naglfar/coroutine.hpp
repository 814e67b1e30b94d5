/// @file coroutine.hpp
/// A coroutine: a function with a stack of its own, which can stop in the
/// middle and go on later.
///
/// Invariants:
/// - A coroutine suspends back to the stack that has resumed it.
/// - A stack goes back to its pool only from another stack.
///
/// It asks for a Job, so that a coroutine can stand in a queue, and sys for
/// memory.

#pragma once

#include <cxxabi.h>
#include <unistd.h>

#include <exception>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "naglfar/coroutine/switch.hpp"
#include "naglfar/job.hpp"
#include "naglfar/sys.hpp"

namespace naglfar {

/// Stacks of one size. The last one that was given back is the first one that
/// is handed out, because its pages are still warm.
class StackPool {
 public:
  /// Bytes in a stack. A page that was never touched costs no memory.
  static constexpr std::size_t stackSize = 64 << 10;

  /// @return The low end of a stack.
  char* acquire() {
    if (free_.empty()) free_.push_back(map());
    char* stack = free_.back();
    free_.pop_back();
    return stack;
  }
  /// Takes a stack back, on which no coroutine stands any more.
  void release(char* stack) noexcept { free_.push_back(stack); }

 private:
  static std::size_t guard() {
    return static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  }
  struct Unmap {
    void operator()(char* memory) const {
      sys::unmap(memory, guard() + stackSize);
    }
  };
  // Below the stack lies a page that cannot be touched: a coroutine that uses
  // up its stack crashes there, and never writes on another stack.
  char* map() {
    std::unique_ptr<char, Unmap> memory(static_cast<char*>(
        sys::check(sys::mapStacks(guard() + stackSize), "mmap")));
    sys::check(sys::protect(memory.get(), guard()), "mprotect");
    mapped_.push_back(std::move(memory));
    free_.reserve(mapped_.capacity());  // so that release() allocates nothing
    return mapped_.back().get() + guard();
  }

  std::vector<std::unique_ptr<char, Unmap>> mapped_;
  std::vector<char*> free_;
};

/// Thrown where a coroutine waits when it is destroyed: it runs the
/// destructors on the stack. A `catch (...)` must rethrow it.
struct Unwind {};

/// A function that can be suspended and resumed.
class Coroutine : public Job, public List<Coroutine>::Link {
 public:
  /// Makes a coroutine, which does not run before it is resumed.
  /// @param pool Where its stack comes from and goes back to.
  /// @param function What it runs.
  /// @return The coroutine. It stands at the top of its own stack until its
  ///         function has ended.
  template <class Function>
  static Coroutine& make(StackPool& pool, Function&& function);

  /// Goes on where it stopped, until it suspends or ends. What leaves its
  /// function is thrown here.
  void resume();
  void run() override { resume(); }

  /// Stops the running coroutine, and goes on where it was resumed.
  static void suspend() {
    Coroutine& self = *current_;
    if (!self.unwinding_) self.leave();
    if (self.unwinding_) throw Unwind{};
  }

  /// Unwinds a coroutine that is suspended. It is gone when this returns.
  static void destroy(Coroutine& coroutine) noexcept {
    coroutine.unwinding_ = true;
    try {
      coroutine.resume();
    } catch (...) {
      // What its destructors threw is of no concern to the caller.
    }
  }

  /// @return The coroutine that runs, or null on the thread's own stack.
  static Coroutine* current() { return current_; }

  const char* name = nullptr;      ///< For messages. A string that stays.
  const char* waitsFor = nullptr;  ///< What it waits for, or null.
  int waitsOn = -1;                ///< The descriptor it waits on, or -1.

 protected:
  Coroutine(StackPool& pool, char* stack) : pool_(pool), stack_(stack) {
    const auto size = reinterpret_cast<char*>(this) - stack;
    makeContext(context_, stack, static_cast<std::size_t>(size), entry);
    ++ledger.coroutines;
  }
  virtual ~Coroutine() = default;
  virtual void body() = 0;  // runs the function and destroys it

 private:
  // What the C++ runtime keeps for each thread: the exceptions that are being
  // handled, and how many are in flight. Each stack needs its own.
  struct Exceptions {
    void* caught = nullptr;
    unsigned int uncaught = 0;
  };
  static Exceptions& threadExceptions() {
    return *reinterpret_cast<Exceptions*>(abi::__cxa_get_globals());
  }
  static void entry();
  void leave() {
    ++ledger.switches;
    switchContext(context_, resumer_);
  }

  Context context_;
  Context resumer_;
  StackPool& pool_;
  char* stack_;
  Exceptions exceptions_;
  std::exception_ptr escaped_;
  bool done_ = false;
  bool unwinding_ = false;

  static inline thread_local Coroutine* current_ = nullptr;
};

template <class Function>
Coroutine& Coroutine::make(StackPool& pool, Function&& function) {
  struct Made final : Coroutine {
    Made(StackPool& from, char* stack, Function&& what)
        : Coroutine(from, stack), function(std::forward<Function>(what)) {}
    void body() override {
      auto mine = std::move(function);  // destroyed on this stack
      mine();
    }
    std::decay_t<Function> function;
  };
  char* stack = pool.acquire();
  constexpr std::size_t size = (sizeof(Made) + 63) / 64 * 64;
  try {
    return *new (stack + StackPool::stackSize - size)
        Made(pool, stack, std::forward<Function>(function));
  } catch (...) {
    pool.release(stack);
    throw;
  }
}

inline void Coroutine::resume() {
  Coroutine* const resumer = std::exchange(current_, this);
  ++ledger.switches;
  std::swap(exceptions_, threadExceptions());
  switchContext(resumer_, context_);
  std::swap(exceptions_, threadExceptions());
  current_ = resumer;
  if (!done_) return;

  const std::exception_ptr escaped = std::move(escaped_);
  StackPool& pool = pool_;
  char* stack = stack_;
  this->~Coroutine();
  pool.release(stack);
  if (escaped) std::rethrow_exception(escaped);
}

// The first function on every stack: nothing is below it to return to.
inline void Coroutine::entry() {
  Coroutine& self = *current_;
  try {
    if (!self.unwinding_) self.body();
  } catch (const Unwind&) {
    // It was destroyed.
  } catch (...) {
    self.escaped_ = std::current_exception();
  }
  self.done_ = true;
  self.leave();
}

}  // namespace naglfar
