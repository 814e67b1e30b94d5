// The last reader of a full pipe goes away. A job waits to write to that
// pipe: its write would fail at once, and that is news, too.
//! 6: heard: no
//! 7: heard: yes

#include <cstdio>

#include "naglfar/poller.hpp"

using namespace naglfar;

struct Writer final : Job {
  void run() override { heard = true; }
  bool heard = false;
};

int main() {
  sys::Pipe pipe;
  char page[4096] = {};
  while (sys::write(pipe.writer.get(), page, sizeof page) > 0) continue;

  Poller poller;
  JobQueue ready;
  Writer writer;
  Waiter waiter(writer);
  poller.watch(pipe.writer.get(), Interest::write, waiter);
  poller.poll(sys::Duration(0), ready);  // full: nothing to hear
  pipe.reader = sys::Fd();
  for (int i = 0; i < 3; ++i) poller.poll(sys::Duration(0), ready);
  while (Job* job = ready.pop()) job->run();
  std::printf("heard: %s\n", writer.heard ? "yes" : "no");
}
