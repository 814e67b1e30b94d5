/// @file coroutine/switch.hpp
/// The switch to another stack, which C++ itself has no words for.
///
/// A Context is where a stack stopped. `switchContext` stops here and goes on
/// there. This file is the interface; which implementation stands behind it
/// is chosen at build time (NAGLFAR_SWITCH). switch_ucontext.cpp is the
/// portable implementation. On a processor that has a switch in assembly,
/// `auto` means that switch.
///
/// Invariant: a stack that has stopped goes on with the registers that a
/// called function must leave alone as they were when it stopped.
///
/// Asks of no other layer, except of sys: errors.

#pragma once

#include <cstddef>

namespace naglfar {

/// @addtogroup coroutine
/// @{

// [context]
/// Where a stack stopped. What goes on from there, the registers above all,
/// lies on that stack itself, in a form that only the implementation knows.
struct Context {
  struct Stopped;
  Stopped* stopped;  ///< Lies on the stack that has stopped.
};

/// Prepares a context that starts a function on a stack of its own.
/// @param context Filled in.
/// @param stack The low end of the stack.
/// @param size Its size in bytes; the implementation takes less than 200 of
///        them, and that of ucontext(3) as many as a ucontext_t has.
/// @param entry Called at the first switch; must never return.
/// @throws std::system_error If the system refuses, and ENOTSUP if the
///         process has a shadow stack, which the assembly does not move.
void makeContext(Context& context, void* stack, std::size_t size,
                 void (*entry)());

/// Stops here and goes on there. Returns when a later switch comes back.
/// @param here Filled in.
/// @param there A context that was made, or stopped earlier.
void switchContext(Context& here, const Context& there);
// [/context]

/// @}

}  // namespace naglfar
