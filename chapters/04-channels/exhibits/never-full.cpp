// The writer is faster than the reader: it writes 64 lines in a turn, for
// that is the budget, and the reader takes a turn for each line. Nothing
// makes the writer wait. All that it has written lies in memory, of which an
// exhibit has 512 MiB.

#include <cstdio>
#include <new>
#include <string>

#include "naglfar/channel.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  bool enough = true;
#ifdef CURED
  Channel<std::string> lines(100);
#else
  Channel<std::string> lines;
#endif
  go([&] {
    try {
      for (int i = 0; i < 600'000; ++i) lines.write(std::string(1000, 'x'));
    } catch (const std::bad_alloc&) {
      std::puts("the writer has no memory left");
      enough = false;
    }
    lines.close();
  });
  go([&] {
    int n = 0;
    for (; enough && lines.next(); ++n) yield();
    if (enough) std::printf("the reader has read %d lines\n", n);
  });
  scheduler.run();
  return enough ? 0 : 1;
}
