/// @file channel.hpp
/// How coroutines talk: one writes messages, another reads them, in order.
///
/// A reader that finds no message waits in a queue. The next message is
/// promised to the reader that came first, and only that reader is woken: N
/// readers and N messages cost N parks. The reader takes the message when its
/// turn comes. If it is cancelled before, the promise goes to the reader that
/// came next. A writer that finds no room waits in another queue with its
/// message. The reader that makes room takes the message from there.
///
/// Invariants:
/// - Promised messages were written before all others, and there are as many
///   as readers that hold a promise.
/// - Messages wait only while no reader does, and readers only while no
///   message does.
/// - Writers wait only while there is no room, so no later writer overtakes
///   them.
/// - A coroutine in wait() takes nothing, so it never holds up a message. It
///   is woken when a message is left for it to see.
/// - A channel has room for one message inside, and allocates nothing before
///   it holds a second. Later it allocates only when it holds more messages
///   than before, and then twice as many nodes as the last time. When it is
///   empty again it keeps at most 60 of them.
/// - A message that was read is destroyed at once, and no earlier: if its
///   move throws, it is the next reader's.
///
/// Asks of the layers below: List; of the scheduler: WaitQueue and spend.

#pragma once

#include <cstddef>
#include <exception>
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
///         but a move constructor. If that throws, the call fails and the
///         channel keeps the messages that it had. The same holds if there is
///         no memory.
template <class T>
class Channel {
 public:
  /// @param limit How many messages may wait before writers do. With 0, as
  ///        with an unbuffered channel of Go, a writer waits until a reader
  ///        takes its message, or hands it to a reader that waits already. A
  ///        message that comes back, because its reader was cancelled, may
  ///        exceed the limit.
  explicit Channel(std::size_t limit = unlimited) : limit_(limit) {
    spare_.append(inside_);
  }

  // [channel-operations]
  /// Writes a message. Waits only while the limit is met and no reader waits.
  /// @param message The message.
  /// @param deadline When to give up waiting.
  /// @throws std::system_error EPIPE if the channel is closed,
  ///         errc::timed_out at the deadline: the message was not written.
  void write(T message, Deadline deadline = never);

  /// Sees to it that the next write() needs no memory, for a message that
  /// must not be lost with a write() that fails.
  void reserve();

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

  /// Takes all messages that are there, and of a channel with the limit 0 the
  /// message of the writer that came first. If a message cannot be moved, it
  /// takes those before it.
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
  /// @return How many messages wait to be read, also once it is closed.
  ///         Neither those that a waiting reader was woken for, nor those of
  ///         writers that wait for room.
  std::size_t size() const { return size_; }
  // [/channel-operations]

  /// Iterates over the messages, until the channel is closed and drained.
  /// @return An iterator at the first message; waits for that message.
  auto begin() {
    return inputIterator<T>([this](auto& place) { readInto(place); });
  }
  /// @return The end.
  std::default_sentinel_t end() { return {}; }
  /// Iterates over what readWaiting(true) returns, until the end. Waits for
  /// the first messages at once.
  /// @return A range of vectors of messages, none of them empty.
  auto iterateWaiting() {
    return inputIterator<std::vector<T>>([this](auto& place) {
      std::vector<T> batch = readWaiting(true);
      if (!batch.empty()) place = std::move(batch);
    });
  }

 private:
  // [channel-private]
  // A message that waits is in a node. Nodes go from list to list, so that
  // the message in a node never moves.
  struct Node : List<Node>::Link {
    std::optional<T> message;
  };
  // A reader that waits, or that was woken by the promise of a message.
  struct Reader : WaitQueue::Entry, List<Reader>::Link {
    explicit Reader(Channel& where) : Entry(where.readers_), channel(where) {}
    ~Reader() {
      if (promised()) channel.passOn();
    }
    bool promised() const { return List<Reader>::Link::linked(); }
    Channel& channel;
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
  // The scope in which a message is moved to its reader. If that throws, the
  // message stays.
  struct Taking {
    explicit Taking(Channel& from) : channel(from), node(from.front()) {}
    ~Taking() {
      if (std::uncaught_exceptions() == exceptions)
        channel.taken(node);
      else
        channel.promise();
    }
    Channel& channel;
    Node& node;
    int exceptions = std::uncaught_exceptions();
  };

  void keep(T&& message, List<Node>& where);
  void release(Node& node) noexcept;
  bool readable() const { return size_ > 0 || !writers_.empty(); }
  bool await(Deadline deadline);
  void readInto(std::optional<T>& place, Deadline deadline = never);
  Node& front();
  void taken(Node& node) noexcept;
  void promise() noexcept;
  void passOn() noexcept;

  std::size_t limit_;
  Node inside_;
  std::list<std::vector<Node>> slabs_;  // allocates nothing while it is empty
  List<Node> spare_;                    // nodes without a message
  std::size_t used_ = 0;                // nodes with one
  List<Node> messages_;
  std::size_t size_ = 0;  // of messages_
  List<Node> promised_;   // written before messages_
  List<Reader> woken_;    // each may take one of promised_
  WaitQueue readers_;
  WaitQueue waiting_;  // coroutines in wait()
  WaitQueue writers_;
  bool closed_ = false;
  // [/channel-private]
};
// [/channel-class]

// [keep]
template <class T>
void Channel<T>::reserve() {
  if (!spare_.empty()) return;
  slabs_.emplace_back(slabs_.empty() ? 4 : 2 * slabs_.back().size());
  for (Node& node : slabs_.back()) spare_.append(node);
}

template <class T>
void Channel<T>::keep(T&& message, List<Node>& where) {
  reserve();
  Node& node = *spare_.first();
  node.message.emplace(std::move(message));
  where.append(node);
  ++used_;
}

template <class T>
void Channel<T>::release(Node& node) noexcept {
  node.message.reset();
  spare_.append(node);
  if (--used_ > 0) return;
  while (slabs_.size() > 4) slabs_.pop_back();  // of a burst that is over
}
// [/keep]

// [promise]
// Promises the first message to the reader that came first, and wakes that
// reader. If no reader waits, the coroutines in wait() see the message.
template <class T>
void Channel<T>::promise() noexcept {
  auto* reader = static_cast<Reader*>(readers_.first());
  if (reader == nullptr) return waiting_.notifyAll();
  promised_.append(*messages_.first());
  --size_;
  woken_.append(*reader);
  reader->notify();
}

// A reader was cancelled that held a promise. The message that was promised
// last comes back, because the readers that still hold a promise take those
// before it.
template <class T>
void Channel<T>::passOn() noexcept {
  messages_.prepend(*promised_.last());
  ++size_;
  promise();
}
// [/promise]

// [await]
// Waits until there is a message, which front() gives, or until the end.
template <class T>
bool Channel<T>::await(Deadline deadline) {
  Scheduler::spend();
  if (readable() || closed_) return readable();
  Reader reader(*this);
  reader.wait("a message", deadline);
  if (reader.promised()) {
    static_cast<typename List<Reader>::Link&>(reader).unlink();
    messages_.prepend(*promised_.first());
    ++size_;
  }
  return readable();
}
// [/await]

// [take]
// Where there is no room for messages, the first is in the writer's hand.
template <class T>
typename Channel<T>::Node& Channel<T>::front() {
  if (size_ > 0) return *messages_.first();
  return *static_cast<Writer*>(writers_.first())->kept.first();
}

template <class T>
void Channel<T>::taken(Node& node) noexcept {
  release(node);
  if (size_ > 0) --size_;
  auto* writer = static_cast<Writer*>(writers_.first());
  if (writer == nullptr) return;
  if (size_ < limit_) {
    messages_.append(writer->kept);
    ++size_;
  }
  if (writer->kept.empty()) writer->notify();
}
// [/take]

// [channel-write]
template <class T>
void Channel<T>::write(T message, Deadline deadline) {
  Scheduler::spend();
  if (closed_) sys::fail(EPIPE, "write to a closed channel");
  if (size_ >= limit_ && readers_.empty()) {
    Writer writer(*this);
    keep(std::move(message), writer.kept);
    if (limit_ == 0) waiting_.notifyAll();  // they can see it
    writer.wait("room in a channel", deadline);
    if (writer.kept.empty()) return;  // taken() has made room
    sys::fail(EPIPE, "the channel was closed while a write waited");
  }
  keep(std::move(message), messages_);
  ++size_;
  promise();
}
// [/channel-write]

// [channel-read]
template <class T>
std::optional<T> Channel<T>::next(Deadline deadline) {
  std::optional<T> message;
  readInto(message, deadline);
  return message;
}

template <class T>
void Channel<T>::readInto(std::optional<T>& place, Deadline deadline) {
  if (!await(deadline)) return;
  const Taking taking(*this);
  place.emplace(std::move(*taking.node.message));
}

template <class T>
T Channel<T>::read(Deadline deadline) {
  if (!await(deadline)) sys::fail(EPIPE, "read from a closed channel");
  const Taking taking(*this);
  return std::move(*taking.node.message);
}
// [/channel-read]

// [channel-wait]
template <class T>
bool Channel<T>::wait(Deadline deadline) {
  Scheduler::spend();
  while (!readable() && !closed_)
    WaitQueue::Entry(waiting_).wait("a message", deadline);
  return readable();
}

template <class T>
std::vector<T> Channel<T>::readWaiting(bool block) {
  if (block)
    wait();
  else
    Scheduler::spend();
  std::vector<T> all;
  std::size_t n = size_ > 0 ? size_ : readable();
  all.reserve(n);
  try {
    for (; n > 0; --n) {
      const Taking taking(*this);
      all.push_back(std::move(*taking.node.message));
    }
  } catch (...) {
    if (all.empty()) throw;  // else what was taken is not lost
  }
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
