// A head, whose length is not known before it ends, and the lines behind it.
//! 9: the head: a: 1|b: 2||
//! 9: a line: first
//! 9: a line: second

#include <algorithm>
#include <cstdio>

#include "naglfar/scheduled_file.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  sys::Pipe pipe;
  go([&] {
    ScheduledFile file(std::move(pipe.reader));
    std::string head;
    for (std::string& piece : file.readUntil("\n\n")) head += piece;
    std::replace(head.begin(), head.end(), '\n', '|');
    std::printf("the head: %s\n", head.c_str());
    for (const std::string& line : file)
      std::printf("a line: %s", line.c_str());
  });
  go([&] {
    for (const char* piece : {"a: 1\nb", ": 2\n", "\nfirst\nse", "cond\n"}) {
      goWrite(pipe.writer.get(), piece);
      yield();
    }
    pipe.writer = sys::Fd();
  });
  scheduler.run();
}
