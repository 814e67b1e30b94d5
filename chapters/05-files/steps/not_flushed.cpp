// A writer writes, and lets the file go.
//! 4: 0 bytes arrive
//! 5: 5 bytes arrive

#include <cstdio>

#include "naglfar/scheduled_file.hpp"

using namespace naglfar;

// The file of step 4 has no close().
template <class File>
static void end(File& file) {
  if constexpr (requires { file.close(); }) file.close();
}

int main() {
  Scheduler scheduler;
  sys::Pipe pipe;
  go([&] {
    ScheduledFile file(std::move(pipe.writer));
    file.write("hello");
    end(file);
  });
  go([&] {
    const std::string all = goRead(pipe.reader.get(), 100);
    std::printf("%d bytes arrive\n", static_cast<int>(all.size()));
  });
  scheduler.run();
}
