// What `--check` says when a run does not finish: how far it came, whether it
// sleeps or spins, and where to look.
//
// The run is a child. It writes its progress into memory that it shares with
// the parent, so the parent can tell it after any end: a crash, a deadlock, a
// loop without end.

#pragma once

#include <cstddef>

namespace comet {

// [progress]
// How far a run has come. Only its own process writes here.
struct Progress {
  std::size_t clients;
  std::size_t connected;
  std::size_t waiting;  // the server's count, as a client was told it
  std::size_t answered;
};

// How long a run under --check may take, in seconds.
inline constexpr int checkPatience = 10;

// Forks. Returns in the child, with memory for its progress. The parent waits
// for the child's end, says what it has seen, and exits: 0 if the run is
// good.
Progress& runUnderCheck(const char* program);
// [/progress]

}  // namespace comet
