/// @file sys.hpp
/// The library's system calls. The upper layers reach the kernel through the
/// functions below. Most of them make one system call. Several are made on
/// macOS, where calls take fewer flags, by probePeer and restoreSignal, and
/// by what has to block SIGPIPE: sendfile makes 3, a write to what is no
/// socket makes 4, a line of the log 4, and each makes up to 3 more if its
/// reader is gone.
///
/// A function counts its calls in the ledger (%sys/ledger.hpp) and returns
/// what the kernel returned. On failure that is -1 with the reason in errno,
/// EINTR and EAGAIN included. The caller decides what a failure means; most
/// callers pass the result to `check`, which throws.
///
/// Invariant: no other layer makes a system call on a descriptor. So the
/// simulated kernel (%sim.hpp) can take the real kernel's place at link time.
///
/// The upper layers call the C library directly for memory, threads, locks,
/// facts about the process, the time zone, the end of a process, and
/// getcontext(3) and swapcontext(3). Of these calls only the last two are
/// counted. The list is that of tests/test_seam.py.
///
/// The sys layer asks the C library for the calls. It uses no other layer.

#pragma once

#include <netinet/in.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <initializer_list>
#include <limits>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "naglfar/sys/ledger.hpp"

struct epoll_event;  // <sys/epoll.h>, on Linux
struct kevent;       // <sys/event.h>, on macOS and the BSDs
struct pollfd;       // <poll.h>

namespace naglfar {

/// No limit: to bytes, messages or connections.
/// @ingroup sys
inline constexpr std::size_t unlimited =
    std::numeric_limits<std::size_t>::max();

}  // namespace naglfar

namespace naglfar::sys {

/// @addtogroup sys
/// @{

// [log]
/// Writes a line to standard error, by std::cerr, and never waits for a
/// reader: if standard error is a pipe that is full, the line is dropped. The
/// next line that can be written tells how many were. If the reader has
/// ended, all lines are dropped, and no SIGPIPE is sent. The flags of
/// standard error stay as they are, because other processes have it, too. So
/// there is one gap: if another process fills the pipe between the look and
/// the write, the write waits. The line is cut at PIPE_BUF bytes, and a byte
/// that is not printable ASCII is written as `\xNN`, so that no text can
/// forge a line or send commands to a terminal. A program that may be
/// started without standard error opens /dev/null in its place before
/// anything else: otherwise its first descriptor, a socket perhaps, has that
/// number and gets the lines.
/// @param texts The line, in parts, without a line end.
void log(std::initializer_list<std::string_view> texts);
// [/log]

// [errors]
/// Throws an error of a system call. The message names the call. If the call
/// met a limit, the message also names the command that raises the limit.
/// @param error An errno value.
/// @param call The call that failed, as its manual page names it.
/// @throws std::system_error Always.
[[noreturn]] void fail(int error, const char* call);

/// Turns a failed call into an exception.
/// @param result What the call returned; -1 means that it failed.
/// @param call The call, as its manual page names it.
/// @return `result`, if it is not -1.
/// @throws std::system_error With errno, if it is.
template <class Result>
Result check(Result result, const char* call) {
  if (result == Result(-1)) fail(errno, call);
  return result;
}
// [/errors]

// [fd]
using CloseHook = void (*)(int fd);  ///< Takes a descriptor.
/// What an Fd of this thread calls before it closes its descriptor. The
/// scheduler sets it, because its poller must deregister the descriptor: the
/// kernel may give the same number to the next descriptor.
inline constinit thread_local CloseHook beforeClose = nullptr;
/// What the functions below call with each new descriptor of this thread. If
/// the poller knows the number, foreign code has closed its former file, and
/// the scheduler deregisters it now.
inline constinit thread_local CloseHook afterOpen = nullptr;

/// The owner of a descriptor: its destructor closes the descriptor.
///
/// A poller must be told before a descriptor is closed that was waited for,
/// and an Fd tells the scheduler of its thread. Foreign code does not. Before
/// it closes such a descriptor, or puts another file in its place by dup2(2),
/// call Scheduler::deregister().
class Fd {
 public:
  /// @param fd A descriptor to own, or -1 for none.
  explicit Fd(int fd = -1) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();

  /// @return The descriptor, or -1 if none is owned.
  int get() const { return fd_; }
  /// @return True if a descriptor is owned.
  explicit operator bool() const { return fd_ != -1; }
  /// Gives the descriptor up without closing it, and tells no scheduler.
  /// @return The descriptor, which the caller now owns.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// A pipe whose ends never block.
struct Pipe {
  /// @throws std::system_error If there are no two descriptors for it.
  Pipe();
  Fd reader;  ///< The end to read from.
  Fd writer;  ///< The end to write to.
};
// [/fd]

// [address]
/// An IPv4 address and a port. The address is numeric, because to look a name
/// up would block the thread, and with it all coroutines.
class Address {
 public:
  Address() = default;
  /// @param host Four numbers with dots, "localhost", or "" for any address.
  /// @param port A port in the host's byte order; 0 lets the kernel choose.
  /// @throws std::invalid_argument If `host` is not numeric.
  Address(std::string_view host, std::uint16_t port);

  /// @return The four numbers with dots.
  std::string host() const;
  /// @return The port, in the host's byte order.
  std::uint16_t port() const { return ntohs(raw.sin_port); }

  sockaddr_in raw{};  ///< The form that the system calls take.
};
// [/address]

// [sockets]
/// Whether a call on a descriptor waits until it can succeed, or fails with
/// EAGAIN instead.
enum class Mode { blocking, nonblocking };

int socket(Mode mode);                           ///< socket(2), TCP.
int bind(int fd, const Address& address);        ///< bind(2).
int listen(int fd, int backlog);                 ///< listen(2).
int accept(int fd, Address& client, Mode mode);  ///< accept4(2).
int connect(int fd, const Address& address);     ///< connect(2).
int localAddress(int fd, Address& address);      ///< getsockname(2).
int pendingError(int fd, int& error);            ///< SO_ERROR: socket(7).
int reuseAddress(int fd);                        ///< SO_REUSEADDR.
int sendAtOnce(int fd);                          ///< TCP_NODELAY.
int endWriting(int fd);                          ///< shutdown(2), SHUT_WR.
int socketpair(int (&ends)[2], Mode mode);       ///< socketpair(2), stream.

/// Has the kernel find out whether a silent peer is still there: SO_KEEPALIVE
/// and its times, and TCP_USER_TIMEOUT where there is one, so that bytes
/// which are not acknowledged have the same time. Up to five setsockopt(2).
/// The times are in seconds.
int probePeer(int fd, int idle, int interval, int probes);

/// Which directions of a connection have ended: none, the input (the peer
/// sends no more), or both (after a reset, for instance).
enum class Ended { nothing, input, both };
int ended(int fd, Ended& what);
///< poll(2) with no wait. Returns 1 if something has ended or can be read.
// [/sockets]

// [descriptors]
int pipe(int (&ends)[2], Mode mode);                   ///< pipe2(2).
int dup(int fd);                                       ///< F_DUPFD_CLOEXEC.
ssize_t read(int fd, char* buffer, std::size_t size);  ///< read(2).
ssize_t write(int fd, const char* data, std::size_t n);
///< send(2) with MSG_NOSIGNAL to a socket, or else write(2) with SIGPIPE
///< blocked: EPIPE is an error and no signal.
ssize_t writeLast(int fd, const char* data, std::size_t n);
///< The same for the last bytes before the end: MSG_MORE where there is one,
///< so that bytes and end can share a segment.
ssize_t peek(int fd, std::size_t n = 1);
///< recv(2): looks for `n` bytes, of 16 KiB at most, and does not wait.
ssize_t sendfile(int fd, int file, off_t offset, std::size_t n);
///< sendfile(2), whose parameters differ on macOS and FreeBSD; with SIGPIPE
///< blocked.
int close(int fd);  ///< close(2).
// [/descriptors]

// [readiness-calls]
int epollCreate();  ///< epoll_create1(2).
int epollCtl(int epoll, int op, int fd, epoll_event* event);
///< epoll_ctl(2).
int epollWait(int epoll, epoll_event* events, int n, int timeoutMs);
///< epoll_wait(2).
int kqueue();  ///< kqueue(2).
int kevent(int kq, const struct ::kevent* changes, int changeCount,
           struct ::kevent* events, int eventCount,
           const timespec* timeout);  ///< kevent(2).
int select(int n, fd_set* readable, fd_set* writable, timeval* timeout);
///< select(2).
int poll(pollfd* entries, std::size_t n, int timeoutMs);  ///< poll(2).
// [/readiness-calls]

// [memory-and-processes]
void* mapStacks(std::size_t size);       ///< mmap(2): MAP_NORESERVE.
void* mapShared(std::size_t size);       ///< mmap(2): shared with children.
int unmap(void* memory, std::size_t n);  ///< munmap(2).
int protect(void* page, std::size_t n);  ///< mprotect(2): no access.
int guard(void* page, std::size_t n);    ///< MADV_GUARD_INSTALL: madvise(2).
ssize_t guardAll(const iovec* pages, std::size_t n);
///< MADV_GUARD_INSTALL on `n` ranges: process_madvise(2).
int keepPagesSmall(void* memory, std::size_t n);
///< MADV_NOHUGEPAGE, on Linux: madvise(2).
int giveBack(void* pages, std::size_t n);
///< MADV_DONTNEED, or MADV_FREE on other systems than Linux: madvise(2).
ssize_t giveBackAll(const iovec* pages, std::size_t n);
///< MADV_DONTNEED on `n` ranges: process_madvise(2).
int signalAction(int signal, void (*handler)(int, siginfo_t*, void*),
                 int flags, struct sigaction* former = nullptr);
///< sigaction(2), which tells what was before.
int signalAction(int signal, const struct sigaction* action,
                 struct sigaction* old);  ///< sigaction(2).
int restoreSignal(int signal, void (*handler)(int, siginfo_t*, void*),
                  const struct sigaction& former);
///< sigaction(2), unless another handler has taken this one's place.
int signalStack(const stack_t* stack, stack_t* old);   ///< sigaltstack(2).
pid_t fork();                                          ///< fork(2).
pid_t waitpid(pid_t child, int* status, int options);  ///< waitpid(2).
int kill(pid_t process, int signal);                   ///< kill(2).
// [/memory-and-processes]

// [time]
/// A length of time. One that is too long for nanoseconds, such as
/// std::chrono::hours::max(), becomes the longest that there is, about 292
/// years; std::chrono would let it overflow, into the past for instance.
class Duration : public std::chrono::nanoseconds {
  using nanoseconds = std::chrono::nanoseconds;

 public:
  /// No time.
  constexpr Duration() : nanoseconds(0) {}
  /// @param length In nanoseconds.
  constexpr Duration(nanoseconds length) : nanoseconds(length) {}
  /// @param count How many nanoseconds.
  explicit constexpr Duration(rep count) : nanoseconds(count) {}
  /// @param length In any unit.
  template <class Rep, class Period>
  constexpr Duration(const std::chrono::duration<Rep, Period>& length)
      : nanoseconds(saturated(length)) {}

  /// @return The longest.
  static constexpr Duration max() { return nanoseconds::max(); }
  /// @return The one that is furthest below 0.
  static constexpr Duration min() { return nanoseconds::min(); }

 private:
  template <class Length>
  static constexpr nanoseconds saturated(const Length& length) {
    using Real = std::chrono::duration<long double, std::nano>;
    if (!(Real(length) < Real(nanoseconds::max()))) return nanoseconds::max();
    if (Real(length) <= Real(nanoseconds::min())) return nanoseconds::min();
    return std::chrono::duration_cast<nanoseconds>(length);
  }
};

/// A point in time.
using Time = std::chrono::time_point<std::chrono::steady_clock,
                                     std::chrono::nanoseconds>;

/// @return The time on a clock that never goes back: CLOCK_MONOTONIC.
///         Not counted: on Linux it is no system call (vdso(7)).
Time now();
/// @return The date: time(2). Not counted, for the same reason.
std::time_t date();
// [/time]

/// @}

}  // namespace naglfar::sys
