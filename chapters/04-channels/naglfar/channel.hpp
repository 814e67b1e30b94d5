/// @file channel.hpp
/// How coroutines talk: one writes messages, another one reads them.
///
/// A reader that finds no message waits with a slot for one. The next writer
/// puts its message into the slot of the reader that came first and wakes
/// only that reader: N readers and N messages cost N parks.
///
/// Invariant: messages wait only while no reader does, and readers only while
/// no message does.
///
/// It asks for WaitQueue.

#pragma once

#include <cerrno>
#include <list>
#include <iterator>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "naglfar/scheduler.hpp"

namespace naglfar {

/// An input iterator over what a function returns, until it returns nothing.
/// It is also the range of what is left.
template <class Next>
class InputIterator {
 public:
  explicit InputIterator(Next next)
      : next_(std::move(next)), value_(next_()) {}
  auto& operator*() { return *value_; }
  InputIterator& operator++() {
    value_.reset();
    if (auto next = next_()) value_.emplace(std::move(*next));
    return *this;
  }
  bool operator==(std::default_sentinel_t) const { return !value_; }
  InputIterator begin() { return std::move(*this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  Next next_;
  std::invoke_result_t<Next&> value_;
};

/// A queue of messages between coroutines.
template <class T>
class Channel {
 public:
  /// Writes a message.
  /// @throws std::system_error EPIPE if the channel is closed.
  void write(T message) {
    if (closed_) sys::fail(EPIPE, "write to a closed channel");
    if (auto* reader = static_cast<Reader*>(readers_.first())) {
      reader->slot.emplace(std::move(message));
      return reader->notify();
    }
    messages_.push_back(std::move(message));
    waiting_.notifyAll();
  }

  /// Reads the next message; waits if there is none.
  /// @return The message, or nothing if the channel is closed and drained.
  /// @throws std::system_error errc::timed_out at the deadline.
  std::optional<T> next(Deadline deadline = never) {
    std::optional<T> message;
    if (!messages_.empty()) {
      message.emplace(std::move(messages_.front()));
      messages_.pop_front();
    } else if (!closed_) {
      Reader(readers_, message).wait("a message", deadline);
    }
    return message;
  }

  /// Reads the next message where the end is an error.
  /// @throws std::system_error EPIPE if the channel is closed and drained.
  T read(Deadline deadline = never) {
    std::optional<T> message = next(deadline);
    if (!message) sys::fail(EPIPE, "read from a closed channel");
    return std::move(*message);
  }

  /// Waits until there is a message, and leaves it there.
  /// @return False if there will be none: the channel is closed.
  bool wait(Deadline deadline = never) {
    while (messages_.empty() && !closed_)
      WaitQueue::Entry(waiting_).wait("a message", deadline);
    return !messages_.empty();
  }

  /// Takes all messages that are there.
  /// @param block Whether to wait for at least one.
  std::vector<T> readWaiting(bool block = false) {
    if (block) wait();
    std::vector<T> all(std::move_iterator(messages_.begin()),
                       std::move_iterator(messages_.end()));
    messages_.clear();
    return all;
  }

  /// Ends the channel: what was written can still be read, then readers see
  /// the end.
  void close() {
    closed_ = true;
    readers_.notifyAll();
    waiting_.notifyAll();
  }

  /// @return True once close() was called.
  bool closed() const { return closed_; }
  /// @return How many messages wait to be read.
  std::size_t size() const { return messages_.size(); }

  /// Iterates over the messages, until the channel is closed and drained.
  auto begin() {
    return InputIterator([this] { return next(); });
  }
  std::default_sentinel_t end() { return {}; }

 private:
  struct Reader : WaitQueue::Entry {
    Reader(WaitQueue& queue, std::optional<T>& where)
        : Entry(queue), slot(where) {}
    std::optional<T>& slot;
  };

  std::list<T> messages_;
  WaitQueue readers_;
  WaitQueue waiting_;  // coroutines in wait()
  bool closed_ = false;
};

}  // namespace naglfar
