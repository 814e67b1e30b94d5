/// @file server/waiters.hpp
/// Requests that wait to be answered by another request: what a comet handler
/// keeps in place of the 2009 post's list of channels.
///
/// Invariants:
/// - A waiting request is notified once, or throws because its client has
///   left, and never both.
/// - When a client leaves, its request waits no more, and no other request
///   counts it. If noticeDepartures is false, it may wait on. A client that
///   vanishes without a word leaves when the kernel's probes have found out:
///   see TCPServer::probeClients().
/// - A request never waits for a list that is gone.
///
/// Asks of the layers below: WaitQueue, HangupWatch, peerIsThere; of the
/// scheduler: park.

#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <optional>

#include "naglfar/io.hpp"

namespace naglfar {

/// @addtogroup server
/// @{

// [waiters]
/// The waiting requests of a server under ScheduledMixIn. What they wait for
/// is told as by a condition variable: the program keeps the news itself.
class Waiters {
 public:
  Waiters() = default;
  Waiters& operator=(Waiters&&) = delete;  // nor may it be copied
  /// Requests that wait are told so, by ECANCELED.
  ~Waiters() {
    while (auto* request = static_cast<Request*>(requests_.first())) {
      request->error = ECANCELED;
      request->notify();
    }
  }

  /// Waits for notifyAll(). A point of cancellation.
  /// @param connection The request's socket. No coroutine may read from it
  ///        meanwhile. A client that sends `mostUnread` bytes (16 KiB) while
  ///        it waits, a pipelined upload for instance, counts as one that has
  ///        left, `unreadPatience` (3 s) later.
  /// @param deadline When to give up.
  /// @return How many requests were notified together with this one.
  /// @throws std::system_error ECONNRESET if the client leaves before,
  ///         ECANCELED if this object is destroyed, errc::timed_out; what
  ///         HangupWatch throws, such as EBUSY if another coroutine reads
  ///         from the socket; and what peerIsThere() throws.
  std::size_t wait(int connection, Deadline deadline = never) {
    Scheduler& scheduler = Scheduler::current();
    Job& self = scheduler.self();
    Request request(*this);
    const bool endIsGone = endMeansGone;  // this object may be destroyed
    Deadline tooLong = never;             // for a client that sends on
    const auto crowded = [&] {
      tooLong = std::min(tooLong, after(unreadPatience));
      scheduler.wake(self);
    };
    std::optional<HangupWatch> departure;
    if (noticeDepartures)
      departure.emplace(
          connection, [&request] { request.left(); }, endIsGone, crowded);
    // With select(2) the watch ends when the client sends something.
    const bool looks = Poller::levelTriggered && noticeDepartures;
    while (request.waiting()) {
      const Deadline look = looks ? after(std::chrono::seconds(1)) : never;
      if (scheduler.park("a notification", -1,
                         std::min({deadline, tooLong, look})) ||
          !request.waiting())
        continue;
      bool sends = false;
      if (sys::now() >= deadline)
        sys::fail(ETIMEDOUT, "wait for a notification");
      if (sys::now() >= tooLong ||
          !peerIsThere(connection, endIsGone, &sends))
        request.left();
      else if (sends)
        crowded();
    }
    if (request.error != 0)
      sys::fail(request.error, request.error == ECANCELED
                                   ? "the list of waiting requests is gone"
                                   : "the client left while it waited");
    return request.told;
  }

  /// Notifies all requests that wait, in the order in which they came.
  /// @return How many.
  std::size_t notifyAll() {
    const std::size_t n = size_;
    while (auto* request = static_cast<Request*>(requests_.first())) {
      request->told = n;
      request->notify();
    }
    return n;
  }

  /// @return How many requests wait.
  std::size_t size() const { return size_; }

  /// Whether the server notices at once that a waiting client leaves. If it
  /// is false, the server notices when it cannot send the answer, and saves
  /// one registration with the poller (epoll_ctl(2)) for each waiting
  /// request. Concerns the requests that wait from then on.
  bool noticeDepartures = true;
  /// Whether the end of file means that a waiting client has left. A browser
  /// whose tab is closed ends like that; but so does a program that only
  /// ends its output and goes on reading. If it is false, only a reset means
  /// that a client has left. Concerns the requests that wait from then on.
  bool endMeansGone = true;

 private:
  // A request on the stack of its coroutine.
  struct Request : WaitQueue::Entry {
    explicit Request(Waiters& waiters)
        : Entry(waiters.requests_), size(waiters.size_) {
      ++size;
    }
    ~Request() {
      if (waiting()) --size;
    }
    // Hides that of Entry: it keeps the count, and a client may leave after
    // its request was notified.
    void notify() {
      if (!waiting()) return;
      --size;
      Entry::notify();
    }
    void left() {
      if (waiting()) error = ECONNRESET;
      notify();
    }
    std::size_t& size;
    std::size_t told = 0;
    int error = 0;  // why it is told of nothing
  };

  WaitQueue requests_;
  std::size_t size_ = 0;
};
// [/waiters]

/// @}

}  // namespace naglfar
