/// @file coroutine/fiber_hooks.hpp
/// Tells the sanitizers and valgrind which stack is in use. They follow the
/// stack pointer, and a jump to another stack looks to them like a bug.
///
/// Without those tools the functions here do nothing.
///
/// Invariant: a program that includes this file sees the same classes as the
/// library does. The member for valgrind is always there; and a program that
/// has another sanitizer than the library does not link.
///
/// Asks of no other layer.

#pragma once

#include <cstddef>

// Whether clang compiles for a sanitizer; gcc defines a macro for each.
#ifdef __has_feature
#define NAGLFAR_HAS(sanitizer) __has_feature(sanitizer)
#else
#define NAGLFAR_HAS(sanitizer) 0
#endif

// NAGLFAR_IF_... keeps its argument only in a build for that tool. For
// NAGLFAR_BUILT see below.
#if defined(__SANITIZE_ADDRESS__) || NAGLFAR_HAS(address_sanitizer)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define NAGLFAR_BUILT naglfar_must_be_built_with_address_sanitizer_too
#define NAGLFAR_IF_ASAN(...) __VA_ARGS__
#else
#define NAGLFAR_IF_ASAN(...)
#endif
#if defined(__SANITIZE_THREAD__) || NAGLFAR_HAS(thread_sanitizer)
#include <sanitizer/tsan_interface.h>
#define NAGLFAR_BUILT naglfar_must_be_built_with_thread_sanitizer_too
#define NAGLFAR_IF_TSAN(...) __VA_ARGS__
#else
#define NAGLFAR_IF_TSAN(...)
#endif
#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#define NAGLFAR_IF_VALGRIND(...) __VA_ARGS__
#else
#define NAGLFAR_IF_VALGRIND(...)
#endif

// [same-sanitizer]
// A sanitizer changes the layout of FiberHooks, and it must see each switch.
// So library and program need the same. Each file that includes this one
// refers to a symbol which the library defines if it was built alike: if not,
// the linker says that this symbol is missing.
#ifdef NAGLFAR_BUILT
#define NAGLFAR_SANITIZED true
#else
#define NAGLFAR_SANITIZED false
#define NAGLFAR_BUILT naglfar_must_be_built_without_sanitizers_too
#endif
extern "C" const char NAGLFAR_BUILT;
#if __has_cpp_attribute(gnu::retain)
[[gnu::used, gnu::retain]]
#else
[[gnu::used]]
#endif
static const char* const naglfarBuilt = &NAGLFAR_BUILT;
// [/same-sanitizer]

namespace naglfar {

// [fiber-hooks]
inline constexpr bool fiberHooksOn = NAGLFAR_SANITIZED;

// Each coroutine has an object of this class. Of the four calls around a
// switch, `enter` and `returned` are made on the resumer's stack, `arrived`
// and `leave` on the coroutine's: enter -> arrived ... leave -> returned.
class FiberHooks {
 public:
  FiberHooks([[maybe_unused]] char* stack,
             [[maybe_unused]] std::size_t size) {
    NAGLFAR_IF_ASAN(stack_ = stack; size_ = size;)
    NAGLFAR_IF_TSAN(fiber_ = __tsan_create_fiber(0);)
    NAGLFAR_IF_VALGRIND(valgrind_ =
                            VALGRIND_STACK_REGISTER(stack, stack + size);)
  }
  ~FiberHooks() {
    NAGLFAR_IF_TSAN(__tsan_destroy_fiber(fiber_);)
    NAGLFAR_IF_VALGRIND(VALGRIND_STACK_DEREGISTER(valgrind_);)
  }
  FiberHooks& operator=(FiberHooks&&) = delete;  // nor may it be copied

  // Called before anything is put on a stack: lets the tools forget what the
  // stack's last user left there.
  static void clean([[maybe_unused]] char* stack,
                    [[maybe_unused]] std::size_t size) {
    NAGLFAR_IF_ASAN(ASAN_UNPOISON_MEMORY_REGION(stack, size);)
    NAGLFAR_IF_VALGRIND((void)VALGRIND_MAKE_MEM_UNDEFINED(stack, size);)
  }

  void enter() {
    NAGLFAR_IF_ASAN(
        __sanitizer_start_switch_fiber(&resumerFrames_, stack_, size_);)
    NAGLFAR_IF_TSAN(resumer_ = __tsan_get_current_fiber();
                    __tsan_switch_to_fiber(fiber_, 0);)
  }
  void arrived() {
    NAGLFAR_IF_ASAN(__sanitizer_finish_switch_fiber(
                        ownFrames_, &resumerStack_, &resumerSize_);)
  }
  void leave([[maybe_unused]] bool forEver) {
    NAGLFAR_IF_ASAN(
        __sanitizer_start_switch_fiber(forEver ? nullptr : &ownFrames_,
                                       resumerStack_, resumerSize_);)
    NAGLFAR_IF_TSAN(__tsan_switch_to_fiber(resumer_, 0);)
  }
  void returned() {
    NAGLFAR_IF_ASAN(
        __sanitizer_finish_switch_fiber(resumerFrames_, nullptr, nullptr);)
  }

 private:
  NAGLFAR_IF_ASAN(const void* stack_; std::size_t size_;
                  void* ownFrames_ = nullptr; void* resumerFrames_ = nullptr;
                  const void* resumerStack_ = nullptr;
                  std::size_t resumerSize_ = 0;)
  NAGLFAR_IF_TSAN(void* fiber_; void* resumer_ = nullptr;)
  [[maybe_unused]] unsigned valgrind_ = 0;  // valgrind's number of the stack
};
// [/fiber-hooks]

}  // namespace naglfar
