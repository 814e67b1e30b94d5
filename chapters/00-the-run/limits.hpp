// The limits of this machine that a run with many clients meets, and what to
// do about them. The harness asks before a run; doctor prints them all.

#pragma once

#include <cstddef>

namespace comet {

// [limits]
// How many descriptors this process may have now, and how many at most. On
// macOS the kernel has a limit of its own, which binds if it is lower.
struct DescriptorLimit {
  std::size_t soft;
  std::size_t hard;
};
DescriptorLimit descriptorLimit();

// How many are open: standard input, output and error, and whatever else the
// program was started with.
std::size_t openDescriptors();

// Raises the soft limit to at least `wanted`, if the hard limit allows it.
// Nobody but this process is concerned, and no privilege is needed.
bool raiseDescriptorLimit(std::size_t wanted);

// Beside its connections a run opens listeners, pollers, pipes, and the
// status client's connection.
inline constexpr std::size_t otherDescriptors = 13;

// Descriptors that a process needs for `clients`, if it holds both ends of
// each connection or one end. `open` are open already.
constexpr std::size_t descriptorsFor(std::size_t clients, bool bothEnds,
                                     std::size_t open) {
  return open + otherDescriptors + clients * (bothEnds ? 2 : 1);
}

// The largest run that a hard limit allows.
constexpr std::size_t largestRun(std::size_t hardLimit, bool bothEnds,
                                 std::size_t open) {
  const std::size_t others = open + otherDescriptors;
  if (hardLimit < others) return 0;
  return (hardLimit - others) / (bothEnds ? 2 : 1);
}
// [/limits]

}  // namespace comet
