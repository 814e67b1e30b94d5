/// @file scheduler/signals.hpp
/// A signal becomes a job: the handler writes its number into a pipe, and the
/// poller sees the pipe like any other descriptor.
///
/// Invariant: what a signal asks for runs between two jobs, on the
/// scheduler's stack, where everything is allowed but to wait.
///
/// Asks of the scheduler: watch and wake.

#pragma once

#include <functional>
#include <map>

#include "naglfar/scheduler.hpp"

namespace naglfar {

/// @addtogroup scheduler
/// @{

// [signals]
/// Calls functions when signals arrive, in the scheduler that it was made
/// with. One to a process; signals alone keep no scheduler running. In a
/// child made by fork(2) they have their default actions back: the pipe would
/// carry them to the parent.
class Signals final : private Job {
 public:
  /// @throws std::system_error If no pipe can be had.
  /// @throws std::logic_error If there is one already, or the thread has no
  ///         Scheduler.
  Signals();
  /// Gives the signals their default action back.
  ~Signals();

  /// Says what a signal shall do.
  /// @param signal Its number, such as SIGTERM.
  /// @param action Called for each signal that arrives; must not wait.
  /// @throws std::logic_error If the scheduler has ended.
  void on(int signal, std::function<void()> action);

 private:
  void run() override;
  static void handle(int signal, siginfo_t* info, void* context);
  static void stop();

  Scheduler& scheduler_;  // only used by run(), which it calls
  sys::Pipe pipe_;
  std::map<int, std::function<void()>> actions_;
  Waiter waiter_{*this};

  static inline constinit Signals* only_ = nullptr;
};
// [/signals]

/// @}

}  // namespace naglfar
