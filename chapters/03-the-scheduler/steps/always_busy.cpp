// One coroutine always has something to do, and lets the others run in
// between. Another coroutine waits for a byte that is there.
//! 10: the reader had to wait for the end of the work
//! 11: the reader has read meanwhile

#include <cstdio>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  const sys::Pipe pipe;
  bool working = true;
  go([&] {
    scheduler.wait(pipe.reader.get(), Interest::read);
    std::puts(working ? "the reader has read meanwhile"
                      : "the reader had to wait for the end of the work");
  });
  go([&] {
    sys::check(sys::write(pipe.writer.get(), "!", 1), "write");
    for (int i = 0; i < 1000; ++i) yield();
    working = false;
  });
  scheduler.run();
}
