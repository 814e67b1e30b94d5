// A coroutine of any function, with what the function has captured. Nothing
// is allocated for it: it stands at the top of its stack.
//! 4: 1 2 3
//! 4: the function stands on the stack: yes

#include <cstdint>
#include <cstdio>

#include "naglfar/coroutine.hpp"

using namespace naglfar;

int main() {
  StackPool pool;
  int number = 0;
  std::uintptr_t onStack = 0;
  Coroutine& counter = Coroutine::make(pool, [&number, &onStack] {
    const char local = 0;
    onStack = reinterpret_cast<std::uintptr_t>(&local);
    for (;;) {
      ++number;
      Coroutine::suspend();
    }
  });
  for (int i = 0; i < 3; ++i) {
    counter.resume();
    std::printf("%d%c", number, i < 2 ? ' ' : '\n');
  }
  const auto distance = reinterpret_cast<std::uintptr_t>(&counter) - onStack;
  std::printf("the function stands on the stack: %s\n",
              distance < StackPool::stackSize ? "yes" : "no");
}
