// Makes one system call of a program fail, or end the program: loaded before
// the C library by LD_PRELOAD.
//
//   NAGLFAR_INJECT="accept4 103 5"   the fifth accept4(2) fails with errno
//   103 NAGLFAR_INJECT="read -15 20"     the twentieth read(2) is signal 15
//
// A number of calls of 0 means each. A child of fork(2) goes on counting
// where its parent was.

#include <dlfcn.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// [inject]
// True if this call is the one to fail.
static bool fails(const char* call) {
  static char name[32];
  static int error = 0;
  static int nth = 0;
  static const bool told = [] {
    const char* said = std::getenv("NAGLFAR_INJECT");
    return said != nullptr &&
           std::sscanf(said, "%31s %d %d", name, &error, &nth) == 3;
  }();
  static std::atomic<int> calls{0};
  if (!told || std::strcmp(call, name) != 0) return false;
  if (++calls != nth && nth != 0) return false;
  if (error < 0) std::raise(-error);
  errno = error;
  return true;
}

template <class Function>
static Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

extern "C" int accept4(int fd, sockaddr* address, socklen_t* size,
                       int flags) {
  static auto* const original = next<decltype(accept4)>("accept4");
  return fails("accept4") ? -1 : original(fd, address, size, flags);
}

extern "C" ssize_t read(int fd, void* buffer, std::size_t n) {
  static auto* const original =
      next<ssize_t(int, void*, std::size_t)>("read");
  return fails("read") ? -1 : original(fd, buffer, n);
}
// [/inject]
