// Two jobs want to read from the same descriptor. Edges tell the news once:
// which of them would hear it?
//! 7: both wait
//! 8: watch: another waits: Device or resource busy

#include <cstdio>

#include "naglfar/poller.hpp"

using namespace naglfar;

struct Nothing final : Job {
  void run() override {}
};

int main() try {
  const sys::Pipe pipe;
  Poller poller;
  Nothing job;
  Waiter first(job);
  Waiter second(job);
  poller.watch(pipe.reader.get(), Interest::read, first);
  poller.watch(pipe.reader.get(), Interest::read, second);
  std::puts("both wait");
} catch (const std::system_error& error) {
  std::puts(error.what());
}
