// What stands between the library and the kernel: for each call a function
// __wrap_<call>, which the linker puts in its place (ld(1), --wrap).
//
// Which call may show which fault, by the manual page that allows it:
//
//   read, recv    EINTR, EAGAIN; one byte only         read(2), recv(2)
//   write, send   EINTR, EAGAIN; one byte only         write(2), send(2)
//   sendfile      EAGAIN; one byte only                sendfile(2)
//   accept4       EINTR, EAGAIN, EMFILE, ENFILE,       accept(2)
//                 ENOBUFS, ENOMEM: it waits on
//   connect       EINTR: it goes on all the same       connect(2), POSIX
//   epoll_wait    EINTR; one event only; any order;    epoll_wait(2)
//                 readiness in vain                    select(2), "BUGS"
//   poll          EINTR                                poll(2)
//   close         EINTR: it is closed                  close(2)
//   accept4       ECONNABORTED: it is lost             accept(2)
//   read, write,  ECONNRESET, and after that the end   tcp(7)
//   recv, send,     of file, or EPIPE
//   sendfile
//
// The full ones are for servers only, for goAccept() hands them on. Those
// from the second accept4 on break a connection.
//
// EAGAIN only from a descriptor that does not block, and only if there is an
// edge afterwards. Who is told EAGAIN waits for the next edge, and a kernel
// that says EAGAIN has one to come. Here what the call was about may be there
// already, its edge gone; so the descriptor's registration is renewed, by
// EPOLL_CTL_MOD with the same events, and epoll reports what is there once
// more. For a descriptor that is not registered yet EPOLL_CTL_ADD does that.
// select(2) looks at levels, and needs nothing.
//
// One byte only where a stream may be cut: never of a regular file, and not
// of a small write to a pipe, which is whole or not at all (pipe(7)).
//
// Invariant: no fault takes bytes, news or a connection away in silence.

#include "faults.hpp"

#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <mutex>
#include <sstream>

// [real-calls]
// The names are the linker's choice.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
int __real_accept4(int, sockaddr*, socklen_t*, int);
int __real_close(int);
int __real_connect(int, const sockaddr*, socklen_t);
int __real_epoll_ctl(int, int, int, epoll_event*);
int __real_epoll_wait(int, epoll_event*, int, int);
int __real_poll(pollfd*, nfds_t, int);
ssize_t __real_read(int, void*, std::size_t);
ssize_t __real_recv(int, void*, std::size_t, int);
ssize_t __real_send(int, const void*, std::size_t, int);
ssize_t __real_sendfile(int, int, off_t*, std::size_t);
ssize_t __real_write(int, const void*, std::size_t);
}
// [/real-calls]

// [faults-dice]
namespace {

double probability = 0;
std::uint64_t seed = 0;
bool full = false;
bool breaking = false;
std::atomic<std::uint64_t> drawn = 0;
std::atomic<std::uint64_t> count = 0;

// The next number of all threads (splitmix64).
std::uint64_t draw() {
  std::uint64_t z = seed + (drawn += 1) * 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

bool chance(double p) {
  if (p <= 0 || static_cast<double>(draw() >> 11) * 0x1p-53 >= p)
    return false;
  ++count;
  return true;
}
bool fault() {
  return chance(probability);
}
bool breakingFault() {
  return breaking && chance(probability / 10);
}

int fails(int error) {
  errno = error;
  return -1;
}

const bool told = [] {
  const char* text = std::getenv("NAGLFAR_FAULTS");
  if (text == nullptr) return false;
  std::istringstream(text) >> probability >> seed;
  full = true;
  return true;
}();

}  // namespace

void faults::begin(double p, std::uint64_t s, Kinds kinds) {
  probability = p;
  seed = s * 0x2545f4914f6cdd1d;
  full = kinds != Kinds::transparent;
  breaking = kinds == Kinds::all;
  drawn = 0;
}

std::uint64_t faults::shown() {
  return count;
}
// [/faults-dice]

// [faults-descriptors]
namespace {

bool nonblocking(int fd) {
  return (::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
}

bool hasType(int fd, mode_t type) {
  struct stat status {};
  return ::fstat(fd, &status) == 0 && (status.st_mode & S_IFMT) == type;
}

bool isTcp(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  return ::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 &&
         domain == AF_INET;
}

// What is known of a descriptor.
struct Known {
  int epoll = -1;
  epoll_event event{};
  enum { whole, reset, toldSo } state = whole;
};
std::mutex mutex;
std::map<int, Known> known;

bool registered(int fd) {
  const std::scoped_lock lock(mutex);
  const auto found = known.find(fd);
  return found != known.end() && found->second.epoll != -1;
}

// EAGAIN, and an edge to come.
int again(int fd) {
  const std::scoped_lock lock(mutex);
  const auto found = known.find(fd);
  if (found != known.end() && found->second.epoll != -1)
    __real_epoll_ctl(found->second.epoll, EPOLL_CTL_MOD, fd,
                     &found->second.event);
  return fails(EAGAIN);
}

}  // namespace
// [/faults-descriptors]

// [faults-reset]
namespace {

// Breaks a TCP connection: the peer gets a reset (connect(2), AF_UNSPEC), and
// on this side it is as if one had come.
void breakConnection(int fd) {
  const sockaddr none{AF_UNSPEC, {}};
  sockaddr_in peer{};
  socklen_t size = sizeof peer;
  if (!isTcp(fd) ||
      ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == -1)
    return;
  if (__real_connect(fd, &none, sizeof none) == -1) return;
  const std::scoped_lock lock(mutex);
  known[fd].state = Known::reset;
}

// What a broken connection says, and whether it is one: first the reset, then
// the end to readers and EPIPE to writers.
bool broken(int fd, bool writes, ssize_t& result) {
  const std::scoped_lock lock(mutex);
  const auto found = known.find(fd);
  if (found == known.end() || found->second.state == Known::whole)
    return false;
  result = 0;
  if (found->second.state == Known::reset)
    result = fails(ECONNRESET);
  else if (writes)
    result = fails(EPIPE);
  found->second.state = Known::toldSo;
  return true;
}

// What reading and writing have in common. The call is given how many bytes
// it may take.
template <class RealCall>
ssize_t transfer(int fd, std::size_t n, bool writes, bool interrupts,
                 bool mayWait, RealCall call) {
  const bool pipe = hasType(fd, S_IFIFO);
  if (probability == 0 || (!pipe && !hasType(fd, S_IFSOCK))) return call(n);
  if (breakingFault()) breakConnection(fd);
  if (ssize_t result = 0; broken(fd, writes, result)) return result;
  if (interrupts && fault()) return fails(EINTR);
  // Tests fill buffers by hand, until the kernel takes no more.
  if (writes && !registered(fd)) return call(n);
  if ((!mayWait || nonblocking(fd)) && fault()) return again(fd);
  const bool divisible = !(pipe && writes && n <= PIPE_BUF);
  return call(n > 1 && divisible && fault() ? 1 : n);
}

}  // namespace
// [/faults-reset]

extern "C" {

// [faults-transfers]
ssize_t __wrap_read(int fd, void* buffer, std::size_t size) {
  return transfer(fd, size, false, true, true,
                  [&](std::size_t n) { return __real_read(fd, buffer, n); });
}

ssize_t __wrap_recv(int fd, void* buffer, std::size_t size, int flags) {
  const bool mayWait = (flags & MSG_DONTWAIT) == 0;
  return transfer(fd, size, false, true, mayWait, [&](std::size_t n) {
    return __real_recv(fd, buffer, n, flags);
  });
}

ssize_t __wrap_write(int fd, const void* data, std::size_t size) {
  return transfer(fd, size, true, true, true,
                  [&](std::size_t n) { return __real_write(fd, data, n); });
}

ssize_t __wrap_send(int fd, const void* data, std::size_t size, int flags) {
  const bool mayWait = (flags & MSG_DONTWAIT) == 0;
  return transfer(fd, size, true, true, mayWait, [&](std::size_t n) {
    return __real_send(fd, data, n, flags);
  });
}

ssize_t __wrap_sendfile(int fd, int file, off_t* offset, std::size_t size) {
  return transfer(fd, size, true, false, true, [&](std::size_t n) {
    return __real_sendfile(fd, file, offset, n);
  });
}
// [/faults-transfers]

// [faults-connections]
int __wrap_accept4(int fd, sockaddr* client, socklen_t* size, int flags) {
  if (fault()) return fails(EINTR);
  if (nonblocking(fd) && fault()) return again(fd);
  constexpr int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM};
  // Who is told so tries again after a while, so it shall not be too often.
  if (full && chance(probability / 10))
    return fails(errors[draw() % std::size(errors)]);
  const int connection = __real_accept4(fd, client, size, flags);
  if (connection == -1 || !breakingFault()) return connection;
  const linger now{1, 0};
  ::setsockopt(connection, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  __real_close(connection);
  return fails(ECONNABORTED);
}

// What the kernel has said about the connection is not kept back.
int __wrap_connect(int fd, const sockaddr* address, socklen_t size) {
  const int result = __real_connect(fd, address, size);
  const bool good = result == 0 || errno == EINPROGRESS || errno == EALREADY;
  return good && fault() ? fails(EINTR) : result;
}

int __wrap_close(int fd) {
  {
    const std::scoped_lock lock(mutex);
    known.erase(fd);
    for (auto& [number, about] : known)
      if (about.epoll == fd) about.epoll = -1;
  }
  const int result = __real_close(fd);
  return result == 0 && fault() ? fails(EINTR) : result;
}
// [/faults-connections]

// [faults-epoll]
int __wrap_epoll_ctl(int epoll, int op, int fd, epoll_event* event) {
  const int result = __real_epoll_ctl(epoll, op, fd, event);
  if (result == -1) return result;
  const std::scoped_lock lock(mutex);
  Known& about = known[fd];
  about.epoll = op == EPOLL_CTL_DEL ? -1 : epoll;
  if (op != EPOLL_CTL_DEL) about.event = *event;
  return result;
}

int __wrap_poll(pollfd* entries, nfds_t n, int timeout) {
  return fault() ? fails(EINTR) : __real_poll(entries, n, timeout);
}

// Events that are not asked for now are reported by the next call.
int __wrap_epoll_wait(int epoll, epoll_event* events, int most, int timeout) {
  if (fault()) return fails(EINTR);
  if (most > 1 && fault()) most = 1;
  const bool inVain = most > 1 && fault();
  int n = __real_epoll_wait(epoll, events, inVain ? most - 1 : most, timeout);
  if (n < 0) return n;
  if (inVain) {
    const std::scoped_lock lock(mutex);
    if (known.empty()) return n;
    auto any = known.begin();
    std::advance(any, draw() % known.size());
    if (any->second.epoll == epoll) {
      events[n] = any->second.event;
      events[n++].events &= EPOLLIN | EPOLLOUT;
    }
  }
  if (n > 1 && fault())
    for (int i = n - 1; i > 0; --i)
      std::swap(events[i], events[draw() % static_cast<unsigned>(i + 1)]);
  return n;
}
// [/faults-epoll]

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
