// Three writes, and one system call for all of them.
//! 4: 0 calls before flush()
//! 4: 1 after it

#include <cstdio>

#include "naglfar/scheduled_file.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  go([] {
    sys::Pipe pipe;
    ScheduledFile file(std::move(pipe.writer));
    for (const char* word : {"Hello", ", ", "world"}) file.write(word);
    std::printf("%d calls before flush()\n",
                static_cast<int>(ledger[Call::write]));
    file.flush();
    std::printf("%d after it\n", static_cast<int>(ledger[Call::write]));
  });
  scheduler.run();
}
