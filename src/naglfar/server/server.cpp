// The server without a mix-in: bind, listen, accept, serve, one by one.
//
// Invariant: the listener never blocks. Who waits for a connection waits in
// the poller, so that shutdown() is seen, too.

#include "naglfar/server.hpp"

#include <cerrno>
#include <csignal>
#include <iostream>

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
  sys::ignoreSignal(SIGPIPE);  // here, too: not every server has a Scheduler
  int ends[2];
  sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
  stopReader_ = sys::Fd(ends[0]);
  stopWriter_ = sys::Fd(ends[1]);
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

// The flag is for a server that never waits, because clients do; the byte for
// one that waits, or that runs in a child. A signal handler may do both, and
// whom it interrupts must find its errno again.
void TCPServer::shutdown() {
  const int interrupted = errno;
  stopped_ = true;
  while (sys::write(stopWriter_.get(), "", 1) == -1 && errno == EINTR)
    continue;
  errno = interrupted;
}

void TCPServer::server_close() {
  if (socket_) goClose(socket_.release());
}

// Whoever serves one request after the other has nobody to end the wait of.
void TCPServer::idle(int /*connection*/, bool /*waits*/) {}
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
    throw;  // the server goes, and its requests with it
  } catch (...) {
    handle_error(request.client, std::runtime_error("unknown exception"));
  }
}

void TCPServer::handle_error(const sys::Address& client,
                             const std::exception& error) {
  std::cerr << "Exception while serving " + client.host() + ":" +
                   std::to_string(client.port()) + ": " + error.what() + "\n";
}
// [/serve]

// [bell]
// One for all requests: a server that is out of descriptors could not make
// another. That a job is queued is all that it has to say.
struct TCPServer::Bell {
  struct Nothing final : Job {
    void run() override {}
  };
  JobQueue rung;
  Nothing forConnection;
  Nothing forStop;
  Nothing forRoom;
  Waiter connection{forConnection};
  Waiter stop{forStop};
  Waiter room{forRoom};
  Poller poller;
};

TCPServer::~TCPServer() = default;
// [/bell]

// [look-for-stop]
// Only the byte means that shutdown() was called, for readiness is a hint. It
// is put back, for whoever else serves from the same listener.
void TCPServer::lookForStop() {
  if (!bell_->forStop.queued()) return;
  char byte;
  ssize_t n = -1;
  do n = sys::read(stopReader_.get(), &byte, 1);
  while (n == -1 && errno == EINTR);
  if (n == 1) return TCPServer::shutdown();
  while (bell_->rung.pop() != nullptr) continue;
  bell_->poller.watch(stopReader_.get(), Interest::read, bell_->stop);
}
// [/look-for-stop]

// [await-room]
// Each word is whole, or is not there: pipe(7), PIPE_BUF. When the pipe is
// full, nobody misses one more.
void TCPServer::tellEnded(pid_t who) {
  const auto* const word = reinterpret_cast<const char*>(&who);
  while (sys::write(endedWriter_.get(), word, sizeof who) == -1 &&
         errno == EINTR)
    continue;
}

std::optional<pid_t> TCPServer::nextEnded() {
  if (!endedReader_) {
    int ends[2];
    // Without one, to ask now and then has to do.
    if (sys::pipe(ends, sys::Mode::nonblocking) == -1) return std::nullopt;
    endedReader_ = sys::Fd(ends[0]);
    endedWriter_ = sys::Fd(ends[1]);
  }
  pid_t who = 0;
  ssize_t n = -1;
  do
    n = sys::read(endedReader_.get(), reinterpret_cast<char*>(&who),
                  sizeof who);
  while (n == -1 && errno == EINTR);
  if (n != sizeof who) return std::nullopt;
  return who;
}

// hasRoom() has taken all that was said, so the next word is news. A child
// that is killed says none.
void TCPServer::awaitRoom() {
  auto& poller = bell_->poller;
  if (endedReader_) {
    bell_->room.unwatch();
    poller.watch(endedReader_.get(), Interest::read, bell_->room);
  }
  poller.poll(std::chrono::milliseconds(100), bell_->rung);
  lookForStop();
}
// [/await-room]

// [get-request]
std::optional<TCPServer::Request> TCPServer::get_request() {
  if (!bell_) {
    bell_ = std::make_unique<Bell>();
    bell_->poller.watch(stopReader_.get(), Interest::read, bell_->stop);
  }
  auto& poller = bell_->poller;
  for (sys::Duration patience{-1}; !stopped_;) {
    if (!hasRoom()) {
      awaitRoom();
      continue;
    }
    Request request;
    const int fd =
        sys::accept(fileno(), request.client, sys::Mode::nonblocking);
    if (fd != -1) {
      request.connection = sys::Fd(fd);
      return request;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      bell_->connection.unwatch();
      poller.watch(fileno(), Interest::read, bell_->connection);
      patience = sys::Duration{-1};
    } else {
      const std::system_error error(errno, std::generic_category(),
                                    "accept4");
      if (classify(error) == AcceptError::connectionGone) continue;
      if (classify(error) == AcceptError::fatal) throw error;
      patience = std::chrono::milliseconds(100);
    }
    poller.poll(patience, bell_->rung);
    lookForStop();
  }
  return std::nullopt;
}
// [/get-request]

// [classify]
TCPServer::AcceptError TCPServer::classify(const std::system_error& error) {
  switch (error.code().value()) {
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
      return AcceptError::outOfResources;
    // Linux reports here what has already gone wrong with the connection
    // (accept(2), "Error handling").
    case ECONNABORTED:
    case ECONNRESET:
    case EPROTO:
    case EPERM:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case EOPNOTSUPP:
    case ENETUNREACH:
    case EINTR:
      return AcceptError::connectionGone;
    default:
      return AcceptError::fatal;
  }
}
// [/classify]

}  // namespace naglfar
