// Three coroutines wait for the same thing, and it comes for all of them. One
// of them has lost its patience by then.
//! 15: Ada: Connection timed out
//! 15: Bob has it
//! 15: Cy has it

#include <cstdio>
#include <system_error>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  WaitQueue line;
  const auto wait = [&line](const char* name, Deadline deadline) {
    try {
      WaitQueue::Entry(line).wait("tea", deadline);
      std::printf("%s has it\n", name);
    } catch (const std::system_error& error) {
      std::printf("%s: %s\n", name, error.code().message().c_str());
    }
  };
  go(wait, "Ada", after(std::chrono::milliseconds(10)));
  go(wait, "Bob", never);
  go(wait, "Cy", never);
  go([&line] {
    sleep(std::chrono::milliseconds(20));
    line.notifyAll();
  });
  scheduler.run();
}
