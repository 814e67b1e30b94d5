// The server without a mix-in: it listens, accepts a connection, serves it,
// and accepts the next.
//
// Invariant: the server waits for connections only in poll(2), where it sees
// shutdown(), too: the listener does not block.
//
// It asks for ScheduledFile and goClose, and sys for the calls.

#include "naglfar/server.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <initializer_list>
#include <iostream>
#include <iterator>

namespace naglfar {

// [tcp-server-life]
TCPServer::TCPServer(const sys::Address& address, Handler handler,
                     int request_queue_size)
    : TCPServer(
          sys::Fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket")),
          handler) {
  sys::check(sys::reuseAddress(fileno()), "setsockopt");
  sys::check(sys::bind(fileno(), address), "bind");
  sys::check(sys::listen(fileno(), request_queue_size), "listen");
  sys::check(sys::localAddress(fileno(), server_address), "getsockname");
}

TCPServer::TCPServer(sys::Fd listener, Handler handler)
    : socket_(std::move(listener)), handler_(handler) {
  sys::ignoreSignal(SIGPIPE);  // the Scheduler does it, but may be absent
  sys::check(sys::localAddress(fileno(), server_address), "getsockname");
}
// [/tcp-server-life]

// [serve-forever]
void TCPServer::serve_forever() {
  while (handle_request()) continue;
}

bool TCPServer::handle_request() {
  std::optional<Request> request = get_request();
  if (!request) return false;
  process_request(std::move(*request));
  return true;
}

// A busy server never waits in poll(2), so it looks at the flag between two
// requests. The byte wakes a server that waits, and reaches one in a child
// process, which does not see the flag. The code that a signal handler
// interrupts may depend on errno, so errno stays as it is.
void TCPServer::shutdown() {
  const int interrupted = errno;
  stopped_ = true;
  while (sys::write(stop_.writer.get(), "", 1) == -1 && errno == EINTR)
    continue;
  errno = interrupted;
}

void TCPServer::server_close() {
  if (socket_) goClose(socket_.release());
}
// [/serve-forever]

// [serve]
void TCPServer::serve(Request& request) {
  ScheduledFile file(std::move(request.connection));
  try {
    finish_request(file, request.client);
    file.close();
  } catch (const std::exception& error) {
    handle_error(request.client, error);
  } catch (const Unwind&) {
    throw;  // this coroutine is being destroyed
  } catch (...) {
    handle_error(request.client, std::runtime_error("unknown exception"));
  }
}

// The error may quote the client.
void TCPServer::handle_error(const sys::Address& client,
                             const std::exception& error) {
  std::cerr << "Exception while serving " + client.host() + ":" +
                   std::to_string(client.port()) + ": " +
                   sys::printable(error.what()) + "\n";
}
// [/serve]

// [await-input]
// No server reads the byte that shutdown() writes, so the pipe stays readable
// for every process that serves from the same listener.
bool TCPServer::awaitInput(int fd, int timeoutMs) {
  pollfd entries[] = {{fd, POLLIN, 0}, {stop_.reader.get(), POLLIN, 0}};
  const int n = sys::poll(entries, std::size(entries), timeoutMs);
  if (n == -1 && errno != EINTR) sys::fail(errno, "poll");
  if (n > 0 && entries[1].revents != 0) stopped_ = true;
  return !stopped_;
}
// [/await-input]

// [get-request]
std::optional<TCPServer::Request> TCPServer::get_request() {
  while (!stopped_) {
    Request request;
    request.connection = sys::Fd(
        sys::accept(fileno(), request.client, sys::Mode::nonblocking));
    if (request.connection) return request;
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      awaitInput(fileno(), -1);
      continue;
    }
    const std::system_error error(errno, std::generic_category(), "accept4");
    if (connectionGone(error)) continue;
    if (!outOfResources(error)) throw error;
    // The connection is still in the backlog, so the listener is readable. A
    // descriptor that is closed elsewhere makes nothing readable.
    awaitInput(-1, lookEveryMs);
  }
  return std::nullopt;
}
// [/get-request]

// [classify]
static bool isOneOf(std::initializer_list<int> errors,
                    const std::system_error& error) {
  return std::count(errors.begin(), errors.end(), error.code().value()) > 0;
}

bool TCPServer::outOfResources(const std::system_error& error) {
  return isOneOf({EMFILE, ENFILE, ENOBUFS, ENOMEM}, error);
}

// Linux reports here errors that the connection has already met (accept(2),
// "Error handling").
bool TCPServer::connectionGone(const std::system_error& error) {
  return isOneOf(
      {ECONNABORTED, ECONNRESET, EPROTO, EPERM, ENETDOWN, ENOPROTOOPT,
       EHOSTDOWN, EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, EINTR},
      error);
}
// [/classify]

}  // namespace naglfar
