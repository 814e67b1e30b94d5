// The switch by makecontext(3) and swapcontext(3).
//
// Portable, and dear: swapcontext also swaps the signal mask, with a system
// call that the design does not need. The ledger shows it, one a switch.

#include <ucontext.h>

#include <cstdint>
#include <new>

#include "naglfar/coroutine/switch.hpp"
#include "naglfar/sys.hpp"

namespace naglfar {

// [ucontext]
struct Context::Stopped {
  ucontext_t machine;  // callee-saved registers, signal mask, FP state
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

// The registers are kept in this frame, which stays as long as the stack has
// stopped here.
void switchContext(Context& here, const Context& there) {
  Context::Stopped stopped;
  here.stopped = &stopped;
  count(Call::rt_sigprocmask);
  swapcontext(&stopped.machine, &there.stopped->machine);
}
// [/ucontext]

}  // namespace naglfar
