// The switch in assembly for the small version. Its folder stands before
// chapter 02's in the include path, so the small coroutine.hpp finds this
// file under the name of its own switch. The two functions are the library's:
// switch_x86_64.S or switch_aarch64.S in src/naglfar/coroutine/.
//
// Invariant: a switch makes no system call, so the signal mask belongs to the
// thread and not to its coroutines.
//
// It asks sys for the form of an error and the ledger.

#pragma once

#include "naglfar/sys.hpp"

namespace naglfar {

// Where the registers of a stack that has stopped lie: on that stack.
using Context = void*;

Context firstFrame(void* high, void (*entry)()) asm("naglfar_first_frame");
void switchRows(Context& here, void* there) asm("naglfar_switch");

inline void makeContext(Context& context, void* stack, std::size_t size,
                        void (*entry)()) {
  context = firstFrame(static_cast<char*>(stack) + size, entry);
  if (context == nullptr) sys::fail(ENOTSUP, "makeContext: a shadow stack");
}

inline void switchContext(Context& here, const Context& there) {
  ++ledger.switches;
  switchRows(here, there);
}

}  // namespace naglfar
