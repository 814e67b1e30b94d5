// A coroutine recurses too deeply. Its stack ends, and the memory below is
// the stack of another coroutine.
//! 4: overwritten: yes
//! 5 ends by SIGSEGV

#include <cstdio>

#include "naglfar/coroutine.hpp"

using namespace naglfar;

static bool overwritten(const char* stack) {
  for (std::size_t i = 0; i < StackPool::stackSize; ++i)
    if (stack[i] != 0) return true;
  return false;
}

static int recurse(int depth) {
  volatile char page[1024] = {1};
  return depth == 0 ? page[0] : recurse(depth - 1) + page[0];
}

int main() {
  StackPool pool;
  char* first = pool.acquire();
  char* second = pool.acquire();
  char* lower = first < second ? first : second;
  pool.release(first < second ? second : first);  // the next to be used
  Coroutine& digger = Coroutine::make(pool, [] {
    recurse(80);
    Coroutine::suspend();
  });
  digger.resume();
  std::printf("overwritten: %s\n", overwritten(lower) ? "yes" : "no");
}
