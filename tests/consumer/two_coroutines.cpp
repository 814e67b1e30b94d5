// Somebody who wants coroutines and no server.

#include <string>

#include "naglfar/scheduler.hpp"

int main() {
  std::string said;
  naglfar::Scheduler scheduler;
  for (const char* word : {"one ", "two "})
    naglfar::go([&said, word] {
      said += word;
      naglfar::yield();
      said += word;
    });
  scheduler.run();
  return said == "one two one two " ? 0 : 1;
}
