// Tests of the lowest layer: who owns a descriptor, what an error says, what
// an address is, and what the ledger counts.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "naglfar/sys.hpp"
#include "naglfar/sys/ledger.hpp"

namespace sys = naglfar::sys;
using naglfar::Call;

namespace {

bool isOpen(int fd) {
  return ::fcntl(fd, F_GETFD) != -1;
}

struct Pipe {
  Pipe() {
    int ends[2];
    sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
    reader = sys::Fd(ends[0]);
    writer = sys::Fd(ends[1]);
  }
  sys::Fd reader;
  sys::Fd writer;
};

// What sys::fail says.
std::string messageOf(int error) {
  try {
    sys::fail(error, "the call");
  } catch (const std::system_error& thrown) {
    CHECK(thrown.code() == std::error_code(error, std::generic_category()));
    return thrown.what();
  }
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Runs it in a forked child; returns whether it returned true there.
template <class Function>
bool inChild(Function function) {
  const pid_t child = sys::check(sys::fork(), "fork");
  if (child == 0) {
    bool good = false;
    try {
      good = function();
    } catch (...) {
    }
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  sys::check(sys::waitpid(child, &status, 0), "waitpid");
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

// [fd-tests]
TEST_SUITE("sys: Fd") {
  TEST_CASE("a descriptor is closed when its owner goes") {
    int number = -1;
    {
      Pipe pipe;
      number = pipe.reader.get();
      CHECK(isOpen(number));
      CHECK(pipe.reader);
    }
    CHECK_FALSE(isOpen(number));
  }

  TEST_CASE("an owner of nothing closes nothing") {
    const auto before = naglfar::ledger[Call::close];
    { sys::Fd none; }
    { sys::Fd none(-1); }
    CHECK(naglfar::ledger[Call::close] == before);
    CHECK_FALSE(sys::Fd());
    CHECK(sys::Fd().get() == -1);
  }

  TEST_CASE("a move hands the descriptor over and leaves none behind") {
    Pipe pipe;
    const int number = pipe.reader.get();
    sys::Fd other(std::move(pipe.reader));
    CHECK(other.get() == number);
    CHECK(pipe.reader.get() == -1);
    CHECK(isOpen(number));
  }

  TEST_CASE("an assignment closes what was owned before") {
    Pipe pipe;
    Pipe second;
    const int old = pipe.reader.get();
    const int kept = second.reader.get();
    pipe.reader = sys::Fd(second.reader.release());
    CHECK(pipe.reader.get() == kept);
    CHECK(isOpen(kept));
    CHECK_FALSE(isOpen(old));
    pipe.reader = sys::Fd();
    CHECK_FALSE(isOpen(kept));
  }

  TEST_CASE("an assignment to itself keeps the descriptor") {
    Pipe pipe;
    const int number = pipe.reader.get();
    sys::Fd& same = pipe.reader;
    pipe.reader = std::move(same);
    CHECK(pipe.reader.get() == number);
    CHECK(isOpen(number));
  }

  TEST_CASE("a released descriptor stays open") {
    Pipe pipe;
    const int number = pipe.reader.release();
    CHECK_FALSE(pipe.reader);
    CHECK(isOpen(number));
    CHECK(sys::close(number) == 0);
  }

  TEST_CASE("descriptors are not handed to other programs") {
    Pipe pipe;
    sys::Fd copy(sys::check(sys::dup(pipe.reader.get()), "dup"));
    sys::Fd socket(sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
    for (const sys::Fd* fd : {&pipe.reader, &pipe.writer, &copy, &socket})
      CHECK((::fcntl(fd->get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK((::fcntl(socket.get(), F_GETFL) & O_NONBLOCK) != 0);
  }
}
// [/fd-tests]

// [error-tests]
TEST_SUITE("sys: errors") {
  TEST_CASE("check passes results on and throws errno with the call's name") {
    CHECK(sys::check(7, "seven") == 7);
    CHECK(sys::check(0, "zero") == 0);
    errno = ENOTCONN;
    try {
      sys::check(-1, "getpeername");
      FAIL("it did not throw");
    } catch (const std::system_error& error) {
      CHECK(error.code() == std::errc::not_connected);
      CHECK(contains(error.what(), "getpeername"));
    }
  }

  TEST_CASE("check knows the -1 of calls that return a pointer or a size") {
    errno = ENODEV;
    CHECK_THROWS_AS(sys::check(reinterpret_cast<void*>(-1), "mmap"),
                    std::system_error);
    errno = EAGAIN;
    CHECK_THROWS_AS(sys::check(ssize_t{-1}, "read"), std::system_error);
  }

  TEST_CASE("out of descriptors: the message names limit and command") {
    rlimit limit{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const std::string message = messageOf(EMFILE);
    CHECK(contains(message, "the call"));
    CHECK(contains(message, std::to_string(limit.rlim_cur)));
    CHECK(contains(message, "ulimit -n"));
  }

  TEST_CASE("the other limits name their commands and plain errors do not") {
    CHECK(contains(messageOf(ENFILE), "fs.file-max"));
    CHECK(contains(messageOf(EADDRNOTAVAIL), "ip_local_port_range"));
    CHECK(contains(messageOf(ENOMEM), "vm.max_map_count"));
    CHECK_FALSE(contains(messageOf(ECONNRESET), "("));
  }
}
// [/error-tests]

// [sigpipe-tests]
namespace {

int handled = 0;

bool isPending(int signal) {
  sigset_t pending;
  sigpending(&pending);
  return sigismember(&pending, signal) == 1;
}

bool isBlocked(int signal) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, signal) == 1;
}

void block(int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

}  // namespace

TEST_SUITE("sys: SIGPIPE") {
  // Each call, to each kind of descriptor, whatever the program does at
  // SIGPIPE. It is an error and no signal, and the program's settings stay.
  TEST_CASE("a write to a peer that is gone is EPIPE and no signal") {
    using Write = ssize_t (*)(int fd);
    const Write writes[] = {[](int fd) { return sys::write(fd, "x", 1); },
                            [](int fd) { return sys::writeLast(fd, "x", 1); },
                            [](int fd) {
                              std::FILE* file = std::tmpfile();
                              std::fputs("x", file);
                              std::fflush(file);
                              return sys::sendfile(fd, ::fileno(file), 0, 1);
                            },
                            [](int fd) {
                              ::dup2(fd, STDERR_FILENO);
                              sys::log({"x"});  // which tells no error
                              errno = EPIPE;
                              return ssize_t{-1};
                            }};
    for (const Write write : writes)
      for (const bool socket : {false, true})
        for (const char* does : {"default", "ignore", "handle", "block"}) {
          CAPTURE(&write - writes);
          CAPTURE(socket);
          CAPTURE(does);
          const std::string what = does;
          CHECK(inChild([&] {
            int ends[2];
            sys::check(socket ? sys::socketpair(ends, sys::Mode::nonblocking)
                              : sys::pipe(ends, sys::Mode::nonblocking),
                       "pipe");
            sys::close(ends[0]);
            std::signal(SIGPIPE, SIG_DFL);
            if (what == "ignore") std::signal(SIGPIPE, SIG_IGN);
            if (what == "handle")
              std::signal(SIGPIPE, [](int) { ++handled; });
            if (what == "block") block(SIGPIPE);
            for (int i = 0; i < 2; ++i)
              if (write(ends[1]) != -1 || errno != EPIPE) return false;
            return handled == 0 && !isPending(SIGPIPE) &&
                   isBlocked(SIGPIPE) == (what == "block");
          }));
        }
  }

  TEST_CASE("a SIGPIPE that was pending before stays the program's") {
    for (const bool socket : {false, true})
      CHECK(inChild([&] {
        int ends[2];
        sys::check(socket ? sys::socketpair(ends, sys::Mode::nonblocking)
                          : sys::pipe(ends, sys::Mode::nonblocking),
                   "pipe");
        sys::close(ends[0]);
        block(SIGPIPE);
        std::raise(SIGPIPE);
        if (sys::write(ends[1], "x", 1) != -1 || errno != EPIPE) return false;
        ::dup2(ends[1], STDERR_FILENO);
        sys::log({"x"});
        return isPending(SIGPIPE);
      }));
  }

  TEST_CASE("a write to a socket is one call, and to a pipe it is a write") {
    int ends[2];
    sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
    const sys::Fd a(ends[0]);
    const sys::Fd b(ends[1]);
    const naglfar::Ledger before = naglfar::ledger;
    CHECK(sys::write(a.get(), "x", 1) == 1);
    CHECK(naglfar::ledger.systemCalls() - before.systemCalls() == 1);
    CHECK(naglfar::ledger[Call::write] - before[Call::write] == 1);
    const Pipe pipe;
    CHECK(sys::write(pipe.writer.get(), "x", 1) == 1);
    CHECK(naglfar::ledger[Call::write] - before[Call::write] == 2);
  }
}
// [/sigpipe-tests]

// [address-tests]
TEST_SUITE("sys: Address") {
  TEST_CASE("good addresses") {
    const sys::Address address("127.0.0.2", 8080);
    CHECK(address.host() == "127.0.0.2");
    CHECK(address.port() == 8080);
    CHECK(address.raw.sin_family == AF_INET);
    CHECK(sys::Address("localhost", 1).host() == "127.0.0.1");
    CHECK(sys::Address("", 65535).host() == "0.0.0.0");
    CHECK(sys::Address("", 65535).port() == 65535);
    const std::string_view part =
        std::string_view("10.0.0.1:80").substr(0, 8);
    CHECK(sys::Address(part, 80).host() == "10.0.0.1");
  }

  TEST_CASE("a NUL ends no address") {
    constexpr std::string_view bad("127.0.0.1\0.example.org", 22);
    CHECK_THROWS_AS(sys::Address(bad, 80), std::invalid_argument);
  }

  TEST_CASE("bad addresses name the text that is no address") {
    for (const char* bad : {"example.org", "256.0.0.1", "1.2.3", "1.2.3.4.5",
                            "127.0.0.1 ", " ", "::1", "localhost.", "0x7f.1"})
      try {
        const sys::Address address(bad, 80);
        FAIL("accepted: ", bad);
      } catch (const std::invalid_argument& error) {
        CHECK(contains(error.what(), bad));
      }
  }

  TEST_CASE("port 0 lets the kernel choose and it tells its choice") {
    sys::Fd fd(sys::check(sys::socket(sys::Mode::blocking), "socket"));
    sys::check(sys::bind(fd.get(), sys::Address("localhost", 0)), "bind");
    sys::Address chosen;
    sys::check(sys::localAddress(fd.get(), chosen), "getsockname");
    CHECK(chosen.host() == "127.0.0.1");
    CHECK(chosen.port() != 0);
  }
}
// [/address-tests]

// [ledger-tests]
TEST_SUITE("sys: ledger") {
  TEST_CASE("every call is counted as its kind") {
    const naglfar::Ledger before = naglfar::ledger;
    Pipe pipe;
    CHECK(sys::write(pipe.writer.get(), "ab", 2) == 2);
    char buffer[8];
    CHECK(sys::read(pipe.reader.get(), buffer, sizeof buffer) == 2);
    CHECK(sys::read(pipe.reader.get(), buffer, sizeof buffer) == -1);
    CHECK(naglfar::ledger[Call::pipe] - before[Call::pipe] == 1);
    CHECK(naglfar::ledger[Call::write] - before[Call::write] == 1);
    CHECK(naglfar::ledger[Call::read] - before[Call::read] == 2);
  }

  TEST_CASE("every kind has a name of its own") {
    std::set<std::string> names;
    for (std::size_t kind = 0; kind < naglfar::callKinds; ++kind)
      names.insert(naglfar::nameOf(static_cast<Call>(kind)));
    CHECK(names.size() == naglfar::callKinds);
    CHECK(std::string(naglfar::nameOf(Call::epoll_wait)) == "epoll_wait");
    CHECK(std::string(naglfar::nameOf(Call::waitpid)) == "waitpid");
  }

  TEST_CASE("settling moves the counts and loses none") {
    const naglfar::Ledger before = naglfar::totalLedger();
    CHECK(naglfar::ledger.systemCalls() == 0);
    naglfar::count(Call::dup);
    ++naglfar::ledger.switches;
    ++naglfar::ledger.parks;
    ++naglfar::ledger.coroutines;
    ++naglfar::ledger.allocations;
    naglfar::flushLedger();
    naglfar::flushLedger();
    CHECK(naglfar::ledger[Call::dup] == 0);
    const naglfar::Ledger after = naglfar::totalLedger();
    CHECK(after[Call::dup] - before[Call::dup] == 1);
    CHECK(after.systemCalls() - before.systemCalls() == 1);
    CHECK(after.switches - before.switches == 1);
    CHECK(after.parks - before.parks == 1);
    CHECK(after.coroutines - before.coroutines == 1);
    // The test program may count allocations itself.
    CHECK(after.allocations - before.allocations >= 1);
  }

  TEST_CASE("threads count apart and settle into one total") {
    const naglfar::Ledger before = naglfar::totalLedger();
    const auto work = [] {
      for (int i = 0; i < 10'000; ++i) naglfar::count(Call::read);
      naglfar::flushLedger();
    };
    std::thread first(work);
    std::thread second(work);
    first.join();
    second.join();
    CHECK(naglfar::ledger[Call::read] == 0);
    const naglfar::Ledger after = naglfar::totalLedger();
    CHECK(after[Call::read] - before[Call::read] == 20'000);
  }

  TEST_CASE("a shared ledger has what a child settled and nothing twice") {
    const naglfar::Ledger before = naglfar::totalLedger();
    naglfar::shareLedger();
    naglfar::count(Call::listen);  // the parent's, not settled at the fork
    CHECK(inChild([] {
      for (int i = 0; i < 3; ++i) naglfar::count(Call::recv);
      naglfar::flushLedger();
      return true;
    }));
    const naglfar::Ledger after = naglfar::totalLedger();
    CHECK(after[Call::recv] - before[Call::recv] == 3);
    CHECK(after[Call::listen] - before[Call::listen] == 1);
    CHECK(after[Call::fork] - before[Call::fork] == 1);
    CHECK(after[Call::waitpid] - before[Call::waitpid] == 1);
  }
}
// [/ledger-tests]
