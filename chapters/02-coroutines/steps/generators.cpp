// Two functions that count, each in a loop of its own. Each stops after every
// number, and main asks the one or the other for the next.
//! 2: a 1
//! 2: b 1
//! 2: a 2
//! 2: a 3
//! 2: b 2

#include <cstdio>

#include "naglfar/coroutine.hpp"

using namespace naglfar;

struct Generator final : Coroutine {
  explicit Generator(const char* text)
      : Coroutine(memory, sizeof memory), name(text) {}
  void body() override {
    for (int i = 1;; ++i) {
      std::printf("%s %d\n", name, i);
      suspend();
    }
  }
  const char* name;
  char memory[65536];
};

int main() {
  static Generator a("a");
  static Generator b("b");
  for (Generator* next : {&a, &b, &a, &a, &b}) next->resume();
}
