// The switch by makecontext(3) and swapcontext(3).
//
// Portable, and dear: swapcontext also swaps the signal mask, with a system
// call that the design does not need. The ledger shows it, one a switch.

#include "naglfar/coroutine/switch.hpp"

#include "naglfar/sys.hpp"

namespace naglfar {

// [ucontext]
void makeContext(Context& context, void* stack, std::size_t size,
                 void (*entry)()) {
  count(Call::sigprocmask);
  sys::check(getcontext(&context.machine), "getcontext");
  context.machine.uc_stack.ss_sp = stack;
  context.machine.uc_stack.ss_size = size;
  context.machine.uc_link = nullptr;
  makecontext(&context.machine, entry, 0);
}

void switchContext(Context& here, const Context& there) {
  count(Call::sigprocmask);
  swapcontext(&here.machine, &there.machine);
}
// [/ucontext]

}  // namespace naglfar
