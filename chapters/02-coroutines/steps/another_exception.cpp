// Two coroutines handle an exception at the same time. `throw;` means the one
// that was caught last in the thread.
//! 7: a caught b
//! 8: a caught a

#include <cstdio>
#include <exception>
#include <stdexcept>

#include "naglfar/coroutine.hpp"

using namespace naglfar;

static void catcher(const char* name) {
  try {
    throw std::runtime_error(name);
  } catch (...) {
    Coroutine::suspend();
    try {
      throw;
    } catch (const std::exception& error) {
      std::printf("%s caught %s\n", name, error.what());
    }
    Coroutine::suspend();
  }
}

int main() {
  StackPool pool;
  Coroutine& a = Coroutine::make(pool, [] { catcher("a"); });
  Coroutine& b = Coroutine::make(pool, [] { catcher("b"); });
  a.resume();
  b.resume();
  a.resume();
}
