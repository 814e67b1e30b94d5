// main and another function take turns. Neither returns to the other: each
// stops in the middle, and goes on there.
//! 1: main 1
//! 1: other 1
//! 1: main 2
//! 1: other 2
//! 1: main 3

#include <cstdio>

#include "naglfar/coroutine/switch.hpp"

using namespace naglfar;

static Context mainContext;
static Context otherContext;

static void other() {
  for (int i = 1;; ++i) {
    std::printf("other %d\n", i);
    switchContext(otherContext, mainContext);
  }
}

int main() {
  static char stack[65536];
  makeContext(otherContext, stack, sizeof stack, other);
  for (int i = 1; i < 3; ++i) {
    std::printf("main %d\n", i);
    switchContext(mainContext, otherContext);
  }
  std::puts("main 3");
}
