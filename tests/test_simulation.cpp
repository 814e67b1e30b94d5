// Tests of the simulated kernel: that it does what the real one does, shows
// the faults that it is told to, repeats itself, and finds planted bugs.

#include <doctest/doctest.h>
#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "naglfar/channel.hpp"
#include "naglfar/http.hpp"
#include "naglfar/io.hpp"
#include "naglfar/scheduler.hpp"
#include "naglfar/sim.hpp"
#include "scenarios.hpp"

using namespace naglfar;
using namespace std::chrono_literals;
using sim::Faults;
using sim::Kernel;
using sim::Stuck;

// [simulation-helpers]
namespace {

// What a call said: its result, or -errno.
template <class Result>
long said(Result result) {
  return result == -1 ? -errno : static_cast<long>(result);
}

long read(int fd, std::size_t n, std::string* got = nullptr) {
  std::string buffer(n, '\0');
  const long result = said(sys::read(fd, buffer.data(), n));
  if (got != nullptr && result > 0)
    *got = buffer.substr(0, static_cast<std::size_t>(result));
  return result;
}

long write(int fd, std::string_view data) {
  return said(sys::write(fd, data.data(), data.size()));
}

struct Ends {
  int a = -1;
  int b = -1;
};

Ends pipe() {
  int ends[2];
  REQUIRE(sys::pipe(ends, sys::Mode::nonblocking) == 0);
  return {ends[0], ends[1]};
}

Ends socketpair() {
  int ends[2];
  REQUIRE(sys::socketpair(ends, sys::Mode::nonblocking) == 0);
  return {ends[0], ends[1]};
}

struct Listener {
  explicit Listener(int backlog = 16) {
    REQUIRE(sys::bind(fd, sys::Address("localhost", 0)) == 0);
    REQUIRE(sys::listen(fd, backlog) == 0);
    REQUIRE(sys::localAddress(fd, address) == 0);
  }
  long accept() const {
    sys::Address client;
    return said(sys::accept(fd, client, sys::Mode::nonblocking));
  }
  int fd = sys::socket(sys::Mode::nonblocking);
  sys::Address address;
};

int newSocket(sys::Mode mode = sys::Mode::nonblocking) {
  return sys::socket(mode);
}

// A TCP connection: the client's end, and the server's.
Ends tcp() {
  const Listener listener;
  const int client = newSocket();
  REQUIRE(said(sys::connect(client, listener.address)) == -EINPROGRESS);
  REQUIRE(said(sys::connect(client, listener.address)) == 0);
  const auto server = static_cast<int>(listener.accept());
  REQUIRE(server > 0);
  REQUIRE(sys::close(listener.fd) == 0);
  return {client, server};
}

// An epoll that watches everything, edge triggered if not told otherwise.
struct Watching {
  long add(int watched, std::uint32_t events = everything) {
    return control(EPOLL_CTL_ADD, watched, events);
  }
  long control(int op, int watched, std::uint32_t events = everything) {
    epoll_event event{};
    event.events = events;
    event.data.fd = watched;
    return said(sys::epollCtl(fd, op, watched, &event));
  }
  // What is reported about a descriptor; 0 if nothing is.
  std::uint32_t news(int about, int timeout = 0) {
    epoll_event events[16];
    const int n = sys::epollWait(fd, events, 16, timeout);
    for (int i = 0; i < n; ++i)
      if (events[i].data.fd == about) return events[i].events;
    return 0;
  }
  static constexpr std::uint32_t everything =
      EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
  int fd = sys::epollCreate();
};

}  // namespace
// [/simulation-helpers]

// [descriptor-semantics]
TEST_SUITE("simulation: descriptors") {
  TEST_CASE("the lowest free number is taken") {
    Kernel kernel(1);
    const Ends first = pipe();
    const Ends second = pipe();
    CHECK(first.a == 3);
    CHECK(second.b == 6);
    CHECK(kernel.openDescriptors() == 4);
    CHECK(sys::close(second.a) == 0);
    CHECK(sys::close(first.b) == 0);
    CHECK(newSocket() == 4);
    CHECK(sys::dup(3) == 5);
    CHECK(sys::dup(3) == 7);
  }

  TEST_CASE("a closed number is EBADF for all calls") {
    Kernel kernel(1);
    CHECK(said(sys::close(3)) == -EBADF);
    CHECK(read(3, 1) == -EBADF);
    CHECK(write(3, "x") == -EBADF);
    CHECK(said(sys::dup(3)) == -EBADF);
    CHECK(said(sys::peek(-1)) == -EBADF);
    CHECK(Watching().add(17) == -EBADF);
  }

  TEST_CASE("there is a limit and each call that makes one meets it") {
    Kernel kernel(1);
    const Listener listener;
    const int client = newSocket();
    sys::connect(client, listener.address);
    kernel.descriptorLimit = 2;
    int ends[2];
    CHECK(said(sys::socket(sys::Mode::nonblocking)) == -EMFILE);
    CHECK(said(sys::dup(client)) == -EMFILE);
    CHECK(said(sys::epollCreate()) == -EMFILE);
    CHECK(listener.accept() == -EMFILE);
    kernel.descriptorLimit = 3;
    CHECK(said(sys::pipe(ends, sys::Mode::nonblocking)) == -EMFILE);
    CHECK(kernel.openDescriptors() == 2);
    CHECK(listener.accept() == 5);  // it waited
  }

  TEST_CASE("without a kernel a call says so") {
    CHECK_THROWS_AS(sys::socket(sys::Mode::blocking), std::logic_error);
  }
}
// [/descriptor-semantics]

// [stream-semantics]
TEST_SUITE("simulation: streams") {
  TEST_CASE("a pipe carries bytes in order and then its end") {
    Kernel kernel(1);
    const Ends ends = pipe();
    std::string got;
    CHECK(read(ends.a, 4) == -EAGAIN);
    CHECK(write(ends.b, "abc") == 3);
    CHECK(write(ends.b, "def") == 3);
    CHECK(read(ends.a, 4, &got) == 4);
    CHECK(got == "abcd");
    sys::close(ends.b);
    CHECK(read(ends.a, 4, &got) == 2);
    CHECK(got == "ef");
    CHECK(read(ends.a, 4) == 0);
    CHECK(said(sys::peek(ends.a)) == -ENOTSOCK);
  }

  TEST_CASE("a pipe is bounded and small writes are whole or not at all") {
    Kernel kernel(1);
    const Ends ends = pipe();
    CHECK(write(ends.b, std::string(100'000, 'x')) == 65536);
    CHECK(write(ends.b, "y") == -EAGAIN);
    CHECK(read(ends.a, 10) == 10);
    CHECK(write(ends.b, std::string(11, 'y')) == -EAGAIN);
    CHECK(write(ends.b, std::string(10, 'y')) == 10);
    sys::close(ends.a);
    CHECK(write(ends.b, "z") == -EPIPE);
  }

  TEST_CASE("TCP: half-close lets the other direction go on") {
    Kernel kernel(1);
    const Ends ends = tcp();
    CHECK(write(ends.a, "last words") == 10);
    CHECK(kernel.shutdownWrite(ends.a) == 0);
    CHECK(write(ends.a, "more") == -EPIPE);
    CHECK(read(ends.b, 20) == 10);
    CHECK(read(ends.b, 20) == 0);
    CHECK(write(ends.b, "answer") == 6);
    CHECK(read(ends.a, 20) == 6);
  }

  TEST_CASE("TCP: a close is an end, and to write on is EPIPE in the end") {
    Kernel kernel(1);
    const Ends ends = tcp();
    sys::close(ends.a);
    CHECK(read(ends.b, 1) == 0);
    CHECK(write(ends.b, "x") == 1);  // answered with a reset
    CHECK(write(ends.b, "x") == -EPIPE);
    CHECK(read(ends.b, 1) == 0);
  }

  TEST_CASE("TCP: a close with unread data is a reset") {
    Kernel kernel(1);
    const Ends ends = tcp();
    write(ends.a, "unread");
    sys::close(ends.b);
    CHECK(read(ends.a, 10) == -ECONNRESET);
    CHECK(read(ends.a, 10) == 0);
    CHECK(write(ends.a, "x") == -EPIPE);
  }

  TEST_CASE("TCP: what came before a reset can be read, then it is told") {
    Kernel kernel(1);
    const Ends ends = tcp();
    write(ends.b, "data");
    kernel.resetAtClose(ends.b);
    sys::close(ends.b);
    int error = 0;
    SUBCASE("by read") {
      CHECK(read(ends.a, 10) == 4);
      CHECK(read(ends.a, 10) == -ECONNRESET);
    }
    SUBCASE("by write") {
      CHECK(write(ends.a, "x") == -ECONNRESET);
      CHECK(write(ends.a, "x") == -EPIPE);
    }
    SUBCASE("by SO_ERROR, once") {
      CHECK(sys::pendingError(ends.a, error) == 0);
      CHECK(error == ECONNRESET);
      CHECK(sys::pendingError(ends.a, error) == 0);
      CHECK(error == 0);
    }
  }

  TEST_CASE("TCP: a reset arrives instead of what is under way") {
    Faults slow;
    slow.delayed = 1;
    for (const bool unread : {true, false}) {
      Kernel kernel(1);
      const Ends ends = tcp();
      if (unread) write(ends.a, "unread");
      write(ends.b, "there");
      kernel.setFaults(slow);
      write(ends.b, "under way");
      kernel.setFaults({});
      sys::close(ends.b);
      if (!unread) write(ends.a, "for nobody");  // which says so
      std::string got;
      CHECK(read(ends.a, 100, &got) == 5);
      CHECK(got == "there");
      CHECK(read(ends.a, 100) == -ECONNRESET);
      kernel.wait(sys::now() + 1s);
      CHECK(read(ends.a, 100) == 0);
    }
  }

  TEST_CASE("a socketpair knows at once that the other end is gone") {
    Kernel kernel(1);
    const Ends ends = socketpair();
    write(ends.b, "rest");
    SUBCASE("having read all") {
      sys::close(ends.b);
      CHECK(write(ends.a, "x") == -EPIPE);
      CHECK(read(ends.a, 10) == 4);
      CHECK(read(ends.a, 10) == 0);
    }
    SUBCASE("with something unread") {
      write(ends.a, "unread");
      sys::close(ends.b);
      CHECK(read(ends.a, 10) == 4);
      CHECK(read(ends.a, 10) == -ECONNRESET);
      CHECK(read(ends.a, 10) == 0);
    }
  }

  TEST_CASE("a look takes nothing") {
    Kernel kernel(1);
    const Ends ends = tcp();
    CHECK(said(sys::peek(ends.a)) == -EAGAIN);
    write(ends.b, "x");
    CHECK(said(sys::peek(ends.a)) == 1);
    CHECK(said(sys::peek(ends.a)) == 1);
    CHECK(read(ends.a, 10) == 1);
    sys::close(ends.b);
    CHECK(said(sys::peek(ends.a)) == 0);
  }

  TEST_CASE("sendfile sends a part of a file, as far as there is room") {
    Kernel kernel(1);
    const Ends ends = tcp();
    const int file = kernel.makeFile("0123456789" + std::string(90'000, 'x'));
    std::string got;
    CHECK(said(sys::sendfile(ends.a, file, 4, 3)) == 3);
    CHECK(read(ends.b, 10, &got) == 3);
    CHECK(got == "456");
    CHECK(said(sys::sendfile(ends.a, file, 90'008, 10)) == 2);
    CHECK(said(sys::sendfile(ends.a, file, 90'010, 10)) == 0);
    CHECK(said(sys::sendfile(ends.a, file, 0, 90'000)) == 65534);
    CHECK(said(sys::sendfile(ends.a, file, 0, 1)) == -EAGAIN);
    CHECK(said(sys::sendfile(ends.a, ends.b, 0, 1)) == -EINVAL);
  }
}
// [/stream-semantics]

// [connect-semantics]
TEST_SUITE("simulation: connecting") {
  TEST_CASE("connect says what it says on loopback") {
    Kernel kernel(1);
    const Listener listener;
    const int client = newSocket();
    CHECK(read(client, 1) == -ENOTCONN);
    CHECK(said(sys::connect(client, listener.address)) == -EINPROGRESS);
    CHECK(said(sys::connect(client, listener.address)) == 0);
    CHECK(said(sys::connect(client, listener.address)) == -EISCONN);
    sys::Address from;
    sys::Address own;
    CHECK(sys::accept(listener.fd, from, sys::Mode::nonblocking) > 0);
    CHECK(sys::localAddress(client, own) == 0);
    CHECK(from.port() == own.port());
    CHECK(listener.accept() == -EAGAIN);
  }

  TEST_CASE("where nobody listens it is refused") {
    Kernel kernel(1);
    int error = 0;
    const int client = newSocket();
    CHECK(said(sys::connect(client, sys::Address("localhost", 80))) ==
          -EINPROGRESS);
    CHECK(sys::pendingError(client, error) == 0);
    CHECK(error == ECONNREFUSED);
    CHECK(said(sys::connect(newSocket(sys::Mode::blocking),
                            sys::Address("localhost", 80))) == -ECONNREFUSED);
  }

  TEST_CASE("a port is one listener's until it closes") {
    Kernel kernel(1);
    const Listener listener;
    const int second = newSocket();
    CHECK(said(sys::bind(second, listener.address)) == -EADDRINUSE);
    sys::close(listener.fd);
    CHECK(sys::bind(second, listener.address) == 0);
  }

  TEST_CASE("behind a full backlog a client waits, and not for ever") {
    Kernel kernel(1);
    const Listener listener(0);  // which is one: listen(2), "BUGS"
    const int first = newSocket();
    const int second = newSocket();
    CHECK(said(sys::connect(first, listener.address)) == -EINPROGRESS);
    CHECK(said(sys::connect(second, listener.address)) == -EINPROGRESS);
    CHECK(said(sys::connect(first, listener.address)) == 0);
    CHECK(said(sys::connect(second, listener.address)) == -EALREADY);
    Watching epoll;
    CHECK(epoll.add(second) == 0);
    SUBCASE("until there is room") {
      CHECK(listener.accept() > 0);
      CHECK(epoll.news(second, 2000) == EPOLLOUT);
      CHECK(said(sys::connect(second, listener.address)) == 0);
    }
    SUBCASE("until it gives up") {
      const sys::Time start = sys::now();
      CHECK((epoll.news(second, -1) & EPOLLERR) != 0);
      CHECK(sys::now() - start > 60s);
      CHECK(said(sys::connect(second, listener.address)) == -ETIMEDOUT);
    }
  }

  TEST_CASE("who closes a listener resets those in its backlog") {
    Kernel kernel(1);
    const Listener listener;
    const int client = newSocket();
    sys::connect(client, listener.address);
    sys::close(listener.fd);
    CHECK(read(client, 1) == -ECONNRESET);
  }

  TEST_CASE("calls for sockets refuse what is none") {
    Kernel kernel(1);
    sys::Address address;
    const Ends ends = pipe();
    CHECK(said(sys::accept(ends.a, address, sys::Mode::nonblocking)) ==
          -ENOTSOCK);
    CHECK(said(sys::listen(ends.a, 1)) == -ENOTSOCK);
    CHECK(said(sys::accept(newSocket(), address, sys::Mode::nonblocking)) ==
          -EINVAL);
  }
}
// [/connect-semantics]

// [epoll-semantics]
TEST_SUITE("simulation: epoll") {
  TEST_CASE("to add reports what is there already") {
    Kernel kernel(1);
    Watching epoll;
    const Ends ends = socketpair();
    write(ends.b, "x");
    CHECK(epoll.add(ends.a) == 0);
    CHECK(epoll.news(ends.a) == (EPOLLIN | EPOLLOUT));
    CHECK(epoll.news(ends.a) == 0);
  }

  TEST_CASE("the errors of epoll_ctl") {
    Kernel kernel(1);
    Watching epoll;
    const Ends ends = pipe();
    CHECK(epoll.control(EPOLL_CTL_MOD, ends.a) == -ENOENT);
    CHECK(epoll.control(EPOLL_CTL_DEL, ends.a) == -ENOENT);
    CHECK(epoll.add(ends.a) == 0);
    CHECK(epoll.add(ends.a) == -EEXIST);
    CHECK(epoll.add(epoll.fd) == -EINVAL);
    CHECK(epoll.add(kernel.makeFile("")) == -EPERM);
    CHECK(epoll.control(EPOLL_CTL_DEL, ends.a) == 0);
    CHECK(epoll.add(ends.a) == 0);
  }

  TEST_CASE("each arrival is an edge, and nothing else is") {
    Kernel kernel(1);
    Watching epoll;
    const Ends ends = pipe();
    epoll.add(ends.a);
    write(ends.b, "x");
    CHECK(epoll.news(ends.a) == EPOLLIN);
    CHECK(epoll.news(ends.a) == 0);
    write(ends.b, "x");  // the first is still unread
    CHECK(epoll.news(ends.a) == EPOLLIN);
    write(ends.b, "x");
    CHECK(read(ends.a, 9) == 3);
    CHECK(epoll.news(ends.a) == 0);  // an edge, and nothing behind it
  }

  TEST_CASE("level triggered reports as long as it lasts") {
    Kernel kernel(1);
    Watching epoll;
    const Ends ends = pipe();
    epoll.add(ends.a, EPOLLIN);
    write(ends.b, "x");
    CHECK(epoll.news(ends.a) == EPOLLIN);
    CHECK(epoll.news(ends.a) == EPOLLIN);
    read(ends.a, 1);
    CHECK(epoll.news(ends.a) == 0);
  }

  TEST_CASE("room that comes back is an edge") {
    Kernel kernel(1);
    Watching epoll;
    const Ends ends = tcp();
    while (write(ends.a, std::string(9000, 'x')) > 0) continue;
    epoll.add(ends.a);
    CHECK(epoll.news(ends.a) == 0);
    read(ends.b, 100);
    CHECK(epoll.news(ends.a) == 0);  // a third of the buffer is wanted
    read(ends.b, 50'000);
    CHECK(epoll.news(ends.a) == EPOLLOUT);
  }

  TEST_CASE("hang-ups and errors") {
    Kernel kernel(1);
    Watching epoll;
    const Ends halfClosed = tcp();
    const Ends closed = socketpair();
    const Ends reset = tcp();
    const Ends unread = pipe();
    const Ends unwritten = pipe();
    for (const int fd :
         {halfClosed.a, closed.a, reset.a, unread.b, unwritten.a})
      epoll.add(fd);
    while (epoll.news(-1) != 0) continue;
    kernel.shutdownWrite(halfClosed.b);
    CHECK(epoll.news(halfClosed.a) == (EPOLLIN | EPOLLOUT | EPOLLRDHUP));
    sys::close(closed.b);
    CHECK(epoll.news(closed.a) ==
          (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP));
    kernel.resetAtClose(reset.b);
    sys::close(reset.b);
    CHECK(epoll.news(reset.a) ==
          (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR));
    sys::close(unread.a);
    CHECK(epoll.news(unread.b) == (EPOLLOUT | EPOLLERR));
    sys::close(unwritten.b);
    CHECK(epoll.news(unwritten.a) == EPOLLHUP);
  }

  TEST_CASE("a duplicate keeps the registration: epoll(7), question 6") {
    Kernel kernel(1);
    Watching epoll;
    const Ends ends = pipe();
    epoll.add(ends.a);
    const int copy = sys::dup(ends.a);
    CHECK(epoll.add(copy) == 0);  // the key is number and file
    sys::close(ends.a);
    write(ends.b, "x");
    CHECK(epoll.news(ends.a) == EPOLLIN);  // of a number that is closed
    CHECK(epoll.control(EPOLL_CTL_DEL, ends.a) == -EBADF);
    const int heir = newSocket();
    REQUIRE(heir == ends.a);
    CHECK(epoll.control(EPOLL_CTL_DEL, heir) == -ENOENT);
    CHECK(epoll.add(heir) == 0);
    sys::close(copy);
    write(ends.b, "x");
    epoll.news(heir);
    CHECK(epoll.news(heir) == 0);
  }

  TEST_CASE("more news than asked for waits for the next call") {
    Kernel kernel(1);
    const int epoll = sys::epollCreate();
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    for (int i = 0; i < 5; ++i) {
      const Ends ends = pipe();
      sys::epollCtl(epoll, EPOLL_CTL_ADD, ends.a, &event);
      write(ends.b, "x");
    }
    epoll_event events[2];
    CHECK(sys::epollWait(epoll, events, 2, 0) == 2);
    CHECK(sys::epollWait(epoll, events, 2, 0) == 2);
    CHECK(sys::epollWait(epoll, events, 2, 0) == 1);
    CHECK(sys::epollWait(epoll, events, 2, 0) == 0);
  }
}
// [/epoll-semantics]

// [time-semantics]
TEST_SUITE("simulation: time") {
  TEST_CASE("a wait jumps to its deadline, and a call takes a microsecond") {
    Kernel kernel(1);
    Watching epoll;
    const sys::Time start = sys::now();
    CHECK(epoll.news(0, 3'600'000) == 0);
    CHECK(sys::now() - start >= 1h);
    CHECK(sys::now() - start < 1h + 1ms);
    const sys::Time then = sys::now();
    for (int i = 0; i < 1000; ++i) sys::peek(99);
    CHECK(sys::now() - then >= 1ms);
    CHECK(sys::now() - then < 2ms);
  }

  TEST_CASE("who waits for ever for what cannot come is stuck") {
    Kernel kernel(1);
    Watching epoll;
    const Ends ends = pipe();
    epoll.add(ends.a);
    CHECK_THROWS_AS(epoll.news(ends.a, -1), Stuck);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(ends.a, &set);
    CHECK_THROWS_AS(sys::select(ends.a + 1, &set, nullptr, nullptr), Stuck);
    int blocking[2];
    REQUIRE(sys::pipe(blocking, sys::Mode::blocking) == 0);
    CHECK_THROWS_AS(read(blocking[0], 1), Stuck);
  }

  TEST_CASE("select reports levels, and closed numbers as EBADF") {
    Kernel kernel(1);
    const Ends ends = pipe();
    fd_set readable;
    fd_set writable;
    const auto look = [&] {
      FD_ZERO(&readable);
      FD_ZERO(&writable);
      FD_SET(ends.a, &readable);
      FD_SET(ends.b, &writable);
      timeval none{};
      return said(sys::select(ends.b + 1, &readable, &writable, &none));
    };
    CHECK(look() == 1);
    CHECK_FALSE(FD_ISSET(ends.a, &readable));
    CHECK(FD_ISSET(ends.b, &writable));
    write(ends.b, "x");
    CHECK(look() == 2);
    CHECK(look() == 2);
    sys::close(ends.a);
    CHECK(look() == -EBADF);
  }
}
// [/time-semantics]

// [fault-tests]
TEST_SUITE("simulation: faults") {
  TEST_CASE("EAGAIN in vain is followed by an edge") {
    Kernel kernel(7);
    Watching epoll;
    const Ends ends = pipe();
    epoll.add(ends.a);
    write(ends.b, "x");
    CHECK(epoll.news(ends.a) == EPOLLIN);
    Faults faults;
    faults.againInVain = 1;
    kernel.setFaults(faults);
    CHECK(read(ends.a, 1) == -EAGAIN);
    kernel.setFaults({});
    CHECK(epoll.news(ends.a, -1) == EPOLLIN);
    CHECK(read(ends.a, 1) == 1);
    CHECK(kernel.faultsShown() == 1);
  }

  TEST_CASE("what is delayed arrives, and in order") {
    Faults faults;
    faults.delayed = 0.5;
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
      Kernel kernel(seed);
      const Ends ends = tcp();
      kernel.setFaults(faults);
      Watching epoll;
      epoll.add(ends.b);
      for (const char c : std::string_view("abcdef"))
        write(ends.a, std::string(1, c));
      sys::close(ends.a);
      std::string all;
      for (;;) {
        std::string got;
        const long n = read(ends.b, 2, &got);
        if (n == 0) break;
        all += got;
        if (n == -EAGAIN) epoll.news(ends.b, -1);
      }
      CHECK(all == "abcdef");
    }
  }

  TEST_CASE("each fault is the error that it is") {
    Kernel kernel(7);
    const auto with = [&](double Faults::*which, auto call) {
      Faults faults;
      faults.*which = 1;
      kernel.setFaults(faults);
      const long result = call();
      kernel.setFaults({});
      return result;
    };
    const Ends ends = tcp();
    const Listener listener;
    const int client = newSocket();
    sys::connect(client, listener.address);
    write(ends.b, "abc");
    CHECK(with(&Faults::interrupted, [&] { return read(ends.a, 1); }) ==
          -EINTR);
    CHECK(with(&Faults::shortTransfer, [&] { return read(ends.a, 3); }) == 1);
    CHECK(with(&Faults::shortTransfer,
               [&] { return write(ends.a, "abc"); }) == 1);
    for (const auto which : {&Faults::interrupted, &Faults::againInVain})
      CHECK(with(which, [end = tcp().a] {
              return said(sys::endWriting(end));
            }) == 0);  // shutdown(2) does not wait, and knows neither
    CHECK(with(&Faults::noBuffers, [] { return said(newSocket()); }) ==
          -ENOBUFS);
    const long none =
        with(&Faults::noDescriptors, [&] { return listener.accept(); });
    CHECK((none == -EMFILE || none == -ENFILE));
    CHECK(with(&Faults::acceptAborted, [&] { return listener.accept(); }) ==
          -ECONNABORTED);
    CHECK(listener.accept() == -EAGAIN);  // it is gone
    CHECK(read(client, 1) == -ECONNRESET);
    const auto connect = [&] {
      const int fd = newSocket(sys::Mode::blocking);
      return said(sys::connect(fd, listener.address));
    };
    CHECK(with(&Faults::connectRefused, connect) == -ECONNREFUSED);
    CHECK(with(&Faults::connectTimedOut, connect) == -ETIMEDOUT);
    CHECK(with(&Faults::reset, [&] { return write(ends.a, "x"); }) ==
          -ECONNRESET);
    CHECK(read(ends.b, 9) == 1);  // what came before
    CHECK(read(ends.b, 9) == -ECONNRESET);
  }
}
// [/fault-tests]

// [determinism-tests]
namespace {

std::size_t traceOf(std::uint64_t seed) {
  std::size_t hash = 0;
  const auto outcome = simulate::run(seed, [&](const std::string& step) {
    hash = 31 * hash + std::hash<std::string>{}(step);
  });
  CHECK(outcome.failure == "");
  return hash;
}

}  // namespace

TEST_CASE("simulation: the same seed is the same run, and others differ") {
  std::set<std::size_t> different;
  for (std::uint64_t seed = 1; seed <= 210; ++seed) {
    const std::size_t hash = traceOf(seed);
    CHECK(traceOf(seed) == hash);
    different.insert(hash);
  }
  CHECK(different.size() > 190);  // some make no calls at all
}
// [/determinism-tests]

// [simulated-turns]
TEST_CASE("simulation: greedy coroutines leave the others their turns") {
  const auto scenarios = simulate::scenarios();
  const auto turns = std::find_if(
      scenarios.begin(), scenarios.end(),
      [](const auto& s) { return std::string_view(s.name) == "turns"; });
  REQUIRE(turns != scenarios.end());
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    CHECK(simulate::run(seed, {}, &*turns).failure == "");
  }
}
// [/simulated-turns]

// [planted-channel]
// Bugs that people make, beside the same thing done right: the simulation has
// to find the one and to leave the other alone.
namespace {

// Runs a program under seed after seed, until it fails; 0 if it does not.
std::uint64_t failingSeed(void (*program)(simulate::World&),
                          std::uint64_t seeds = 2000) {
  const simulate::Scenario scenario{"planted", program};
  for (std::uint64_t seed = 1; seed <= seeds; ++seed)
    if (!simulate::run(seed, {}, &scenario).failure.empty()) return seed;
  return 0;
}

// A channel that wakes all who wait, and who was woken looks again, or not.
template <bool looksAgain>
struct ChannelWithIf {
  std::vector<int> messages;
  WaitQueue readers;
  void write(int message) {
    messages.push_back(message);
    readers.notifyAll();
  }
  std::optional<int> read() {
    const auto wait = [this] {
      WaitQueue::Entry entry(readers);
      Scheduler::current().park("a message");
    };
    if (looksAgain)
      while (messages.empty()) wait();
    else if (messages.empty())
      wait();
    if (messages.empty()) return std::nullopt;  // pop() of nothing
    const int message = messages.back();
    messages.pop_back();
    return message;
  }
};

template <bool looksAgain>
void channelProgram(simulate::World& world) {
  ChannelWithIf<looksAgain> channel;
  for (int i = 0; i < 2; ++i)
    go([&] {
      world.pause();
      world.expect(channel.read().has_value(), "read from an empty channel");
    });
  for (int i = 0; i < 2; ++i)
    go([&, i] {
      world.pause();
      channel.write(i);
    });
  Scheduler::current().run();
}

}  // namespace

TEST_CASE("simulation: finds a channel with `if` for `while`") {
  CHECK(failingSeed(channelProgram<false>) != 0);
  CHECK(failingSeed(channelProgram<true>) == 0);
}
// [/planted-channel]

// [planted-lost-wake-up]
namespace {

// A gate that is tested, and then, after others have run, waited for.
template <bool testsInTheLoop>
void gateProgram(simulate::World& world) {
  bool open = false;
  Job* waiter = nullptr;
  go([&] {
    world.pause();
    if (testsInTheLoop) {
      world.pause();
      waiter = &Scheduler::current().self();
      while (!open) Scheduler::current().park("the gate");
    } else if (!open) {
      world.pause();  // in between it opens, and nobody is told
      waiter = &Scheduler::current().self();
      Scheduler::current().park("the gate");
    }
    waiter = nullptr;
  });
  go([&] {
    world.pause();
    open = true;
    if (waiter != nullptr) Scheduler::current().wake(*waiter);
  });
  Scheduler::current().run();
}

}  // namespace

TEST_CASE("simulation: finds a wake-up lost between test and park") {
  CHECK(failingSeed(gateProgram<false>) != 0);
  CHECK(failingSeed(gateProgram<true>) == 0);
}
// [/planted-lost-wake-up]

// [planted-hang-up]
namespace {

// For programs that are not made for faults.
template <void (*program)(simulate::World&)>
void noFaults(simulate::World& world) {
  world.kernel.setFaults({});
  program(world);
}

// A loop on epoll, as one writes it by hand: reads until the end.
template <std::uint32_t readable, bool drains>
void epollProgram(simulate::World& world) {
  Watching epoll;
  Ends ends = pipe();
  const std::size_t size = world.roll(0, 3);
  write(ends.b, std::string(size, 'x'));
  sys::close(ends.b);
  epoll.add(ends.a);
  std::size_t got = 0;
  for (bool more = true; more;) {
    if ((epoll.news(ends.a, -1) & readable) == 0) continue;
    long n = 0;
    do {
      n = read(ends.a, 1);
      if (n > 0) ++got;
      more = n != 0;
    } while (drains && n > 0);
  }
  world.expect(got == size, "not all was read");
  sys::close(ends.a);
  sys::close(epoll.fd);
}

}  // namespace

TEST_CASE("simulation: finds a loop that ignores EPOLLHUP, or drains not") {
  constexpr std::uint32_t all = EPOLLIN | EPOLLHUP;
  CHECK(failingSeed(noFaults<epollProgram<EPOLLIN, true>>) != 0);
  CHECK(failingSeed(noFaults<epollProgram<all, false>>) != 0);
  CHECK(failingSeed(noFaults<epollProgram<all, true>>) == 0);
}
// [/planted-hang-up]

// [simulated-last-answer]
namespace {

class Answers : public BaseHTTPRequestHandler {
 public:
  Answers(ScheduledFile& request, const sys::Address& client,
          TCPServer& accepted_by)
      : BaseHTTPRequestHandler(request, client, accepted_by) {
    protocol_version = "HTTP/1.1";
  }
  void do_GET() override {
    constexpr std::string_view body = "the whole answer";
    send_response(200);
    if (path != "/last")
      send_header("Content-Length", std::to_string(body.size()));
    end_headers();
    wfile.write(body);
  }
  void log_message(std::string_view) override {}
};

}  // namespace

// What a client has under way behind its last request meets a server that has
// closed, and the reset meets the answer, if that is delayed. The server
// closes because nothing else ends its answer, or because it ends itself.
TEST_CASE("simulation: a delayed last answer is not lost to a reset") {
  Faults slow;
  slow.delayed = 0.5;
  int answered = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    CAPTURE(seed);
    const bool serverEnds = seed % 2 == 0;
    Kernel kernel(seed);
    {
      Scheduler scheduler;
      ScheduledMixIn<HTTPServer> server(sys::Address("localhost", 0),
                                        handlerFor<Answers>);
      go([&] { server.serve_forever(); });
      ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
      kernel.setFaults(slow);
      client.write(serverEnds ? "GET /first HTTP/1.1\r\nHost: a\r\n\r\n"
                              : "GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
      for (int i = 0; i < 5; ++i) {
        if (serverEnds && i == 1) server.shutdown();
        try {
          client.write("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
        } catch (const std::system_error&) {
          break;  // the server has closed, as it may
        }
        naglfar::sleep(10ms);
      }
      std::string answer;
      CHECK_NOTHROW(answer = client.read());
      // A server that ends need not answer what arrives afterwards.
      if (!answer.empty() || !serverEnds)
        CHECK(answer.ends_with("the whole answer"));
      answered += !answer.empty();
      client.close(false);  // what it could not write is still there
      server.shutdown();
      scheduler.run();
    }
    CHECK(kernel.openDescriptors() == 0);
  }
  CHECK(answered > 350);
}
// [/simulated-last-answer]
