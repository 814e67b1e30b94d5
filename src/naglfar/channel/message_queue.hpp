/// @file channel/message_queue.hpp
/// The messages of a channel that no coroutine has read yet, oldest first.
///
/// Messages lie in rings. A ring that is full is followed by a ring of twice
/// the size, and is freed once its last message is read:
///
///     pop <- | ring of 4 | -> | ring of 8 | <- push
///
/// Invariants:
/// - A queue allocates nothing before its first message, because most
///   channels hand each message to a waiting reader and never hold any. Later
///   it allocates only when the last ring is full.
/// - A message in the queue never moves: `push` moves it in, `pop` moves it
///   out. So a message needs nothing but a move constructor, which may throw.
/// - A message that was read is destroyed at once.
///
/// The queue asks nothing of the layers below.

#pragma once

#include <cstddef>
#include <list>
#include <optional>
#include <utility>
#include <vector>

namespace naglfar {

/// @addtogroup channel
/// @{

// [message-queue]
/// A queue of messages.
/// @tparam T What a message is; it is moved, never copied.
template <class T>
class MessageQueue {
 public:
  /// @return How many messages the queue holds.
  std::size_t size() const { return size_; }
  /// Puts a message at the end. If that throws, because there is no memory or
  /// the message's move constructor throws, the queue is as it was before.
  /// @param message The message.
  void push(T&& message);
  /// Takes the oldest message out; there must be a message.
  /// @return The message.
  T pop();

 private:
  struct Ring {
    explicit Ring(std::size_t capacity) : slots(capacity) {}
    std::vector<std::optional<T>> slots;
    std::size_t first = 0;
    std::size_t used = 0;
  };
  std::list<Ring> rings_;  // allocates nothing while it is empty
  std::size_t size_ = 0;
};
// [/message-queue]

// [push-and-pop]
template <class T>
void MessageQueue<T>::push(T&& message) {
  if (rings_.empty())
    rings_.emplace_back(4);
  else if (const Ring& last = rings_.back(); last.used == last.slots.size())
    rings_.emplace_back(2 * last.used);
  Ring& ring = rings_.back();
  const std::size_t end = (ring.first + ring.used) % ring.slots.size();
  ring.slots[end].emplace(std::move(message));
  ++ring.used;
  ++size_;
}

template <class T>
T MessageQueue<T>::pop() {
  Ring& ring = rings_.front();
  std::optional<T>& slot = ring.slots[ring.first];
  T message = std::move(*slot);
  slot.reset();
  ring.first = (ring.first + 1) % ring.slots.size();
  --ring.used;
  --size_;
  if (ring.used == 0 && rings_.size() > 1) rings_.pop_front();
  return message;
}
// [/push-and-pop]

/// @}

}  // namespace naglfar
