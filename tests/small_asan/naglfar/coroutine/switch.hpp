// The switch of the small version, for builds with AddressSanitizer: it tells
// the sanitizer which stack is the present one. Otherwise the sanitizer takes
// what an exception has left on a coroutine's stack for a mistake.
//
// Invariant: presentStack is the stack that runs.
//
// It stands before the small version in the include path, and asks for the
// next header of its name.

#pragma once
#pragma GCC system_header  // #include_next is no ISO C++

#include <pthread.h>
#include <sanitizer/common_interface_defs.h>

#define makeContext plainMakeContext
#define switchContext plainSwitchContext
#include_next "naglfar/coroutine/switch.hpp"
#undef makeContext
#undef switchContext

namespace naglfar {

inline stack_t stackOfThread() {
  pthread_attr_t attributes;
  stack_t stack{};
  sys::check(-pthread_getattr_np(pthread_self(), &attributes), "getattr");
  pthread_attr_getstack(&attributes, &stack.ss_sp, &stack.ss_size);
  pthread_attr_destroy(&attributes);
  return stack;
}

inline thread_local stack_t presentStack = stackOfThread();
inline thread_local void (*firstFunction)() = nullptr;

inline void makeContext(Context& context, void* stack, std::size_t size,
                        void (*entry)()) {
  firstFunction = entry;  // of all coroutines
  plainMakeContext(context, stack, size, [] {
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
    firstFunction();
  });
}

inline void switchContext(Context& here, const Context& there) {
  const stack_t mine = presentStack;
  here.uc_stack = mine;
  presentStack = there.uc_stack;
  void* frames = nullptr;
  __sanitizer_start_switch_fiber(&frames, presentStack.ss_sp,
                                 presentStack.ss_size);
  plainSwitchContext(here, there);
  __sanitizer_finish_switch_fiber(frames, nullptr, nullptr);
  presentStack = mine;
}

}  // namespace naglfar
