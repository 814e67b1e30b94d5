// A hundred jobs wait for a byte, each on a pipe of its own. One
// byte comes. How many jobs run for it?
//! 1: 100 jobs have run, and 1 has found a byte
//! 2: 100 jobs have run, and 1 has found a byte
//! 3: 1 jobs have run, and 1 has found a byte

#include <cstdio>
#include <deque>

#include "naglfar/poller.hpp"

using namespace naglfar;

static int ran = 0;
static int found = 0;

struct Reader final : Job {
  void run() override {
    ++ran;
    char byte;
    if (sys::read(pipe.reader.get(), &byte, 1) == 1) ++found;
  }
  sys::Pipe pipe;
  Waiter waiter{*this};
};

int main() {
  Poller poller;
  JobQueue ready;
  std::deque<Reader> readers(100);
  for (Reader& reader : readers)
    poller.watch(reader.pipe.reader.get(), Interest::read, reader.waiter);

  sys::check(sys::write(readers[42].pipe.writer.get(), "!", 1), "write");
  poller.poll(std::chrono::seconds(1), ready);
  while (Job* job = ready.pop()) job->run();
  std::printf("%d jobs have run, and %d has found a byte\n", ran, found);
}
