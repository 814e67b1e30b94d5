// The functions of sys.hpp on descriptors and time, made by the system's own
// kernel. The simulated kernel (sim/sys.cpp) can take this file's place.
//
// Invariants:
// - A function retries nothing, and returns what its call returned. Two
//   functions translate: `ended` makes EBADF of POLLNVAL, and `sendfile`
//   returns the bytes that left before an error, as Linux does everywhere.
// - No function sends the program SIGPIPE.
// - Systems differ in accept4, pipe2, sendfile, poll and their flags. The
//   layers above see no such difference.
//
// It asks the C library for the calls.

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <memory>
#include <new>

#include "naglfar/sys.hpp"
#include "naglfar/sys/without_sigpipe.hpp"

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/sendfile.h>
#endif
#ifdef NAGLFAR_KQUEUE
#include <sys/event.h>
#endif

namespace naglfar::sys {

// [flags]
// Each new descriptor is close-on-exec. macOS has no flags for that at
// creation, so two more calls set them there.
#ifdef __APPLE__
static int setFlags(int fd, Mode mode) {
  if (fd == -1) return fd;
  count(Call::fcntl);
  const bool closesOnExec = fcntl(fd, F_SETFD, FD_CLOEXEC) != -1;
  count(Call::fcntl);
  const int flags = mode == Mode::nonblocking ? O_NONBLOCK : 0;
  if (closesOnExec && fcntl(fd, F_SETFL, flags) != -1) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

// Both ends, or none.
static int setFlags(int (&ends)[2], Mode mode) {
  const bool first = setFlags(ends[0], mode) != -1;
  const int error = errno;
  if (first && setFlags(ends[1], mode) != -1) return 0;
  if (first) {
    const int second = errno;
    close(ends[0]);
    errno = second;
  } else {
    close(ends[1]);
    errno = error;
  }
  return -1;
}
#else
static int socketFlags(Mode mode) {
  return SOCK_CLOEXEC | (mode == Mode::nonblocking ? SOCK_NONBLOCK : 0);
}
#endif

// A number that the kernel gives out was free, whatever the poller knows.
static int opened(int fd) {
  if (fd != -1 && afterOpen != nullptr) afterOpen(fd);
  return fd;
}

static int opened(int result, const int (&ends)[2]) {
  if (result != -1)
    for (const int fd : ends) opened(fd);
  return result;
}

static constexpr socklen_t addressSize = sizeof(sockaddr_in);

static sockaddr* generic(const Address& address) {
  return reinterpret_cast<sockaddr*>(const_cast<sockaddr_in*>(&address.raw));
}
// [/flags]

// [socket-calls]
int socket(Mode mode) {
#ifdef __APPLE__
  return opened(setFlags(
      counted(Call::socket, ::socket, AF_INET, SOCK_STREAM, 0), mode));
#else
  return opened(counted(Call::socket, ::socket, AF_INET,
                        SOCK_STREAM | socketFlags(mode), 0));
#endif
}

int bind(int fd, const Address& address) {
  return counted(Call::bind, ::bind, fd, generic(address), addressSize);
}

int listen(int fd, int backlog) {
  return counted(Call::listen, ::listen, fd, backlog);
}

int accept(int fd, Address& client, Mode mode) {
  socklen_t size = addressSize;
#ifdef __APPLE__
  return opened(setFlags(
      counted(Call::accept4, ::accept, fd, generic(client), &size), mode));
#else
  return opened(counted(Call::accept4, ::accept4, fd, generic(client), &size,
                        socketFlags(mode)));
#endif
}

int connect(int fd, const Address& address) {
  return counted(Call::connect, ::connect, fd, generic(address), addressSize);
}

int localAddress(int fd, Address& address) {
  socklen_t size = addressSize;
  return counted(Call::getsockname, ::getsockname, fd, generic(address),
                 &size);
}

int pendingError(int fd, int& error) {
  socklen_t size = sizeof error;
  return counted(Call::getsockopt, ::getsockopt, fd, SOL_SOCKET, SO_ERROR,
                 &error, &size);
}

int reuseAddress(int fd) {
  const int on = 1;
  return counted(Call::setsockopt, ::setsockopt, fd, SOL_SOCKET, SO_REUSEADDR,
                 &on, socklen_t{sizeof on});
}

static int setOption(int fd, int level, int option, int value) {
  return counted(Call::setsockopt, ::setsockopt, fd, level, option, &value,
                 socklen_t{sizeof value});
}

int sendAtOnce(int fd) {
  return setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
}

// macOS has another name for the time before the first probe.
int probePeer(int fd, int idle, int interval, int probes) {
#ifdef __APPLE__
  constexpr int beforeFirst = TCP_KEEPALIVE;
#else
  constexpr int beforeFirst = TCP_KEEPIDLE;
#endif
  int result = setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  if (result == 0) result = setOption(fd, IPPROTO_TCP, beforeFirst, idle);
  if (result == 0)
    result = setOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval);
  if (result == 0) result = setOption(fd, IPPROTO_TCP, TCP_KEEPCNT, probes);
#ifdef TCP_USER_TIMEOUT
  const long long whole = (idle + 1LL * interval * probes) * 1000;
  const auto milliseconds =
      static_cast<int>(std::min<long long>(whole, INT_MAX));
  if (result == 0)
    result = setOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds);
#endif
  return result;
}

int endWriting(int fd) {
  return counted(Call::shutdown, ::shutdown, fd, SHUT_WR);
}

int socketpair(int (&ends)[2], Mode mode) {
  count(Call::socketpair);
#ifdef __APPLE__
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == -1) return -1;
  return opened(setFlags(ends, mode), ends);
#else
  return opened(
      ::socketpair(AF_UNIX, SOCK_STREAM | socketFlags(mode), 0, ends), ends);
#endif
}
// [/socket-calls]

// [ended]
// On a system without POLLRDHUP, POLLHUP says that the peer sends no more.
// poll(2) passes over a number that is less than 0.
int ended(int fd, Ended& what) {
#ifdef POLLRDHUP
  constexpr short both = POLLHUP | POLLERR;
  constexpr short input = POLLRDHUP;
#else
  constexpr short both = POLLERR;
  constexpr short input = POLLHUP;
#endif
  pollfd entry{fd, input | POLLIN, 0};
  const int n = counted(Call::poll, ::poll, &entry, 1, 0);
  if (fd < 0 || (entry.revents & POLLNVAL) != 0) {
    errno = EBADF;
    return -1;
  }
  what = (entry.revents & both) != 0    ? Ended::both
         : (entry.revents & input) != 0 ? Ended::input
                                        : Ended::nothing;
  return n;
}
// [/ended]

// [descriptor-calls]
int pipe(int (&ends)[2], Mode mode) {
  count(Call::pipe);
#ifdef __APPLE__
  if (::pipe(ends) == -1) return -1;
  return opened(setFlags(ends, mode), ends);
#else
  const int flags = mode == Mode::nonblocking ? O_NONBLOCK : 0;
  return opened(::pipe2(ends, O_CLOEXEC | flags), ends);
#endif
}

int dup(int fd) {
  return opened(counted(Call::dup, ::fcntl, fd, F_DUPFD_CLOEXEC, 0));
}

ssize_t read(int fd, char* buffer, std::size_t size) {
  return counted(Call::read, ::read, fd, buffer, size);
}

// No array of the thread, whose pages each new thread would touch. Without
// memory it looks for one byte.
ssize_t peek(int fd, std::size_t n) {
  char one = 0;
  n = std::min<std::size_t>(n, 16384);
  const std::unique_ptr<char[]> many(n > 1 ? new (std::nothrow) char[n]
                                           : nullptr);
  if (many == nullptr) n = std::min<std::size_t>(n, 1);
  return counted(Call::recv, ::recv, fd, many ? many.get() : &one, n,
                 MSG_PEEK | MSG_DONTWAIT);
}

// Destructors close. pthread_cancel(3) must not unwind them, so it waits.
int close(int fd) {
  int state = 0;
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
  const int result = counted(Call::close, ::close, fd);
  const int error = errno;
  pthread_setcancelstate(state, nullptr);
  errno = error;
  return result;
}
// [/descriptor-calls]

// [write-calls]
#ifdef MSG_NOSIGNAL
constexpr int noSignal = MSG_NOSIGNAL;
#else
constexpr int noSignal = 0;  // then withoutSigpipe() serves sockets, too
#endif
#ifdef __linux__
constexpr int moreToCome = MSG_MORE;
#else
constexpr int moreToCome = 0;
#endif

// send(2), or write(2) on what is no socket. The kind is that of a call that
// a socket has taken.
static ssize_t writeWith(int flags, Call kind, int fd, const char* data,
                         std::size_t n) {
  if (noSignal != 0) {
    const ssize_t sent = ::send(fd, data, n, flags | noSignal);
    if (sent != -1 || errno != ENOTSOCK) {
      count(kind);
      return sent;
    }
    count(Call::send);
  }
  return withoutSigpipe(
      [&] { return counted(Call::write, ::write, fd, data, n); });
}

ssize_t write(int fd, const char* data, std::size_t n) {
  return writeWith(0, Call::write, fd, data, n);
}

ssize_t writeLast(int fd, const char* data, std::size_t n) {
  return writeWith(moreToCome, Call::send, fd, data, n);
}

ssize_t sendfile(int fd, int file, off_t offset, std::size_t n) {
  count(Call::sendfile);
#if defined(__linux__)
  return withoutSigpipe([&] { return ::sendfile(fd, file, &offset, n); });
#else
  // macOS and FreeBSD report the bytes that left before an EAGAIN beside the
  // error.
  off_t sent = 0;
  const ssize_t result = withoutSigpipe([&] {
#if defined(__APPLE__)
    sent = static_cast<off_t>(n);
    return ssize_t{::sendfile(file, fd, offset, &sent, nullptr, 0)};
#else
    return ssize_t{::sendfile(file, fd, offset, n, nullptr, &sent, 0)};
#endif
  });
  return result == -1 && sent == 0 ? -1 : static_cast<ssize_t>(sent);
#endif
}
// [/write-calls]

// [readiness]
#ifdef __linux__
int epollCreate() {
  return opened(counted(Call::epoll_create1, ::epoll_create1, EPOLL_CLOEXEC));
}

int epollCtl(int epoll, int op, int fd, epoll_event* event) {
  return counted(Call::epoll_ctl, ::epoll_ctl, epoll, op, fd, event);
}

int epollWait(int epoll, epoll_event* events, int n, int timeoutMs) {
  return counted(Call::epoll_wait, ::epoll_wait, epoll, events, n, timeoutMs);
}
#endif

#ifdef NAGLFAR_KQUEUE
int kqueue() {
  return counted(Call::kqueue, ::kqueue);
}

int kevent(int kq, const struct ::kevent* changes, int changeCount,
           struct ::kevent* events, int eventCount, const timespec* timeout) {
  return counted(Call::kevent, ::kevent, kq, changes, changeCount, events,
                 eventCount, timeout);
}
#endif

int select(int n, fd_set* readable, fd_set* writable, timeval* timeout) {
  return counted(Call::select, ::select, n, readable, writable, nullptr,
                 timeout);
}

int poll(pollfd* entries, std::size_t n, int timeoutMs) {
  return counted(Call::poll, ::poll, entries, static_cast<nfds_t>(n),
                 timeoutMs);
}
// [/readiness]

Time now() {
  return std::chrono::steady_clock::now();
}

std::time_t date() {
  return std::time(nullptr);
}

}  // namespace naglfar::sys
