// One loop for all calls: try, and on EAGAIN wait, and try again.
//
// Invariant: no coroutine parks on a direction unless its last system call
// there said EAGAIN. An edge that came before the call was seen by the call;
// one that comes after it finds the waiter in place.

#include "naglfar/io.hpp"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <climits>

namespace naglfar {

// [wait-alone]
void goWait(int fd, Interest interest, Deadline deadline) {
  if (Scheduler* scheduler = Scheduler::ofThread())
    return scheduler->wait(fd, interest, deadline);
  using std::chrono::milliseconds;  // rounded up, so that it does not spin
  const auto left = std::chrono::ceil<milliseconds>(
      deadline - std::min(deadline, sys::now()));
  const auto patience =
      static_cast<int>(std::clamp<long long>(left.count(), 0, INT_MAX));
  const short events = interest == Interest::read ? POLLIN : POLLOUT;
  pollfd entry{fd, events, 0};
  const int n = sys::poll(&entry, 1, deadline == never ? -1 : patience);
  if (n == -1 && errno != EINTR) sys::fail(errno, "poll");
  if (n == 0 && sys::now() >= deadline) sys::fail(ETIMEDOUT, "poll");
}
// [/wait-alone]

// [attempt]
namespace {

// Makes a system call that takes something from a descriptor until it says
// something other than EINTR or EAGAIN.
template <class SystemCall>
auto attempt(int fd, const char* name, Deadline deadline,
             SystemCall systemCall) {
  Scheduler::spend(fd);
  for (;;) {
    const auto result = systemCall();
    if (result != -1) return result;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
      goWait(fd, Interest::read, deadline);
    else if (errno != EINTR)
      sys::fail(errno, name);
  }
}

}  // namespace
// [/attempt]

// [go-read]
std::size_t goReadSome(int fd, std::span<char> buffer, Deadline deadline) {
  assert(!buffer.empty());
  return static_cast<std::size_t>(attempt(fd, "read", deadline, [&] {
    return sys::read(fd, buffer.data(), buffer.size());
  }));
}

std::string goRead(int fd, std::size_t n, Deadline deadline) {
  std::string data(n, '\0');
  std::size_t got = 0;
  while (got < n) {
    const std::size_t more =
        goReadSome(fd, std::span(data).subspan(got), deadline);
    if (more == 0) break;
    got += more;
  }
  data.resize(got);
  return data;
}

std::string goRead(int fd, Deadline deadline) {
  std::string chunk(32768, '\0');
  chunk.resize(goReadSome(fd, chunk, deadline));
  return chunk;
}
// [/go-read]

// [go-write]
std::size_t tryWrite(int fd, std::string_view data, bool last) {
  assert(!data.empty());
  for (;;) {
    const ssize_t n = last ? sys::writeLast(fd, data.data(), data.size())
                           : sys::write(fd, data.data(), data.size());
    if (n != -1) return static_cast<std::size_t>(n);
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno == ENOTSOCK && last)
      last = false;  // a pipe has no segments
    else if (errno != EINTR)
      sys::fail(errno, "write");
  }
}

std::size_t goWriteSome(int fd, std::string_view data, Deadline deadline) {
  Scheduler::spend(fd);
  for (;;) {
    if (const std::size_t n = tryWrite(fd, data)) return n;
    goWait(fd, Interest::write, deadline);
  }
}

std::size_t goWrite(int fd, std::string_view data, Deadline deadline) {
  std::size_t written = 0;
  while (written < data.size())
    written += goWriteSome(fd, data.substr(written), deadline);
  return written;
}
// [/go-write]

// [go-sendfile]
std::optional<std::size_t> trySendfile(int file, int fd, off_t offset,
                                       std::size_t nbytes) {
  for (;;) {
    const ssize_t n = sys::sendfile(fd, file, offset, nbytes);
    if (n != -1) return static_cast<std::size_t>(n);
    if (errno == EAGAIN || errno == EWOULDBLOCK) return std::nullopt;
    if (errno != EINTR) sys::fail(errno, "sendfile");
  }
}

std::size_t goSendfile(int file, int fd, off_t offset, std::size_t nbytes,
                       Deadline deadline) {
  std::size_t sent = 0;
  while (sent < nbytes) {
    Scheduler::spend(fd);
    const std::optional<std::size_t> more = trySendfile(
        file, fd, offset + static_cast<off_t>(sent), nbytes - sent);
    if (more == 0) break;  // the file has ended
    if (more)
      sent += *more;
    else
      goWait(fd, Interest::write, deadline);
  }
  return sent;
}
// [/go-sendfile]

// [go-accept]
sys::Fd goAccept(int listener, sys::Address& client, sys::Mode mode,
                 Deadline deadline) {
  return sys::Fd(attempt(listener, "accept4", deadline, [&] {
    return sys::accept(listener, client, mode);
  }));
}
// [/go-accept]

// [go-connect]
// On loopback the handshake is over as soon as connect(2) returns, though it
// says EINPROGRESS: a second connect(2) tells, and mostly spares the wait. If
// not, it says EALREADY. Each of the two is an operation of the budget, so
// that a connection costs the client's turn as much as it costs the accept
// loop, which accepts and hands on. Otherwise a program that connects in a
// loop outruns the accept loop of its own thread, and the backlog overflows.
void goConnect(int fd, const sys::Address& address, Deadline deadline) {
  for (;;) {
    Scheduler::spend(fd);
    if (sys::connect(fd, address) == 0 || errno == EISCONN) return;
    if (errno == EINTR || errno == EINPROGRESS) continue;
    if (errno != EALREADY) sys::fail(errno, "connect");
    goWait(fd, Interest::write, deadline);
    int error = 0;
    sys::check(sys::pendingError(fd, error), "getsockopt");
    if (error != 0) sys::fail(error, "connect");
  }
}
// [/go-connect]

// [go-close]
void goClose(int fd) {
  if (Scheduler* scheduler = Scheduler::ofThread()) scheduler->deregister(fd);
  // Whatever else close(2) says, the descriptor is closed.
  if (sys::close(fd) == -1 && errno == EBADF) sys::fail(errno, "close");
}
// [/go-close]

// [hangup-watch-members]
bool peerIsThere(int fd, bool endMeansGone) {
  sys::Ended ended{};
  while (sys::ended(fd, ended) == -1)
    if (errno != EINTR) sys::fail(errno, "poll");
  return ended == sys::Ended::nothing ||
         (ended == sys::Ended::input && !endMeansGone);
}

HangupWatch::HangupWatch(int fd, std::function<void()> gone,
                         bool endMeansGone)
    : fd_(fd),
      gone_(std::move(gone)),
      endMeansGone_(endMeansGone),
      scheduler_(Scheduler::current()) {
  // No system call has said EAGAIN. If this descriptor was read from before,
  // the news that the peer has left may have come and gone.
  const bool look = scheduler_.poller().registered(fd_);
  scheduler_.watch(fd_, Interest::read, waiter_);
  if (look) scheduler_.wake(*this);
}

// Woken by data, by the peer's end, or in vain. Only a look tells which. A
// poller that is level triggered would tell of unread data for ever.
void HangupWatch::run() {
  waiter_.unwatch();
  if (scheduler_.poller().stale(waiter_) || waiter_.error != 0 ||
      !peerIsThere(fd_, endMeansGone_)) {
    const auto gone = std::move(gone_);  // it may end this object
    return gone();
  }
  if (Poller::levelTriggered && sys::peek(fd_) >= 0) return;
  scheduler_.watch(fd_, Interest::read, waiter_);
}
// [/hangup-watch-members]

}  // namespace naglfar
