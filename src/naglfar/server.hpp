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
///   server goes on. The same holds if process_request(), finish_request() or
///   handle_error() throws.
/// - An accept(2) that fails because of one connection, or for want of
///   descriptors, does not end the server, and does not make it spin. Any
///   other error of accept(2) leaves serve_forever().
/// - std::bad_alloc does not end the server either: connections wait in the
///   backlog until there is memory, and one that was accepted is told of by
///   handle_error() if there is none to serve it.
/// - After shutdown() the server accepts no connection. Under ScheduledMixIn
///   no connection waits for another request then; under the other mix-ins a
///   connection may, until its keepAliveTimeout is over, or, before its first
///   request, its headerTimeout.
/// - A thread that has a Scheduler waits in it, also in a server without a
///   mix-in: its other coroutines run meanwhile.
///
/// Asks of the layers below: ScheduledFile, goClose; of the scheduler: watch
/// and park; of sys: the calls on a listening socket, poll, a pipe, shared
/// memory, log.

#pragma once

#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <optional>
#include <span>

#include "naglfar/channel.hpp"
#include "naglfar/scheduled_file.hpp"

namespace naglfar {

/// @addtogroup server
/// @{

// [tcp-server]
/// A server that serves one request after the other, in the thread or the
/// coroutine that calls serve_forever(). A mix-in overrides process_request()
/// to serve elsewhere.
class TCPServer {
 public:
  /// A connection that was accepted.
  struct Request {
    sys::Fd connection;   ///< The socket.
    sys::Address client;  ///< The client's address.
  };
  /// The function that serves a request (in Python, the handler class): see
  /// handlerFor(). The file has no deadline and no timeout, also for the last
  /// bytes, which are sent when the function returns: the function sets them,
  /// as BaseHTTPRequestHandler does. What all requests share is a member of a
  /// class derived from the server.
  using Handler = void (*)(ScheduledFile& request, const sys::Address& client,
                           TCPServer& server);

  // [tcp-server-options]
  /// Binds a socket and listens. The connections that it accepts inherit from
  /// it TCP_NODELAY and probeClients(60 s, 10 s, 6), on Linux, FreeBSD and
  /// macOS; so these options cost no system call per client. POSIX does not
  /// promise that: on a system on which accepted sockets inherit nothing,
  /// they have none of both.
  /// @param address The address; port 0 lets the kernel choose a port.
  /// @param handler The function that serves a request.
  /// @param request_queue_size The backlog: connections that may wait to be
  ///        accepted. The kernel lowers it to net.core.somaxconn.
  /// @throws std::system_error EADDRINUSE, EACCES and whatever else the calls
  ///         socket(2), bind(2) and listen(2) fail with, or those of the
  ///         other constructor.
  TCPServer(const sys::Address& address, Handler handler,
            int request_queue_size = SOMAXCONN);

  /// Serves from a socket that listens already, and sets the options on it.
  /// @param listener A nonblocking socket.
  /// @param handler The function that serves a request.
  /// @throws std::system_error What the calls getsockname(2), setsockopt(2),
  ///         mmap(2) and pipe(2) fail with.
  TCPServer(sys::Fd listener, Handler handler);

  virtual ~TCPServer() = default;

  /// Says how long a client may be silent before the kernel asks its machine
  /// for a sign of life (SO_KEEPALIVE), and how it asks. A client that has
  /// vanished without a word, because its network or its machine is gone, is
  /// noticed after `idle + probes * interval`: then the connection has ended
  /// by an error, ETIMEDOUT. On Linux bytes that the client's machine does
  /// not take end it after the same time (TCP_USER_TIMEOUT): also those of a
  /// client that is there and reads nothing for so long, whatever time-out
  /// the handler has. Concerns the connections that are made from then on.
  /// @param idle How long a client is silent before it is asked. All times
  ///        are rounded up to seconds, and are a second at least and 32,767
  ///        seconds at most.
  /// @param interval The time between two probes.
  /// @param probes How many of them a client may leave unanswered: 1 to 127.
  /// @throws std::system_error What setsockopt(2) fails with.
  void probeClients(sys::Duration idle, sys::Duration interval, int probes);
  // [/tcp-server-options]

  /// Serves until shutdown() is called.
  /// @throws std::system_error As handle_request().
  void serve_forever();

  /// Waits for one request and hands it to process_request(). Where there is
  /// no memory to wait, it returns a moment later without a request.
  /// @return False after shutdown().
  /// @throws std::system_error An error of accept(2) that would come again,
  ///         such as EINVAL from a socket that does not listen.
  bool handle_request();

  /// Ends serve_forever(), in this process and in each process that serves
  /// from the same socket: a child or its parent. Any thread and any signal
  /// handler may call it.
  virtual void shutdown();

  /// @return True after shutdown(), in whichever process it was called.
  bool stopping() const { return *stopped_; }

  /// Closes the listening socket, after serve_forever(). Requests may still
  /// run: ScheduledMixIn and ForkingMixIn wait for them here, ThreadingMixIn
  /// waits in its destructor. So what requests use, members and overridden
  /// functions, has to belong to a class below the mix-in, which is destroyed
  /// after it.
  virtual void server_close();

  /// A handler calls this before and after it waits for a request. Between
  /// the two calls shutdown() may end the connection, because no request is
  /// lost. By default the connection's keepAliveTimeout ends the wait.
  /// The second call must not throw: an exception may be on its way.
  /// @param connection The connection's descriptor.
  /// @param waits Whether the handler waits from now on.
  virtual void idle([[maybe_unused]] int connection,
                    [[maybe_unused]] bool waits) {}

  /// @return The listening socket.
  int fileno() const { return socket_.get(); }

  /// The address of the listening socket, with the port that the kernel
  /// chose.
  sys::Address server_address;

 protected:
  // [tcp-server-hooks]
  /// @return The next connection, or nothing after shutdown().
  virtual std::optional<Request> get_request();
  /// Called before the server waits for a connection. By default does
  /// nothing.
  /// @return In how many milliseconds it is to be called again if no
  ///         connection comes; -1 for no limit.
  virtual int service_actions() { return -1; }
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
  /// Called when a handler throws, or a mix-in finds no coroutine, thread or
  /// process for a request. By default writes a line to standard error. What
  /// it throws itself is told to the scheduler's `unhandled`, or else on
  /// standard error.
  /// @param client The client's address.
  /// @param error What the handler threw, or what is missing.
  virtual void handle_error(const sys::Address& client,
                            const std::exception& error);

  /// Closes the listening socket, and does nothing else that a derived class
  /// does in server_close(): for a child, which has a copy of the socket.
  void closeListener();
  /// Runs the handler and closes the connection. What the handler or
  /// handle_error() throws ends here, except Unwind.
  /// @param request The connection.
  void serve(Request& request);

  /// @param error An error of accept(2).
  /// @return True if it concerns one connection: the server goes on at once,
  ///         unless it is one of many in a row: see failedTooOften().
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
  /// @param fds The descriptors; -1 stands for none.
  /// @param timeoutMs The time in milliseconds, or -1 for no limit.
  /// @return False after shutdown().
  bool awaitInput(std::initializer_list<int> fds, int timeoutMs);
  /// Waits until a descriptor is readable or the time is over: the coroutine,
  /// or, without a scheduler, the thread. May return earlier.
  /// @param fds Up to three descriptors; -1 stands for none.
  /// @param timeoutMs The time in milliseconds, or -1 for no limit.
  /// @param scheduler The scheduler to wait in, or null.
  static void await(std::span<const int> fds, int timeoutMs,
                    Scheduler* scheduler = Scheduler::ofThread());

  /// Counts the failures of accept(2) that concern one connection. An error
  /// that comes with each call would make the accept loop spin.
  /// @return True for each 64th failure in a row: the accept loop waits.
  bool failedTooOften() { return ++failures_ % 64 == 0; }
  /// Called when accept(2) has succeeded.
  void hasAccepted() { failures_ = 0; }

  /// Is readable after shutdown(), in each process that serves.
  int stopInput() const { return stop_.reader.get(); }
  /// A descriptor that ends the wait for a connection when it is readable, so
  /// that service_actions() is called; -1 for none.
  int serviceInput = -1;
  // [/tcp-server-wait]

 private:
  void report(const sys::Address& client);
  static void awaitMemory();

  sys::Fd socket_;
  Handler handler_;
  std::size_t failures_ = 0;
  // The flag stands in memory that children share, for a child that serves a
  // busy client. The pipe wakes the processes and threads that wait.
  struct Unmap {
    void operator()(std::atomic<bool>* flag) const;
  };
  std::unique_ptr<std::atomic<bool>, Unmap> stopped_;
  sys::Pipe stop_;
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
