// A descriptor is closed while a job waits for it. The kernel forgets it, and
// nothing would ever wake the job.
//! 9: woken: Operation canceled

#include <cstdio>
#include <system_error>

#include "naglfar/poller.hpp"

using namespace naglfar;

struct Reader final : Job {
  void run() override {
    const std::error_code why(waiter.error, std::generic_category());
    std::printf("woken: %s\n", why.message().c_str());
  }
  Waiter waiter{*this};
};

int main() {
  sys::Pipe pipe;
  Poller poller;
  JobQueue ready;
  Reader reader;
  poller.watch(pipe.reader.get(), Interest::read, reader.waiter);
  poller.deregister(pipe.reader.get(), ready);
  pipe.reader = sys::Fd();
  while (Job* job = ready.pop()) job->run();
}
