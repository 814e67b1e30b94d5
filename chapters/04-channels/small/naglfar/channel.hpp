/// @file channel.hpp
/// How coroutines talk: one writes messages, another one reads them.
///
/// A reader that finds no message waits with a place for one. The next writer
/// puts its message there and wakes that reader only: N readers and N
/// messages cost N parks.
///
/// Invariant: messages wait only while no reader does, and readers only while
/// no message does.
///
/// It asks the scheduler for WaitQueue.

#pragma once

#include <iterator>  //[5
#include <list>
#include <optional>     //[3
#include <type_traits>  //[5
#include <utility>
#include <vector>  //[7

#include "naglfar/scheduler.hpp"

namespace naglfar {

/// An iterator over what a function returns, until it returns nothing. It is
/// also the range of what is left.
template <class Next>
class InputIterator {  //[5
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
  //[4
  /// @throws std::system_error EPIPE if the channel is closed.
  //]
  //[1-1 void write(T message) { messages_.push_back(std::move(message)); }
  void write(T message) {  //[2
    if (closed_) sys::fail(EPIPE, "write to a closed channel");  //[4
    if (auto* reader = static_cast<Reader*>(readers_.first())) {  //[3
      reader->place.emplace(std::move(message));
      return reader->notify();
    }
    messages_.push_back(std::move(message));
    //[2-2 waiting_.notifyAll();
    waiting_.notifyAll();  //[7
  }

  /// Reads the next message; waits if there is none.
  //[4
  /// @return The message, or nothing if the channel is closed and drained.
  //]
  //[6
  /// @throws std::system_error errc::timed_out at the deadline.
  //]
  //[1-3 T read() {
  //[4-5 std::optional<T> next() {
  std::optional<T> next(Deadline deadline = never) {  //[6]
    //[1-1 while (messages_.empty()) yield();
    //[2-2 while (messages_.empty()) WaitQueue::Entry(waiting_).wait("a message");
    //[1-2 T message = std::move(messages_.front());
    //[1-2 messages_.pop_front();
    //[1-2 return message;
    std::optional<T> message;  //[3
    if (!messages_.empty()) {  //[3
      message.emplace(std::move(messages_.front()));
      messages_.pop_front();
    //[3-3 } else {
    } else if (!closed_) {  //[4]
      //[3-5 Reader(readers_, message).wait("a message");
      Reader(readers_, message).wait("a message", deadline);  //[6
    }
    //[3-3 return std::move(*message);
    return message;  //[4
  }
  //[4

  /// Reads the next message where the end is an error.
  /// @throws std::system_error EPIPE if the channel is closed and drained.
  //[4-5 T read() {
  //[4-5   std::optional<T> message = next();
  //[6
  T read(Deadline deadline = never) {
    std::optional<T> message = next(deadline);
    //]
    if (!message) sys::fail(EPIPE, "read from a closed channel");
    return std::move(*message);
  }

  /// Ends the channel: what was written can still be read, and then readers
  /// see the end.
  void close() {
    closed_ = true;
    readers_.notifyAll();
    waiting_.notifyAll();  //[7
  }
  /// @return True once close() was called.
  bool closed() const { return closed_; }
  //]
  /// @return How many messages wait to be read.
  std::size_t size() const { return messages_.size(); }

  /// Iterates over the messages, until the channel is closed and drained.
  auto begin() {  //[5
    return InputIterator([this] { return next(); });
  }
  std::default_sentinel_t end() { return {}; }  //[5

  /// Waits until there is a message, and leaves it there.
  /// @return False if there will be none: the channel is closed.
  bool wait(Deadline deadline = never) {  //[7
    while (messages_.empty() && !closed_)
      WaitQueue::Entry(waiting_).wait("a message", deadline);
    return !messages_.empty();
  }
  /// Takes all messages that are there.
  /// @param block Whether to wait for at least one.
  std::vector<T> readWaiting(bool block = false) {  //[7
    if (block) wait();
    std::vector<T> all(std::move_iterator(messages_.begin()),
                       std::move_iterator(messages_.end()));
    messages_.clear();
    return all;
  }

 private:
  struct Reader : WaitQueue::Entry {  //[3
    Reader(WaitQueue& queue, std::optional<T>& where)
        : Entry(queue), place(where) {}
    std::optional<T>& place;
  };

  std::list<T> messages_;
  //[2-2 WaitQueue waiting_;
  WaitQueue readers_;     //[3
  bool closed_ = false;   //[4
  // Coroutines in wait().
  WaitQueue waiting_;  //[7
};

}  // namespace naglfar
