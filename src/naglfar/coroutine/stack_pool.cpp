// A slab is one mapping that holds many stacks:
//
//   slab                                                          slab end
//   | guard | stack 0      | guard | stack 1      | guard | ...          |
//           ^ low     high ^       ^
//
// Stacks grow down, from high to low, so that a stack that grows too far runs
// into the guard below it. A stack and its guard are together not a power of
// two: tops of stacks that were all a multiple of 64 KiB apart would compete
// for the same few lines of the cache.
//
// Invariants:
// - A stack that was handed out once has its guard.
// - `free_` has room for the stacks of all slabs, so release() allocates
//   nothing.
//
// It asks sys for mapStacks, unmap, guardAll, guard and protect.

#include "naglfar/coroutine/stack_pool.hpp"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cassert>

#include "naglfar/coroutine/fiber_hooks.hpp"
#include "naglfar/sys.hpp"

namespace naglfar {

// [slab-sizes]
const std::size_t StackPool::stackSize = fiberHooksOn ? 256 << 10 : 64 << 10;

static constexpr std::size_t stacksInSlab = 128;

static std::size_t guardSize() {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return page;
}

static std::size_t slabSize() {
  return stacksInSlab * (guardSize() + StackPool::stackSize);
}
// [/slab-sizes]

// [guards]
// MADV_GUARD_INSTALL leaves the mapping in one piece. mprotect cuts it in
// two for each guard, and a process may have only vm.max_map_count pieces.
static std::atomic<bool> guardByMadvise = true;  // until the kernel refuses

// Makes all guards of a slab. False if this kernel does not take the list.
static bool guardSlab(char* slab) {
  std::array<iovec, stacksInSlab> guards;
  for (iovec& page : guards) {
    page = {slab, guardSize()};
    slab += guardSize() + StackPool::stackSize;
  }
  const ssize_t guarded = sys::guardAll(guards.data(), guards.size());
  return guarded == static_cast<ssize_t>(guards.size() * guardSize());
}

static bool installGuard(char* page) {
  if (guardByMadvise && sys::guard(page, guardSize()) == 0) return true;
  guardByMadvise = false;
  return sys::protect(page, guardSize()) == 0;
}

const char* StackPool::guardMethod() {
  StackPool pool;
  pool.release(pool.acquire());
  return guardByMadvise ? "MADV_GUARD_INSTALL" : "mprotect";
}
// [/guards]

// [slabs]
// After exit(3) in a coroutine the process stands on one of them.
StackPool::~StackPool() {
  if (inUse_ > 0) return;
  for (char* slab : slabs_) sys::unmap(slab, slabSize());
}

void StackPool::mapSlab() {
  // The lists grow before the slab is mapped. A slab that is not in the list
  // of slabs would be lost; and all its stacks must find room in the list of
  // free stacks, whenever their coroutines end.
  if (slabs_.size() == slabs_.capacity()) {
    const std::size_t slabs = 2 * slabs_.size() + 8;
    free_.reserve(slabs * stacksInSlab);
    slabs_.reserve(slabs);
  }
  fresh_ = static_cast<char*>(
      sys::check(sys::mapStacks(slabSize()), "mmap of stacks"));
  slabEnd_ = fresh_ + slabSize();
  slabs_.push_back(fresh_);
  slabGuarded_ = guardByMadvise && guardSlab(fresh_);
}
// [/slabs]

// [take-and-give]
char* StackPool::acquire() {
  if (free_.empty()) {
    if (fresh_ == slabEnd_) mapSlab();
    if (!slabGuarded_ && !installGuard(fresh_))
      sys::fail(errno, "guard page of a stack");
    free_.push_back(fresh_ + guardSize());
    fresh_ += guardSize() + stackSize;
  }
  char* stack = free_.back();
  free_.pop_back();
  ++inUse_;
  return stack;
}

void StackPool::release(char* stack) noexcept {
  assert(inUse_ > 0);
  --inUse_;
  free_.push_back(stack);
}
// [/take-and-give]

}  // namespace naglfar
