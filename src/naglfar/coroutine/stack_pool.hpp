/// @file coroutine/stack_pool.hpp
/// Stacks for coroutines: cut from large mappings, each with a guard, handed
/// out again last in, first out, while their pages are still warm.
///
/// Invariants:
/// - The guard below a stack cannot be touched: an overflow is a fault, and
///   never another coroutine's data. A frame larger than the guard must not
///   step over it, so the build asks for -fstack-clash-protection. The guard
///   is larger than the frames of libraries that were built without.
/// - A stack that was not used yet costs address space and no memory. A stack
///   that is in use keeps the pages that it has touched, of the usual size
///   and never huge ones.
/// - Of the stacks that are free, at most 2 * `reserve` keep their pages. The
///   address space stays the pool's.
///
/// Asks of sys: mmap and munmap; MADV_GUARD_INSTALL, by process_madvise for a
/// whole slab or by madvise for a guard, or else mprotect; and madvise for
/// the size of pages and to give them back.

#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "naglfar/coroutine/overflow.hpp"

namespace naglfar {

/// @addtogroup coroutine
/// @{

// [stack-pool]
/// Hands out stacks of one size.
class StackPool {
 public:
  /// Bytes in a stack. Sanitizers make frames several times larger.
  static const std::size_t stackSize;
  /// @return Bytes in the guard below a stack, of address space only. A frame
  ///         of code that was built without -fstack-clash-protection must be
  ///         smaller.
  static std::size_t guardSize();
  /// How many free stacks keep their pages, after others gave theirs back.
  static constexpr std::size_t reserve = 128;

  /// Unmaps all stacks. None may be in use, except where a coroutine ends the
  /// process by exit(3): then the stacks stay mapped, because the caller
  /// stands on one of them.
  ~StackPool();
  StackPool& operator=(StackPool&&) = delete;  // nor may it be copied

  /// @return The low end of a stack that is not in use.
  /// @throws std::system_error If the system gives no more memory, or no more
  ///         mappings (vm.max_map_count, where guards need mappings).
  char* acquire();

  /// Takes a stack back. No coroutine may be standing on it. Allocates
  /// nothing: the end of a coroutine must not fail for want of memory.
  /// @param stack What acquire() returned.
  void release(char* stack) noexcept;

  /// @return How guards are made here: "MADV_GUARD_INSTALL" or "mprotect".
  static const char* guardMethod();

 private:
  // [stack-pool-private]
  void mapSlab();
  void giveBack() noexcept;

  std::optional<OverflowReport> report_;
  std::vector<char*> slabs_;
  std::vector<char*> free_;  // the first `cold_` of them have no pages
  std::size_t cold_ = 0;
  char* fresh_ = nullptr;  // the guard of the first stack never handed out
  char* slabEnd_ = nullptr;
  bool slabGuarded_ = false;  // if false, each stack's guard is made alone
  std::size_t inUse_ = 0;
  // [/stack-pool-private]
};
// [/stack-pool]

/// @}

}  // namespace naglfar
