/// @file server/waiters.hpp
/// Requests that wait to be answered by another request: what a comet handler
/// keeps instead of the 2009 post's list of channels.
///
/// Invariant: who stands in the list is there: a client that leaves takes its
/// request out, because its channel closes and the handler's scope ends. Only
/// who sets noticeDepartures to false does without.
///
/// Asks of the layers below: Channel, HangupWatch.

#pragma once

#include <cassert>
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
class Waiters {
  struct State;

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
    Place(Waiters& waiters, std::shared_ptr<State> state);
    Waiters& waiters_;
    std::shared_ptr<State> state_;
  };

  /// @param connection The request's socket, which nobody reads meanwhile.
  /// @return A channel that closes when the client leaves.
  Channel channel(int connection);
  /// Adds a request to the list.
  /// @param channel What it waits on. It must not stand in the list.
  /// @return Its place.
  Place append(const Channel& channel) {
    return Place(*this, channel.state_);
  }
  /// Empties the list. In one step, so that nobody is told twice or not at
  /// all, whoever comes or goes meanwhile.
  /// @return The channels, in the order in which they came.
  std::vector<Channel> takeAll();
  /// @return How many requests wait.
  std::size_t size() const { return size_; }

  /// Whether it is noticed at once that a waiting client leaves; otherwise
  /// only when its answer cannot be sent. To be told costs one registration
  /// with the poller (epoll_ctl(2)) for each that waits. Concerns the
  /// channels made from then on.
  bool noticeDepartures = true;
  /// Whether the end of file means that a waiting client has left. A browser
  /// whose tab is closed ends like that; but so does a program that only
  /// ends its output and goes on reading. If it is false, only a reset means
  /// that a client has left. Concerns the channels made from then on.
  bool endMeansGone = true;

 private:
  void remove(State& state);

  // The line runs through the waiting requests themselves, so that to stand
  // in it costs no allocation.
  State* first_ = nullptr;
  State* last_ = nullptr;
  std::size_t size_ = 0;
};
// [/waiters]

// [waiters-members]
struct Waiters::State : std::enable_shared_from_this<State> {
  naglfar::Channel<int> channel;
  std::unique_ptr<HangupWatch> departure;  // or null: it is not noticed
  bool inLine = false;
  State* next = nullptr;
  State* previous = nullptr;
};

inline Waiters::Channel Waiters::channel(int connection) {
  auto state = std::make_shared<State>();
  if (noticeDepartures)
    state->departure = std::make_unique<HangupWatch>(
        connection, [&c = state->channel] { c.close(); }, endMeansGone);
  return Channel(std::move(state));
}

inline int Waiters::Channel::read() {
  const std::optional<int> message = state_->channel.next();
  if (!message) sys::fail(ECONNRESET, "the client left while it waited");
  return *message;
}

inline void Waiters::Channel::write(int message) {
  try {
    state_->channel.write(message);
  } catch (const std::system_error& error) {
    // The client has left, perhaps while write() let the others run.
    if (error.code() != std::errc::broken_pipe) throw;
  }
}
// [/waiters-members]

// [waiters-line]
inline Waiters::Place::Place(Waiters& waiters, std::shared_ptr<State> state)
    : waiters_(waiters), state_(std::move(state)) {
  assert(!state_->inLine);
  state_->previous = std::exchange(waiters.last_, state_.get());
  State*& before =
      state_->previous != nullptr ? state_->previous->next : waiters.first_;
  before = state_.get();
  state_->inLine = true;
  ++waiters.size_;
}

inline Waiters::Place::~Place() {
  if (state_->inLine) waiters_.remove(*state_);
}

inline void Waiters::remove(State& state) {
  (state.previous != nullptr ? state.previous->next : first_) = state.next;
  (state.next != nullptr ? state.next->previous : last_) = state.previous;
  state.next = nullptr;
  state.inLine = false;
  --size_;
}

inline std::vector<Waiters::Channel> Waiters::takeAll() {
  std::vector<Channel> all;
  all.reserve(size_);
  while (first_ != nullptr) {
    State& state = *first_;
    remove(state);
    // Whose client has left may not have had its turn to leave, too.
    if (!state.channel.closed())
      all.push_back(Channel(state.shared_from_this()));
  }
  return all;
}
// [/waiters-line]

/// @}

}  // namespace naglfar
