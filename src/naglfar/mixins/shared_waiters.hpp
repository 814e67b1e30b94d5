/// @file mixins/shared_waiters.hpp
/// The waiting requests of a server with a thread or a process for each
/// request. The interface is that of waiters.hpp; the list is a table in
/// memory that children share, with a mutex and condition variables.
///
/// Each waiting request has a slot of the table:
///
///     free --- wait() ---> waiting --- notifyAll() ---> told ---> free
///
/// If the client leaves first, the slot goes from waiting to free. So does
/// the slot of a child that is killed while it waits, with the next call that
/// counts the waiting requests. To find a free slot, wait() looks at one slot
/// after the other, so n requests that wait have cost n * n / 2 looks.
///
/// Invariants:
/// - A slot changes only under the table's mutex, and in one step. So a child
///   that is killed at any point leaves a valid table.
/// - A killed child is not counted, and its slot serves again. On macOS,
///   which has no robust mutexes, it is counted until it is notified.
///
/// Asks of io: peerIsThere; of sys: memory that children share; of the
/// system: process-shared mutexes and condition variables
/// (pthread_mutexattr_setpshared(3)).

#pragma once

#include <chrono>
#include <cstddef>
#include <memory>

#include "naglfar/sys.hpp"

namespace naglfar {

/// @addtogroup server
/// @{

// [shared-waiters]
/// The waiting requests of a server under ThreadingMixIn or ForkingMixIn.
class SharedWaiters {
 public:
  /// Makes the table. A child shares only memory that is there before it is,
  /// so the server makes the table before it serves.
  /// @param capacity How many requests may wait at a time.
  /// @param endMeansGone Whether the end of file means that a waiting client
  ///        has left: see Waiters::endMeansGone.
  /// @param lookEvery How long a waiting request waits before it looks again
  ///        whether its client is still there.
  /// @throws std::system_error If there is no memory for the table.
  explicit SharedWaiters(std::size_t capacity = 16384,
                         bool endMeansGone = true,
                         sys::Duration lookEvery = std::chrono::seconds(1));

  /// Waits for notifyAll(). The thread waits on a condition variable, which
  /// tells nothing about the connection; so now and then it looks whether the
  /// client is still there.
  /// @param connection The request's socket. A client that sends
  ///        `mostUnread` bytes (16 KiB) while it waits counts as one that
  ///        has left, `unreadPatience` (3 s) later.
  /// @param deadline When to give up.
  /// @return How many requests were notified together with this one.
  /// @throws std::system_error ECONNRESET if the client leaves before, ENOSPC
  ///         if the table has no free slot, errc::timed_out, and what
  ///         peerIsThere() throws, such as EBADF.
  std::size_t wait(int connection, sys::Time deadline = sys::Time::max());
  /// Notifies all requests that wait, in one step.
  /// @return How many.
  std::size_t notifyAll();
  /// @return How many requests wait.
  std::size_t size() const;

 private:
  struct Slot;
  struct Table;
  struct Unmap {
    void operator()(Table* table) const;
  };
  std::unique_ptr<Table, Unmap> table_;
};
// [/shared-waiters]

/// @}

}  // namespace naglfar
