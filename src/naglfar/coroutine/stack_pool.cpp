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
//   nothing. The stacks that have been free for longest stand first.
//
// It asks sys for mapStacks, keepPagesSmall, unmap, guardAll, guard, protect,
// giveBackAll and giveBack.

#include "naglfar/coroutine/stack_pool.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>

#include "naglfar/coroutine.hpp"
#include "naglfar/sys.hpp"

namespace naglfar {

// [slab-sizes]
const std::size_t StackPool::stackSize = fiberHooksOn ? 256 << 10 : 64 << 10;

static constexpr std::size_t stacksInSlab = 128;

// A frame steps over a guard that is smaller than itself, if it was compiled
// without -fstack-clash-protection, as Debian's C library was. There a frame
// has up to 14 KiB, and alloca(3) takes up to 64 KiB besides (regexec(3) and
// others ask __libc_use_alloca). 128 KiB leave room for other libraries. One
// page more, because of the power of two.
std::size_t StackPool::guardSize() {
  static const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (128 << 10) + page;
}

static std::size_t slabSize() {
  return stacksInSlab * (StackPool::guardSize() + StackPool::stackSize);
}
// [/slab-sizes]

// [guards]
// MADV_GUARD_INSTALL leaves the mapping in one piece. mprotect cuts it in
// two for each guard, and a process may have only vm.max_map_count pieces.
static std::atomic<bool> guardByMadvise = true;  // until the kernel refuses

// Makes all guards of a slab. False if this kernel does not take the list.
static bool guardSlab(char* slab) {
  const std::size_t size = StackPool::guardSize();
  std::array<iovec, stacksInSlab> guards;
  for (iovec& guard : guards) {
    guard = {slab, size};
    slab += size + StackPool::stackSize;
  }
  const ssize_t guarded = sys::guardAll(guards.data(), guards.size());
  return guarded == static_cast<ssize_t>(guards.size() * size);
}

static bool installGuard(char* guard) {
  const std::size_t size = StackPool::guardSize();
  if (guardByMadvise && sys::guard(guard, size) == 0) return true;
  guardByMadvise = false;
  return sys::protect(guard, size) == 0;
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
  assert(inUse_ == 0 || Coroutine::current() != nullptr);
  if (inUse_ > 0) return;
  for (char* slab : slabs_) sys::unmap(slab, slabSize());
}

void StackPool::mapSlab() {
  if (!report_) report_.emplace();
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
  // A kernel that takes the list knows MAP_STACK, too. An older one might put
  // one huge page under many stacks.
  if (!slabGuarded_) sys::keepPagesSmall(fresh_, slabSize());
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
  cold_ = std::min(cold_, free_.size());
  ++inUse_;
  return stack;
}

void StackPool::release(char* stack) noexcept {
  assert(inUse_ > 0);
  --inUse_;
  free_.push_back(stack);
  if (free_.size() - cold_ == 2 * reserve) giveBack();
}
// [/take-and-give]

// [give-back]
// Gives the pages of the stacks that have been free for longest back to the
// system: many at once, so that a program whose load goes up and down by
// fewer stacks makes no calls. Their guards stay.
void StackPool::giveBack() noexcept {
  std::array<iovec, reserve> stacks;
  for (iovec& stack : stacks) stack = {free_[cold_++], stackSize};
  const ssize_t given = sys::giveBackAll(stacks.data(), stacks.size());
  if (given == static_cast<ssize_t>(reserve * stackSize)) return;
  for (const iovec& stack : stacks)
    sys::giveBack(stack.iov_base, stack.iov_len);
}
// [/give-back]

}  // namespace naglfar
