// The calls about descriptors as the kernel makes them: each function one
// call, counted. sys_sim.cpp can take this file's place.
//
// Invariant: nothing is retried and nothing is hidden here. Where systems
// differ (accept4, pipe2, sendfile), the difference ends on this page.

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "naglfar/sys.hpp"

#ifdef __linux__
#include <sys/epoll.h>
#include <sys/sendfile.h>
#else
#include <sys/uio.h>
#endif
#ifdef NAGLFAR_KQUEUE
#include <sys/event.h>
#endif

namespace naglfar::sys {

// [flags]
namespace {

// Every descriptor is close-on-exec. macOS has no flags for that at creation,
// so there it takes two calls more.
#ifdef __APPLE__
int setFlags(int fd, Mode mode) {
  if (fd == -1) return fd;
  count(Call::fcntl);
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1) return -1;
  count(Call::fcntl);
  const int flags = mode == Mode::nonblocking ? O_NONBLOCK : 0;
  return fcntl(fd, F_SETFL, flags) == -1 ? -1 : fd;
}
#else
int socketFlags(Mode mode) {
  return SOCK_CLOEXEC | (mode == Mode::nonblocking ? SOCK_NONBLOCK : 0);
}
#endif

sockaddr* generic(const Address& address) {
  return reinterpret_cast<sockaddr*>(const_cast<sockaddr_in*>(&address.raw));
}

}  // namespace
// [/flags]

// [socket-calls]
int socket(Mode mode) {
  count(Call::socket);
#ifdef __APPLE__
  return setFlags(::socket(AF_INET, SOCK_STREAM, 0), mode);
#else
  return ::socket(AF_INET, SOCK_STREAM | socketFlags(mode), 0);
#endif
}

int bind(int fd, const Address& address) {
  count(Call::bind);
  return ::bind(fd, generic(address), sizeof address.raw);
}

int listen(int fd, int backlog) {
  count(Call::listen);
  return ::listen(fd, backlog);
}

int accept(int fd, Address& client, Mode mode) {
  count(Call::accept);
  socklen_t size = sizeof client.raw;
#ifdef __APPLE__
  return setFlags(::accept(fd, generic(client), &size), mode);
#else
  return ::accept4(fd, generic(client), &size, socketFlags(mode));
#endif
}

int connect(int fd, const Address& address) {
  count(Call::connect);
  return ::connect(fd, generic(address), sizeof address.raw);
}

int localAddress(int fd, Address& address) {
  count(Call::getsockname);
  socklen_t size = sizeof address.raw;
  return ::getsockname(fd, generic(address), &size);
}

int pendingError(int fd, int& error) {
  count(Call::getsockopt);
  socklen_t size = sizeof error;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
}

int reuseAddress(int fd) {
  count(Call::setsockopt);
  const int on = 1;
  return ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
}

int endWriting(int fd) {
  count(Call::shutdown);
  return ::shutdown(fd, SHUT_WR);
}

int socketpair(int (&ends)[2], Mode mode) {
  count(Call::socketpair);
#ifdef __APPLE__
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == -1) return -1;
  return setFlags(ends[0], mode) == -1 ? -1 : (setFlags(ends[1], mode), 0);
#else
  return ::socketpair(AF_UNIX, SOCK_STREAM | socketFlags(mode), 0, ends);
#endif
}
// [/socket-calls]

// [ended]
// Where there is no POLLRDHUP, POLLHUP says that the peer sends no more.
int ended(int fd, Ended& what) {
  count(Call::poll);
#ifdef POLLRDHUP
  constexpr short both = POLLHUP | POLLERR;
  constexpr short input = POLLRDHUP;
#else
  constexpr short both = POLLERR;
  constexpr short input = POLLHUP;
#endif
  pollfd entry{fd, input, 0};
  const int n = ::poll(&entry, 1, 0);
  if ((entry.revents & POLLNVAL) != 0) {
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
  return setFlags(ends[0], mode) == -1 ? -1 : (setFlags(ends[1], mode), 0);
#else
  const int flags = mode == Mode::nonblocking ? O_NONBLOCK : 0;
  return ::pipe2(ends, O_CLOEXEC | flags);
#endif
}

int dup(int fd) {
  count(Call::dup);
  return ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

ssize_t read(int fd, char* buffer, std::size_t size) {
  count(Call::read);
  return ::read(fd, buffer, size);
}

ssize_t write(int fd, const char* data, std::size_t n) {
  count(Call::write);
  return ::write(fd, data, n);
}

ssize_t writeLast(int fd, const char* data, std::size_t n) {
  count(Call::send);
#ifdef __linux__
  return ::send(fd, data, n, MSG_MORE);
#else
  return ::send(fd, data, n, 0);
#endif
}

ssize_t peek(int fd) {
  count(Call::recv);
  char byte;
  return ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
}

ssize_t sendfile(int fd, int file, off_t offset, std::size_t n) {
  count(Call::sendfile);
#if defined(__linux__)
  return ::sendfile(fd, file, &offset, n);
#else
  // These report bytes that left before an EAGAIN beside the error.
#if defined(__APPLE__)
  off_t sent = static_cast<off_t>(n);
  const int result = ::sendfile(file, fd, offset, &sent, nullptr, 0);
#else
  off_t sent = 0;
  const int result = ::sendfile(file, fd, offset, n, nullptr, &sent, 0);
#endif
  return result == -1 && sent == 0 ? -1 : static_cast<ssize_t>(sent);
#endif
}

int close(int fd) {
  count(Call::close);
  return ::close(fd);
}
// [/descriptor-calls]

// [readiness]
#ifdef __linux__
int epollCreate() {
  count(Call::epollCreate);
  return ::epoll_create1(EPOLL_CLOEXEC);
}

int epollCtl(int epoll, int op, int fd, epoll_event* event) {
  count(Call::epollCtl);
  return ::epoll_ctl(epoll, op, fd, event);
}

int epollWait(int epoll, epoll_event* events, int n, int timeoutMs) {
  count(Call::epollWait);
  return ::epoll_wait(epoll, events, n, timeoutMs);
}
#endif

#ifdef NAGLFAR_KQUEUE
int kqueue() {
  count(Call::kqueue);
  return ::kqueue();
}

int kevent(int kq, const struct ::kevent* changes, int changeCount,
           struct ::kevent* events, int eventCount, const timespec* timeout) {
  count(Call::kevent);
  return ::kevent(kq, changes, changeCount, events, eventCount, timeout);
}
#endif

int select(int n, fd_set* readable, fd_set* writable, timeval* timeout) {
  count(Call::select);
  return ::select(n, readable, writable, nullptr, timeout);
}

int poll(pollfd* entries, std::size_t n, int timeoutMs) {
  count(Call::poll);
  return ::poll(entries, static_cast<nfds_t>(n), timeoutMs);
}
// [/readiness]

Time now() {
  return std::chrono::steady_clock::now();
}

}  // namespace naglfar::sys
