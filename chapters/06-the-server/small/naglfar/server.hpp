/// @file server.hpp
/// A TCP server with the interface of Python's socketserver.TCPServer, and
/// the mix-in that serves each request in a coroutine of its own.
///
/// Invariants:
/// - A handler that throws ends its connection, and no other one.
/// - An accept(2) that fails because of one connection, or for want of
///   descriptors, does not end the server and does not make it spin.
///
/// It asks for ScheduledFile and goAccept, and sys for a socket that listens.

#pragma once

#include <sys/socket.h>

#include <exception>  //[3
#include <set>        //[5

#include "naglfar/scheduled_file.hpp"

namespace naglfar {

/// Serves one request after the other.
class TCPServer {
 public:
  /// A connection that was accepted.
  struct Request {  //[2
    sys::Fd connection;
    sys::Address client;
  };
  /// The function that serves a request: see handlerFor().
  using Handler = void (*)(ScheduledFile& request, const sys::Address& client,
                           TCPServer& server);

  /// Binds a socket and listens.
  TCPServer(const sys::Address& address, Handler handler)
      : TCPServer(listenOn(address), handler) {}
  /// Serves from a socket that listens already.
  TCPServer(sys::Fd listener, Handler handler)
      : socket_(std::move(listener)), handler_(handler) {
    sys::check(sys::localAddress(fileno(), server_address), "getsockname");
  }
  virtual ~TCPServer() = default;

  //[2-3 /// Serves for ever.
  /// Serves until shutdown() is called.  //[4]
  void serve_forever() {  //[2
    //[2-3 for (;;) process_request(get_request());
    while (!stopped_) try {  //[4
        process_request(get_request());
      } catch (const std::system_error& error) {
        //[4-4 if (!stopped_) throw;
        if (!stopped_) survive(error);  //[5
      }
  }
  /// Ends serve_forever(), and closes the listening socket. Requests that run
  /// go on, and need the server until their end.
  void shutdown() {  //[4
    stopped_ = true;
    socket_ = sys::Fd();
  }

  /// @return The listening socket.
  int fileno() const { return socket_.get(); }
  sys::Address server_address;  ///< With the port that the kernel chose.

 protected:  //[2
  /// @return The next connection.
  virtual Request get_request() {
    Request request;
    request.connection = goAccept(fileno(), request.client);
    return request;
  }
  /// Serves a request. A mix-in serves it elsewhere.
  virtual void process_request(Request request) { serve(request); }
  /// Runs the handler.
  virtual void finish_request(ScheduledFile& request,  //[3
                              const sys::Address& client) {
    handler_(request, client, *this);
  }
  /// Called when a handler throws.
  virtual void handle_error(const sys::Address& client,  //[3
                            const std::exception& error) {
    sys::log({"Exception while serving ", client.host(), ": ", error.what()});
  }

  /// Runs the handler and closes the connection.
  void serve(Request& request) {  //[2
    ScheduledFile file(std::move(request.connection));
    //[2-2 handler_(file, request.client, *this);
    //[2-2 file.close();
    try {  //[3
      finish_request(file, request.client);
      file.close();
    } catch (const std::exception& error) {
      handle_error(request.client, error);
    }
  }

 private:
  static sys::Fd listenOn(const sys::Address& address) {
    sys::Fd fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
    sys::check(sys::reuseAddress(fd.get()), "setsockopt");
    sys::check(sys::bind(fd.get(), address), "bind");
    sys::check(sys::listen(fd.get(), SOMAXCONN), "listen");
    return fd;
  }
  // The listener stays readable while a connection waits in the backlog, so
  // the server must wait for time to pass, and longer without descriptors.
  // Called where the error was caught.
  static void survive(const std::system_error& error) {  //[5
    static const std::set<int> noMeans{EMFILE, ENFILE, ENOBUFS, ENOMEM};
    static const std::set<int> clients{
        ECONNABORTED, ECONNRESET,  EPROTO,       EPERM,      ENETDOWN,
        EHOSTDOWN,    ENETUNREACH, EHOSTUNREACH, ENOPROTOOPT};
    const int number = error.code().value();
    const bool oneClient = clients.contains(number);
    if (!oneClient && !noMeans.contains(number)) throw;
    sleep(std::chrono::milliseconds(oneClient ? 1 : 100));
  }

  sys::Fd socket_;
  Handler handler_;
  bool stopped_ = false;  //[4
};

/// Serves each request in a coroutine of its own.
/// @tparam Base TCPServer, or a class derived from it.
template <class Base>
class ScheduledMixIn : public Base {  //[6
 public:
  using Base::Base;

 protected:
  void process_request(TCPServer::Request request) override {
    go([this, request = std::move(request)]() mutable {
      this->serve(request);
    }).name = "request";
  }
};

/// Makes a TCPServer::Handler of a handler class: an object of the class is
/// made for each request, and its handle() is called.
template <class Handler>
void handlerFor(ScheduledFile& request, const sys::Address& client,  //[7
                TCPServer& server) {
  Handler(request, client, server).handle();
}

}  // namespace naglfar
