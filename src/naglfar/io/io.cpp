// One loop for all calls that wait, except goConnect: try, and on EAGAIN
// wait, and try again.
//
// Invariant: no coroutine parks on a direction unless its last system call
// there said EAGAIN, or EALREADY for connect(2). An edge that came before the
// call was seen by the call; an edge that comes after it finds the waiter in
// place.
//
// It asks the scheduler to wait, and sys for the calls.

#include "naglfar/io.hpp"

#include <poll.h>

#include <algorithm>
#include <climits>

namespace naglfar {

// [wait-alone]
void goWait(int fd, Interest interest, Deadline deadline) {
  if (Scheduler* scheduler = Scheduler::ofThread())
    return scheduler->wait(fd, interest, deadline);
  if (fd < 0) sys::fail(EBADF, "poll");  // which would wait for ever
  // Rounded up, so that the caller does not spin. After INT_MAX milliseconds
  // the wait ends in vain.
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(
      deadline - std::min(deadline, sys::now()));
  const auto patience = std::min<long long>(left.count(), INT_MAX);
  const short events = interest == Interest::read ? POLLIN : POLLOUT;
  pollfd entry{fd, events, 0};
  const int n = sys::poll(&entry, 1, static_cast<int>(patience));
  if (n == -1 && errno != EINTR) sys::fail(errno, "poll");
  if (n == 1 && (entry.revents & POLLNVAL) != 0) sys::fail(EBADF, "poll");
  if (n == 0 && sys::now() >= deadline) sys::fail(ETIMEDOUT, "poll");
}
// [/wait-alone]

// [attempt]
// Makes a system call on one direction of a descriptor until it says
// something other than EINTR or EAGAIN.
template <class SystemCall>
static std::size_t attempt(int fd, Interest interest, const char* name,
                           Deadline deadline, SystemCall systemCall) {
  Scheduler::spend(fd);
  for (;;) {
    const ssize_t result = systemCall();
    if (result != -1) return static_cast<std::size_t>(result);
    if (errno == EAGAIN || errno == EWOULDBLOCK)
      goWait(fd, interest, deadline);
    else if (errno != EINTR)
      sys::fail(errno, name);
  }
}
// [/attempt]

// [go-read]
std::size_t goReadSome(int fd, std::span<char> buffer, Deadline deadline) {
  if (buffer.empty()) sys::fail(EINVAL, "read into an empty buffer");
  return attempt(fd, Interest::read, "read", deadline,
                 [&] { return sys::read(fd, buffer.data(), buffer.size()); });
}

// The string grows with what has come, because a peer may send much less.
std::string goRead(int fd, std::size_t n, Deadline deadline) {
  std::string data;
  for (std::size_t had = 0; had < n; had = data.size()) {
    data.resize(had + std::min(n - had, std::max<std::size_t>(had, 32768)));
    const std::size_t got =
        goReadSome(fd, std::span(data).subspan(had), deadline);
    data.resize(had + got);
    if (got == 0) break;
  }
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
  if (data.empty()) sys::fail(EINVAL, "write of nothing");
  for (;;) {
    const ssize_t n = last ? sys::writeLast(fd, data.data(), data.size())
                           : sys::write(fd, data.data(), data.size());
    if (n != -1) return static_cast<std::size_t>(n);
    if (errno == EAGAIN || errno == EWOULDBLOCK) return 0;
    if (errno != EINTR) sys::fail(errno, "write");
  }
}

std::size_t goWrite(int fd, std::string_view data, Deadline deadline) {
  std::string_view rest = data;
  while (!rest.empty())
    rest.remove_prefix(attempt(fd, Interest::write, "write", deadline, [&] {
      return sys::write(fd, rest.data(), rest.size());
    }));
  return data.size();
}
// [/go-write]

// [go-sendfile]
std::size_t goSendfileSome(int file, int fd, off_t offset, std::size_t nbytes,
                           Deadline deadline) {
  // The kernel refuses more than a ssize_t can tell.
  constexpr std::size_t most = std::numeric_limits<std::int32_t>::max();
  const std::size_t n = std::min(nbytes, most);
  return attempt(fd, Interest::write, "sendfile", deadline,
                 [&] { return sys::sendfile(fd, file, offset, n); });
}

std::size_t goSendfile(int file, int fd, off_t offset, std::size_t nbytes,
                       Deadline deadline) {
  std::size_t sent = 0;
  while (sent < nbytes) {
    const std::size_t more = goSendfileSome(
        file, fd, offset + static_cast<off_t>(sent), nbytes - sent, deadline);
    if (more == 0) break;  // the file has ended
    sent += more;
  }
  return sent;
}
// [/go-sendfile]

// [go-accept]
sys::Fd goAccept(int listener, sys::Address& client, sys::Mode mode,
                 Deadline deadline) {
  const std::size_t fd =
      attempt(listener, Interest::read, "accept4", deadline,
              [&] { return sys::accept(listener, client, mode); });
  return sys::Fd(static_cast<int>(fd));
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
  for (bool begun = false;; begun = true) {
    Scheduler::spend(fd);
    if (sys::connect(fd, address) == 0 || (begun && errno == EISCONN)) return;
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
bool peerIsThere(int fd, bool endMeansGone, bool* crowded) {
  sys::Ended ended{};
  int news = 0;
  while ((news = sys::ended(fd, ended)) == -1)
    if (errno != EINTR) sys::fail(errno, "poll");
  if (crowded != nullptr && news > 0)
    *crowded = sys::peek(fd, mostUnread) == ssize_t{mostUnread};
  return ended == sys::Ended::nothing ||
         (ended == sys::Ended::input && !endMeansGone);
}

HangupWatch::HangupWatch(int fd, std::function<void()> gone,
                         bool endMeansGone, std::function<void()> crowded)
    : fd_(fd),
      gone_(std::move(gone)),
      endMeansGone_(endMeansGone),
      crowded_(std::move(crowded)) {
  Scheduler& scheduler = Scheduler::current();
  // No system call has said EAGAIN. If this descriptor was read from before,
  // the news that the peer has left may have come and gone.
  const bool look = scheduler.poller().registered(fd_);
  scheduler.watch(fd_, Interest::read, waiter_);
  if (look) scheduler.wake(*this);
}

// The watch was woken by data, by the peer's end, or in vain: only a look
// tells. A poller that is level triggered would tell of unread data for ever.
void HangupWatch::run() {
  Scheduler& scheduler = Scheduler::current();
  bool crowded = false;
  waiter_.unwatch();
  if (scheduler.poller().stale(waiter_) || waiter_.error != 0 ||
      !peerIsThere(fd_, endMeansGone_, crowded_ ? &crowded : nullptr))
    return std::exchange(gone_, nullptr)();  // it may end this object
  if (crowded) std::exchange(crowded_, nullptr)();
  if (Poller::levelTriggered && sys::peek(fd_) >= 0) return;
  scheduler.watch(fd_, Interest::read, waiter_);
}
// [/hangup-watch-members]

}  // namespace naglfar
