/// @file server.hpp
/// A TCP server with the interface of Python's socketserver.TCPServer. It
/// serves one request after the other; a mix-in makes it serve many at a
/// time. This header includes ScheduledMixIn, which serves each request in a
/// coroutine.
///
/// Python puts a mix-in in front of a class: `class S(ScheduledMixIn,
/// HTTPServer)`. In C++ a mix-in is a template over its base class:
/// `ScheduledMixIn<HTTPServer>`.
///
/// Invariants:
/// - When a handler returns or throws, its connection is closed and the
///   server goes on.
/// - An accept(2) that fails because of one connection, or for want of
///   descriptors, does not end the server, and does not make it spin.
/// - After shutdown() the server accepts no connection. Under ScheduledMixIn
///   no connection waits for another request then; under the other mix-ins a
///   connection may, until its keepAliveTimeout is over.
///
/// Asks of the layers below: ScheduledFile, goClose; of sys: the calls on a
/// listening socket, poll, a pipe.

#pragma once

#include <sys/socket.h>

#include <atomic>
#include <optional>

#include "naglfar/channel.hpp"
#include "naglfar/scheduled_file.hpp"

namespace naglfar {

/// @addtogroup server
/// @{

// [tcp-server]
/// A server that serves one request after the other, in the thread that calls
/// serve_forever(). A mix-in overrides process_request() to serve elsewhere.
class TCPServer {
 public:
  /// A connection that was accepted.
  struct Request {
    sys::Fd connection;   ///< The socket.
    sys::Address client;  ///< The client's address.
  };
  /// The function that serves a request (in Python, the handler class): see
  /// handlerFor(). What all requests share is a member of a class derived
  /// from the server.
  using Handler = void (*)(ScheduledFile& request, const sys::Address& client,
                           TCPServer& server);

  /// Binds a socket and listens.
  /// @param address The address; port 0 lets the kernel choose a port.
  /// @param handler The function that serves a request.
  /// @param request_queue_size The backlog: connections that may wait to be
  ///        accepted. The kernel lowers it to net.core.somaxconn.
  /// @throws std::system_error EADDRINUSE, EACCES and whatever else the calls
  ///         socket(2), bind(2) and listen(2) fail with.
  TCPServer(const sys::Address& address, Handler handler,
            int request_queue_size = SOMAXCONN);

  /// Serves from a socket that listens already.
  /// @param listener A nonblocking socket.
  /// @param handler The function that serves a request.
  /// @throws std::system_error What getsockname(2) fails with.
  TCPServer(sys::Fd listener, Handler handler);

  virtual ~TCPServer() = default;

  /// Serves until shutdown() is called.
  void serve_forever();

  /// Waits for one request and hands it to process_request().
  /// @return False after shutdown().
  bool handle_request();

  /// Ends serve_forever(), in this process and in each child that serves from
  /// the same socket. Any thread and any signal handler may call it.
  virtual void shutdown();

  /// @return True after shutdown().
  bool stopping() const { return stopped_; }

  /// Closes the listening socket, after serve_forever(). Requests may still
  /// run: ScheduledMixIn waits for them here, the other mix-ins wait in their
  /// destructors. So what requests use has to be a member of a class below
  /// the mix-in, which is destroyed after it.
  virtual void server_close();

  /// A handler calls this before and after it waits for a request. Between
  /// the two calls shutdown() may end the connection, because no request is
  /// lost. By default the connection's keepAliveTimeout ends the wait.
  /// @param connection The connection's descriptor.
  /// @param waits Whether the handler waits from now on.
  virtual void idle([[maybe_unused]] int connection,
                    [[maybe_unused]] bool waits) {}

  /// Called when a handler throws, or a mix-in finds no coroutine, thread or
  /// process for a request. By default writes a line to standard error.
  /// @param client The client's address.
  /// @param error What the handler threw, or what is missing.
  virtual void handle_error(const sys::Address& client,
                            const std::exception& error);

  /// @return The listening socket.
  int fileno() const { return socket_.get(); }

  /// The address of the listening socket, with the port that the kernel
  /// chose.
  sys::Address server_address;

 protected:
  // [tcp-server-hooks]
  /// @return The next connection, or nothing after shutdown().
  virtual std::optional<Request> get_request();
  /// Serves a request. By default it returns when the request is served.
  /// @param request The connection.
  virtual void process_request(Request request) { serve(request); }
  /// Runs the handler.
  /// @param request The connection.
  /// @param client The client's address.
  virtual void finish_request(ScheduledFile& request,
                              const sys::Address& client) {
    handler_(request, client, *this);
  }
  /// Runs the handler and closes the connection, also if the handler throws.
  /// @param request The connection.
  void serve(Request& request);

  /// @param error An error of accept(2).
  /// @return True if it concerns one connection: the server goes on at once.
  static bool connectionGone(const std::system_error& error);
  /// @param error An error of accept(2).
  /// @return True if the server goes on when it has resources again.
  static bool outOfResources(const std::system_error& error);
  // [/tcp-server-hooks]

  // [tcp-server-wait]
  /// How many milliseconds a server waits before it looks again for a change
  /// that makes no descriptor readable.
  static constexpr int lookEveryMs = 100;
  /// Waits until a descriptor is readable, shutdown() is called, or the time
  /// is over. May return earlier.
  /// @param fd The descriptor, or -1 for none.
  /// @param timeoutMs The time in milliseconds, or -1 for no limit.
  /// @return False after shutdown().
  bool awaitInput(int fd, int timeoutMs);
  // [/tcp-server-wait]

 private:
  sys::Fd socket_;
  Handler handler_;
  std::atomic<bool> stopped_ = false;
  sys::Pipe stop_;  // readable after shutdown(), also in other processes
};
// [/tcp-server]

// [handler-for]
/// Makes a TCPServer::Handler of a handler class.
/// @tparam Handler The class. For each request an object is made from the
///         connection, the client's address and the server, and its handle()
///         is called.
/// @param request The connection.
/// @param client The client's address.
/// @param server The server that accepted the connection.
template <class Handler>
void handlerFor(ScheduledFile& request, const sys::Address& client,
                TCPServer& server) {
  Handler(request, client, server).handle();
}
// [/handler-for]

/// @}

}  // namespace naglfar

#include "naglfar/server/scheduled_mix_in.hpp"
