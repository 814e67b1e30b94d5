/// @file server/scheduled_mix_in.hpp
/// The mix-in that serves each request of a TCPServer in a coroutine of its
/// own. naglfar/server.hpp includes it.
///
/// Invariants:
/// - The accept loop survives what accept(2) can say about one connection,
///   and a lack of descriptors; it never spins.
/// - After shutdown() no connection is accepted, and none waits for another
///   request.
///
/// Asks of the layers below: TCPServer, Channel, goAccept.

#pragma once

#include <optional>
#include <vector>

#include "naglfar/server.hpp"

namespace naglfar {

/// @addtogroup server
/// @{

// [scheduled-mix-in]
/// Serves each request in a new coroutine (`ScheduledMixIn` in the 2009
/// library). The thread needs a Scheduler.
/// @tparam Base TCPServer, or a class derived from it.
template <class Base>
class ScheduledMixIn : public Base {
 public:
  /// Takes what Base takes, and starts accepting.
  template <class... Args>
  explicit ScheduledMixIn(Args&&... args)
      : Base(std::forward<Args>(args)...) {
    server_activate();
  }
  /// Stops accepting, and unwinds the requests that are being served.
  ~ScheduledMixIn() override {
    Coroutine::destroyOwnedBy(this);
    Scheduler::current().deregister(this->fileno());
  }

  /// Ends serve_forever() and stops accepting, and ends the wait of those
  /// that wait for a request. From this thread only: a signal gets here
  /// through Signals.
  void shutdown() override;

  /// Waits until the requests that are being served have ended, and unwinds
  /// those that have not when the grace period is over.
  void server_close() override;

  void idle(int connection, bool waits) override;

  // [scheduled-mix-in-settings]
  /// How many connections may be open at a time. The next ones wait in the
  /// backlog of the listener until one of them is closed. By default as many
  /// as there are descriptors.
  std::size_t maxConnections = unlimited;
  /// How long server_close() waits.
  sys::Duration gracePeriod = std::chrono::seconds(5);
  // [/scheduled-mix-in-settings]

 protected:
  /// Starts the coroutine that accepts.
  void server_activate();
  std::optional<TCPServer::Request> get_request() override {
    return acceptStream_.next();
  }
  void process_request(TCPServer::Request request) override;

 private:
  void acceptConnections();
  bool awaitEndOfRequest(Deadline deadline);
  void requestEnded();

  // As in 2009, connections come through a channel. Its extra turn of the
  // queue gives a client in the same thread the time to send its request,
  // so that the server's first read finds it.
  Channel<TCPServer::Request> acceptStream_{1024};
  std::size_t connections_ = 0;  // accepted, and not ended
  WaitQueue endOfRequest_;
  std::vector<bool> idle_;  // by descriptor
};
// [/scheduled-mix-in]

// [scheduled-mix-in-accept]
template <class Base>
void ScheduledMixIn<Base>::server_activate() {
  Coroutine& acceptor = go([this] { acceptConnections(); });
  acceptor.name = "accept loop";
  acceptor.owner = this;
}

template <class Base>
void ScheduledMixIn<Base>::acceptConnections() {
  using enum TCPServer::AcceptError;
  while (!acceptStream_.closed()) {
    try {
      if (connections_ >= maxConnections) {
        awaitEndOfRequest(never);
        continue;
      }
      TCPServer::Request request;
      request.connection = goAccept(this->fileno(), request.client);
      ++connections_;
      try {
        acceptStream_.write(std::move(request));
      } catch (...) {
        requestEnded();
        throw;
      }
    } catch (const std::system_error& error) {
      if (acceptStream_.closed()) break;
      const auto kind = TCPServer::classify(error);
      if (kind == connectionGone) continue;
      if (kind == fatal) {
        acceptStream_.close();
        throw;
      }
      // Woken when a request ends, for that frees a descriptor; and now and
      // then, because others may free some, too.
      awaitEndOfRequest(after(std::chrono::milliseconds(100)));
    }
  }
}

// False at the deadline.
template <class Base>
bool ScheduledMixIn<Base>::awaitEndOfRequest(Deadline deadline) {
  WaitQueue::Entry entry(endOfRequest_);
  return Scheduler::current().park("a request to end", -1, deadline);
}
// [/scheduled-mix-in-accept]

// [scheduled-mix-in-serve]
template <class Base>
void ScheduledMixIn<Base>::process_request(TCPServer::Request request) {
  const sys::Address client = request.client;
  try {
    Coroutine& server = go([this, request = std::move(request)]() mutable {
      struct Ended {
        ~Ended() { server.requestEnded(); }
        ScheduledMixIn& server;
      } ended{*this};
      this->serve(request);
    });
    server.name = "request";
    server.owner = this;
  } catch (const std::system_error& error) {  // no memory for one more stack
    requestEnded();
    this->handle_error(client, error);
  }
}

template <class Base>
void ScheduledMixIn<Base>::requestEnded() {
  --connections_;
  endOfRequest_.notifyAll();
}
// [/scheduled-mix-in-serve]

// [scheduled-mix-in-end]
template <class Base>
void ScheduledMixIn<Base>::idle(int connection, bool waits) {
  const auto index = static_cast<std::size_t>(connection);
  if (index >= idle_.size()) idle_.resize(index + 1);
  idle_[index] = waits;
}

template <class Base>
void ScheduledMixIn<Base>::shutdown() {
  Base::shutdown();
  acceptStream_.close();
  Scheduler::current().deregister(this->fileno());
  endOfRequest_.notifyAll();  // the accept loop may wait for one
  for (std::size_t fd = 0; fd < idle_.size(); ++fd)
    if (idle_[fd]) Scheduler::current().deregister(static_cast<int>(fd));
}

template <class Base>
void ScheduledMixIn<Base>::server_close() {
  shutdown();
  Base::server_close();
  while (acceptStream_.next()) --connections_;  // nobody will serve them
  const Deadline end = after(gracePeriod);
  while (connections_ > 0 && awaitEndOfRequest(end)) continue;
  Coroutine::destroyOwnedBy(this);
}
// [/scheduled-mix-in-end]

/// @}

}  // namespace naglfar
