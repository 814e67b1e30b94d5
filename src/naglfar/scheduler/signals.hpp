/// @file scheduler/signals.hpp
/// A signal becomes a job: the handler counts it, and writes a byte into a
/// pipe, which the poller sees like any other descriptor.
///
/// Invariants:
/// - Each signal has a count of its own, so however many signals of one kind
///   come, no other kind is lost. The pipe only wakes.
/// - What a signal asks for runs between two jobs, on the scheduler's stack,
///   where everything is allowed but to wait.
/// - What the program did at a signal before is done again when the object is
///   gone, and in a child.
///
/// Asks of the scheduler: watch and wake; of sys: a pipe, and sigaction.

#pragma once

#include <functional>
#include <map>

#include "naglfar/scheduler.hpp"

namespace naglfar {

/// @addtogroup scheduler
/// @{

// [signals]
/// Calls functions when signals arrive, in the scheduler that it was made
/// with, whichever thread the kernel chose for the signal. A process has at
/// most one Signals object. Signals alone keep no scheduler running. In a
/// child made by fork(2) the object is stopped, and each signal does what it
/// did before on(): the counts are the parent's.
class Signals final : private Job {
 public:
  /// @throws std::system_error If no pipe can be had.
  /// @throws std::logic_error If the process has a Signals object already, or
  ///         the thread no Scheduler.
  Signals();
  /// Each signal does again what it did before on(), unless the program has
  /// set another handler since.
  ~Signals();

  /// Says what a signal shall do, in the place of what it did before.
  /// @param signal Its number, such as SIGTERM.
  /// @param action Called for each signal that arrives; must not wait. The
  ///        actions of different signals take turns.
  /// @throws std::logic_error In another thread, in a child, or if the
  ///         scheduler has ended.
  /// @throws std::system_error If the system lets no handler have the signal.
  void on(int signal, std::function<void()> action);

 private:
  struct Action {
    std::function<void()> run;
    struct sigaction former;
  };
  void run() override;
  int nextArrived();
  static void handle(int signal, siginfo_t* info, void* context);
  void stop();
  static void stopInChild();

  Scheduler& scheduler_;  // calls run(), and only run() uses it
  sys::Pipe pipe_;
  std::map<int, Action> actions_;
  Waiter waiter_{*this};
  std::size_t last_ = 0;  // the signal whose action ran last
  bool stopped_ = false;

  static inline constinit Signals* only_ = nullptr;
};
// [/signals]

/// @}

}  // namespace naglfar
