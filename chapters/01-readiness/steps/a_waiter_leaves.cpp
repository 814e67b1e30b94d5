// The byte comes after the waiter has gone. Where the kernel keeps the
// address of the waiter, it would give that address back now.
//! 4: nothing to run

#include <cstdio>

#include "naglfar/poller.hpp"

using namespace naglfar;

struct Reader final : Job {
  void run() override { std::puts("a job that is gone runs"); }
};

int main() {
  Poller poller;
  JobQueue ready;
  const sys::Pipe pipe;
  {
    Reader reader;
    Waiter waiter(reader);
    poller.watch(pipe.reader.get(), Interest::read, waiter);
  }
  sys::check(sys::write(pipe.writer.get(), "!", 1), "write");
  poller.poll(std::chrono::seconds(1), ready);
  while (Job* job = ready.pop()) job->run();
  std::puts("nothing to run");
}
