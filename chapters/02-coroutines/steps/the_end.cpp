// Eight coroutines, one after the other. Each could have the stack of the one
// before, if that one gave it back.
//! 5: 8 mmap
//! 6: 1 mmap

#include <cstdio>

#include "naglfar/coroutine.hpp"

using namespace naglfar;

int main() {
  StackPool pool;
  for (int i = 0; i < 8; ++i) Coroutine::make(pool, [] {}).resume();
  std::printf("%d mmap\n", static_cast<int>(ledger[Call::mmap]));
}
