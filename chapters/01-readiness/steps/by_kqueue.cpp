// The poller that asks kqueue passes the same tests. Here, on whatever system
// this is, one byte wakes one job.
//! 12: woken
//! 13: woken

#include <cstdio>

#include "naglfar/poller.hpp"

using namespace naglfar;

struct Reader final : Job {
  void run() override { std::puts("woken"); }
};

int main() {
  const sys::Pipe pipe;
  Poller poller;
  JobQueue ready;
  Reader reader;
  Waiter waiter(reader);
  poller.watch(pipe.reader.get(), Interest::read, waiter);
  sys::check(sys::write(pipe.writer.get(), "!", 1), "write");
  poller.poll(std::chrono::seconds(1), ready);
  while (Job* job = ready.pop()) job->run();
}
