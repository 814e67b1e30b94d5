/// @file channel.hpp
/// How coroutines talk: one writes messages, another reads them, in order.
///
/// A reader that finds no message waits in a queue, with a slot for a
/// message. The next writer puts its message into the slot of the reader that
/// came first, and wakes only that reader: N readers and N messages cost N
/// parks. A writer that finds no room waits in another queue with its
/// message. The reader that makes room takes the message from there.
///
/// Invariants:
/// - Messages wait only while no reader does, and readers only while no
///   message does.
/// - Writers wait only while there is no room, so no later writer overtakes
///   them.
/// - A coroutine in wait() takes nothing, so it never holds up a message. It
///   is woken when a message is left for it to see.
/// - A channel allocates nothing before it holds a message, because most
///   channels hand each message to a waiting reader. Later it allocates only
///   when it holds more messages than ever before, and then twice as many
///   nodes as the last time.
/// - A message that was read is destroyed at once.
///
/// Asks of the layers below: List; of the scheduler: WaitQueue and spend.

#pragma once

#include <cassert>
#include <cstddef>
#include <iterator>
#include <list>
#include <optional>
#include <utility>
#include <vector>

#include "naglfar/channel/input_range.hpp"
#include "naglfar/scheduler.hpp"

namespace naglfar {

/// @addtogroup channel
/// @{

// [channel-class]
/// A queue of messages between coroutines of one thread (`Channel` in the
/// 2009 library). A coroutine that still waits for it when it is destroyed
/// may only be cancelled, as at the end of a program.
/// @tparam T What a message is; it is moved, never copied, and needs nothing
///         but a move constructor. If that throws, write() and next() leave
///         the channel as it was; read() and readWaiting() may lose what they
///         have taken.
template <class T>
class Channel {
 public:
  /// @param limit How many messages may wait before writers do; at least 1.
  explicit Channel(std::size_t limit = unlimited) : limit_(limit) {
    assert(limit > 0);
  }

  // [channel-operations]
  /// Writes a message. Waits only while the limit is met.
  /// @param message The message.
  /// @param deadline When to give up waiting.
  /// @throws std::system_error EPIPE if the channel is closed,
  ///         errc::timed_out at the deadline: the message was not written.
  void write(T message, Deadline deadline = never);

  /// Reads the next message; waits for one if there is none.
  /// @param deadline When to give up.
  /// @return The message, or nothing if the channel is closed and drained.
  /// @throws std::system_error errc::timed_out at the deadline.
  std::optional<T> next(Deadline deadline = never);

  /// Reads the next message where the end is an error.
  /// @param deadline When to give up.
  /// @return The message.
  /// @throws std::system_error EPIPE if the channel is closed and drained,
  ///         errc::timed_out at the deadline.
  T read(Deadline deadline = never);

  /// Waits until there is a message, and leaves it there.
  /// @param deadline When to give up.
  /// @return False if there will be none: the channel is closed.
  /// @throws std::system_error errc::timed_out at the deadline.
  bool wait(Deadline deadline = never);

  /// Takes all messages that are there.
  /// @param block Whether to wait for at least one.
  /// @return The messages; none if there are none, which after a wait means
  ///         that the channel is closed and drained.
  std::vector<T> readWaiting(bool block = false);

  /// Ends the channel: what was written can still be read, then readers see
  /// the end. Writers that wait get EPIPE. May be called twice. The
  /// coroutines that wait run a turn later, so the channel must live until
  /// they have gone.
  void close();

  /// @return True once close() was called.
  bool closed() const { return closed_; }
  /// @return How many messages wait to be read.
  std::size_t size() const { return size_; }
  // [/channel-operations]

  /// Iterates over the messages, until the channel is closed and drained.
  /// @return An iterator at the first message; waits for that message.
  auto begin() {
    return InputIterator([this] { return next(); });
  }
  /// @return The end.
  std::default_sentinel_t end() { return {}; }
  /// Iterates over what readWaiting(true) returns, until the end. Waits for
  /// the first messages at once.
  /// @return A range of vectors of messages, none of them empty.
  auto iterateWaiting() {
    return InputIterator([this]() -> std::optional<std::vector<T>> {
      std::vector<T> batch = readWaiting(true);
      if (batch.empty()) return std::nullopt;
      return batch;
    });
  }

 private:
  // [channel-private]
  // A message that waits is in a node. Nodes go from list to list, so that
  // the message in a node never moves.
  struct Node : List<Node>::Link {
    std::optional<T> message;
  };
  void keep(T&& message, List<Node>& where);
  void release(Node& node) noexcept;
  std::optional<T> take();

  // A reader has a slot for one message.
  struct Reader : WaitQueue::Entry {
    Reader(WaitQueue& queue, std::optional<T>& where)
        : Entry(queue), slot(where) {}
    std::optional<T>& slot;
  };
  // A writer that waits for room keeps its message until there is some.
  struct Writer : WaitQueue::Entry {
    explicit Writer(Channel& where) : Entry(where.writers_), channel(where) {}
    ~Writer() {
      if (Node* node = kept.first()) channel.release(*node);
    }
    Channel& channel;
    List<Node> kept;
  };

  std::size_t limit_;
  std::list<std::vector<Node>> slabs_;  // allocates nothing while it is empty
  List<Node> spare_;                    // nodes without a message
  List<Node> messages_;
  std::size_t size_ = 0;  // of messages_
  WaitQueue readers_;
  WaitQueue waiting_;  // coroutines in wait()
  WaitQueue writers_;
  bool closed_ = false;
  // [/channel-private]
};
// [/channel-class]

// [keep-and-take]
template <class T>
void Channel<T>::keep(T&& message, List<Node>& where) {
  if (spare_.empty()) {
    slabs_.emplace_back(slabs_.empty() ? 4 : 2 * slabs_.back().size());
    for (Node& node : slabs_.back()) spare_.append(node);
  }
  Node& node = *spare_.first();
  node.message.emplace(std::move(message));
  where.append(node);
}

template <class T>
void Channel<T>::release(Node& node) noexcept {
  node.message.reset();
  spare_.append(node);
}

// Only the move of the message may throw; then the message is still there.
template <class T>
std::optional<T> Channel<T>::take() {
  std::optional<T> message = std::move(messages_.first()->message);
  release(*messages_.first());
  if (auto* writer = static_cast<Writer*>(writers_.first())) {
    messages_.append(writer->kept);
    writer->notify();
  } else {
    --size_;
  }
  return message;
}
// [/keep-and-take]

// [channel-write]
template <class T>
void Channel<T>::write(T message, Deadline deadline) {
  Scheduler::spend();
  if (closed_) sys::fail(EPIPE, "write to a closed channel");
  if (size() >= limit_) {
    Writer writer(*this);
    keep(std::move(message), writer.kept);
    writer.wait("room in a channel", deadline);
    if (writer.kept.empty()) return;  // take() has made room
    sys::fail(EPIPE, "the channel was closed while a write waited");
  }

  if (auto* reader = static_cast<Reader*>(readers_.first())) {
    reader->slot.emplace(std::move(message));
    return reader->notify();
  }
  keep(std::move(message), messages_);
  ++size_;
  waiting_.notifyAll();
}
// [/channel-write]

// [channel-read]
template <class T>
std::optional<T> Channel<T>::next(Deadline deadline) {
  Scheduler::spend();
  if (size() > 0) return take();
  std::optional<T> message;
  if (!closed_) Reader(readers_, message).wait("a message", deadline);
  return message;
}

template <class T>
T Channel<T>::read(Deadline deadline) {
  std::optional<T> message = next(deadline);
  if (!message) sys::fail(EPIPE, "read from a closed channel");
  return std::move(*message);
}
// [/channel-read]

// [channel-wait]
template <class T>
bool Channel<T>::wait(Deadline deadline) {
  Scheduler::spend();
  while (size() == 0 && !closed_)
    WaitQueue::Entry(waiting_).wait("a message", deadline);
  return size() > 0;
}

template <class T>
std::vector<T> Channel<T>::readWaiting(bool block) {
  if (block)
    wait();
  else
    Scheduler::spend();
  std::vector<T> all;
  all.reserve(size());
  for (std::size_t n = size(); n > 0; --n) all.push_back(*take());
  return all;
}

template <class T>
void Channel<T>::close() {
  closed_ = true;
  readers_.notifyAll();
  waiting_.notifyAll();
  writers_.notifyAll();
}
// [/channel-wait]

/// @}

}  // namespace naglfar
