// What tests ask of a kernel and the library does not, for both of them: the
// real one, and with NAGLFAR_SIMULATED the simulated one, of which each test
// case gets its own. A test file includes doctest first.

#pragma once

#include "naglfar/poller.hpp"

#ifdef NAGLFAR_SIMULATED

#include <optional>

#include "naglfar/sim.hpp"

#ifdef DOCTEST_LIBRARY_INCLUDED
#include "listener.hpp"
#endif

// [simulated-kernel]
namespace kernel {

using naglfar::sim::Kernel;

inline bool isOpen(int fd) {
  return Kernel::current().isOpen(fd);
}
inline void stopWriting(int fd) {
  Kernel::current().shutdownWrite(fd);
}
inline void resetAtClose(int fd) {
  Kernel::current().resetAtClose(fd);
}
inline void smallBuffer(int /*fd*/) {}
inline void sendAtOnce(int /*fd*/) {}
inline bool isReady(int fd, naglfar::Interest interest) {
  fd_set sets[2];
  for (fd_set& set : sets) FD_ZERO(&set);
  FD_SET(fd, &sets[static_cast<int>(interest)]);
  timeval now{};
  return naglfar::sys::select(fd + 1, &sets[0], &sets[1], &now) == 1;
}

#ifdef DOCTEST_LIBRARY_INCLUDED
// A kernel for each test case, which closes what it opens.
struct KernelForEach : TestListener {
  explicit KernelForEach(const doctest::ContextOptions&) {}
  std::optional<Kernel> kernel;

  void test_case_start(const doctest::TestCaseData&) override {
    kernel.emplace(1);
  }
  void test_case_end(const doctest::CurrentTestCaseStats&) override {
    CHECK(kernel->openDescriptors() == 0);
    kernel.reset();
  }
};
REGISTER_LISTENER("kernel", 1, KernelForEach);
#endif

}  // namespace kernel
// [/simulated-kernel]

#else

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

// [real-kernel]
namespace kernel {

inline bool isOpen(int fd) {
  return ::fcntl(fd, F_GETFD) != -1;
}
inline void stopWriting(int fd) {
  ::shutdown(fd, SHUT_WR);
}
inline void resetAtClose(int fd) {
  const linger now{1, 0};
  naglfar::sys::check(
      ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now), "linger");
}
inline void smallBuffer(int fd) {
  const int size = 4096;
  ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}
// Without waiting for an acknowledgement of what went before.
inline void sendAtOnce(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}
inline bool isReady(int fd, naglfar::Interest interest) {
  const bool read = interest == naglfar::Interest::read;
  pollfd look{fd, static_cast<short>(read ? POLLIN : POLLOUT), 0};
  ::poll(&look, 1, 0);
  return look.revents != 0;
}

}  // namespace kernel
   // [/real-kernel]

#endif
