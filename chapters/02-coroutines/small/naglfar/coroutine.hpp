//[2
/// @file coroutine.hpp
/// A coroutine: a function with a stack of its own, which can stop in the
/// middle and go on later.
///
/// Invariants:
/// - A coroutine suspends back to the stack that has resumed it.
/// - A stack goes back to its pool only from another stack.
///
/// It asks for Job, so that a coroutine can stand in a queue, for the switch,
/// and sys for memory.

#pragma once

#include <unistd.h>  //[5

#include <deque>        //[3
#include <exception>    //[7
#include <new>          //[4
#include <type_traits>  //[4
#include <utility>
#include <vector>  //[3

#include "naglfar/coroutine/switch.hpp"
#include "naglfar/job.hpp"  //[10
#include "naglfar/sys.hpp"  //[3

//[8
// Of the C++ runtime. Not each of them has it in its header <cxxabi.h>.
namespace __cxxabiv1 {
extern "C" struct __cxa_eh_globals* __cxa_get_globals() noexcept;
}

//]
namespace naglfar {

/// Stacks of one size. The stack that was given back last is the first to be
/// handed out, because the cache still has its pages.
class StackPool {  //[3
 public:
  /// Bytes in a stack. A page that was never touched costs no memory.
  static constexpr std::size_t stackSize = 64 << 10;

  /// @return The low end of a stack.
  char* acquire() {
    if (free_.empty()) map();
    char* stack = free_.back();
    free_.pop_back();
    return stack;
  }
  /// Takes a stack back. No coroutine may stand on it any more.
  void release(char* stack) noexcept { free_.push_back(stack); }

 private:
  // The lowest page cannot be touched: a coroutine that uses up its stack
  // crashes there, and never writes on the next stack.
  static inline const auto guardSize =  //[5
      static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  struct Mapping {
    //[3-4 static constexpr std::size_t size = stackSize;
    static inline const std::size_t size = guardSize + stackSize;  //[5
    char* const memory =
        static_cast<char*>(sys::check(sys::mapStacks(size), "mmap"));
    ~Mapping() { sys::unmap(memory, size); }
  };

  void map() {
    // So that release() allocates nothing.
    if (free_.capacity() <= mappings_.size())  //[6
      free_.reserve(2 * mappings_.size() + 8);
    char* memory = mappings_.emplace_back().memory;
    //[3-4 free_.push_back(memory);
    sys::check(sys::protect(memory, guardSize), "mprotect");  //[5
    free_.push_back(memory + guardSize);  //[5
  }

  std::deque<Mapping> mappings_;
  std::vector<char*> free_;
};

/// Thrown where a coroutine waits when it is destroyed: it runs the
/// destructors on the stack. A `catch (...)` must rethrow it.
struct Unwind {};  //[9

/// A function that can be suspended and resumed.
//[2-9 class Coroutine {
class Coroutine : public Job, public List<Coroutine>::Link {  //[10]
 public:
  /// Makes a coroutine, which does not run before it is resumed.
  /// @param pool Where its stack comes from and goes back to.
  /// @param function What it runs.
  /// @return The coroutine. It stands at the top of its own stack until its
  ///         function has ended.
  template <class Function>
  static Coroutine& make(StackPool& pool, Function&& function);  //[4

  /// Goes on where it stopped, until it suspends or ends.
  //[7
  /// What leaves its function is thrown here.
  //]
  void resume() {
    if (this == current_) std::terminate();  // its stack has not stopped  //[9
    Coroutine* const resumer = std::exchange(current_, this);
    Context here;                                //[10
    resumer_ = &here;                            //[10
    std::swap(exceptions_, threadExceptions());  //[8
    //[2-9 switchContext(resumer_, context_);
    switchContext(here, context_);  //[10
    std::swap(exceptions_, threadExceptions());  //[8
    current_ = resumer;
    if (done_) end();  //[6
  }
  void run() override { resume(); }  //[10

  /// Stops the running coroutine, and goes on where it was resumed.
  //[2-8 static void suspend() { current_->leave(); }
  /// @throws Unwind If it is destroyed.
  static void suspend() {  //[9
    Coroutine& self = *current_;
    if (!self.unwinding_) self.leave();
    if (self.unwinding_) throw Unwind{};
  }

  /// Unwinds a coroutine that is suspended or new. It is gone when this
  /// returns. What its destructors throw does not concern the caller.
  static void destroy(Coroutine& coroutine) noexcept try {  //[9
    coroutine.unwinding_ = true;
    coroutine.resume();
  } catch (...) {
  }
  //[10

  /// @return The coroutine that runs, or null on the thread's own stack.
  static Coroutine* current() { return current_; }

  const char* name = nullptr;      ///< For messages. A string that stays.
  const char* waitsFor = nullptr;  ///< What it waits for, or null.
  int waitsOn = -1;                ///< The descriptor it waits on, or -1.
  //]

 protected:
  //[2-3 Coroutine(char* stack, std::size_t size) {
  //[4
  Coroutine(StackPool& pool, char* stack) : pool_(pool), stack_(stack) {
    const auto size =
        static_cast<std::size_t>(reinterpret_cast<char*>(this) - stack);
    //]
    makeContext(context_, stack, size, entry);
    ++ledger.coroutines;  //[10
  }
  virtual ~Coroutine() = default;
  /// Runs the function.
  virtual void body() = 0;

 private:
  // What the C++ runtime keeps for each thread: the exceptions that are being
  // handled, and how many are in flight. Each stack needs its own.
  struct Exceptions {  //[8
    void* caught = nullptr;
    unsigned int uncaught = 0;
  };
  static Exceptions& threadExceptions() {  //[8
    return *reinterpret_cast<Exceptions*>(__cxxabiv1::__cxa_get_globals());
  }

  // The first function on the stack: there is nothing below to return to.
  static void entry() {
    Coroutine& self = *current_;
    //[2-6 self.body();
    //[7-8 try {
    //[7-8   self.body();
    //[9
    try {
      if (!self.unwinding_) self.body();
    } catch (const Unwind&) {
      // It was destroyed.
      //]
    //[7
    } catch (...) {
      self.escaped_ = std::current_exception();
    }
    //]
    self.done_ = true;  //[6
    self.leave();
  }
  //[2-9 void leave() { switchContext(context_, resumer_); }
  void leave() { switchContext(context_, *resumer_); }  //[10
  // Runs on the resumer's stack.
  void end() {  //[6
    const std::exception_ptr escaped = std::move(escaped_);  //[7
    StackPool& pool = pool_;
    char* stack = stack_;
    this->~Coroutine();
    pool.release(stack);
    if (escaped) std::rethrow_exception(escaped);  //[7
  }

  Context context_;
  //[2-9 Context resumer_;
  Context* resumer_ = nullptr;  // where resume() waits  //[10
  StackPool& pool_;  //[4
  char* stack_;  //[4
  bool done_ = false;           //[6
  std::exception_ptr escaped_;  //[7
  Exceptions exceptions_;       //[8
  bool unwinding_ = false;      //[9

  static inline thread_local Coroutine* current_ = nullptr;
};

template <class Function>
Coroutine& Coroutine::make(StackPool& pool, Function&& function) {  //[4
  struct Made final : Coroutine {
    Made(StackPool& from, char* stack, Function&& what)
        : Coroutine(from, stack), function(std::forward<Function>(what)) {}
    void body() override {
      auto mine = std::move(function);  // destroyed on this stack
      std::move(mine)();
    }
    std::decay_t<Function> function;
  };
  char* stack = pool.acquire();
  constexpr std::size_t size = (sizeof(Made) + 63) / 64 * 64;
  static_assert(size <= StackPool::stackSize / 4, "too large for the stack");
  char* const place = stack + StackPool::stackSize - size;
  //[4-6 return *new (place) Made(pool, stack, std::forward<Function>(function));
  try {  //[7
    return *new (place) Made(pool, stack, std::forward<Function>(function));
  } catch (...) {
    pool.release(stack);
    throw;
  }
}

}  // namespace naglfar
//]
