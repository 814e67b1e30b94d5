/// @file mixins/shared_waiters.hpp
/// Waiters for servers with a thread or a process for each request: the same
/// interface as waiters.hpp, with a mutex and condition variables in memory
/// that children share.
///
/// The life of a slot, one for each channel:
///
///     free -> open -> listed -> taken -> told -> free
///               ^        |        |
///               +--------+        +-> abandoned -> free
///           the client left     the client left; who writes frees it
///
/// Invariant: every change of a slot is made under the table's mutex, by the
/// one to whom its state gives it: listed and open slots are the waiting
/// request's, taken ones the notifying request's.
///
/// Asks of sys: memory that children share; of the system: process-shared
/// mutexes and condition variables (pthread_mutexattr_setpshared(3)).

#pragma once

#include <chrono>
#include <cstddef>
#include <utility>
#include <vector>

#include "naglfar/sys.hpp"

namespace naglfar {

/// @addtogroup server
/// @{

// [shared-waiters]
/// The waiting requests of a server under ThreadingMixIn or ForkingMixIn.
class SharedWaiters {
  struct Slot;
  struct Table;

 public:
  // [shared-waiters-channel]
  /// A channel that one request waits on. It has one owner, who moves it.
  class Channel {
   public:
    Channel(Channel&& other) noexcept
        : table_(other.table_),
          slot_(std::exchange(other.slot_, nullptr)),
          connection_(other.connection_) {}
    Channel& operator=(Channel&&) = delete;
    ~Channel();
    /// Waits for a message, and looks now and then whether the client is
    /// still there: a thread that waits for the one cannot be woken by the
    /// other.
    /// @return The message.
    /// @throws std::system_error ECONNRESET if the client leaves before.
    int read();
    /// Writes a message. Does nothing if the client has left.
    /// @param message What read() returns.
    void write(int message);

   private:
    friend class SharedWaiters;
    Channel(Table& table, Slot& slot, int connection)
        : table_(&table), slot_(&slot), connection_(connection) {}
    Table* table_;
    Slot* slot_;
    int connection_;  // -1: this is the notifying request's end
  };
  // [/shared-waiters-channel]

  /// A place in the list. It is left when it goes out of scope.
  class Place {
   public:
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    friend class SharedWaiters;
    Place(Table& table, Slot& slot);
    Table& table_;
    Slot& slot_;
  };

  /// Made before any child is: only memory that exists is shared.
  /// @param capacity How many requests may wait at a time.
  /// @param endMeansGone Whether the end of file means that a waiting client
  ///        has left: see Waiters::endMeansGone.
  /// @param lookEvery How often a request that waits looks whether its client
  ///        is still there.
  /// @throws std::system_error If the memory cannot be had.
  explicit SharedWaiters(std::size_t capacity = 16384,
                         bool endMeansGone = true,
                         sys::Duration lookEvery = std::chrono::seconds(1));
  ~SharedWaiters();
  SharedWaiters(const SharedWaiters&) = delete;
  SharedWaiters& operator=(const SharedWaiters&) = delete;

  /// @param connection The request's socket.
  /// @return A channel whose read() ends when the client leaves.
  /// @throws std::system_error ENOSPC if more wait than the capacity allows.
  Channel channel(int connection);
  /// Adds a request to the list.
  /// @param channel What it waits on.
  /// @return Its place.
  Place append(const Channel& channel) {
    return Place(*table_, *channel.slot_);
  }
  /// Empties the list, in one step.
  /// @return The channels.
  std::vector<Channel> takeAll();
  /// @return How many requests wait.
  std::size_t size() const;

 private:
  Table* table_;
};
// [/shared-waiters]

/// @}

}  // namespace naglfar
