// A coroutine throws. Below its first frame there is nothing that could
// catch.
//! 6: terminate called after throwing an instance of 'std::runtime_error'
//! 6:   what():  too bad
//! 6 ends by SIGABRT
//! 7: caught: too bad

#include <cstdio>
#include <stdexcept>

#include "naglfar/coroutine.hpp"

using namespace naglfar;

int main() try {
  StackPool pool;
  Coroutine::make(pool, [] { throw std::runtime_error("too bad"); }).resume();
} catch (const std::exception& error) {
  std::printf("caught: %s\n", error.what());
}
