// What the fuzzers share. A fuzzer is a function that takes any bytes, and
// ends the process if something that must hold does not. libFuzzer calls it
// with bytes that it makes up; replay.cpp with those that were kept.
//
// In what is sent, a byte 0xff is not sent: it ends a piece, and the next
// piece comes when all coroutines have done what can be done with this one.
//
// Invariant: the same bytes are the same run, for all of it happens in the
// simulated kernel.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "naglfar/scheduled_file.hpp"
#include "naglfar/sim.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size);

namespace fuzz {

using namespace naglfar;

// [fuzz-expect]
inline void expect(bool holds, std::string_view what) {
  if (holds) return;
  std::fprintf(stderr, "does not hold: %.*s\n", static_cast<int>(what.size()),
               what.data());
  std::abort();
}

inline void expectNoCoroutine(const Scheduler& scheduler) {
  scheduler.forEachCoroutine(
      [](const Coroutine&) { expect(false, "no coroutine is left"); });
}

inline std::string_view text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// What stands before the first line end, which is taken off. A target is
// told by it what to do with the rest.
inline std::string_view takeLine(std::string_view& rest) {
  const std::string_view line = rest.substr(0, rest.find('\n'));
  rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  return line;
}
// [/fuzz-expect]

// [fuzz-pieces]
inline std::vector<std::string> pieces(std::string_view script) {
  std::vector<std::string> all(1);
  for (const char c : script) {
    if (c == '\xff')
      all.emplace_back();
    else
      all.back() += c;
  }
  return all;
}

inline std::string whole(std::string_view script) {
  std::string all;
  for (const std::string& piece : pieces(script)) all += piece;
  return all;
}

// Calls `reader` with a file to which the pieces come, and then its end.
template <class Reader>
void arrive(std::string_view script, Reader reader) {
  sim::Kernel kernel(1);
  {
    Scheduler scheduler;
    int ends[2];
    sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
    go([&script, writer = sys::Fd(ends[1])]() mutable {
      ScheduledFile file(std::move(writer));
      for (const std::string& piece : pieces(script)) {
        file.write(piece);
        file.flush();
        naglfar::sleep(std::chrono::milliseconds(1));
      }
    });
    scheduler.unhandled = [](std::exception_ptr) {};  // EPIPE, of the writer
    {
      ScheduledFile file{sys::Fd(ends[0])};
      reader(file);
    }
    scheduler.run();
    expectNoCoroutine(scheduler);
  }
  expect(kernel.openDescriptors() == 0, "every descriptor is closed");
}
// [/fuzz-pieces]

}  // namespace fuzz
