// The same mistake with a scheduler. It knows which coroutines have not
// ended, and that no job is left to wake them.

#include <cstdio>
#include <string>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  std::string message;

  go([&] {
    while (message.empty()) Scheduler::current().park("a message");
    std::printf("the reader has got: %s\n", message.c_str());
  }).name = "reader";
  go([&] {
    message = "hello";
    std::puts("the writer has written");
  }).name = "writer";

  try {
    scheduler.run();
  } catch (const Deadlock& error) {
    std::printf("%s", error.what());
    return 1;
  }
}
