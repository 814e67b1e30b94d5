// A coroutine of any function, with what the function has captured. Nothing
// is allocated for it: it stands at the top of its stack.
//! 4: 1 2 3
//! 4: the function stands on the stack: yes

#include <cstdio>

#include "naglfar/coroutine.hpp"

using namespace naglfar;

int main() {
  StackPool pool;
  int number = 0;
  Coroutine& counter = Coroutine::make(pool, [&number] {
    for (;;) {
      ++number;
      Coroutine::suspend();
    }
  });
  for (int i = 0; i < 3; ++i) {
    counter.resume();
    std::printf("%d%c", number, i < 2 ? ' ' : '\n');
  }
  char* other = pool.acquire();
  const auto distance = reinterpret_cast<char*>(&counter) - other;
  const auto near = 2 * static_cast<long>(StackPool::stackSize);
  std::printf("the function stands on the stack: %s\n",
              -near < distance && distance < near ? "yes" : "no");
}
