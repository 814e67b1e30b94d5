// A coroutine sleeps, and will never be resumed. What it holds is lost,
// unless its stack is unwound.
//! 9: the descriptor is closed: yes
//! 9: a new one never runs

#include <cstdio>

#include "naglfar/coroutine.hpp"

using namespace naglfar;

int main() {
  StackPool pool;
  Coroutine& sleeper = Coroutine::make(pool, [] {
    const sys::Fd mine(sys::check(sys::dup(1), "dup"));
    Coroutine::suspend();
    std::puts("not reached");
  });
  sleeper.resume();
  Coroutine::destroy(sleeper);
  std::printf("the descriptor is closed: %s\n",
              ledger[Call::close] == 1 ? "yes" : "no");

  Coroutine::destroy(Coroutine::make(pool, [] { std::puts("it runs"); }));
  std::puts("a new one never runs");
}
