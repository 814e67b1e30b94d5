// The switch by makecontext(3) and swapcontext(3).
//
// This switch is portable, and dear: swapcontext also swaps the signal mask,
// by a system call that the design does not need. The ledger counts one
// rt_sigprocmask for each switch.
//
// Invariant: the row of a stack that has stopped, a ucontext_t, lies on that
// stack itself and stays there until the stack goes on.
//
// It asks the C library for the calls, and sys to count them.

#include <ucontext.h>

#include <cstdint>
#include <new>

#include "naglfar/coroutine/switch.hpp"
#include "naglfar/sys.hpp"

namespace naglfar {

// [ucontext]
struct Context::Stopped {
  ucontext_t machine;  // registers, signal mask, floating-point modes
};

// What the first switch needs stands at the high end of the stack, and the
// frames begin below.
void makeContext(Context& context, void* stack, std::size_t size,
                 void (*entry)()) {
  const auto low = reinterpret_cast<std::uintptr_t>(stack);
  const std::uintptr_t high = (low + size - sizeof(Context::Stopped)) & ~63ul;
  context.stopped = new (reinterpret_cast<void*>(high)) Context::Stopped;
  ucontext_t& machine = context.stopped->machine;
  count(Call::rt_sigprocmask);
  sys::check(getcontext(&machine), "getcontext");
  machine.uc_stack.ss_sp = stack;
  machine.uc_stack.ss_size = high - low;
  machine.uc_link = nullptr;
  makecontext(&machine, entry, 0);
}

// The registers are kept in the frame of this function, which stays as long
// as the stack is stopped here.
void switchContext(Context& here, const Context& there) {
  Context::Stopped stopped;
  here.stopped = &stopped;
  count(Call::rt_sigprocmask);
  swapcontext(&stopped.machine, &there.stopped->machine);
}
// [/ucontext]

}  // namespace naglfar
