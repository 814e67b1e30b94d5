// Random scripts of system calls, and what the kernel says to each. Built for
// the real kernel and for the simulated one: both have to say the same.
//
// What may differ is left out: how large buffers are (nothing is ever full),
// and that a kernel may raise an edge more than it must (so edges are asked
// for only in the direction of reading).

#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <thread>

#include "kernel_under_test.hpp"
#include "naglfar/sim.hpp"

using namespace naglfar;

// [script-table]
namespace {

constexpr std::size_t places = 8;

class Script {
 public:
  Script(std::uint64_t seed, std::chrono::milliseconds pause)
      : random_(seed), pause_(pause) {}
  void run();

 private:
  void open();
  void connect();
  void step();
  void look();
  std::size_t place() { return random_.below(places); }
  int* freePlaces();
  // The calls are told by place: numbers may differ.
  void tell(const char* call, std::size_t at, long result) {
    std::cout << call << ' ' << at << " = ";
    if (result == -1)
      std::cout << strerrorname_np(errno);
    else
      std::cout << result;
    std::cout << '\n';
    // A connection's other end learns a little later, if the kernel is busy.
    if (pause_.count() > 0) std::this_thread::sleep_for(pause_);
  }

  sim::Random random_;
  std::chrono::milliseconds pause_;
  std::array<int, places> fds_{-1, -1, -1, -1, -1, -1, -1, -1};
  int edges_ = -1;
  int levels_ = -1;
  int listener_ = -1;
  sys::Address address_;
};
// [/script-table]

// [script-open]
// Two neighbours in the table that are free, or null.
int* Script::freePlaces() {
  const std::size_t at = place() & ~std::size_t{1};
  return fds_[at] == -1 && fds_[at + 1] == -1 ? &fds_[at] : nullptr;
}

void Script::open() {
  int* two = freePlaces();
  if (two == nullptr) return;
  int ends[2];
  const std::size_t kind = random_.below(3);
  if (kind == 2) return connect();
  sys::check(kind == 0 ? sys::pipe(ends, sys::Mode::nonblocking)
                       : sys::socketpair(ends, sys::Mode::nonblocking),
             "pair");
  two[0] = ends[0];
  two[1] = ends[1];
  std::cout << (kind == 0 ? "pipe " : "socketpair ") << two - fds_.data()
            << '\n';
}

// A client, and what is accepted, which may be left for later.
void Script::connect() {
  int* two = freePlaces();
  if (two == nullptr) return;
  const auto at = static_cast<std::size_t>(two - fds_.data());
  two[0] = sys::check(sys::socket(sys::Mode::nonblocking), "socket");
  if (random_.below(8) == 0) {
    tell("read fresh", at, sys::read(two[0], nullptr, 0));
    tell("write fresh", at, sys::write(two[0], "x", 1));
  }
  tell("connect", at, sys::connect(two[0], address_));
  tell("connect", at, sys::connect(two[0], address_));
  sys::Address client;
  two[1] = sys::accept(listener_, client, sys::Mode::nonblocking);
  tell("accept", at, two[1] == -1 ? -1 : 0);
  for (const int end : {two[0], two[1]}) kernel::sendAtOnce(end);
}
// [/script-open]

// [script-step]
void Script::step() {
  const std::size_t at = place();
  int& fd = fds_[at];
  std::array<char, 64> buffer{"The quick brown fox jumps over the lazy dog"};
  const std::size_t n = 1 + random_.below(40);
  epoll_event event{};
  event.data.u64 = at;
  switch (random_.below(14)) {
    case 0:
    case 1:
      return open();
    case 2:
    case 3:
    case 4:
      return tell("write", at, sys::write(fd, buffer.data(), n));
    case 5:
    case 6:
    case 7:
      return tell("read", at, sys::read(fd, buffer.data(), n));
    case 8:
      if (fd != -1 && random_.below(4) == 0) kernel::stopWriting(fd);
      if (fd != -1 && random_.below(2) == 0) {
        sys::Ended ended{};
        sys::ended(fd, ended);
        return tell("ended", at, static_cast<int>(ended));
      }
      return tell("peek", at, sys::peek(fd));
    case 9: {
      if (fd != -1 && random_.below(4) == 0 && sys::peek(fd) != -1 &&
          errno != ENOTSOCK)
        kernel::resetAtClose(fd);
      tell("close", at, sys::close(fd));
      fd = -1;
      return;
    }
    case 10: {
      int error = 0;
      if (sys::peek(fd) == -1 && (errno == ENOTSOCK || errno == EBADF))
        return;
      sys::pendingError(fd, error);
      return tell("error", at, error);
    }
    case 11: {
      if (fd == -1 || random_.below(3) != 0) return;
      const std::size_t other = place();
      if (fds_[other] != -1) return;
      fds_[other] = sys::dup(fd);
      return tell("dup", at, fds_[other] == -1 ? -1 : 0);
    }
    case 12:
      event.events = EPOLLIN | EPOLLRDHUP | EPOLLET;
      return tell(
          "watch edges", at,
          sys::epollCtl(edges_,
                        random_.below(4) == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_ADD,
                        fd, &event));
    default:
      event.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP;
      return tell(
          "watch levels", at,
          sys::epollCtl(levels_,
                        random_.below(4) == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_ADD,
                        fd, &event));
  }
}
// [/script-step]

// [script-look]
// What the two epolls report, in the order of places.
void Script::look() {
  for (const int epoll : {edges_, levels_}) {
    std::array<epoll_event, 64> events;
    std::array<std::string, places> reports;
    const int n = sys::epollWait(epoll, events.data(), 64, 0);
    for (int i = 0; i < n; ++i)
      reports[events[i].data.u64] += ' ' + std::to_string(events[i].events);
    for (std::size_t at = 0; at < places; ++at)
      if (!reports[at].empty())
        std::cout << (epoll == edges_ ? "edge " : "level ") << at << ':'
                  << reports[at] << '\n';
  }
}

void Script::run() {
  edges_ = sys::check(sys::epollCreate(), "epoll");
  levels_ = sys::check(sys::epollCreate(), "epoll");
  listener_ = sys::check(sys::socket(sys::Mode::nonblocking), "socket");
  sys::check(sys::bind(listener_, sys::Address("localhost", 0)), "bind");
  sys::check(sys::localAddress(listener_, address_), "getsockname");
  sys::check(sys::listen(listener_, 16), "listen");
  for (int i = 0; i < 60; ++i) {
    step();
    look();
  }
  for (const int fd : fds_)
    if (fd != -1) sys::close(fd);
  for (const int fd : {edges_, levels_, listener_}) sys::close(fd);
}

}  // namespace
// [/script-look]

// [script-main]
// script FIRST LAST PAUSE, which is after each call, in milliseconds.
int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::chrono::milliseconds pause(std::strtol(argv[3], nullptr, 10));
  const std::uint64_t last = std::strtoull(argv[2], nullptr, 10);
  for (std::uint64_t seed = std::strtoull(argv[1], nullptr, 10); seed <= last;
       ++seed) {
#ifdef NAGLFAR_SIMULATED
    sim::Kernel kernel(seed);
#endif
    std::cout << "script " << seed << '\n';
    Script(seed, pause).run();
  }
}
// [/script-main]
