// A destructor says goodbye, and waits until it is heard. It runs when its
// coroutine is unwound, and then to wait is to throw.

#include <cstdio>

#include "naglfar/coroutine.hpp"

using naglfar::Coroutine;

struct Polite {
  ~Polite() {
    std::puts("goodbye");
#ifndef CURED
    Coroutine::suspend();
#endif
  }
};

int main() {
  naglfar::StackPool stacks;
  Coroutine& coroutine = Coroutine::make(stacks, [] {
    const Polite polite;
    Coroutine::suspend();
  });
  coroutine.resume();
  std::puts("nobody has any use for it any more");
  Coroutine::destroy(coroutine);
  std::puts("and it has gone");
}
