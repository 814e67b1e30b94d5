/// @file coroutine/stack_pool.hpp
/// Stacks for coroutines: cut from large mappings, each with a guard page,
/// handed out again last in, first out, while their pages are still warm.
///
/// Invariants:
/// - The page below a stack cannot be touched: an overflow is a fault, and
///   never another coroutine's data. A frame larger than that page must not
///   step over it, so the build asks for -fstack-clash-protection.
/// - A stack that was not used yet costs address space and no memory.
///
/// Asks of sys: mmap; and MADV_GUARD_INSTALL, by process_madvise for a whole
/// slab or by madvise for a page, or else mprotect; and munmap.

#pragma once

#include <cstddef>
#include <vector>

namespace naglfar {

/// @addtogroup coroutine
/// @{

// [stack-pool]
/// Hands out stacks of one size.
class StackPool {
 public:
  /// Bytes in a stack. Sanitizers make frames several times larger.
  static const std::size_t stackSize;

  /// Unmaps all stacks, unless one is in use: exit(3) in a coroutine ends a
  /// static pool.
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
  void mapSlab();

  std::vector<char*> slabs_;
  std::vector<char*> free_;
  char* fresh_ = nullptr;  // the guard of the first stack never handed out
  char* slabEnd_ = nullptr;
  bool slabGuarded_ = false;  // if false, each stack's guard is made alone
  std::size_t inUse_ = 0;
};
// [/stack-pool]

/// @}

}  // namespace naglfar
