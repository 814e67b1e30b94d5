/// @file waiters.hpp
/// Requests that wait to be answered by another request: what a comet handler
/// keeps instead of the 2009 post's list of channels.
///
/// Invariant: who stands in the list is there: a client that leaves takes its
/// request out, because its channel closes and the handler's scope ends.
///
/// Asks of the layers below: Channel, HangupWatch.

#pragma once

#include <list>
#include <memory>
#include <vector>

#include "naglfar/channel.hpp"
#include "naglfar/io.hpp"

namespace naglfar {

/// @addtogroup server
/// @{

// [waiters]
/// The waiting requests of a server under ScheduledMixIn.
class Waiters {
  struct State;
  using Line = std::list<std::shared_ptr<State>>;

 public:
  /// A channel that one request waits on. Copies are the same channel.
  class Channel {
   public:
    /// Waits for a message.
    /// @return The message.
    /// @throws std::system_error ECONNRESET if the client leaves before.
    int read();
    /// Writes a message. Does nothing if the client has left.
    /// @param message What read() returns.
    void write(int message);

   private:
    friend class Waiters;
    explicit Channel(std::shared_ptr<State> state)
        : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
  };

  /// A place in the list. It is left when it goes out of scope.
  class Place {
   public:
    ~Place();
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;

   private:
    friend class Waiters;
    Place(Line& line, std::shared_ptr<State> state);
    Line& line_;
    std::shared_ptr<State> state_;
  };

  /// @param connection The request's socket, which nobody reads meanwhile.
  /// @return A channel that closes when the client leaves.
  Channel channel(int connection);
  /// Adds a request to the list.
  /// @param channel What it waits on.
  /// @return Its place.
  Place append(const Channel& channel) {
    return Place(line_, channel.state_);
  }
  /// Empties the list. In one step, so that nobody is told twice or not at
  /// all, whoever comes or goes meanwhile.
  /// @return The channels, in the order in which they came.
  std::vector<Channel> takeAll();
  /// @return How many requests wait.
  std::size_t size() const { return line_.size(); }

  /// Whether the end of file means that a waiting client has left. A browser
  /// whose tab is closed ends like that; but so does a program that only
  /// ends its output and goes on reading. If it is false, only a reset means
  /// that a client has left. Concerns the channels made from then on.
  bool endMeansGone = true;

 private:
  Line line_;
};
// [/waiters]

// [waiters-members]
struct Waiters::State {
  State(int connection, bool endMeansGone)
      : hangup(
            connection, [this] { channel.close(); }, endMeansGone) {}
  naglfar::Channel<int> channel;
  HangupWatch hangup;
  bool inLine = false;
  Line::iterator place;
};

inline Waiters::Channel Waiters::channel(int connection) {
  return Channel(std::make_shared<State>(connection, endMeansGone));
}

inline int Waiters::Channel::read() {
  const std::optional<int> message = state_->channel.next();
  if (!message) sys::fail(ECONNRESET, "the client left while it waited");
  return *message;
}

inline void Waiters::Channel::write(int message) {
  if (!state_->channel.closed()) state_->channel.write(message);
}

inline Waiters::Place::Place(Line& line, std::shared_ptr<State> state)
    : line_(line), state_(std::move(state)) {
  state_->place = line_.insert(line_.end(), state_);
  state_->inLine = true;
}

inline Waiters::Place::~Place() {
  if (state_->inLine) line_.erase(state_->place);
}

inline std::vector<Waiters::Channel> Waiters::takeAll() {
  std::vector<Channel> all;
  all.reserve(line_.size());
  for (const std::shared_ptr<State>& state : line_) {
    state->inLine = false;
    // Whose client has left may not have had its turn to leave, too.
    if (!state->channel.closed()) all.push_back(Channel(state));
  }
  line_.clear();
  return all;
}
// [/waiters-members]

/// @}

}  // namespace naglfar
