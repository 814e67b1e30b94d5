// Counts calls of operator new, by replacing it. Linked into the comet
// programs only: a library has no business to replace anybody's operators.

#include <cstdlib>
#include <new>

#include "naglfar/sys/ledger.hpp"

// [operator-new]
void* operator new(std::size_t size) {
  ++naglfar::ledger.allocations;
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
// [/operator-new]
