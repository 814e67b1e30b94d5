/// @file coroutine/fiber_hooks.hpp
/// Tells the sanitizers and valgrind which stack is in use. They follow the
/// stack pointer, and a jump to another stack looks to them like a bug.
///
/// Without those tools every function here is empty.

#pragma once

#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NAGLFAR_ASAN
#endif
#if __has_feature(thread_sanitizer)
#define NAGLFAR_TSAN
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define NAGLFAR_ASAN
#elif defined(__SANITIZE_THREAD__)
#define NAGLFAR_TSAN
#endif

#ifdef NAGLFAR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef NAGLFAR_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#endif

namespace naglfar {

// [fiber-hooks]
#if defined(NAGLFAR_ASAN) || defined(NAGLFAR_TSAN)
inline constexpr bool fiberHooksOn = true;
#else
inline constexpr bool fiberHooksOn = false;
#endif

// One for each coroutine. Of the four calls around a switch, `enter` and
// `returned` are made on the resumer's stack, `arrived` and `leave` on the
// coroutine's: enter -> arrived ... leave -> returned.
class FiberHooks {
 public:
  FiberHooks(char* stack, std::size_t size);
  ~FiberHooks();
  FiberHooks(const FiberHooks&) = delete;
  FiberHooks& operator=(const FiberHooks&) = delete;

  // Before anything is put on a stack: forgets what its last user left there.
  static void clean(char* stack, std::size_t size);

  void enter();
  void arrived();
  void leave(bool forEver);
  void returned();

 private:
#ifdef NAGLFAR_ASAN
  const void* stack_;
  std::size_t size_;
  void* ownFrames_ = nullptr;
  void* resumerFrames_ = nullptr;
  const void* resumerStack_ = nullptr;
  std::size_t resumerSize_ = 0;
#endif
#ifdef NAGLFAR_TSAN
  void* fiber_;
  void* resumer_ = nullptr;
#endif
#ifdef VALGRIND_STACK_REGISTER
  unsigned valgrind_;
#endif
};
// [/fiber-hooks]

// [fiber-hooks-life]
inline void FiberHooks::clean([[maybe_unused]] char* stack,
                              [[maybe_unused]] std::size_t size) {
#ifdef NAGLFAR_ASAN
  ASAN_UNPOISON_MEMORY_REGION(stack, size);
#endif
#ifdef VALGRIND_MAKE_MEM_UNDEFINED
  (void)VALGRIND_MAKE_MEM_UNDEFINED(stack, size);
#endif
}

inline FiberHooks::FiberHooks([[maybe_unused]] char* stack,
                              [[maybe_unused]] std::size_t size) {
#ifdef NAGLFAR_ASAN
  stack_ = stack;
  size_ = size;
#endif
#ifdef NAGLFAR_TSAN
  fiber_ = __tsan_create_fiber(0);
#endif
#ifdef VALGRIND_STACK_REGISTER
  valgrind_ = VALGRIND_STACK_REGISTER(stack, stack + size);
#endif
}

inline FiberHooks::~FiberHooks() {
#ifdef NAGLFAR_TSAN
  __tsan_destroy_fiber(fiber_);
#endif
#ifdef VALGRIND_STACK_REGISTER
  VALGRIND_STACK_DEREGISTER(valgrind_);
#endif
}
// [/fiber-hooks-life]

// [fiber-hooks-switch]
inline void FiberHooks::enter() {
#ifdef NAGLFAR_ASAN
  __sanitizer_start_switch_fiber(&resumerFrames_, stack_, size_);
#endif
#ifdef NAGLFAR_TSAN
  resumer_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(fiber_, 0);
#endif
}

inline void FiberHooks::arrived() {
#ifdef NAGLFAR_ASAN
  __sanitizer_finish_switch_fiber(ownFrames_, &resumerStack_, &resumerSize_);
#endif
}

inline void FiberHooks::leave([[maybe_unused]] bool forEver) {
#ifdef NAGLFAR_ASAN
  __sanitizer_start_switch_fiber(forEver ? nullptr : &ownFrames_,
                                 resumerStack_, resumerSize_);
#endif
#ifdef NAGLFAR_TSAN
  __tsan_switch_to_fiber(resumer_, 0);
#endif
}

inline void FiberHooks::returned() {
#ifdef NAGLFAR_ASAN
  __sanitizer_finish_switch_fiber(resumerFrames_, nullptr, nullptr);
#endif
}
// [/fiber-hooks-switch]

}  // namespace naglfar
