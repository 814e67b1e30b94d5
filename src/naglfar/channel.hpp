/// @file channel.hpp
/// How coroutines talk: one writes messages, another reads them, in order.
///
/// A reader that finds no message waits in a queue, with a slot for one. The
/// next writer puts its message into the slot of the reader that came first,
/// and wakes only that reader: N readers and N messages cost N parks. A
/// writer that finds no room waits in another queue with its message. The
/// reader that makes room takes the message from there.
///
/// Invariants:
/// - Messages wait only while no reader does, and readers only while no
///   message does.
/// - Writers wait only while there is no room, so no later writer overtakes
///   them.
/// - A coroutine in wait() takes nothing, so it never holds up a message.
///
/// Asks of the scheduler: park, and WaitQueue.

#pragma once

#include <cassert>
#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

#include "naglfar/channel/input_range.hpp"
#include "naglfar/channel/message_queue.hpp"
#include "naglfar/scheduler.hpp"

namespace naglfar {

/// @addtogroup channel
/// @{

// [channel-class]
/// A queue of messages between coroutines of one thread (`Channel` in the
/// 2009 library). A coroutine that still waits for it when it is destroyed
/// may only be cancelled, as at the end of a program.
/// @tparam T What a message is; it is moved, never copied, and needs nothing
///         but a move constructor.
template <class T>
class Channel {
 public:
  /// @param limit How many messages may wait before writers do; at least 1.
  explicit Channel(std::size_t limit = unlimited) : limit_(limit) {
    assert(limit > 0);
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

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
  /// @return The messages; none if the channel is closed.
  std::vector<T> readWaiting(bool block = false);

  /// Ends the channel: what was written can still be read, then readers see
  /// the end. Writers that wait get EPIPE. May be called twice. They are
  /// woken a turn later, so the channel must live until they have gone.
  void close();

  /// @return True once close() was called.
  bool closed() const { return closed_; }
  /// @return How many messages wait to be read.
  std::size_t size() const { return messages_.size(); }
  // [/channel-operations]

  /// Iterates over the messages, until the channel is closed and drained.
  /// @return The first message, once there is one.
  auto begin() {
    return InputIterator([this] { return next(); });
  }
  /// @return The end.
  std::default_sentinel_t end() { return {}; }
  /// Iterates over what readWaiting(true) returns, until the end.
  /// @return A range of vectors of messages, none of them empty.
  auto iterateWaiting() {
    return InputRange([this]() -> std::optional<std::vector<T>> {
      std::vector<T> batch = readWaiting(true);
      if (batch.empty()) return std::nullopt;
      return batch;
    });
  }

 private:
  // A reader has a slot for one message. One in wait() has none.
  struct Reader : WaitQueue::Entry {
    Reader(WaitQueue& queue, std::optional<T>* where)
        : Entry(queue), slot(where) {}
    std::optional<T>* slot;
  };
  // A writer that waits for room keeps its message until there is some.
  struct Writer : WaitQueue::Entry {
    Writer(WaitQueue& queue, T& what) : Entry(queue), message(what) {}
    T& message;
    bool admitted = false;
  };
  void admitWriters();

  std::size_t limit_;
  MessageQueue<T> messages_;
  WaitQueue readers_;
  WaitQueue writers_;
  bool closed_ = false;
};
// [/channel-class]

// [channel-write]
template <class T>
void Channel<T>::write(T message, Deadline deadline) {
  Scheduler::spend();
  if (messages_.size() >= limit_ && !closed_) {
    Writer writer(writers_, message);
    while (writer.waiting())
      if (!Scheduler::current().park("room in a channel", -1, deadline) &&
          writer.waiting())
        sys::fail(ETIMEDOUT, "write to a channel");
    if (writer.admitted) return;
  }
  if (closed_) sys::fail(EPIPE, "write to a closed channel");

  while (auto* reader = static_cast<Reader*>(readers_.first())) {
    if (reader->slot != nullptr) {
      reader->slot->emplace(std::move(message));
      return reader->notify();
    }
    reader->notify();
  }
  messages_.push(std::move(message));
}
// [/channel-write]

// [channel-read]
template <class T>
std::optional<T> Channel<T>::next(Deadline deadline) {
  Scheduler::spend();
  if (messages_.size() > 0) {
    std::optional<T> message(messages_.pop());
    admitWriters();
    return message;
  }
  std::optional<T> slot;
  Reader reader(readers_, &slot);
  while (!slot && !closed_)
    if (!Scheduler::current().park("a message", -1, deadline) && !slot)
      sys::fail(ETIMEDOUT, "read from a channel");
  return slot;
}

template <class T>
T Channel<T>::read(Deadline deadline) {
  std::optional<T> message = next(deadline);
  if (!message) sys::fail(EPIPE, "read from a closed channel");
  return std::move(*message);
}

template <class T>
void Channel<T>::admitWriters() {
  while (messages_.size() < limit_) {
    auto* writer = static_cast<Writer*>(writers_.first());
    if (writer == nullptr) return;
    messages_.push(std::move(writer->message));
    writer->admitted = true;
    writer->notify();
  }
}
// [/channel-read]

// [channel-wait]
template <class T>
bool Channel<T>::wait(Deadline deadline) {
  Scheduler::spend();
  while (messages_.size() == 0 && !closed_) {
    Reader reader(readers_, nullptr);
    if (!Scheduler::current().park("a message", -1, deadline) &&
        messages_.size() == 0)
      sys::fail(ETIMEDOUT, "wait for a channel");
  }
  return messages_.size() > 0;
}

template <class T>
std::vector<T> Channel<T>::readWaiting(bool block) {
  if (block)
    wait();
  else
    Scheduler::spend();
  std::vector<T> all;
  all.reserve(messages_.size());
  while (messages_.size() > 0) all.push_back(messages_.pop());
  admitWriters();
  return all;
}

template <class T>
void Channel<T>::close() {
  closed_ = true;
  readers_.notifyAll();
  writers_.notifyAll();
}
// [/channel-wait]

/// @}

}  // namespace naglfar
