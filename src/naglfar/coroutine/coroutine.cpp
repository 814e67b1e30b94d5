// Resuming, suspending, ending and unwinding; and the text of the report that
// a stack which grew too far gets.
//
// Invariant: `current_` is the coroutine whose stack the thread stands on, or
// null on the thread's own stack.
//
// It asks for makeContext and switchContext, for stacks of StackPool, and sys
// for poll and write.

#include "naglfar/coroutine.hpp"

#include <cxxabi.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cassert>
#include <cstdio>
#include <cstdlib>

// The C++ ABI says that this function exists, and libstdc++'s <cxxabi.h>
// declares it; that of libc++abi does not.
#ifdef _LIBCPP_VERSION
namespace __cxxabiv1 {
struct __cxa_eh_globals;
extern "C" __cxa_eh_globals* __cxa_get_globals() noexcept;
}  // namespace __cxxabiv1
#endif

namespace naglfar {

// [life]
Coroutine::Coroutine(StackPool& pool, char* stack, const Body& body)
    : pool_(pool),
      stack_(stack),
      body_(body),
      hooks_(stack, StackPool::stackSize),
      number_(++made_) {
  ++ledger.coroutines;
  const auto size = static_cast<char*>(body.closure) - stack;
  makeContext(context_, stack, static_cast<std::size_t>(size), entry);
}

// The object stands on the stack that it gives back: the object goes first,
// and the caller stands on another stack.
void Coroutine::release() {
  assert(current_ != this);
  StackPool& pool = pool_;
  char* stack = stack_;
  this->~Coroutine();
  pool.release(stack);
}
// [/life]

// [resume]
void Coroutine::resume() {
  assert(state_ == State::made || state_ == State::suspended);
  Coroutine* const resumer = std::exchange(current_, this);
  auto& threadExceptions =
      *reinterpret_cast<ExceptionState*>(abi::__cxa_get_globals());
  state_ = State::running;
  ++ledger.switches;
  std::swap(exceptions_, threadExceptions);
  hooks_.enter();
  switchContext(resumerContext_, context_);
  hooks_.returned();
  std::swap(exceptions_, threadExceptions);
  current_ = resumer;
  if (state_ != State::done) return;

  const std::exception_ptr escaped = std::move(escaped_);
  const ExceptionState handled = exceptions_;
  Owner* const told = owner;
  if (told != nullptr) told->ended(*this, escaped);
  release();
  if (handled.caught != nullptr) {  // see entry()
    threadExceptions = handled;
    throw;
  }
  if (escaped && told == nullptr) std::rethrow_exception(escaped);
}
// [/resume]

// [suspend]
void Coroutine::suspend() {
  assert(current_ != nullptr);
  Coroutine& self = *current_;
  if (self.unwinding_) throw Unwind{};
  self.state_ = State::suspended;
  self.leave();
  if (self.unwinding_) throw Unwind{};
}

void Coroutine::leave() {
  ++ledger.switches;
  hooks_.leave(state_ == State::done);
  switchContext(context_, resumerContext_);
  hooks_.arrived();
}
// [/suspend]

// [entry]
// The first frame of every coroutine. Nothing is below it to return to.
//
// pthread_exit(3) and pthread_cancel(3) unwind the stack by an exception that
// is not C++'s, so there is no std::exception_ptr to it. It must be thrown
// on, and the thread's own stack must be unwound, too. So the coroutine ends
// in the middle of the handler, and resume() throws on what is handled there.
void Coroutine::entry() {
  Coroutine& self = *current_;
  self.hooks_.arrived();
  try {
    self.body_.call(self.body_.closure);
  } catch (const Unwind&) {
    assert(self.unwinding_);
  } catch (...) {
    self.escaped_ = std::current_exception();
    if (!self.escaped_) self.end();
  }
  self.end();
}

void Coroutine::end() {
  body_.destroy(body_.closure);
  state_ = State::done;
  leave();
  std::abort();  // a coroutine that is done was resumed
}
// [/entry]

// [destroy]
void Coroutine::destroy(Coroutine& coroutine) noexcept {
  if (coroutine.state_ == State::made) {
    coroutine.body_.destroy(coroutine.body_.closure);
    if (coroutine.owner != nullptr)
      coroutine.owner->ended(coroutine, nullptr);
    return coroutine.release();
  }
  coroutine.unwinding_ = true;  // suspend() throws from now on
  if (coroutine.state_ != State::suspended) return;
  try {
    coroutine.resume();
  } catch (...) {
    // The coroutine has no owner, and an exception of a cancelled coroutine
    // does not concern the call that cancels it.
  }
}
// [/destroy]

// [describe]
std::string Coroutine::describe() const {
  return std::string(name != nullptr ? name : "coroutine") + " #" +
         std::to_string(number_);
}
// [/describe]

// [report-overflow]
// Called by the handler of a fault, so with snprintf it makes one call that
// signal-safety(7) does not allow; but for these formats snprintf allocates
// nothing.
void Coroutine::reportOverflow(const void* address) {
  const Coroutine* self = current_;
  if (self == nullptr || address >= self->stack_ ||
      address < self->stack_ - StackPool::guardSize())
    return;
  std::array<char, 256> text;
  const int n = std::snprintf(
      text.data(), text.size(),
      "naglfar: stack overflow: %s #%llu has used up its stack of %zu "
      "bytes. Keep large buffers off the stack, and recursion shallow.\n",
      self->name != nullptr ? self->name : "coroutine",
      static_cast<unsigned long long>(self->number_), StackPool::stackSize);
  // A full pipe whose reader has stopped must not keep the process alive.
  pollfd entry{STDERR_FILENO, POLLOUT, 0};
  if (sys::poll(&entry, 1, 0) != 0)
    sys::write(STDERR_FILENO, text.data(), static_cast<std::size_t>(n));
}
// [/report-overflow]

}  // namespace naglfar
