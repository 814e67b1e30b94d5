/// @file server/waiters.hpp
/// Requests that wait to be answered by another request: what a comet handler
/// keeps in place of the 2009 post's list of channels.
///
/// Invariants:
/// - The list holds only requests whose clients are there: when a client
///   leaves, the request's channel is closed, so that its read() throws and
///   the handler leaves the list. If noticeDepartures is false, the list may
///   hold others.
/// - A request that takeAll() has taken is not in the list, so that no other
///   request notifies it, too.
///
/// Asks of the layers below: Channel, HangupWatch.

#pragma once

#include <cerrno>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "naglfar/channel.hpp"
#include "naglfar/io.hpp"

namespace naglfar {

/// @addtogroup server
/// @{

// [waiters]
/// The waiting requests of a server under ScheduledMixIn.
/// @tparam Message What a request waits for. It can be moved.
template <class Message>
class BasicWaiters {
 public:
  // [waiters-channel]
  /// A channel that one request waits on. Copies are the same channel.
  class Channel {
   public:
    /// Waits for a message.
    /// @return The message.
    /// @throws std::system_error ECONNRESET if the client leaves before.
    Message read() {
      std::optional<Message> message = messages_->next();
      if (!message) sys::fail(ECONNRESET, "the client left while it waited");
      return std::move(*message);
    }
    /// Writes a message. Does nothing if the client has left.
    /// @param message What read() returns.
    void write(Message message) {
      try {
        messages_->write(std::move(message));
      } catch (const std::system_error& error) {
        // The client has left, perhaps while write() let the others run.
        if (error.code() != std::errc::broken_pipe) throw;
      }
    }

   private:
    friend class BasicWaiters;
    // Closed when the client leaves.
    std::shared_ptr<naglfar::Channel<Message>> messages_ =
        std::make_shared<naglfar::Channel<Message>>();
    std::shared_ptr<HangupWatch> departure_;  // null: it is not noticed
  };
  // [/waiters-channel]

  /// A request's place in the list. The request leaves the list when its
  /// place goes out of scope.
  class Place : public List<Place>::Link {
   public:
    ~Place() {
      if (this->linked()) --waiters_.size_;
    }

   private:
    friend class BasicWaiters;
    Place(BasicWaiters& waiters, Channel channel)
        : waiters_(waiters), channel_(std::move(channel)) {
      waiters_.places_.append(*this);
      ++waiters_.size_;
    }
    BasicWaiters& waiters_;
    Channel channel_;
  };

  // [waiters-list]
  /// @param connection The request's socket. No coroutine may read from it
  ///        while the channel is there.
  /// @return A channel that is closed when the client leaves.
  Channel channel(int connection) {
    Channel channel;
    if (noticeDepartures)
      channel.departure_ = std::make_shared<HangupWatch>(
          connection, [&messages = *channel.messages_] { messages.close(); },
          endMeansGone);
    return channel;
  }
  /// Adds a request to the list.
  /// @param channel What it waits on.
  /// @return Its place.
  Place append(const Channel& channel) { return Place(*this, channel); }
  /// Empties the list in one step, so that no request is notified twice or
  /// missed when others come and go meanwhile.
  /// @return The channels, in the order in which the requests came.
  std::vector<Channel> takeAll() {
    std::vector<Channel> all;
    all.reserve(size_);
    while (Place* place = places_.pop()) {
      --size_;
      // A client that has left may not have had its turn to leave the list.
      if (!place->channel_.messages_->closed())
        all.push_back(std::move(place->channel_));
    }
    return all;
  }
  /// @return How many requests wait.
  std::size_t size() const { return size_; }
  // [/waiters-list]

  /// Whether the server notices at once that a waiting client leaves. If it
  /// is false, the server notices when it cannot send the answer, and saves
  /// one registration with the poller (epoll_ctl(2)) for each waiting
  /// request. Concerns the channels that are made from then on.
  bool noticeDepartures = true;
  /// Whether the end of file means that a waiting client has left. A browser
  /// whose tab is closed ends like that; but so does a program that only
  /// ends its output and goes on reading. If it is false, only a reset means
  /// that a client has left. Concerns the channels that are made from then
  /// on.
  bool endMeansGone = true;

 private:
  // The list links the places themselves, so append() allocates nothing.
  List<Place> places_;
  std::size_t size_ = 0;
};

/// Requests that wait for a number, as those of the 2009 post do.
using Waiters = BasicWaiters<int>;
// [/waiters]

/// @}

}  // namespace naglfar
