// Where the time goes: a library to be preloaded (LD_PRELOAD) that measures
// how long a program's system calls take, by kind.
//
// At the end it writes a line of JSON to standard error: for each kind the
// number of calls and the CPU time in them, in nanoseconds, without what the
// two looks at the clock take. It is for programs with one thread.
//
// Invariant: a call means the same with it as without.

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>

// [call-times]
namespace {

struct Kind {
  explicit constexpr Kind(const char* kind) : name(kind) {}
  const char* name;
  long calls = 0;
  long nanoseconds = 0;
};

Kind kinds[] = {Kind("socket"),    Kind("connect"),    Kind("accept4"),
                Kind("read"),      Kind("write"),      Kind("close"),
                Kind("epoll_ctl"), Kind("epoll_wait"), Kind("stacks")};
enum {
  forSocket,
  forConnect,
  forAccept,
  forRead,
  forWrite,
  forClose,
  forEpollCtl,
  forEpollWait,
  forStacks
};

long now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

template <class... Arguments>
long timed(int kind, long number, Arguments... arguments) {
  const long start = now();
  const long result = syscall(number, arguments...);
  kinds[kind].nanoseconds += now() - start;
  ++kinds[kind].calls;
  return result;
}

// What timed() finds when the call takes no time.
double costOfLooking() {
  constexpr int times = 20'000;
  long found = 0;
  for (int i = 0; i < times; ++i) {
    const long start = now();
    found += now() - start;
  }
  return static_cast<double>(found) / times;
}

[[gnu::destructor]] void report() {
  const double looking = costOfLooking();
  const char* separator = "{\"call_times\": {";
  for (const Kind& kind : kinds) {
    const double ns = static_cast<double>(kind.nanoseconds) -
                      looking * static_cast<double>(kind.calls);
    std::fprintf(stderr, "%s\"%s\": {\"calls\": %ld, \"ns\": %.0f}",
                 separator, kind.name, kind.calls, ns);
    separator = ", ";
  }
  std::fputs("}}\n", stderr);
}

}  // namespace
// [/call-times]

// [timed-calls]
extern "C" {

int socket(int domain, int type, int protocol) {
  return static_cast<int>(
      timed(forSocket, SYS_socket, domain, type, protocol));
}
int connect(int fd, const sockaddr* address, socklen_t size) {
  return static_cast<int>(timed(forConnect, SYS_connect, fd, address, size));
}
int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  return static_cast<int>(
      timed(forAccept, SYS_accept4, fd, address, size, flags));
}
ssize_t read(int fd, void* buffer, std::size_t size) {
  return timed(forRead, SYS_read, fd, buffer, size);
}
ssize_t recv(int fd, void* buffer, std::size_t size, int flags) {
  return timed(forRead, SYS_recvfrom, fd, buffer, size, flags, nullptr,
               nullptr);
}
ssize_t write(int fd, const void* data, std::size_t size) {
  return timed(forWrite, SYS_write, fd, data, size);
}
ssize_t send(int fd, const void* data, std::size_t size, int flags) {
  return timed(forWrite, SYS_sendto, fd, data, size, flags, nullptr, 0);
}
int shutdown(int fd, int how) {  // the end of a stream, as in close
  return static_cast<int>(timed(forClose, SYS_shutdown, fd, how));
}
int close(int fd) {
  return static_cast<int>(timed(forClose, SYS_close, fd));
}
int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) {
  return static_cast<int>(
      timed(forEpollCtl, SYS_epoll_ctl, epoll, operation, fd, event));
}
int epoll_wait(int epoll, epoll_event* events, int most, int timeout) {
  return static_cast<int>(timed(forEpollWait, SYS_epoll_pwait, epoll, events,
                                most, timeout, nullptr, 0));
}
int mprotect(void* address, std::size_t size, int protection) {
  return static_cast<int>(
      timed(forStacks, SYS_mprotect, address, size, protection));
}
int madvise(void* address, std::size_t size, int advice) {
  return static_cast<int>(
      timed(forStacks, SYS_madvise, address, size, advice));
}
int munmap(void* address, std::size_t size) {
  return static_cast<int>(timed(forStacks, SYS_munmap, address, size));
}

}  // extern "C"
// [/timed-calls]
