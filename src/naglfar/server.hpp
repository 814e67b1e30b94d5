/// @file server.hpp
/// A TCP server in the shape of Python's socketserver, and the mix-in that
/// serves each request in a coroutine of its own.
///
/// Python puts a mix-in in front of a class: `class S(ScheduledMixIn,
/// HTTPServer)`. In C++ that is a template over its base:
/// `ScheduledMixIn<HTTPServer>`.
///
/// Invariants:
/// - Whatever a handler does, its connection is closed and the server goes
///   on.
/// - The accept loop survives what accept(2) can say about one connection,
///   and a lack of descriptors; it never spins.
/// - After shutdown() no connection is accepted; under ScheduledMixIn none
///   waits for another request, under the other mix-ins each may until
///   keepAliveTimeout is over.
///
/// Asks of the layers below: ScheduledFile, Channel, goAccept.

#pragma once

#include <sys/socket.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "naglfar/channel.hpp"
#include "naglfar/scheduled_file.hpp"

namespace naglfar {

/// @addtogroup server
/// @{

// [tcp-server]
/// A server that serves one request after the other, in the thread that calls
/// serve_forever(). The mix-ins change the latter.
class TCPServer {
 public:
  /// A connection that was accepted.
  struct Request {
    sys::Fd connection;   ///< The socket.
    sys::Address client;  ///< Who connected.
  };
  /// What serves a request (in Python, the handler class): see handlerFor().
  /// What all requests share is a member of a class that derives the server.
  using Handler = void (*)(ScheduledFile& request, const sys::Address& client,
                           TCPServer& server);

  /// Binds and listens.
  /// @param address Where; port 0 lets the kernel choose one.
  /// @param handler What serves a request.
  /// @param request_queue_size The backlog: connections that may wait to be
  ///        accepted. The kernel lowers it to net.core.somaxconn.
  /// @throws std::system_error EADDRINUSE, EACCES and whatever else the calls
  ///         socket(2), bind(2) and listen(2) fail with.
  TCPServer(const sys::Address& address, Handler handler,
            int request_queue_size = SOMAXCONN);

  /// Serves from a socket that listens already.
  /// @param listener A nonblocking socket.
  /// @param handler What serves a request.
  TCPServer(sys::Fd listener, Handler handler);

  virtual ~TCPServer();
  TCPServer(const TCPServer&) = delete;
  TCPServer& operator=(const TCPServer&) = delete;

  /// Serves until shutdown() is called.
  void serve_forever();

  /// Waits for one request and hands it to process_request().
  /// @return False after shutdown().
  bool handle_request();

  /// Ends serve_forever(), from any thread and from a signal handler.
  virtual void shutdown();

  /// @return True after shutdown().
  bool stopping() const { return stopped_; }

  /// Closes the listening socket. Called after serve_forever(). What that has
  /// left running ScheduledMixIn ends here, and the other mix-ins in their
  /// destructor: what requests need belongs into a class below the mix-in.
  virtual void server_close();

  /// Told by a handler that it waits for a request, and that it no longer
  /// does. Nobody would miss a connection that is closed in between.
  /// @param connection The connection's descriptor.
  /// @param waits Whether it waits now.
  virtual void idle(int connection, bool waits);

  /// @return The listening socket.
  int fileno() const { return socket_.get(); }

  /// Where it listens, with the port that the kernel chose.
  sys::Address server_address;

 protected:
  // [tcp-server-hooks]
  /// @return The next connection, or nothing after shutdown().
  virtual std::optional<Request> get_request();
  /// Serves a request. By default here and now.
  /// @param request The connection.
  virtual void process_request(Request request) { serve(request); }
  /// Runs the handler.
  /// @param request The connection.
  /// @param client Who connected.
  virtual void finish_request(ScheduledFile& request,
                              const sys::Address& client) {
    handler_(request, client, *this);
  }
  /// Told what a handler threw. By default a line on standard error.
  /// @param client Whose request it was.
  /// @param error What was thrown.
  virtual void handle_error(const sys::Address& client,
                            const std::exception& error);

  /// Runs the handler and closes the connection, whatever happens.
  /// @param request The connection.
  void serve(Request& request);

  /// What to do about an accept(2) that failed.
  enum class AcceptError { connectionGone, outOfResources, fatal };
  /// @param error What goAccept() threw.
  /// @return Whether to go on at once, later, or not at all.
  static AcceptError classify(const std::system_error& error);
  // [/tcp-server-hooks]

  // [tcp-server-room]
  /// @return Whether one more connection may be open. get_request() asks
  ///         before it accepts. If not, it asks again when somebody has said
  ///         that a request has ended, and now and then.
  virtual bool hasRoom() { return true; }
  /// Says that a request has ended, from any thread and from a child.
  /// @param who The child, to be told it from others.
  void tellEnded(pid_t who = 0);
  /// Takes what was said so. To be called until it returns nothing.
  /// @return Who has ended.
  std::optional<pid_t> nextEnded();
  // [/tcp-server-room]

 private:
  void lookForStop();
  void awaitRoom();

  sys::Fd socket_;
  Handler handler_;
  std::atomic<bool> stopped_ = false;
  sys::Fd stopReader_;  // shutdown() writes a byte, also in another process
  sys::Fd stopWriter_;
  sys::Fd endedReader_;  // made by who asks first, for most never do
  sys::Fd endedWriter_;
  struct Bell;  // what get_request() waits with
  std::unique_ptr<Bell> bell_;
};
// [/tcp-server]

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

// [handler-for]
/// Turns a handler class into what a server takes.
/// @tparam Handler Made from the connection, the client's address and the
///         server for each request, and then told to handle().
/// @param request The connection.
/// @param client Who connected.
/// @param server Who accepted it.
template <class Handler>
void handlerFor(ScheduledFile& request, const sys::Address& client,
                TCPServer& server) {
  Handler(request, client, server).handle();
}
// [/handler-for]

/// @}

}  // namespace naglfar
