// The server without a mix-in: it listens, accepts a connection, serves it,
// and accepts the next.
//
// Invariant: the server waits for connections only in await(), where it sees
// shutdown(), too: the listener does not block.
//
// It asks for ScheduledFile and goClose, the scheduler for watch and park,
// and sys for the calls.

#include "naglfar/server.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <initializer_list>
#include <iterator>
#include <new>

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
  using Flag = std::atomic<bool>;
  static_assert(Flag::is_always_lock_free);
  stopped_.reset(new (sys::check(sys::mapShared(sizeof(Flag)), "mmap"))
                     Flag(false));
  sys::check(sys::localAddress(fileno(), server_address), "getsockname");
  // A listener that is no socket of TCP has no such options.
  if (sys::sendAtOnce(fileno()) == 0)
    probeClients(std::chrono::seconds(60), std::chrono::seconds(10), 6);
}

void TCPServer::Unmap::operator()(std::atomic<bool>* flag) const {
  sys::unmap(flag, sizeof *flag);
}
// [/tcp-server-life]

// [probe-clients]
// Linux takes no more than 32,767 seconds, and 127 probes.
void TCPServer::probeClients(sys::Duration idle, sys::Duration interval,
                             int probes) {
  const auto inSeconds = [](sys::Duration time) {
    using std::chrono::seconds;
    const auto whole = std::chrono::ceil<seconds>(
        std::clamp<sys::Duration>(time, seconds(1), seconds(32767)));
    return static_cast<int>(whole.count());
  };
  sys::check(sys::probePeer(fileno(), inSeconds(idle), inSeconds(interval),
                            std::clamp(probes, 1, 127)),
             "setsockopt");
}
// [/probe-clients]

// [serve-forever]
void TCPServer::serve_forever() {
  while (handle_request()) continue;
}

bool TCPServer::handle_request() {
  std::optional<Request> request;
  try {
    request = get_request();
  } catch (const std::bad_alloc&) {
    awaitMemory();
    return !stopping();
  }
  if (!request) return false;
  const sys::Address client = request->client;
  try {
    process_request(std::move(*request));
  } catch (const Unwind&) {
    throw;
  } catch (...) {
    report(client);
  }
  return true;
}

// A busy server never waits, so it looks at the flag between two requests.
// The byte wakes a server that waits. Only the first call writes it: then the
// pipe is empty, and a write that fails is worth another try. The code that a
// signal handler interrupts may depend on errno, so errno stays as it is.
void TCPServer::shutdown() {
  const int interrupted = errno;
  if (!stopped_->exchange(true))
    while (sys::write(stop_.writer.get(), "", 1) == -1 &&
           (errno == EINTR || errno == EAGAIN))
      continue;
  errno = interrupted;
}

void TCPServer::server_close() {
  closeListener();
}

void TCPServer::closeListener() {
  if (socket_) goClose(socket_.release());
}
// [/serve-forever]

// [serve]
void TCPServer::serve(Request& request) {
  ScheduledFile file(std::move(request.connection));
  try {
    finish_request(file, request.client);
    file.finish();
  } catch (const Unwind&) {
    throw;  // this coroutine is being destroyed
  } catch (...) {
    report(request.client);
  }
}

// The error may quote the client.
void TCPServer::handle_error(const sys::Address& client,
                             const std::exception& error) {
  sys::log({"Exception while serving ", client.host(), ":",
            std::to_string(client.port()), ": ", error.what()});
}
// [/serve]

// [report]
static void print(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& known) {
    sys::log({"Exception in the handling of an error: ", known.what()});
  } catch (...) {
    sys::log({"Unknown exception in the handling of an error"});
  }
}

// What becomes of an error for which no caller is left: the server goes on.
static void lastResort(const std::exception_ptr& error) {
  Scheduler* const scheduler = Scheduler::ofThread();
  try {
    if (scheduler != nullptr && scheduler->unhandled)
      return scheduler->unhandled(error);
  } catch (...) {
    print(std::current_exception());
  }
  print(error);
}

// Called while an exception is being handled.
void TCPServer::report(const sys::Address& client) {
  if (std::current_exception() == nullptr) throw;  // the thread ends
  try {
    try {
      throw;
    } catch (const std::exception& error) {
      handle_error(client, error);
    } catch (...) {
      handle_error(client, std::runtime_error("unknown exception"));
    }
  } catch (const Unwind&) {
    throw;
  } catch (...) {
    lastResort(std::current_exception());
  }
}
// [/report]

// [await-input]
// No server reads the byte that shutdown() writes, so the pipe stays readable
// for every process that serves from the same listener.
bool TCPServer::awaitInput(std::initializer_list<int> fds, int timeoutMs) {
  if (stopping()) return false;
  int all[3] = {-1, -1, stopInput()};
  std::copy(fds.begin(), fds.end(), all);
  await(all, timeoutMs);
  return !stopping();
}

void TCPServer::await(std::span<const int> fds, int timeoutMs,
                      Scheduler* scheduler) {
  if (scheduler == nullptr) {
    pollfd entries[3];
    std::transform(fds.begin(), fds.end(), entries, [](int fd) {
      return pollfd{fd, POLLIN, 0};
    });
    const int n = sys::poll(entries, fds.size(), timeoutMs);
    if (n == -1 && errno != EINTR) sys::fail(errno, "poll");
    return;
  }
  Job& self = scheduler->self();
  Waiter waiters[3] = {Waiter{self}, Waiter{self}, Waiter{self}};
  for (std::size_t i = 0; i < fds.size(); ++i)
    if (fds[i] != -1) scheduler->watch(fds[i], Interest::read, waiters[i]);
  scheduler->park(
      "a connection", fds.front(),
      timeoutMs < 0 ? never : after(std::chrono::milliseconds(timeoutMs)));
}
// [/await-input]

// [await-memory]
void TCPServer::awaitMemory() {
  constexpr int none[] = {-1};
  try {
    await(none, lookEveryMs);
  } catch (const std::bad_alloc&) {
    Scheduler::current().yield();  // a timer needs memory, too
  }
}
// [/await-memory]

// [get-request]
std::optional<TCPServer::Request> TCPServer::get_request() {
  while (!stopping()) {
    const int patience = service_actions();
    Request request;
    request.connection = sys::Fd(
        sys::accept(fileno(), request.client, sys::Mode::nonblocking));
    if (request.connection) {
      hasAccepted();
      return request;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
      awaitInput({fileno(), serviceInput}, patience);
      continue;
    }
    const std::system_error error(errno, std::generic_category(), "accept4");
    if (connectionGone(error) && !failedTooOften()) continue;
    if (!connectionGone(error) && !outOfResources(error)) throw error;
    // The connection is still in the backlog, so the listener is readable. A
    // descriptor that is closed elsewhere makes nothing readable.
    awaitInput({}, lookEveryMs);
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
// "Error handling"). EOPNOTSUPP is among them, but it is also what a socket
// that cannot listen says to each call, and TCP never says it otherwise.
bool TCPServer::connectionGone(const std::system_error& error) {
  return isOneOf({ECONNABORTED, ECONNRESET, EPROTO, EPERM, ENETDOWN,
                  ENOPROTOOPT, EHOSTDOWN, EHOSTUNREACH, ENETUNREACH, EINTR},
                 error);
}
// [/classify]

}  // namespace naglfar
