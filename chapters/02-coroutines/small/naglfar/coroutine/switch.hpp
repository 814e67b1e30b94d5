/// @file coroutine/switch.hpp
/// The switch to another stack, by makecontext(3) and swapcontext(3).
///
/// Invariant: a stack that has stopped goes on with the registers, the signal
/// mask and the instruction as they were when it stopped.
///
/// It asks sys for check and the ledger.

#pragma once

#include <ucontext.h>

#include "naglfar/sys.hpp"

namespace naglfar {

/// Where a stack stopped.
using Context = ucontext_t;

/// Prepares a context that starts a function on a stack of its own.
/// @param context Where to keep it.
/// @param stack The low end of the stack.
/// @param size Its size in bytes.
/// @param entry Called at the first switch; must never return.
inline void makeContext(Context& context, void* stack, std::size_t size,
                        void (*entry)()) {
  count(Call::rt_sigprocmask);
  sys::check(getcontext(&context), "getcontext");
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = size;
  context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}

/// Stops here and goes on there. Returns when a later switch comes back.
/// @param here Where to keep where this stack stopped.
/// @param there Where another stack stopped.
inline void switchContext(Context& here, const Context& there) {
  ++ledger.switches;
  count(Call::rt_sigprocmask);
  sys::check(swapcontext(&here, &there), "swapcontext");
}

}  // namespace naglfar
