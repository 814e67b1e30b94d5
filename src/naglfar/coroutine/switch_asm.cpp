// The switch in assembly, as far as it is C++: the rest is one file for each
// processor, switch_x86_64.S and switch_aarch64.S.
//
// Invariant: a switch makes no system call, so the signal mask belongs to the
// thread and not to its coroutines.
//
// It asks sys for the form of an error.

#include <cerrno>

#include "naglfar/coroutine/switch.hpp"
#include "naglfar/sys.hpp"

namespace naglfar {

// [assembly]
// Context::Stopped is the row that the assembly files draw. Only they look
// into it: here it stays an incomplete type.

// Puts a row on an empty stack, as naglfar_switch expects it on a stack that
// has stopped. Returns null if the process has a shadow stack.
Context::Stopped* firstFrame(void* high,
                             void (*entry)()) asm("naglfar_first_frame");
void switchRows(Context::Stopped** here,
                const Context::Stopped* there) asm("naglfar_switch");

void makeContext(Context& context, void* stack, std::size_t size,
                 void (*entry)()) {
  context.stopped = firstFrame(static_cast<char*>(stack) + size, entry);
  if (context.stopped == nullptr)
    sys::fail(ENOTSUP,
              "this process has a shadow stack, which the switch in assembly "
              "does not move: build with NAGLFAR_SWITCH=ucontext");
}

void switchContext(Context& here, const Context& there) {
  switchRows(&here.stopped, there.stopped);
}
// [/assembly]

}  // namespace naglfar
