// The limits of this machine that a run with many clients meets, and what to
// do about them. The harness asks before a run; doctor prints them all.

#pragma once

#include <cstddef>

namespace comet {

// [limits]
// How many descriptors this process may have: now, and at most.
struct DescriptorLimit {
  std::size_t soft;
  std::size_t hard;
};
DescriptorLimit descriptorLimit();

// Raises the soft limit to at least `wanted`, if the hard limit allows it.
// Nobody but this process is concerned, and no privilege is needed.
bool raiseDescriptorLimit(std::size_t wanted);

// Beside its connections a process needs standard input, output and error,
// the listener, the poller, pipes, and the status client's connection.
inline constexpr std::size_t otherDescriptors = 16;

// Descriptors that a process needs for `clients`, if it holds both ends of
// each connection or one end.
constexpr std::size_t descriptorsFor(std::size_t clients, bool bothEnds) {
  return clients * (bothEnds ? 2 : 1) + otherDescriptors;
}

// The largest run that a hard limit allows.
constexpr std::size_t largestRun(std::size_t hardLimit, bool bothEnds) {
  if (hardLimit < otherDescriptors) return 0;
  return (hardLimit - otherDescriptors) / (bothEnds ? 2 : 1);
}
// [/limits]

}  // namespace comet
