// Ada waits for Bob, and Bob for Ada.
//! 3: the program ends without a word
//! 4: deadlock: no job can run, and these wait for ever:
//! 4:   Ada waits for Bob
//! 4:   Bob waits for Ada

#include <cstdio>
#include <stdexcept>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() try {
  Scheduler scheduler;
  go([&] { scheduler.park("Bob"); }).name = "Ada";
  go([&] { scheduler.park("Ada"); }).name = "Bob";
  scheduler.run();
  std::puts("the program ends without a word");
} catch (const std::runtime_error& error) {
  std::printf("%s", error.what());
}
