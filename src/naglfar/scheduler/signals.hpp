/// @file scheduler/signals.hpp
/// A signal becomes a job: the handler writes its number into a pipe, and the
/// poller sees the pipe like any other descriptor.
///
/// Invariant: what a signal asks for runs between two jobs, on the
/// scheduler's stack, where everything is allowed but to wait.
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
/// with. A process has at most one Signals object. Signals alone keep no
/// scheduler running. In a child made by fork(2) the signals have their
/// default actions back: the pipe would carry them to the parent.
class Signals final : private Job {
 public:
  /// @throws std::system_error If no pipe can be had.
  /// @throws std::logic_error If the process has a Signals object already, or
  ///         the thread no Scheduler.
  Signals();
  /// Gives the signals their default action back.
  ~Signals();

  /// Says what a signal shall do.
  /// @param signal Its number, such as SIGTERM.
  /// @param action Called for each signal that arrives; must not wait.
  /// @throws std::logic_error If the scheduler has ended, or in a child.
  /// @throws std::system_error If the system lets no handler have the signal.
  void on(int signal, std::function<void()> action);

 private:
  void run() override;
  static void handle(int signal, siginfo_t* info, void* context);
  static void stop();

  Scheduler& scheduler_;  // calls run(), and only run() uses it
  sys::Pipe pipe_;
  std::map<int, std::function<void()>> actions_;
  Waiter waiter_{*this};

  static inline constinit Signals* only_ = nullptr;
};
// [/signals]

/// @}

}  // namespace naglfar
