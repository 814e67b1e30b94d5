// The system calls as the kernel makes them: each function one call, counted.
//
// Invariant: nothing is retried and nothing is hidden here. Where systems
// differ (accept4, pipe2, sendfile), the difference ends on this page.

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <stdexcept>
#include <system_error>

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

// [fail]
namespace {

std::string descriptorLimit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return std::to_string(limit.rlim_cur);
}

// What the user can do about an error that is a limit of the machine.
std::string advice(int error) {
  switch (error) {
    case EMFILE:
      return " (this process may have " + descriptorLimit() +
             " descriptors open; `ulimit -n` raises that)";
    case ENFILE:
      return " (the whole system is out of descriptors; "
             "`sysctl fs.file-max` raises that)";
    case EADDRNOTAVAIL:
      return " (no free port, or an address that this machine does not "
             "have; `sysctl net.ipv4.ip_local_port_range` tells the ports)";
    case ENOMEM:
      return " (out of memory or of mappings; "
             "`sysctl -w vm.max_map_count=262144` raises the latter)";
    default:
      return "";
  }
}

}  // namespace

void fail(int error, const char* call) {
  throw std::system_error(error, std::generic_category(),
                          call + advice(error));
}
// [/fail]

// [fd-and-address]
Fd::~Fd() {
  if (fd_ != -1) close(fd_);
}

Fd& Fd::operator=(Fd&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

Address::Address(std::string_view host, std::uint16_t port) {
  raw.sin_family = AF_INET;
  raw.sin_port = htons(port);
  if (host == "localhost") host = "127.0.0.1";
  if (host.empty()) host = "0.0.0.0";
  const std::string terminated(host);
  if (inet_pton(AF_INET, terminated.c_str(), &raw.sin_addr) != 1)
    throw std::invalid_argument("not a numeric IPv4 address: " + terminated);
}

std::string Address::host() const {
  char text[INET_ADDRSTRLEN];
  inet_ntop(AF_INET, &raw.sin_addr, text, sizeof text);
  return text;
}
// [/fd-and-address]

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
// [/readiness]

// [memory]
#ifndef MAP_NORESERVE  // macOS and FreeBSD reserve nothing anyhow
#define MAP_NORESERVE 0
#endif

void* mapStacks(std::size_t size) {
  count(Call::mmap);
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#ifdef __linux__
  flags |= MAP_STACK;  // no huge pages: one would be many stacks' memory
#endif
  return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0);
}

void* mapShared(std::size_t size) {
  count(Call::mmap);
  return ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

int unmap(void* memory, std::size_t n) {
  count(Call::munmap);
  return ::munmap(memory, n);
}

int protect(void* page, std::size_t n) {
  count(Call::mprotect);
  return ::mprotect(page, n, PROT_NONE);
}

int guard([[maybe_unused]] void* page, [[maybe_unused]] std::size_t n) {
#ifdef __linux__
  constexpr int guardInstall = 102;  // MADV_GUARD_INSTALL, since Linux 6.13
  count(Call::madvise);
  return ::madvise(page, n, guardInstall);
#else
  errno = EINVAL;
  return -1;
#endif
}
// [/memory]

// [signals-and-processes]
int signalAction(int signal, void (*handler)(int, siginfo_t*, void*),
                 int flags) {
  count(Call::sigaction);
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  return ::sigaction(signal, &action, nullptr);
}

int defaultSignal(int signal) {
  count(Call::sigaction);
  return std::signal(signal, SIG_DFL) == SIG_ERR ? -1 : 0;
}

int ignoreSignal(int signal) {
  count(Call::sigaction);
  return std::signal(signal, SIG_IGN) == SIG_ERR ? -1 : 0;
}

int signalStack(void* memory, std::size_t n) {
  count(Call::sigaltstack);
  stack_t stack{};
  stack.ss_sp = memory;
  stack.ss_size = n;
  return ::sigaltstack(&stack, nullptr);
}

pid_t fork() {
  count(Call::fork);
  const pid_t child = ::fork();
  if (child == 0) ledger = Ledger{};  // what came before is the parent's
  return child;
}

pid_t waitpid(pid_t child, int* status, int options) {
  count(Call::waitpid);
  return ::waitpid(child, status, options);
}
// [/signals-and-processes]

Time now() {
  return std::chrono::steady_clock::now();
}

}  // namespace naglfar::sys
