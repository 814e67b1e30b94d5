// A server of three requests. The handler has a bug, and the second request
// meets it: the exception leaves its coroutine, and then the scheduler, which
// cancels the others before.

#include <cstdio>
#include <stdexcept>
#include <string>

#include "naglfar/channel.hpp"

using namespace naglfar;

static void handle(const std::string& request) {
  if (request.empty()) throw std::out_of_range("the first letter of nothing");
  std::printf("answered: %s\n", request.c_str());
}

int main() {
  Scheduler scheduler;
  Channel<std::string> requests;
  for (const char* request : {"one", "", "three"}) requests.write(request);
  requests.close();

  for (const std::string& request : requests)
    go([request] {
#ifdef CURED
      try {
        handle(request);
      } catch (const std::exception& error) {
        std::printf("not answered: %s\n", error.what());
      }
#else
      handle(request);
#endif
    });
  scheduler.run();
}
