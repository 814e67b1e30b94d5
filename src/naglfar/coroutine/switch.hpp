/// @file coroutine/switch.hpp
/// The one thing that C++ cannot say: go on running on another stack.
///
/// A Context is where a stack stopped. `switchContext` stops here and goes on
/// there. This file is the interface; which implementation stands behind it
/// is chosen at build time (NAGLFAR_SWITCH): switch_ucontext.cpp is the
/// portable one, and where there is one in assembly, it is what `auto` means.

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
/// @param size Its size in bytes; the implementation takes up to 1 KiB of it.
/// @param entry Called at the first switch; must never return.
/// @throws std::system_error If the system refuses.
void makeContext(Context& context, void* stack, std::size_t size,
                 void (*entry)());

/// Stops here and goes on there. Returns when a later switch comes back.
/// @param here Filled in.
/// @param there A context that was made, or stopped earlier.
void switchContext(Context& here, const Context& there);
// [/context]

/// @}

}  // namespace naglfar
