// The switch alone, without coroutines: the same is asked of the one in
// assembly and of that by ucontext(3). What a called function must leave
// alone is filled with numbers that no compiler would put there, on both
// sides.

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

#include "claims.hpp"
#include "naglfar/coroutine.hpp"
#include "naglfar/coroutine/fiber_hooks.hpp"
#include "naglfar/coroutine/switch.hpp"
#include "naglfar/sys.hpp"
#include "naglfar/sys/ledger.hpp"

#ifdef __ELF__
#include <link.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

using naglfar::Call;
using naglfar::Context;
using naglfar::FiberHooks;
using naglfar::makeContext;
using naglfar::StackPool;
using naglfar::switchContext;

namespace {

#ifdef NAGLFAR_SWITCH_ASM
constexpr bool inAssembly = true;
#else
constexpr bool inAssembly = false;
#endif

// A second stack. Its function gets back and forth by these two.
Context testContext;
Context otherContext;
FiberHooks* hooks = nullptr;
void (*body)() = nullptr;

void toTheTest() {
  hooks->leave(false);
  switchContext(otherContext, testContext);
  hooks->arrived();
}

void toTheOther() {
  hooks->enter();
  switchContext(testContext, otherContext);
  hooks->returned();
}

void entry() {
  hooks->arrived();
  body();
  for (;;) toTheTest();
}

// The stack of the other. Nobody unwinds it, so nothing on it may need that.
class Other {
 public:
  explicit Other(void (*function)(), std::size_t unused = 0,
                 void (*first)() = entry)
      : stack_(pool_.acquire()), hooks_(stack_, StackPool::stackSize) {
    FiberHooks::clean(stack_, StackPool::stackSize);
    // As if somebody had used it: a fresh one is full of zeros.
    std::fill_n(stack_ + StackPool::stackSize - 256, 256, '\xff');
    hooks = &hooks_;
    body = function;
    makeContext(otherContext, stack_, StackPool::stackSize - unused, first);
  }
  ~Other() { pool_.release(stack_); }
  Other(const Other&) = delete;
  Other& operator=(const Other&) = delete;

  bool holds(std::uintptr_t address) const {
    const auto low = reinterpret_cast<std::uintptr_t>(stack_);
    return address >= low && address <= low + StackPool::stackSize;
  }

 private:
  StackPool pool_;
  char* stack_;
  FiberHooks hooks_;
};

// --- registers ---

#if defined(__ELF__) && defined(__x86_64__)

constexpr std::size_t registers = 6;
#define NAGLFAR_TEST_REGISTERS

// Fills rbx, rbp, r12 to r15 with number, number + 1, ..., calls, and tells
// what is in them then.
asm(R"(
    .text
    .type naglfar_test_call, %function
naglfar_test_call:
    endbr64
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdx
    leaq 0(%rsi), %rbx
    leaq 1(%rsi), %rbp
    leaq 2(%rsi), %r12
    leaq 3(%rsi), %r13
    leaq 4(%rsi), %r14
    leaq 5(%rsi), %r15
    callq *%rdi
    popq %rdx
    movq %rbx, 0(%rdx)
    movq %rbp, 8(%rdx)
    movq %r12, 16(%rdx)
    movq %r13, 24(%rdx)
    movq %r14, 32(%rdx)
    movq %r15, 40(%rdx)
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret
    .size naglfar_test_call, . - naglfar_test_call
)");

// mxcsr without the flags of what has happened, and the x87's control word.
using Modes = std::array<std::uint32_t, 2>;
constexpr Modes oneMode = {0x1f80 | 0x2000 | 0x8000, 0x0f7f & ~0x0100};
constexpr Modes otherMode = {0x1f80 | 0x4000 | 0x0040, 0x037f | 0x0800};

Modes modes() {
  std::uint32_t mxcsr = 0;
  std::uint16_t control = 0;
  asm volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(mxcsr), "=m"(control));
  return {mxcsr & ~0x3fu, control};
}

void setModes(const Modes& to) {
  const std::uint32_t mxcsr = to[0];
  const auto control = static_cast<std::uint16_t>(to[1]);
  asm volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(mxcsr), "m"(control));
}

#elif defined(__ELF__) && defined(__aarch64__)

constexpr std::size_t registers = 19;
#define NAGLFAR_TEST_REGISTERS

// Fills x19 to x29 and d8 to d15 with number, number + 1, ..., calls, and
// tells what is in them then.
asm(R"(
    .text
    .type naglfar_test_call, %function
naglfar_test_call:
    hint 34
    sub sp, sp, 176
    stp x19, x20, [sp]
    stp x21, x22, [sp, 16]
    stp x23, x24, [sp, 32]
    stp x25, x26, [sp, 48]
    stp x27, x28, [sp, 64]
    stp x29, x30, [sp, 80]
    stp d8, d9, [sp, 96]
    stp d10, d11, [sp, 112]
    stp d12, d13, [sp, 128]
    stp d14, d15, [sp, 144]
    str x2, [sp, 160]
    add x19, x1, 0
    add x20, x1, 1
    add x21, x1, 2
    add x22, x1, 3
    add x23, x1, 4
    add x24, x1, 5
    add x25, x1, 6
    add x26, x1, 7
    add x27, x1, 8
    add x28, x1, 9
    add x29, x1, 10
    add x3, x1, 11
    fmov d8, x3
    add x3, x1, 12
    fmov d9, x3
    add x3, x1, 13
    fmov d10, x3
    add x3, x1, 14
    fmov d11, x3
    add x3, x1, 15
    fmov d12, x3
    add x3, x1, 16
    fmov d13, x3
    add x3, x1, 17
    fmov d14, x3
    add x3, x1, 18
    fmov d15, x3
    blr x0
    ldr x2, [sp, 160]
    stp x19, x20, [x2]
    stp x21, x22, [x2, 16]
    stp x23, x24, [x2, 32]
    stp x25, x26, [x2, 48]
    stp x27, x28, [x2, 64]
    str x29, [x2, 80]
    stp d8, d9, [x2, 88]
    stp d10, d11, [x2, 104]
    stp d12, d13, [x2, 120]
    stp d14, d15, [x2, 136]
    ldp x19, x20, [sp]
    ldp x21, x22, [sp, 16]
    ldp x23, x24, [sp, 32]
    ldp x25, x26, [sp, 48]
    ldp x27, x28, [sp, 64]
    ldp x29, x30, [sp, 80]
    ldp d8, d9, [sp, 96]
    ldp d10, d11, [sp, 112]
    ldp d12, d13, [sp, 128]
    ldp d14, d15, [sp, 144]
    add sp, sp, 176
    ret
    .size naglfar_test_call, . - naglfar_test_call
)");

// fpcr: how to round, and whether tiny numbers are 0.
using Modes = std::uint64_t;
constexpr Modes oneMode = 1u << 22;
constexpr Modes otherMode = 2u << 22 | 1u << 24;

Modes modes() {
  Modes now = 0;
  asm volatile("mrs %0, fpcr" : "=r"(now));
  return now;
}

void setModes(const Modes& to) {
  asm volatile("msr fpcr, %0" : : "r"(to));
}

#endif

#ifdef NAGLFAR_TEST_REGISTERS

using Registers = std::array<std::uint64_t, registers>;
extern "C" void naglfar_test_call(void (*function)(), std::uint64_t number,
                                  Registers* found);

// A place for each of them, and numbers that tell who has lost which.
constexpr std::uint64_t ours = 0x0123'4567'89ab'0000;
constexpr std::uint64_t theirs = 0x7edc'ba98'7654'0000;

Registers expected(std::uint64_t number) {
  Registers all;
  for (std::size_t i = 0; i < registers; ++i) all[i] = number + i;
  return all;
}

Registers foundByOther;
Modes modesOfOther;

#endif

}  // namespace

#ifdef NAGLFAR_TEST_REGISTERS
TEST_CASE("both sides find their registers again") {
  const Other other([] {
    for (std::uint64_t round = 0;; ++round)
      naglfar_test_call(toTheTest, theirs + (round << 8), &foundByOther);
  });
  toTheOther();
  for (std::uint64_t round = 0; round < 3; ++round) {
    Registers found{};
    naglfar_test_call(toTheOther, ours + (round << 8), &found);
    CHECK(found == expected(ours + (round << 8)));
    CHECK(foundByOther == expected(theirs + (round << 8)));
  }
}

TEST_CASE("both sides find their floating-point modes again") {
  if (RUNNING_ON_VALGRIND) return;  // it has one mode
  const Modes before = modes();
  const Other other([] {
    for (;;) {
      setModes(otherMode);
      toTheTest();
      modesOfOther = modes();
    }
  });
  toTheOther();
  CHECK(modes() == before);
  for (int round = 0; round < 3; ++round) {
    setModes(oneMode);
    toTheOther();
    const Modes after = modes();
    setModes(before);
    CHECK(after == oneMode);
    CHECK(modesOfOther == otherMode);
  }
}

TEST_CASE("a stack begins with the modes of who made it") {
  if (RUNNING_ON_VALGRIND) return;
  const Modes before = modes();
  setModes(oneMode);
  const Other other([] { modesOfOther = modes(); });
  setModes(before);
  toTheOther();
  CHECK(modes() == before);
  CHECK(modesOfOther == oneMode);
}
#endif

// --- the stack ---

namespace {
std::uintptr_t frameOfOther;
}

TEST_CASE("the first function finds its stack aligned wherever that ends") {
  for (const std::size_t unused : {0, 1, 8, 15, 16, 24, 40}) {
    const Other other(
        [] {
          frameOfOther =
              reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
        },
        unused);
    toTheOther();
    CHECK(other.holds(frameOfOther));
    CHECK(frameOfOther % 16 == 0);
  }
}

#if defined(NAGLFAR_SWITCH_ASM) && \
    (defined(__x86_64__) || defined(__aarch64__))
namespace {
std::array<std::uintptr_t, 3> lowestFrame;

void firstFunction() {
  hooks->arrived();
  const auto* frame =
      static_cast<const std::uintptr_t*>(__builtin_frame_address(0));
  lowestFrame = {frame[0], frame[1], 0};
#ifdef __x86_64__
  lowestFrame[2] = frame[2];
#endif
  for (;;) toTheTest();
}
}  // namespace

// Who follows frame pointers, as profilers do, or looks for a return address
// where none is, must come to an end as well.
TEST_CASE("below the first function there is a frame of zeros") {
  const Other other([] {}, 0, firstFunction);
  toTheOther();
  CHECK(lowestFrame[0] == 0);
  CHECK(lowestFrame[1] != 0);
  CHECK(lowestFrame[2] == 0);
}
#endif

TEST_CASE("a switch in assembly is no system call") {
  const Other other([] {});
  const auto before = naglfar::ledger[Call::rt_sigprocmask];
  for (int i = 0; i < 10; ++i) toTheOther();
  CHECK(naglfar::ledger[Call::rt_sigprocmask] - before ==
        (inAssembly ? 0 : 2 * 10));
}

#if defined(__ELF__) && defined(PT_GNU_STACK)
TEST_CASE("no stack is executable because of us") {
  bool found = false;
  bool executable = false;
  const auto look = [&](const dl_phdr_info& info) {
    for (int i = 0; i < info.dlpi_phnum; ++i) {
      if (info.dlpi_phdr[i].p_type != PT_GNU_STACK) continue;
      found = true;
      executable = executable || (info.dlpi_phdr[i].p_flags & PF_X) != 0;
    }
  };
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* to) {
        (*static_cast<decltype(look)*>(to))(*info);
        return 1;  // the program itself is the first
      },
      const_cast<void*>(static_cast<const void*>(&look)));
  CHECK(found);
  CHECK_FALSE(executable);
}
#endif

// --- unwinding ---

namespace {

std::vector<std::uintptr_t> frames;
_Unwind_Reason_Code ending;

[[gnu::noinline]] void takeBacktrace() {
  ending = _Unwind_Backtrace(
      [](_Unwind_Context* context, void*) {
        frames.push_back(_Unwind_GetCFA(context));
        return frames.size() < 100 ? _URC_NO_REASON : _URC_NORMAL_STOP;
      },
      nullptr);
}

}  // namespace

TEST_CASE("a backtrace ends where the stack does") {
  const Other other([] {
    takeBacktrace();
    toTheTest();
    takeBacktrace();
  });
  for (int round = 0; round < 2; ++round) {
    frames.clear();
    toTheOther();
    CHECK(ending == _URC_END_OF_STACK);
    CHECK(frames.size() >= 3);
    CHECK(frames.size() < 20);
    for (const std::uintptr_t frame : frames) CHECK(other.holds(frame));
  }
}

namespace {
std::string caught;
}

TEST_CASE("what is thrown on another stack is caught there") {
  caught.clear();
  const Other other([] {
    for (const char* text : {"one", "two"}) {
      try {
        toTheTest();
        throw std::runtime_error(text);
      } catch (const std::runtime_error& error) {
        caught += error.what();
      }
    }
  });
  toTheOther();
  toTheOther();
  CHECK(caught == "one");
  toTheOther();
  CHECK(caught == "onetwo");
}

TEST_CASE("what nobody catches there ends at the bottom of the stack") {
  if (naglfar::fiberHooksOn) return;
  const pid_t child = naglfar::sys::fork();
  REQUIRE(child != -1);
  if (child == 0) {
    std::set_terminate([] { _exit(7); });
    const Other other([] { throw std::runtime_error("nobody's"); });
    toTheOther();
    _exit(1);
  }
  int status = 0;
  REQUIRE(naglfar::sys::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 7);
}
