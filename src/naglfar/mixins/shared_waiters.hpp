/// @file mixins/shared_waiters.hpp
/// The waiting requests of a server with a thread or a process for each
/// request. The interface is that of waiters.hpp; the list is a table in
/// memory that children share, with a mutex and condition variables.
///
/// Each channel has a slot of the table. The life of a slot:
///
///     free --- channel() ---> open --- append() ---> listed
///     listed --- takeAll() ---> open --- write() ---> told
///
/// When the waiting request destroys its channel, the slot is free, and may
/// have another request at once. A notifying request may still hold its
/// channel of the slot: the channel knows the generation of the slot, so that
/// its write() does not reach the other request.
///
/// Invariants:
/// - A slot changes only under the table's mutex.
/// - Only the waiting request frees its slot. A child that is killed while it
///   waits never does.
///
/// Asks of sys: memory that children share; of the system: process-shared
/// mutexes and condition variables (pthread_mutexattr_setpshared(3)).

#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
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
  /// A channel that one request waits on. It can be moved, not copied.
  class Channel {
   public:
    Channel(Channel&& other) noexcept
        : slot_(std::exchange(other.slot_, nullptr)),
          generation_(other.generation_),
          connection_(other.connection_) {}
    Channel& operator=(Channel&&) = delete;
    ~Channel();
    /// Waits for a message. The thread waits on a condition variable, which
    /// tells nothing about the connection; so now and then it looks whether
    /// the client is still there.
    /// @return The message.
    /// @throws std::system_error ECONNRESET if the client leaves before.
    int read();
    /// Writes a message. Does nothing if the client has left.
    /// @param message What read() returns.
    void write(int message);

   private:
    friend class SharedWaiters;
    Channel(Slot& slot, int connection);
    bool taken() const;
    Slot* slot_;
    std::size_t generation_;
    int connection_;  // -1: this is the notifying request's end
  };
  // [/shared-waiters-channel]

  /// A request's place in the list. The request leaves the list when its
  /// place goes out of scope.
  class Place {
   public:
    ~Place();
    Place& operator=(Place&&) = delete;

   private:
    friend class SharedWaiters;
    explicit Place(Slot& slot);
    Slot& slot_;
  };

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

  /// @param connection The request's socket.
  /// @return A channel whose read() ends when the client leaves.
  /// @throws std::system_error ENOSPC if the table has no free slot.
  Channel channel(int connection);
  /// Adds a request to the list.
  /// @param channel What it waits on.
  /// @return Its place.
  Place append(const Channel& channel) { return Place(*channel.slot_); }
  /// Empties the list in one step, so that no request is notified twice or
  /// missed when others come and go meanwhile.
  /// @return The channels.
  std::vector<Channel> takeAll();
  /// @return How many requests wait.
  std::size_t size() const;

 private:
  struct Unmap {
    void operator()(Table* table) const;
  };
  std::unique_ptr<Table, Unmap> table_;
};
// [/shared-waiters]

/// @}

}  // namespace naglfar
