/// @file channel/message_queue.hpp
/// The messages of a channel that no coroutine has read yet, oldest first.
///
/// Invariants:
/// - A queue allocates nothing before its first message, because most
///   channels hand each message to a waiting reader and never hold any.
/// - A message in the queue never moves: `push` moves it in, `pop` moves it
///   out. So a message needs nothing but a move constructor, which may throw.
/// - The memory of messages that were popped is given back block by block.
///
/// The queue asks nothing of the layers below.

#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <utility>

namespace naglfar {

/// @addtogroup channel
/// @{

// [message-queue]
/// A queue of messages. It is a std::deque which is made when the first
/// message comes, because the empty deque of some libraries allocates.
/// @tparam T What a message is; it is moved, never copied.
template <class T>
class MessageQueue {
 public:
  /// @return How many messages the queue holds.
  std::size_t size() const { return messages_ ? messages_->size() : 0; }

  /// Puts a message at the end. If that throws, because there is no memory or
  /// the message's move constructor throws, the queue is as it was before.
  /// @param message The message.
  void push(T&& message) {
    if (!messages_) messages_ = std::make_unique<std::deque<T>>();
    messages_->push_back(std::move(message));
  }

  /// Takes the oldest message out; there must be a message.
  /// @return The message.
  T pop() {
    T message = std::move(messages_->front());
    messages_->pop_front();
    return message;
  }

 private:
  std::unique_ptr<std::deque<T>> messages_;
};
// [/message-queue]

/// @}

}  // namespace naglfar
