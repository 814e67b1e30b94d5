// Two programs that talk through files. Each has a million bytes for the
// other, and writes them before it reads.

#include <cstdio>
#include <string>

#include "naglfar/scheduled_file.hpp"

using namespace naglfar;

static void talk(ScheduledFile& file) {
  const std::string mine(1'000'000, 'x');
#ifdef CURED
  go([&file, mine] { file.write(mine); });  // while this one reads
#else
  file.write(mine);
#endif
  const std::string theirs = file.read(mine.size());
  std::printf("one has read all %zu bytes\n", theirs.size());
}

int main() {
  Scheduler scheduler;
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
  ScheduledFile left{sys::Fd(ends[0])};
  ScheduledFile right{sys::Fd(ends[1])};
  for (ScheduledFile* file : {&left, &right}) {
    file->autoflush = true;
    go([file] { talk(*file); });
  }
  std::puts("both write");
  scheduler.run();
}
