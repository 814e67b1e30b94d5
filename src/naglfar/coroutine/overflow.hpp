/// @file coroutine/overflow.hpp
/// The report that a stack which grew too far gets instead of a bare crash.
///
/// The actions of SIGSEGV and SIGBUS belong to the process, and a thread has
/// one alternate stack for its signals. Both are borrowed from the program.
///
/// Invariants:
/// - The action that was set before is taken after each report, and for each
///   signal that is no overflow. It is put back when the last object of this
///   class is gone, unless the program has set another one meanwhile.
/// - A thread that has an alternate stack keeps it.
///
/// Asks of Coroutine: reportOverflow; of sys: signalAction and signalStack.

#pragma once

#include <csignal>

namespace naglfar {

/// @addtogroup coroutine
/// @{

// [overflow-report]
/// While an object of this class lives, an overflow is reported. The thread
/// that makes it is the one whose stacks are watched. Sanitizers have
/// handlers of their own: with them, this class does nothing.
class OverflowReport {
 public:
  OverflowReport();
  ~OverflowReport();
  OverflowReport& operator=(OverflowReport&&) = delete;  // nor copied

 private:
  static void handle(int signal, siginfo_t* info, void* context);
};
// [/overflow-report]

/// @}

}  // namespace naglfar
