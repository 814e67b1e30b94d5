// Tests of the io layer: each call tries first, parks on EAGAIN, and takes no
// error for an end of file.
//
// What happens without waiting is shown by counts: the ledger says how often
// somebody parked and which system calls were made.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include "helpers.hpp"
#include "naglfar/io.hpp"

using namespace naglfar;
using namespace helpers;
using namespace std::chrono_literals;

// [test-helpers]
namespace {

struct Listener {
  explicit Listener(int backlog = 16, sys::Mode mode = sys::Mode::nonblocking)
      : fd(sys::check(sys::socket(mode), "socket")) {
    sys::check(sys::bind(fd.get(), sys::Address("localhost", 0)), "bind");
    sys::check(sys::listen(fd.get(), backlog), "listen");
    sys::check(sys::localAddress(fd.get(), address), "getsockname");
  }
  sys::Fd fd;
  sys::Address address;
};

sys::Fd newSocket(sys::Mode mode = sys::Mode::nonblocking) {
  return sys::Fd(sys::check(sys::socket(mode), "socket"));
}

// A TCP connection: `a` has connected, `b` was accepted.
struct TcpPair {
  TcpPair() {
    const Listener listener;
    a = newSocket();
    goConnect(a.get(), listener.address);
    sys::Address client;
    b = goAccept(listener.fd.get(), client);
  }
  sys::Fd a;
  sys::Fd b;
};

// Closes a TCP connection so that the peer gets a reset, not an end of file.
void reset(sys::Fd fd) {
  const linger now{1, 0};
  sys::check(::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now),
             "setsockopt");
}

// `n` bytes that do not repeat every 2^k bytes.
std::string text(std::size_t n) {
  std::string data(n, ' ');
  for (std::size_t i = 0; i < n; ++i)
    data[i] = static_cast<char>('a' + i % 23);
  return data;
}

}  // namespace
// [/test-helpers]

// [read-tests]
TEST_SUITE("io: read") {
  TEST_CASE_FIXTURE(Run, "a read that succeeds at once watches nothing") {
    Sockets pair;
    put(pair.b.get(), "hello");
    const Since since;
    CHECK(goRead(pair.a.get(), 5) == "hello");
    CHECK(since[Call::read] == 1);
    CHECK(since.parks() == 0);
    CHECK(since.pollerCalls() == 0);
  }

  TEST_CASE_FIXTURE(Run, "a read that must wait parks once for its bytes") {
    Sockets pair;
    for (int round = 0; round < 3; ++round) {
      go([&] { put(pair.b.get(), "x"); });
      const Since since;
      CHECK(goRead(pair.a.get(), 1) == "x");
      CHECK(since.parks() == 1);
      CHECK(since[Call::read] == 2);  // EAGAIN, and the byte
#ifdef NAGLFAR_EPOLL
      CHECK(since[Call::epoll_ctl] == (round == 0 ? 1 : 0));
#endif
    }
  }

  TEST_CASE_FIXTURE(Run, "goRead of n bytes puts pieces together") {
    Sockets pair;
    const std::string data = text(50);
    go([&] {
      for (const char& c : data) {
        put(pair.b.get(), {&c, 1});
        yield();
      }
    });
    CHECK(goRead(pair.a.get(), 20) == data.substr(0, 20));
    CHECK(goRead(pair.a.get(), 30) == data.substr(20));
  }

  TEST_CASE_FIXTURE(Run, "goRead of n bytes is short at the end of file") {
    Sockets pair;
    put(pair.b.get(), "abc");
    goClose(pair.b.release());
    CHECK(goRead(pair.a.get(), 100) == "abc");
    CHECK(goRead(pair.a.get(), 100) == "");
  }

  TEST_CASE_FIXTURE(Run, "goRead of no bytes asks nobody") {
    Sockets pair;
    const Since since;
    CHECK(goRead(pair.a.get(), 0) == "");
    CHECK(since[Call::read] == 0);
  }

#if CLAIMS(all_of_io)
  TEST_CASE_FIXTURE(Run, "goRead of a chunk takes what is there") {
    Sockets pair;
    go([&] { tryWrite(pair.b.get(), "first"); });
    CHECK(goRead(pair.a.get()) == "first");
    tryWrite(pair.b.get(), "a");
    tryWrite(pair.b.get(), "b");
    CHECK(goRead(pair.a.get()) == "ab");
    goClose(pair.b.release());
    CHECK(goRead(pair.a.get()) == "");
  }
#endif

  TEST_CASE_FIXTURE(Run, "a reader that waits sees the end of file") {
    Sockets pair;
    go([&] { goClose(pair.b.release()); });
    CHECK(readSome(pair.a.get()) == "");
  }

  TEST_CASE_FIXTURE(Run, "defect 17: a reset is no end of file") {
    TcpPair tcp;
    put(tcp.a.get(), "GET / HT");
    CHECK(goRead(tcp.b.get(), 8) == "GET / HT");
    SUBCASE("while somebody waits for the rest") {
      go([&] { reset(std::move(tcp.a)); });
    }
    SUBCASE("before anybody waits") {
      reset(std::move(tcp.a));
    }
    CHECK(errorOf([&] { goRead(tcp.b.get(), 8); }) == ECONNRESET);
  }

  TEST_CASE_FIXTURE(Run, "what cannot be read says so") {
    CHECK(errorOf([] { goRead(-1, 1); }) == EBADF);
    const sys::Fd directory(::open("/", O_RDONLY | O_CLOEXEC));
    CHECK(errorOf([&] { goRead(directory.get(), 1); }) == EISDIR);
  }
}
// [/read-tests]

// [write-tests]
TEST_SUITE("io: write") {
  TEST_CASE_FIXTURE(Run, "a write that succeeds at once watches nothing") {
    Sockets pair;
    const Since since;
    CHECK(goWrite(pair.a.get(), "hello") == 5);
    CHECK(since[Call::write] == 1);
    CHECK(since.parks() == 0);
    CHECK(since.pollerCalls() == 0);
    CHECK(readSome(pair.b.get()) == "hello");
  }

  TEST_CASE_FIXTURE(Run, "goWrite of nothing asks nobody") {
    const Since since;
    CHECK(goWrite(-1, "") == 0);
    CHECK(since[Call::write] == 0);
  }

  TEST_CASE_FIXTURE(Run, "defect 1: EAGAIN in goWrite loses no data") {
    Sockets pair;
    const std::size_t junk = fill(pair.a.get());
    const std::string data = text(1 << 20);
    const Since since;
    std::size_t written = 0;
    go([&] {
      written = goWrite(pair.a.get(), data);
      goClose(pair.a.release());
    });
    yield();
    CHECK(since[Call::write] == 1);  // one EAGAIN, and it waits
    CHECK(written == 0);

    CHECK(goRead(pair.b.get(), junk).size() == junk);
    const std::string got = goRead(pair.b.get(), data.size() + 1);
    CHECK(written == data.size());
    CHECK((got == data));
  }

#if CLAIMS(all_of_io)
  TEST_CASE_FIXTURE(Run, "tryWrite takes no for an answer") {
    Sockets pair;
    fill(pair.a.get());
    const Since since;
    CHECK(tryWrite(pair.a.get(), "x") == 0);
    CHECK(since.parks() == 0);
  }
#endif

  TEST_CASE_FIXTURE(Run, "a write to somebody who left is EPIPE") {
    Sockets pair;
    SUBCASE("before") {
      pair.b = sys::Fd();
      CHECK(errorOf([&] { goWrite(pair.a.get(), "x"); }) == EPIPE);
    }
    SUBCASE("while somebody waits for room") {
      fill(pair.a.get());
      go([&] { goClose(pair.b.release()); });
      // A Unix socket that is closed with unread data resets.
      const int error = errorOf([&] { goWrite(pair.a.get(), "x"); });
      CHECK((error == EPIPE || error == ECONNRESET));
    }
  }
}
// [/write-tests]

// [waiting-tests]
TEST_SUITE("io: who waits") {
  TEST_CASE_FIXTURE(Run,
                    "defect 6: the second reader is told and the first "
                    "gets its byte") {
    Sockets pair;
    std::string first;
    go([&] { first = goRead(pair.a.get(), 1); });
    yield();
    CHECK(errorOf([&] { goRead(pair.a.get(), 1); }) == EBUSY);
    CHECK(first == "");
    put(pair.b.get(), "x");
    scheduler.run();
    CHECK(first == "x");
  }

  TEST_CASE_FIXTURE(Run, "defect 6: so is the second writer") {
    Sockets pair;
    const std::size_t junk = fill(pair.a.get());
    go([&] { goWrite(pair.a.get(), "x"); });
    yield();
    CHECK(errorOf([&] { goWrite(pair.a.get(), "y"); }) == EBUSY);
    CHECK(goRead(pair.b.get(), junk + 1).back() == 'x');
  }

  TEST_CASE_FIXTURE(Run, "one may read while another writes") {
    Sockets pair;
    const std::size_t junk = fill(pair.a.get());
    std::string got;
    go([&] { got = goRead(pair.a.get(), 1); });
    go([&] { goWrite(pair.a.get(), "w"); });
    yield();
    put(pair.b.get(), "r");
    CHECK(goRead(pair.b.get(), junk + 1).back() == 'w');
    scheduler.run();
    CHECK(got == "r");
  }

  TEST_CASE_FIXTURE(Run, "defect 5: goClose wakes who waits in one turn") {
    Sockets pair;
    fill(pair.a.get());
    int reader = 0;
    int writer = 0;
    const int fd = pair.a.get();
    go([&] { reader = errorOf([&] { goRead(fd, 1); }); });
    go([&] { writer = errorOf([&] { goWrite(fd, "x"); }); });
    yield();
    goClose(pair.a.release());
    CHECK(::fcntl(fd, F_GETFD) == -1);
    CHECK(reader == 0);
    yield();
    CHECK(reader == ECANCELED);
    CHECK(writer == ECANCELED);
  }

  TEST_CASE_FIXTURE(Run, "goClose wakes who waits for what is closed") {
    Sockets pair;
    const int fd = pair.a.release();
    int error = 0;
    go([&] { error = errorOf([&] { goRead(fd, 1); }); });
    yield();
    CHECK(::close(fd) == 0);  // behind everybody's back
    CHECK(errorOf([&] { goClose(fd); }) == EBADF);
    yield();
    CHECK(error == ECANCELED);
  }

  TEST_CASE_FIXTURE(Run, "goClose of what is not open says so") {
    Sockets pair;
    const int fd = pair.a.release();
    goClose(fd);
    CHECK(errorOf([&] { goClose(fd); }) == EBADF);
  }
}
// [/waiting-tests]

// [deadline-tests]
TEST_SUITE("io: deadlines") {
  TEST_CASE_FIXTURE(Run, "each call gives up at its deadline") {
    Sockets pair;
    Listener listener;
    TempFile file(text(100));
    const int a = pair.a.get();
    fill(a);
    std::array<char, 8> buffer;
    const Deadline soon = after(2ms);
    const Since since;
    CHECK(errorOf([&] { goReadSome(a, buffer, soon); }) == ETIMEDOUT);
    CHECK(errorOf([&] { goRead(a, 1, soon); }) == ETIMEDOUT);
    CHECK(errorOf([&] { goWrite(a, "x", soon); }) == ETIMEDOUT);
    CHECK(since.parks() == 3);
#if CLAIMS(all_of_io)
    sys::Address client;
    CHECK(errorOf([&] { goRead(a, soon); }) == ETIMEDOUT);
    CHECK(errorOf([&] { goSendfile(file.fd(), a, 0, 1, soon); }) ==
          ETIMEDOUT);
    CHECK(errorOf([&] {
            goAccept(listener.fd.get(), client, sys::Mode::nonblocking, soon);
          }) == ETIMEDOUT);
    CHECK(since.parks() == 6);
#endif
    CHECK(sys::now() >= soon);
  }

  TEST_CASE_FIXTURE(Run, "goConnect gives up at its deadline") {
    // A listener whose queue is full does not answer.
    Listener listener(0);
    std::array<sys::Fd, 8> sockets;
    int error = 0;
    for (sys::Fd& socket : sockets) {
      socket = newSocket();
      error = errorOf(
          [&] { goConnect(socket.get(), listener.address, after(50ms)); });
      if (error != 0) break;
    }
    CHECK(error == ETIMEDOUT);
  }

  TEST_CASE_FIXTURE(Run, "the earliest of all deadlines has passed") {
    Sockets pair;
    std::array<char, 8> buffer;
    for (int time = 0; time < 2; ++time)
      CHECK(errorOf([&] {
              goReadSome(pair.a.get(), buffer, Deadline::min());
            }) == ETIMEDOUT);
  }

  TEST_CASE_FIXTURE(Run,
                    "a deadline that has passed does not hinder success") {
    Sockets pair;
    const Deadline past = sys::now() - 1s;
    CHECK(goWrite(pair.b.get(), "xy", past) == 2);
    CHECK(goRead(pair.a.get(), 1, past) == "x");
    CHECK(readSome(pair.a.get(), past) == "y");
  }

  TEST_CASE_FIXTURE(Run,
                    "after a deadline the descriptor is free to wait on") {
    Sockets pair;
    CHECK(errorOf([&] { goRead(pair.a.get(), 1, after(1ms)); }) == ETIMEDOUT);
    go([&] { put(pair.b.get(), "x"); });
    CHECK(goRead(pair.a.get(), 1, after(30s)) == "x");
  }
}
// [/deadline-tests]

// [connect-tests]
TEST_SUITE("io: connect and accept") {
  TEST_CASE_FIXTURE(Run, "goAccept waits and tells who connected") {
    Listener listener;
    sys::Fd client = newSocket();
    go([&] { goConnect(client.get(), listener.address); });
    sys::Address who;
    const sys::Fd accepted = goAccept(listener.fd.get(), who);
    scheduler.run();
    sys::Address expected;
    sys::check(sys::localAddress(client.get(), expected), "getsockname");
    CHECK(who.host() == "127.0.0.1");
    CHECK(who.port() == expected.port());
    CHECK((::fcntl(accepted.get(), F_GETFL) & O_NONBLOCK) != 0);
    goWrite(accepted.get(), "hello");
    CHECK(goRead(client.get(), 5) == "hello");
  }

  // Two clients come while it waits, and the poller tells of them at once.
  TEST_CASE_FIXTURE(Run, "goAccept takes all that one edge has told of") {
    Listener listener;
    int accepted = 0;
    const Since since;
    go([&] {
      for (; accepted < 2; ++accepted) {
        sys::Address who;
        goAccept(listener.fd.get(), who);
      }
    });
    yield();
    CHECK(since.parks() == 1);
    const sys::Fd first = newSocket();
    const sys::Fd second = newSocket();
    sys::connect(first.get(), listener.address);
    sys::connect(second.get(), listener.address);
    scheduler.run();
    CHECK(accepted == 2);
    CHECK(since.parks() == 1);
  }

#if CLAIMS(all_of_io)
  TEST_CASE_FIXTURE(Run, "goAccept makes blocking sockets on demand") {
    Listener listener;
    sys::Fd client = newSocket();
    goConnect(client.get(), listener.address);
    sys::Address who;
    const sys::Fd accepted =
        goAccept(listener.fd.get(), who, sys::Mode::blocking);
    CHECK((::fcntl(accepted.get(), F_GETFL) & O_NONBLOCK) == 0);
  }
#endif

  TEST_CASE_FIXTURE(Run, "goClose ends a goAccept that waits") {
    Listener listener;
    int error = 0;
    const int fd = listener.fd.get();
    go([&] {
      sys::Address who;
      error = errorOf([&] { goAccept(fd, who); });
    });
    yield();
    goClose(listener.fd.release());
    yield();
    CHECK(error == ECANCELED);
  }

  TEST_CASE_FIXTURE(Run, "defect 8: a connect to a closed port is refused") {
    // Bound, so that nobody else has the port, and not listening.
    const sys::Fd bound = newSocket();
    sys::check(sys::bind(bound.get(), sys::Address("localhost", 0)), "bind");
    sys::Address closed;
    sys::check(sys::localAddress(bound.get(), closed), "getsockname");
    const sys::Fd client = newSocket();
    CHECK(errorOf([&] { goConnect(client.get(), closed); }) == ECONNREFUSED);
  }

  // A listener whose queue is full does not answer, and the kernel asks it
  // again after a second. By then the port is closed.
  TEST_CASE_FIXTURE(Run, "defect 8: and so is one that has to wait for it") {
    Listener listener(0);
    const sys::Address address = listener.address;
    std::array<sys::Fd, 4> sockets;
    for (sys::Fd& socket : sockets) {
      socket = newSocket();
      sys::connect(socket.get(), address);
    }
    const sys::Fd client = newSocket();
    int error = 0;
    const Since since;
    go([&] { error = errorOf([&] { goConnect(client.get(), address); }); });
    yield();
    CHECK(since.parks() == 1);
    CHECK(error == 0);
    goClose(listener.fd.release());
    scheduler.run();
    CHECK(error == ECONNREFUSED);
  }

#if CLAIMS(budgets)
  // The server learns of connections a turn late, so it has those of two.
  TEST_CASE_FIXTURE(Run, "two turns of backlog are enough for any loop") {
    constexpr int backlog = 2 * Scheduler::operationsPerTurn;
    Listener listener(backlog);
    std::size_t accepted = 0;
    go([&] {
      sys::Address who;
      for (; accepted < 5 * backlog; ++accepted)
        goAccept(listener.fd.get(), who);
    });
    const Since since;
    for (int i = 0; i < 5 * backlog; ++i) {
      const sys::Fd client = newSocket();
      goConnect(client.get(), listener.address);
    }
    scheduler.run();
    CHECK(accepted == 5 * backlog);
    CHECK(since[Call::getsockopt] == 0);  // no connect had to wait
  }

  // To hand a connection on is an operation, too, such as a channel's.
  TEST_CASE_FIXTURE(Run, "an accept loop that hands on is not outrun") {
    constexpr int backlog = Scheduler::operationsPerTurn;
    Listener listener(backlog);
    std::size_t accepted = 0;
    go([&] {
      sys::Address who;
      for (; accepted < 5 * backlog; ++accepted) {
        goAccept(listener.fd.get(), who);
        Scheduler::spend();
      }
    });
    const Since since;
    for (int i = 0; i < 5 * backlog; ++i) {
      const sys::Fd client = newSocket();
      goConnect(client.get(), listener.address);
    }
    scheduler.run();
    CHECK(accepted == 5 * backlog);
    CHECK(since[Call::getsockopt] == 0);  // no connect had to wait
  }
#endif
}
// [/connect-tests]

// [sendfile-tests]
#if CLAIMS(all_of_io)
TEST_SUITE("io: sendfile") {
  TEST_CASE_FIXTURE(Run, "testSendfile1") {
    const std::string data = text(1000);
    TempFile file(data);
    Sockets pair;
    CHECK(goSendfile(file.fd(), pair.a.get(), 0, 42) == 42);
    CHECK(readSome(pair.b.get()) == data.substr(0, 42));

    const auto nearEnd = static_cast<off_t>(data.size() - 10);
    CHECK(goSendfile(file.fd(), pair.b.get(), nearEnd, 42) == 10);
    CHECK(readSome(pair.a.get()) == data.substr(data.size() - 10));

    const auto end = static_cast<off_t>(data.size());
    CHECK(goSendfile(file.fd(), pair.b.get(), end, 42) == 0);
  }

  TEST_CASE_FIXTURE(Run, "testSendfile3") {
    TempFile file(text(1000));
    Sockets pair;
    CHECK(goSendfile(file.fd(), pair.a.get(), 0, 1) == 1);
    CHECK(goRead(pair.b.get(), 1) == "a");
    goClose(pair.b.release());
    const int error =
        errorOf([&] { goSendfile(file.fd(), pair.a.get(), 0, 1); });
    CHECK((error == ENOTCONN || error == EPIPE));
  }

  TEST_CASE_FIXTURE(Run, "testSendfile4") {
    const std::string data = text(5000);
    TempFile file(data);
    Sockets pair;
    ssize_t n = 0;
    while ((n = sys::sendfile(pair.a.get(), file.fd(), 0, data.size())) != -1)
      REQUIRE(n > 0);
    CHECK(errno == EAGAIN);
  }

  TEST_CASE_FIXTURE(Run, "a file of 5 MB arrives whole") {
    const std::string data = text(5 << 20);
    TempFile file(data);
    Sockets pair;
    const Since since;
    std::size_t sent = 0;
    go([&] {
      sent = goSendfile(file.fd(), pair.a.get(), 0, data.size());
      goClose(pair.a.release());
    });
    CHECK((goRead(pair.b.get(), data.size() + 1) == data));
    CHECK(sent == data.size());
    CHECK(since.parks() > 1);
    CHECK(since[Call::write] == 0);
  }

  TEST_CASE_FIXTURE(Run, "offset and length choose a part") {
    const std::string data = text(100'000);
    TempFile file(data);
    Sockets pair;
    CHECK(goSendfile(file.fd(), pair.a.get(), 777, 50'000) == 50'000);
    CHECK((goRead(pair.b.get(), 50'000) == data.substr(777, 50'000)));
    CHECK(goSendfile(file.fd(), pair.a.get(), 0, 0) == 0);
  }

  TEST_CASE_FIXTURE(Run, "defect 9: sendfile from a directory throws") {
    const sys::Fd directory(::open("/", O_RDONLY | O_CLOEXEC));
    REQUIRE(directory);
    Sockets pair;
    const int error =
        errorOf([&] { goSendfile(directory.get(), pair.a.get(), 0, 10); });
    CHECK((error == EINVAL || error == EISDIR));
    CHECK(errorOf([&] { goSendfile(-1, pair.a.get(), 0, 10); }) == EBADF);
  }
}
#endif
// [/sendfile-tests]

// [fd-tests]
TEST_SUITE("io: an Fd that closes a descriptor") {
  TEST_CASE_FIXTURE(Run, "wakes who waits for it") {
    Sockets pair;
    int error = 0;
    go([&, fd = pair.a.get()] { error = errorOf([&] { readSome(fd); }); });
    yield();
    pair.a = sys::Fd();
    scheduler.run();
    CHECK(error == ECANCELED);
  }

  // Else the poller would believe that it watches the new owner's file.
  TEST_CASE_FIXTURE(Run, "leaves its number to others") {
    int number = -1;
    for (const std::string text : {"first", "second"}) {
      Sockets pair;
      if (number == -1) number = pair.a.get();
      REQUIRE(pair.a.get() == number);
      go([&] { put(pair.b.get(), text); });
      CHECK(goRead(pair.a.get(), text.size()) == text);
    }
  }
}
// [/fd-tests]

// [interruptions]
#if CLAIMS(without_scheduler)
namespace {

// Interrupts every millisecond; the fifth time it does what somebody waits
// for. Only what a signal handler may do.
class Ticks {
 public:
  Ticks(void (*atLast)(int peer), int peer) {
    atLast_ = atLast;
    peer_ = peer;
    seen = 0;
    sys::check(sys::signalAction(SIGALRM, tick, 0), "sigaction");
    const itimerval every{{0, 1000}, {0, 1000}};
    ::setitimer(ITIMER_REAL, &every, nullptr);
  }
  ~Ticks() {
    const itimerval stop{};
    ::setitimer(ITIMER_REAL, &stop, nullptr);
    std::signal(SIGALRM, SIG_DFL);
  }
  Ticks(const Ticks&) = delete;
  Ticks& operator=(const Ticks&) = delete;

  static inline volatile std::sig_atomic_t seen = 0;

 private:
  static void tick(int, siginfo_t*, void*) {
    const int error = errno;
    seen = seen + 1;
    if (seen == 5) atLast_(peer_);
    errno = error;
  }
  static inline void (*atLast_)(int) = nullptr;
  static inline int peer_ = -1;
};

}  // namespace
#endif
// [/interruptions]

// [plain-thread-tests]
#if CLAIMS(without_scheduler)
TEST_SUITE("io: blocking descriptors") {
  // A connection between two plain threads; neither has a scheduler.
  TEST_CASE("they need no scheduler") {
    ::alarm(60);
    REQUIRE(Scheduler::ofThread() == nullptr);
    const std::string data = text(3 << 20);
    TempFile file(data);
    Listener listener(16, sys::Mode::blocking);
    std::thread server([&] {
      sys::Address who;
      sys::Fd connection =
          goAccept(listener.fd.get(), who, sys::Mode::blocking);
      goSendfile(file.fd(), connection.get(), 0, data.size());
      goWrite(connection.get(), goRead(connection.get(), data.size()));
      goClose(connection.release());
    });
    const sys::Fd client = newSocket(sys::Mode::blocking);
    goConnect(client.get(), listener.address);
    CHECK((goRead(client.get(), data.size()) == data));
    std::thread writer([&] { goWrite(client.get(), data); });
    CHECK((goRead(client.get(), data.size() + 1) == data));
    CHECK(goRead(client.get()) == "");
    writer.join();
    server.join();
    ::alarm(0);
  }

  TEST_CASE("a signal in the middle of a call has no effect") {
    const Sockets pair(sys::Mode::blocking);
    SUBCASE("that reads") {
      const Ticks ticks([](int peer) { (void)!::write(peer, "x", 1); },
                        pair.b.get());
      CHECK(goRead(pair.a.get(), 1) == "x");
      CHECK(ticks.seen >= 5);
    }
    SUBCASE("that writes") {
      const std::string junk(4096, '.');
      while (::send(pair.a.get(), junk.data(), junk.size(), MSG_DONTWAIT) > 0)
        continue;
      const Ticks ticks(
          [](int peer) {
            static std::array<char, 4096> taken;
            while (::recv(peer, taken.data(), taken.size(), MSG_DONTWAIT) > 0)
              continue;
          },
          pair.b.get());
      SUBCASE("all of it") {
        CHECK(goWrite(pair.a.get(), "x") == 1);
      }
      SUBCASE("what there is room for") {
        CHECK(tryWrite(pair.a.get(), "x") == 1);
      }
      CHECK(ticks.seen >= 5);
    }
  }

  TEST_CASE("on nonblocking ones the thread waits, and has deadlines") {
    ::alarm(60);
    REQUIRE(Scheduler::ofThread() == nullptr);
    Sockets pair;
    CHECK(goWrite(pair.b.get(), "x") == 1);
    CHECK(goRead(pair.a.get()) == "x");
    CHECK(errorOf([&] { goRead(pair.a.get(), after(5ms)); }) == ETIMEDOUT);
    std::thread reader([&] { CHECK(goRead(pair.a.get()) == "y"); });
    goWrite(pair.b.get(), "y");
    reader.join();
    // Until there is no room, and for the bytes for which there is none.
    const auto fill = [&] {
      goWrite(pair.b.get(), text(10 << 20), after(5ms));
    };
    CHECK(errorOf(fill) == ETIMEDOUT);
    ::alarm(0);
  }
}
#endif
// [/plain-thread-tests]

// [hangup-tests]
#if CLAIMS(departures)
TEST_SUITE("io: HangupWatch") {
  TEST_CASE_FIXTURE(Run, "it tells of the end of file once") {
    Sockets pair;
    int told = 0;
    const HangupWatch watch(pair.a.get(), [&] { ++told; });
    yield();
    CHECK(told == 0);
    goClose(pair.b.release());
    scheduler.run();
    CHECK(told == 1);
  }

  TEST_CASE_FIXTURE(Run, "it tells of a reset") {
    TcpPair tcp;
    int told = 0;
    const HangupWatch watch(tcp.a.get(), [&] { ++told; });
    yield();
    reset(std::move(tcp.b));
    scheduler.run();
    CHECK(told == 1);
  }

  TEST_CASE_FIXTURE(Run, "who is told may end it") {
    Sockets pair;
    std::unique_ptr<HangupWatch> watch;
    const std::string word = "longer than what std::string keeps in itself";
    std::string told;
    watch = std::make_unique<HangupWatch>(pair.a.get(), [&, word] {
      watch.reset();
      told = word;
    });
    goClose(pair.b.release());
    scheduler.run();
    CHECK(told == word);
  }

  TEST_CASE_FIXTURE(Run, "it tells of a descriptor that is closed") {
    Sockets pair;
    int told = 0;
    const HangupWatch watch(pair.a.get(), [&] { ++told; });
    yield();
    goClose(pair.a.release());
    scheduler.run();
    CHECK(told == 1);
  }

  TEST_CASE_FIXTURE(Run, "data is no hang-up and stays to be read") {
    Sockets pair;
    int told = 0;
    {
      const HangupWatch watch(pair.a.get(), [&] { ++told; });
      tryWrite(pair.b.get(), "x");
      for (int turn = 0; turn < 5; ++turn) yield();
      CHECK(told == 0);
    }
    CHECK(goRead(pair.a.get()) == "x");
  }

  TEST_CASE_FIXTURE(Run, "it tells of who leaves behind unread data") {
    if (Poller::levelTriggered) return;  // select cannot: see HangupWatch
    Sockets pair;
    int told = 0;
    const HangupWatch watch(pair.a.get(), [&] { ++told; });
    tryWrite(pair.b.get(), "x");
    for (int turn = 0; turn < 5; ++turn) yield();
    CHECK(told == 0);
    goClose(pair.b.release());
    for (int turn = 0; turn < 5; ++turn) yield();
    CHECK(told == 1);
  }

  TEST_CASE_FIXTURE(Run, "it tells once of a peer that has sent too much") {
    for (const std::size_t n : {mostUnread - 1, mostUnread}) {
      TcpPair tcp;
      int gone = 0;
      int crowded = 0;
      const HangupWatch watch(
          tcp.a.get(), [&] { ++gone; }, true, [&] { ++crowded; });
      yield();
      goWrite(tcp.b.get(), text(n));
      for (int turn = 0; turn < 5; ++turn) yield();
      CHECK(crowded == (n == mostUnread ? 1 : 0));
      bool sends = false;
      CHECK(peerIsThere(tcp.a.get(), true, &sends));
      CHECK(sends == (n == mostUnread));
      tryWrite(tcp.b.get(), "x");
      for (int turn = 0; turn < 5; ++turn) yield();
      CHECK(gone == 0);
      CHECK(crowded <= 1);
      CHECK(goRead(tcp.a.get(), n + 1) == text(n) + "x");
    }
  }

  TEST_CASE_FIXTURE(Run, "unread data lets the thread sleep") {
    Sockets pair;
    const HangupWatch watch(pair.a.get(), [] { FAIL("told"); });
    tryWrite(pair.b.get(), "x");
    const Since since;
    naglfar::sleep(20ms);
    CHECK(since.pollerCalls() <= 5);
  }

  TEST_CASE_FIXTURE(Run, "it tells of who had left before it was made") {
    Sockets pair;
    SUBCASE("on a descriptor that nobody waited on") {
      goClose(pair.b.release());
    }
    // The poller knows this descriptor already. It reports data and the end
    // to the reader as one piece of news; the reader looks at the data only.
    SUBCASE("on a descriptor that somebody waited on") {
      go([&] {
        tryWrite(pair.b.get(), "request");
        goClose(pair.b.release());
      });
      CHECK(goRead(pair.a.get(), 7) == "request");
    }
    int told = 0;
    const HangupWatch watch(pair.a.get(), [&] { ++told; });
    for (int turn = 0; turn < 5; ++turn) yield();
    CHECK(told == 1);
  }

  TEST_CASE_FIXTURE(Run, "it watches on after a look in vain") {
    Sockets pair;
    go([&] { tryWrite(pair.b.get(), "request"); });
    CHECK(goRead(pair.a.get()) == "request");
    int told = 0;
    const HangupWatch watch(pair.a.get(), [&] { ++told; });
    for (int turn = 0; turn < 5; ++turn) yield();
    CHECK(told == 0);
    goClose(pair.b.release());
    for (int turn = 0; turn < 5; ++turn) yield();
    CHECK(told == 1);
  }

  // The poller's turn puts the watch into the queue behind main. Between
  // that and its own turn it may go.
  TEST_CASE_FIXTURE(Run, "it may go while it is queued") {
    for (const bool goes : {false, true}) {
      Sockets pair;
      int told = 0;
      {
        auto watch =
            std::make_unique<HangupWatch>(pair.a.get(), [&] { ++told; });
        yield();
        goClose(pair.b.release());
        yield();
        REQUIRE(told == 0);
        if (goes) watch.reset();
        yield();
      }
      CHECK(told == (goes ? 0 : 1));
    }
  }

  // The news of a byte has put the watch into the queue. Before its turn the
  // descriptor is closed, and its number is somebody else's.
  TEST_CASE_FIXTURE(Run, "it does not look at the heir of its number") {
    Sockets pair;
    const int number = pair.a.get();
    int told = 0;
    const HangupWatch watch(number, [&] { ++told; });
    tryWrite(pair.b.get(), "x");
    yield();
    goClose(pair.a.release());
    SUBCASE("there is one") {
      const Sockets heirs;
      REQUIRE(heirs.a.get() == number);
      yield();
      CHECK(told == 1);
      go([&] { tryWrite(heirs.b.get(), "y"); });
      CHECK(goRead(heirs.a.get(), 1) == "y");
    }
    SUBCASE("there is none") {
      yield();
      CHECK(told == 1);
    }
  }

  TEST_CASE_FIXTURE(Run, "what the end of file means is for the caller") {
    TcpPair tcp;
    CHECK(peerIsThere(tcp.a.get(), true));
    tryWrite(tcp.b.get(), "x");
    CHECK(peerIsThere(tcp.a.get(), true));
    sys::endWriting(tcp.b.get());
    CHECK_FALSE(peerIsThere(tcp.a.get(), true));  // behind what is unread
    CHECK(peerIsThere(tcp.a.get(), false));
    reset(std::move(tcp.b));
    CHECK_FALSE(peerIsThere(tcp.a.get(), false));
  }

  TEST_CASE("it may outlive its scheduler and is silent then") {
    const Bounded bounded;
    Sockets pair;
    int told = 0;
    {
      std::optional<Scheduler> scheduler(std::in_place);
      const HangupWatch watch(pair.a.get(), [&] { ++told; });
      SUBCASE("that has just begun") {}
      SUBCASE("that is waiting") {
        yield();
      }
      SUBCASE("that is queued") {
        yield();
        goClose(pair.b.release());
        yield();
      }
      SUBCASE("where the thread has the next one") {
        scheduler.reset();
        Scheduler next;
        goClose(pair.b.release());
        for (int turn = 0; turn < 5; ++turn) yield();
      }
      scheduler.reset();
    }
    CHECK(told == 0);
  }

  TEST_CASE_FIXTURE(Run, "when it goes somebody else may wait") {
    Sockets pair;
    {
      const HangupWatch watch(pair.a.get(), [] { FAIL("told"); });
    }
    go([&] { tryWrite(pair.b.get(), "x"); });
    CHECK(goRead(pair.a.get()) == "x");
  }
}
#endif
// [/hangup-tests]
