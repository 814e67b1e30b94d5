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
#include <optional>

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

  virtual ~TCPServer() = default;
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

  // [tcp-server-wait]
  /// A pipe whose ends never block.
  struct Pipe {
    /// @throws std::system_error If there is no descriptor for it.
    Pipe();
    sys::Fd reader;  ///< The end to read from.
    sys::Fd writer;  ///< The end to write to.
  };
  /// In place of a descriptor for awaitInput().
  static constexpr int noDescriptor = -1;
  /// How often a server looks for what no descriptor tells.
  static constexpr int lookEveryMs = 100;
  /// Waits until a descriptor is readable, the time is over, or shutdown()
  /// is called; perhaps in vain.
  /// @param fd The descriptor, or noDescriptor.
  /// @param timeoutMs The time in milliseconds; -1 is for ever.
  /// @return False after shutdown().
  bool awaitInput(int fd, int timeoutMs);
  // [/tcp-server-wait]

 private:
  sys::Fd socket_;
  Handler handler_;
  std::atomic<bool> stopped_ = false;
  Pipe stop_;  // readable after shutdown(), also in other processes
};
// [/tcp-server]

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

#include "naglfar/server/scheduled_mix_in.hpp"
