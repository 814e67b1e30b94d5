// Tests of the server layer: whatever a handler, a client or accept(2) does,
// the connection is closed and the server goes on.
//
// That it does not spin is shown by counts: how often accept was called while
// the others had so many turns.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <iostream>
#include <limits>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "helpers.hpp"
#include "naglfar/server.hpp"

#if CLAIMS(departures)
#include "comet_handler.hpp"
#include "naglfar/server/waiters.hpp"
#endif
#if CLAIMS(signals)
#include "naglfar/scheduler/signals.hpp"
#endif

using namespace naglfar;
using namespace helpers;
using namespace std::chrono_literals;

// [accept-seam]
#ifdef __linux__
// The accept4(2) of this program. It can be told to fail once, or each time,
// and counts.
static std::atomic<int> acceptError{0};
static std::atomic<bool> acceptFailsAlways{false};
static std::atomic<int> acceptFailures{0};

extern "C" int accept4(int fd, sockaddr* address, socklen_t* size,
                       int flags) {
  const int error =
      acceptFailsAlways ? acceptError.load() : acceptError.exchange(0);
  if (error != 0) errno = error;
  const int result = error != 0 ? -1
                                : static_cast<int>(::syscall(
                                      SYS_accept4, fd, address, size, flags));
  if (result == -1 && errno != EAGAIN) {
    ++acceptFailures;
    acceptFailures.notify_all();
  }
  return result;
}
#endif
// [/accept-seam]

// [test-helpers]
namespace {

const sys::Address anyPort("localhost", 0);

#if CLAIMS(all_of_server)
#ifdef __APPLE__
constexpr int keepIdle = TCP_KEEPALIVE;
#else
constexpr int keepIdle = TCP_KEEPIDLE;
#endif
#endif

// Remembers what the handlers threw.
class TestServer : public TCPServer {
 public:
#if CLAIMS(all_of_server)
  using TCPServer::connectionGone;
  using TCPServer::outOfResources;
#endif
  using TCPServer::TCPServer;
  std::vector<std::string> errors;

 protected:
  void handle_error(const sys::Address&,
                    const std::exception& error) override {
    errors.emplace_back(error.what());
  }
};

// Runs serve_forever() in a coroutine.
template <class Server>
struct InCoroutine {
  template <class... Args>
  explicit InCoroutine(Args&&... args) : server(std::forward<Args>(args)...) {
    go([this] {
      server.serve_forever();
      ended = true;
    });
  }
  ~InCoroutine() { stop(); }
  void stop() {
    server.shutdown();
    while (!ended) yield();
  }
  Server server;
  bool ended = false;
};

// Runs serve_forever() in a thread, where a server needs no scheduler.
#if CLAIMS(without_scheduler)
template <class Server>
struct InThread {
  template <class... Args>
  explicit InThread(Args&&... args)
      : server(std::forward<Args>(args)...),
        thread([this] { server.serve_forever(); }) {}
  ~InThread() { stop(); }
  void stop() {
    server.shutdown();
    if (thread.joinable()) thread.join();
  }
  Server server;
  std::thread thread;
};
#else
template <class Server>
using InThread = InCoroutine<Server>;
#endif

using Scheduled = ScheduledMixIn<TestServer>;

// Answers one line with a line, or does what it says.
void answer(ScheduledFile& request, const sys::Address&, TCPServer&) {
  const std::string line = request.readline();
  if (line == "throw\n") throw std::runtime_error("the handler failed");
  if (line == "throw 42\n") throw 42;
  if (line == "close\n") return request.close();
  request.write("answer to " + line);
}

// Sends a text and reads to the end.
std::string ask(const sys::Address& address, std::string_view text) {
  ScheduledFile client = ScheduledFile::connectTcp(address);
  client.write(text);
  try {
    return client.read();
  } catch (const std::system_error&) {
    return "a reset";
  }
}

void yieldTimes(int turns) {
  for (int turn = 0; turn < turns; ++turn) yield();
}

sys::Fd newListener(sys::Address& address) {
  sys::Fd fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
  sys::check(sys::bind(fd.get(), anyPort), "bind");
  sys::check(sys::listen(fd.get(), SOMAXCONN), "listen");
  sys::check(sys::localAddress(fd.get(), address), "getsockname");
  return fd;
}

// Lowers the limit so that the process may open only `more` descriptors.
class FewDescriptors {
 public:
  explicit FewDescriptors(int more) {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = 0;
    for (int fd = 0; more >= 0; ++fd) {  // numbers are given from the lowest
      if (::fcntl(fd, F_GETFD) == -1) --more;
      if (more >= 0) limit.rlim_cur = static_cast<rlim_t>(fd) + 1;
    }
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  }
  ~FewDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  FewDescriptors(const FewDescriptors&) = delete;
  FewDescriptors& operator=(const FewDescriptors&) = delete;

 private:
  rlimit before_{};
};

// So many descriptors at least, for one test.
struct ManyDescriptors {
  explicit ManyDescriptors(rlim_t enough) {
    ::getrlimit(RLIMIT_NOFILE, &before);
    rlimit limit = before;
    limit.rlim_cur = std::max(before.rlim_cur, enough);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  }
  ~ManyDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before); }
  ManyDescriptors(const ManyDescriptors&) = delete;
  ManyDescriptors& operator=(const ManyDescriptors&) = delete;
  rlimit before{};
};

}  // namespace
// [/test-helpers]

// [plain-server-tests]
TEST_SUITE("server: TCPServer") {
  TEST_CASE_FIXTURE(Run, "it serves one request after the other") {
    InThread<TestServer> serving(anyPort, answer);
    for (const char* line : {"one\n", "two\n", "three\n"})
      CHECK(ask(serving.server.server_address, line) ==
            std::string("answer to ") + line);
  }

  TEST_CASE_FIXTURE(Run, "it tells its port and its descriptor") {
    TestServer server(anyPort, answer);
    CHECK(server.server_address.host() == "127.0.0.1");
    CHECK(server.server_address.port() != 0);
    CHECK((::fcntl(server.fileno(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK_THROWS_WITH_AS(TestServer(server.server_address, answer),
                         doctest::Contains("bind"), std::system_error);
  }

  TEST_CASE_FIXTURE(Run, "it serves from a socket that listens already") {
    sys::Address address;
    sys::Fd listener = newListener(address);
    InThread<TestServer> serving(std::move(listener), answer);
    CHECK(serving.server.server_address.port() == address.port());
    CHECK(ask(address, "hello\n") == "answer to hello\n");
  }

#if CLAIMS(all_of_server)
  TEST_CASE_FIXTURE(Run, "connections inherit their options") {
    static std::vector<int> found;
    const auto look = [](ScheduledFile& request, const sys::Address&,
                         TCPServer&) {
      const std::pair<int, int> options[] = {{IPPROTO_TCP, TCP_NODELAY},
                                             {SOL_SOCKET, SO_KEEPALIVE},
                                             {IPPROTO_TCP, keepIdle},
                                             {IPPROTO_TCP, TCP_KEEPINTVL},
                                             {IPPROTO_TCP, TCP_KEEPCNT}};
      found.clear();
      for (const auto& [level, option] : options) {
        int value = 0;
        socklen_t size = sizeof value;
        CHECK(::getsockopt(request.fileno(), level, option, &value, &size) ==
              0);
        found.push_back(value);
      }
    };
    sys::Address address;
    sys::Fd listener = newListener(address);
    for (const bool given : {false, true}) {
      Scheduled server = given ? Scheduled(std::move(listener), look)
                               : Scheduled(anyPort, look);
      const auto options = [&server] {
        const Since since;
        go([&] { ask(server.server_address, "x"); });
        server.handle_request();
        while (found.empty()) yield();
        CHECK(since[Call::setsockopt] == 0);
        std::vector<int> all = std::exchange(found, {});
        all[0] = all[0] != 0;  // on some systems a flag of the kernel
        all[1] = all[1] != 0;
        return all;
      };
      CHECK(options() == std::vector<int>{1, 1, 60, 10, 6});
      server.probeClients(90s, 1500ms, 3);
      CHECK(options() == std::vector<int>{1, 1, 90, 2, 3});
      server.probeClients(0s, -1s, 0);
      CHECK(options() == std::vector<int>{1, 1, 1, 1, 1});
      server.probeClients(sys::Duration::max(), sys::Duration::max(),
                          std::numeric_limits<int>::max());
      CHECK(options() == std::vector<int>{1, 1, 32767, 32767, 127});
    }
  }

  TEST_CASE_FIXTURE(Run, "handle_request serves one") {
    TestServer server(anyPort, answer);
    bool served = false;
    std::thread thread([&] { served = server.handle_request(); });
    CHECK(ask(server.server_address, "hello\n") == "answer to hello\n");
    thread.join();
    CHECK(served);
  }

  // Nor is SIGPIPE ignored for the program, and for those that it starts.
  TEST_CASE("a client that is gone sends its server no signal") {
    std::signal(SIGPIPE, SIG_DFL);
    TestServer server(
        anyPort, [](ScheduledFile& request, const sys::Address&, TCPServer&) {
          request.readline();
          for (;;) {  // until the kernel knows that the client is gone
            request.write("an answer");
            request.flush();
          }
        });
    std::thread client([&] {
      ScheduledFile::connectTcp(server.server_address).write("hello\n");
    });
    CHECK(server.handle_request());
    client.join();
    CHECK(server.errors.size() == 1);
    CHECK((std::signal(SIGPIPE, SIG_DFL) == SIG_DFL));
  }
#endif

  TEST_CASE_FIXTURE(Run, "shutdown ends serve_forever at once and for good") {
    TestServer server(anyPort, answer);
    SUBCASE("before it waits") {
      server.shutdown();
      server.serve_forever();
    }
#if CLAIMS(all_of_server)
    SUBCASE("while it waits") {
      std::thread thread([&] { server.serve_forever(); });
      CHECK(ask(server.server_address, "hello\n") == "answer to hello\n");
      server.shutdown();
      thread.join();
    }
    CHECK_FALSE(server.handle_request());
#endif
  }

  TEST_CASE_FIXTURE(Run, "shutdown ends it even if clients never cease") {
    TestServer server(anyPort, [](ScheduledFile& request, const sys::Address&,
                                  TCPServer& asked) {
      request.write("the last one");
      asked.shutdown();
    });
    ScheduledFile first = ScheduledFile::connectTcp(server.server_address);
    ScheduledFile second = ScheduledFile::connectTcp(server.server_address);
    server.serve_forever();
    CHECK(first.read() == "the last one");
    second.deadline = sys::now();
    CHECK_THROWS_AS(second.read(), std::system_error);
  }

#if CLAIMS(all_of_server)
  TEST_CASE_FIXTURE(Run, "shutdown may be called by a signal handler") {
    static TestServer* served = nullptr;
    TestServer server(anyPort, answer);
    served = &server;
    std::signal(SIGUSR1, [](int) { served->shutdown(); });
    std::thread thread([&] { server.serve_forever(); });
    CHECK(ask(server.server_address, "hello\n") == "answer to hello\n");
    ::pthread_kill(thread.native_handle(), SIGUSR1);
    thread.join();
    std::signal(SIGUSR1, SIG_DFL);
  }

  TEST_CASE("shutdown stops a server that runs in a child") {
    ::alarm(60);
    TestServer server(anyPort, answer);
    const pid_t child = sys::check(sys::fork(), "fork");
    if (child == 0) {
      ::alarm(60);
      server.serve_forever();
      ::_exit(0);
    }
    {
      const Run run;
      CHECK(ask(server.server_address, "hello\n") == "answer to hello\n");
    }
    server.shutdown();
    int status = 0;
    sys::check(sys::waitpid(child, &status, 0), "waitpid");
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    ::alarm(0);
  }

  TEST_CASE("shutdown stops all processes that serve from one listener") {
    ::alarm(60);
    TestServer server(anyPort, answer);
    std::vector<pid_t> children;
    for (int i = 0; i < 3; ++i) {
      children.push_back(sys::check(sys::fork(), "fork"));
      if (children.back() != 0) continue;
      ::alarm(60);
      server.serve_forever();
      ::_exit(0);
    }
    server.shutdown();
    for (const pid_t child : children) {
      int status = 0;
      sys::check(sys::waitpid(child, &status, 0), "waitpid");
      CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    }
    ::alarm(0);
  }
#endif

  TEST_CASE_FIXTURE(Run,
                    "defect 12: a handler throws and the next is served") {
    InThread<TestServer> serving(anyPort, answer);
    const sys::Address address = serving.server.server_address;
    CHECK(ask(address, "throw\n") == "");
#if CLAIMS(any_exception)
    CHECK(ask(address, "throw 42\n") == "");
#endif
    CHECK(ask(address, "close\n") == "");
    CHECK(ask(address, "hello\n") == "answer to hello\n");
    serving.stop();
    REQUIRE(serving.server.errors.size() == 1 + CLAIMS(any_exception));
    CHECK(serving.server.errors[0] == "the handler failed");
  }

  // The server closes first, so the kernel keeps its end of the connection,
  // with the port, for a minute.
  TEST_CASE_FIXTURE(Run, "a port can be had again while connections linger") {
    sys::Address address;
    {
      InCoroutine<Scheduled> scheduled(anyPort, answer);
      address = scheduled.server.server_address;
      CHECK(ask(address, "x\n") == "answer to x\n");
      scheduled.stop();
#if CLAIMS(all_of_server)
      scheduled.server.server_close();
#endif
    }
    CHECK_NOTHROW(TestServer(address, answer));
  }

#if CLAIMS(all_of_server)
  TEST_CASE_FIXTURE(Run, "requests leave no descriptor behind") {
    TestServer server(anyPort, answer);
    const auto serve = [&](const std::vector<std::string>& lines) {
      std::thread thread([&] {
        for (std::size_t i = 0; i < lines.size(); ++i)
          server.handle_request();
      });
      for (const std::string& line : lines) ask(server.server_address, line);
      thread.join();
    };
    serve({"first\n"});
    const int baseline = openDescriptors();
    serve({"hello\n", "throw\n", "close\n", "throw 42\n", "hello\n"});
    CHECK(openDescriptors() == baseline);
  }
#endif

  // Its thread is not its own: the clients are coroutines of it, too.
  TEST_CASE_FIXTURE(Run, "in a coroutine it lets the others run") {
    InCoroutine<TestServer> serving(anyPort, answer);
    const sys::Address address = serving.server.server_address;
    CHECK(ask(address, "one\n") == "answer to one\n");
    ScheduledFile slow = ScheduledFile::connectTcp(address);
    slow.write("tw");
    slow.flush();
    yieldTimes(10);  // the server waits to read
    slow.write("o\n");
    CHECK(slow.read() == "answer to two\n");
#if CLAIMS(all_of_server)
    std::thread other([&] { serving.server.shutdown(); });
    while (!serving.ended) yield();
    other.join();
#endif
  }

  TEST_CASE_FIXTURE(Run, "it waits for descriptors and lets others run") {
    sys::Address address;
    InCoroutine<TestServer> serving(newListener(address), answer);
    yieldTimes(5);
    ScheduledFile client(
        sys::Fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket")));
    {
      const FewDescriptors none(0);
      goConnect(client.fileno(), address);
      client.write("hello\n");
      client.flush();
      const std::uint64_t accepts = ledger[Call::accept4];
      yieldTimes(1000);
      CHECK(ledger[Call::accept4] - accepts < 100);
    }
    CHECK(client.read() == "answer to hello\n");
  }

#if CLAIMS(all_of_server)
  TEST_CASE("what accept(2) says is about the one or about all") {
    const auto check = [](int number, bool isGone, bool isLack) {
      const std::system_error error(number, std::generic_category());
      CHECK(TestServer::connectionGone(error) == isGone);
      CHECK(TestServer::outOfResources(error) == isLack);
    };
    for (const int error : {ECONNABORTED, ECONNRESET, EPROTO, EINTR})
      check(error, true, false);
    for (const int error : {EMFILE, ENFILE, ENOBUFS, ENOMEM})
      check(error, false, true);
    for (const int error : {EBADF, EINVAL, ENOTSOCK, ECANCELED, EOPNOTSUPP})
      check(error, false, false);
  }
#endif
}
// [/plain-server-tests]

// [log-tests]
namespace {

// Standard error is a pipe that is full and that no program reads.
class FullStandardError {
 public:
  FullStandardError() {
    int ends[2];
    REQUIRE(::pipe(ends) == 0);
    reader_ = sys::Fd(ends[0]);
    before_ = sys::Fd(::dup(STDERR_FILENO));
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[1]);
    ::fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
    const std::string page(4096, '.');
    while (::write(STDERR_FILENO, page.data(), page.size()) != -1) continue;
    ::fcntl(STDERR_FILENO, F_SETFL, 0);
  }
  ~FullStandardError() { ::dup2(before_.get(), STDERR_FILENO); }

  // What was written since the pipe was full. Makes room.
  std::string read() {
    ::fcntl(reader_.get(), F_SETFL, O_NONBLOCK);
    std::string text;
    char buffer[4096];
    while (const ssize_t n = ::read(reader_.get(), buffer, sizeof buffer)) {
      if (n == -1) break;
      text.append(buffer, static_cast<std::size_t>(n));
    }
    return text.substr(text.find_first_not_of('.') == std::string::npos
                           ? text.size()
                           : text.find_first_not_of('.'));
  }
  bool blocks() const {
    return (::fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK) == 0;
  }
  void endReader() { reader_ = sys::Fd(); }

 private:
  sys::Fd reader_;
  sys::Fd before_;
};

}  // namespace

TEST_SUITE("server: the log") {
  TEST_CASE_FIXTURE(Run, "a log that no program reads stops no server") {
    InCoroutine<ScheduledMixIn<TCPServer>> serving(anyPort, answer);
    const sys::Address address = serving.server.server_address;
    FullStandardError log;
    for (int i = 0; i < 3; ++i) CHECK(ask(address, "throw\n") == "");
    CHECK(ask(address, "hello\n") == "answer to hello\n");
    CHECK(log.blocks());  // for the other programs that write to it
    CHECK(log.read() == "");
    CHECK(ask(address, "throw\n") == "");
    const std::string lines = log.read();
    CHECK(lines.starts_with(
        "3 lines were not written: standard error was full\nException"));
    CHECK(lines.ends_with(": the handler failed\n"));
    CHECK(ask(address, "throw\n") == "");
    CHECK(log.read().starts_with("Exception"));
  }

  TEST_CASE_FIXTURE(Run, "a log whose reader has ended stops no server") {
    std::signal(SIGPIPE, SIG_DFL);
    InCoroutine<ScheduledMixIn<TCPServer>> serving(anyPort, answer);
    FullStandardError log;
    log.read();
    log.endReader();
    for (int i = 0; i < 3; ++i)
      CHECK(ask(serving.server.server_address, "throw\n") == "");
    CHECK((std::signal(SIGPIPE, SIG_DFL) == SIG_DFL));
    FullStandardError next;
    next.read();
    sys::log({"a line"});
    CHECK(next.read().starts_with("3 lines were not written"));
  }

#if CLAIMS(coroutines)
  TEST_CASE_FIXTURE(Run, "a list of coroutines that no program reads") {
    FullStandardError log;
    scheduler.dump();
    CHECK(log.read() == "");
    scheduler.dump();
    const std::string lines = log.read();
    CHECK(lines.find(" lines were not written") != lines.npos);
    CHECK(lines.find(" waits for descriptors\n") != lines.npos);
  }
#endif

#if CLAIMS(signals)
  TEST_CASE_FIXTURE(Run,
                    "the list of coroutines on SIGQUIT stops no server") {
    InCoroutine<ScheduledMixIn<TCPServer>> serving(anyPort, answer);
    const sys::Address address = serving.server.server_address;
    FullStandardError log;
    Signals signals;
    int dumps = 0;
    signals.on(SIGQUIT, [&] {
      scheduler.dump();
      ++dumps;
    });
    std::raise(SIGQUIT);
    CHECK(ask(address, "hello\n") == "answer to hello\n");
    CHECK(dumps == 1);
    CHECK(log.read() == "");
    std::raise(SIGQUIT);
    CHECK(ask(address, "hello\n") == "answer to hello\n");
    const std::string lines = log.read();
    INFO(lines);
    CHECK(lines.find(" lines were not written") < lines.find('\n'));
    CHECK(lines.find(" coroutines, ") != std::string::npos);
    CHECK(lines.find("\n  accept loop #") != std::string::npos);
  }
#endif

  TEST_CASE_FIXTURE(Run, "no text forges a line of the log") {
    FullStandardError log;
    log.read();
    sys::log({"a\nb", "\r\x1b[31m\\ ", std::string_view("\0\x9b\x7f", 3)});
    CHECK(log.read() == "a\\x0ab\\x0d\\x1b[31m\\\\ \\x00\\x9b\\x7f\n");
    sys::log({std::string(100000, 'x')});
    const std::string line = log.read();
    CHECK(line.size() <= 4096);
    CHECK(line.ends_with("x\n"));
  }
}
// [/log-tests]

// [scheduled-server-tests]
TEST_SUITE("server: ScheduledMixIn") {
  TEST_CASE_FIXTURE(Run, "requests are served at the same time") {
    InCoroutine<Scheduled> serving(anyPort, answer);
    const sys::Address address = serving.server.server_address;
    std::vector<std::unique_ptr<ScheduledFile>> clients;
    for (int i = 0; i < 20; ++i)
      clients.push_back(std::make_unique<ScheduledFile>(
          ScheduledFile::connectTcp(address)));
    std::reverse(clients.begin(), clients.end());
    for (const auto& client : clients) {
      client->write("hello\n");
      CHECK(client->read() == "answer to hello\n");
    }
  }

#if CLAIMS(all_of_server)
  TEST_CASE_FIXTURE(Run, "handle_request serves one and serve_forever all") {
    Scheduled server(anyPort, answer);
    std::string first;
    std::string second;
    go([&] { first = ask(server.server_address, "1\n"); });
    go([&] { second = ask(server.server_address, "2\n"); });
    CHECK(server.handle_request());
    yieldTimes(20);
    CHECK(first == "answer to 1\n");
    CHECK(second == "");
    CHECK(server.handle_request());
    yieldTimes(20);
    CHECK(second == "answer to 2\n");
    server.shutdown();
    CHECK_FALSE(server.handle_request());
    scheduler.run();
  }
#endif

  TEST_CASE_FIXTURE(Run, "defect 20: shutdown ends serve_forever") {
    Scheduled server(anyPort, answer);
    bool ended = false;
    go([&] {
      server.serve_forever();
      ended = true;
    });
    ScheduledFile served = ScheduledFile::connectTcp(server.server_address);
    yieldTimes(5);
    CHECK_FALSE(ended);
    server.shutdown();
    yieldTimes(5);
    CHECK(ended);
    server.shutdown();
    // Who was accepted before is served to the end.
    served.write("hello\n");
    CHECK(served.read() == "answer to hello\n");
    // Nobody waits any more: this would be a Deadlock otherwise.
    scheduler.run();
  }

#if CLAIMS(all_of_server)
  TEST_CASE_FIXTURE(Run, "any thread and any signal handler may end it") {
    static Scheduled* served = nullptr;
    for (const bool bySignal : {false, true}) {
      CAPTURE(bySignal);
      Scheduled server(anyPort, answer);
      served = &server;
      bool ended = false;
      go([&] {
        server.serve_forever();
        ended = true;
      });
      CHECK(ask(server.server_address, "hello\n") == "answer to hello\n");
      std::thread other;
      if (bySignal) {
        std::signal(SIGUSR1, [](int) { served->shutdown(); });
        other = std::thread(
            [main = ::pthread_self()] { ::pthread_kill(main, SIGUSR1); });
      } else {
        other = std::thread([&] { server.shutdown(); });
      }
      // Main waits for nothing else, and the poller is told.
      scheduler.run();
      CHECK(ended);
      other.join();
      std::signal(SIGUSR1, SIG_DFL);
    }
  }
#endif

  TEST_CASE_FIXTURE(Run,
                    "defect 12: a handler throws and the next is served") {
    InCoroutine<Scheduled> serving(anyPort, answer);
    const sys::Address address = serving.server.server_address;
    CHECK(ask(address, "throw\n") == "");
    CHECK(ask(address, "hello\n") == "answer to hello\n");
#if CLAIMS(any_exception)
    CHECK(ask(address, "throw 42\n") == "");
#endif
    CHECK(ask(address, "close\n") == "");
    CHECK(ask(address, "hello\n") == "answer to hello\n");
    REQUIRE(serving.server.errors.size() == 1 + CLAIMS(any_exception));
    CHECK(serving.server.errors[0] == "the handler failed");
  }

  // The handler has written its answer, and to send it fails.
  TEST_CASE_FIXTURE(Run, "a client that takes no answer ends no server") {
    static bool gone;
    gone = false;
    InCoroutine<Scheduled> serving(
        anyPort, [](ScheduledFile& request, const sys::Address&, TCPServer&) {
          request.write("answer to " + request.readline());
          while (!gone) yield();
        });
    const sys::Address address = serving.server.server_address;
    {
      ScheduledFile client = ScheduledFile::connectTcp(address);
      client.write("hello\n");
      yieldTimes(5);
      const linger now{1, 0};
      ::setsockopt(client.fileno(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    gone = true;
    CHECK(ask(address, "hello\n") == "answer to hello\n");
    CHECK(serving.server.errors.size() == 1);
  }

  TEST_CASE_FIXTURE(Run, "an error is one line on standard error") {
    InCoroutine<ScheduledMixIn<TCPServer>> serving(anyPort, answer);
    std::ostringstream log;
    std::streambuf* const before = std::cerr.rdbuf(log.rdbuf());
    ask(serving.server.server_address, "throw\n");
    std::cerr.rdbuf(before);
    CHECK(log.str().starts_with("Exception while serving 127.0.0.1:"));
    CHECK(log.str().ends_with(": the handler failed\n"));
  }

  TEST_CASE_FIXTURE(Run, "defect 20: exceptions leave no descriptor behind") {
    InCoroutine<Scheduled> serving(anyPort, answer);
    const sys::Address address = serving.server.server_address;
    ask(address, "hello\n");
    yieldTimes(5);
    const int baseline = openDescriptors();
    for (int i = 0; i < 30; ++i) ask(address, i % 2 ? "throw\n" : "hello\n");
    yieldTimes(5);
    CHECK(openDescriptors() == baseline);
    CHECK(serving.server.errors.size() == 15);
  }

#if CLAIMS(all_of_server)
  TEST_CASE_FIXTURE(Run, "a server that goes closes what it was serving") {
    const int baseline = openDescriptors();
    std::vector<std::unique_ptr<ScheduledFile>> clients;
    auto serving = std::make_unique<InCoroutine<Scheduled>>(anyPort, answer);
    for (int i = 0; i < 5; ++i)
      clients.push_back(std::make_unique<ScheduledFile>(
          ScheduledFile::connectTcp(serving->server.server_address)));
    yieldTimes(10);
    // The listener, each connection's two ends, and what else the server has.
    const int open = openDescriptors() - baseline;
    CHECK(open > 2 * 5);
    const Ledger before = ledger;
    serving->stop();
    serving.reset();
    CHECK(openDescriptors() - baseline == 5);
    CHECK(ledger[Call::close] - before[Call::close] ==
          static_cast<std::uint64_t>(open - 5));
    for (const auto& client : clients) CHECK(client->read() == "");
    clients.clear();
    CHECK(openDescriptors() == baseline);
    scheduler.run();
  }

  TEST_CASE_FIXTURE(Run, "a server that goes takes its accept loop along") {
    const auto coroutines = [&] {
      int n = 0;
      scheduler.forEachCoroutine([&n](const Coroutine&) { ++n; });
      return n;
    };
    for (const bool waits : {false, true}) {
      CAPTURE(waits);
      auto server = std::make_unique<Scheduled>(anyPort, answer);
      if (waits) yieldTimes(5);
      CHECK(coroutines() > 0);
      server.reset();
      CHECK(coroutines() == 0);
    }
  }

  TEST_CASE_FIXTURE(Run, "a request that is cut off is not its handler's") {
    InCoroutine<Scheduled> serving(anyPort, answer);
    ScheduledFile client =
        ScheduledFile::connectTcp(serving.server.server_address);
    yieldTimes(10);
    serving.stop();
    serving.server.gracePeriod = {};
    serving.server.server_close();
    CHECK(client.read() == "");
    CHECK(serving.server.errors.empty());
  }

  // The stream of connections that nobody has taken yet is full, and the
  // accept loop waits with one more in its hands.
  TEST_CASE_FIXTURE(Run, "a server that ends counts whom nobody has taken" *
                             doctest::test_suite("reference")) {
    const ManyDescriptors enough(2000);
    Scheduled server(anyPort, answer, 2000);
    server.gracePeriod = sys::Duration::max();
    const auto crowd = [&](int clients) {
      for (int i = 0; i < clients; ++i) {
        ScheduledFile::connectTcp(server.server_address);
        yield();
      }
      return ledger[Call::accept4];
    };
    const std::uint64_t accepts = crowd(1100);
    CHECK(crowd(10) == accepts);  // it accepts no more
    server.server_close();
    CHECK(server.errors.empty());
  }

  TEST_CASE_FIXTURE(
      Run, "a connection that waits in the accept stream is closed with it") {
    Scheduled server(anyPort, answer);
    ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
    yieldTimes(10);
    const std::uint64_t closed = ledger[Call::close];
    server.server_close();
    // The listener is closed, too.
    REQUIRE(ledger[Call::close] - closed >= 2);
    CHECK(client.read() == "");
  }
#endif

  TEST_CASE_FIXTURE(Run, "a client that resets before it is accepted") {
    sys::Address address;
    sys::Fd listener = newListener(address);
    {
      const ScheduledFile client = ScheduledFile::connectTcp(address);
      const linger now{1, 0};
      ::setsockopt(client.fileno(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    InCoroutine<Scheduled> serving(std::move(listener), answer);
    CHECK(ask(address, "hello\n") == "answer to hello\n");
  }

  TEST_CASE_FIXTURE(Run, "defect 13: 60 clients and 10 descriptors") {
    sys::Address address;
    sys::Fd listener = newListener(address);
    std::vector<std::unique_ptr<ScheduledFile>> clients;
    for (int i = 0; i < 60; ++i)
      clients.push_back(std::make_unique<ScheduledFile>(
          ScheduledFile::connectTcp(address)));
    // The server's pipe takes two, and the poller may take one.
    auto serving =
        std::make_unique<InCoroutine<Scheduled>>(std::move(listener), answer);
    const FewDescriptors few(10);
    const auto accepts = [] { return ledger[Call::accept4]; };
    const std::uint64_t atStart = accepts();
    yieldTimes(50);
    CHECK(accepts() - atStart >= 10);

    // It does not spin: 1000 turns of the others, and hardly one of its own.
    const std::uint64_t before = accepts();
    const sys::Time start = sys::now();
    yieldTimes(1000);
    const auto tenths =
        static_cast<std::uint64_t>((sys::now() - start) / 100ms);
    CHECK(accepts() - before <= tenths + 1);

    // Each answer frees descriptors, and then it accepts at once.
    for (const auto& client : clients) {
      [[maybe_unused]] const std::uint64_t accepted = accepts();
      client->write("hello\n");
      CHECK(client->read() == "answer to hello\n");
      client->close();
#if CLAIMS(free_descriptors)
      if (client == clients.front()) {
        yieldTimes(10);
        CHECK(accepts() > accepted);
      }
#endif
    }
    CHECK(ask(address, "hello\n") == "answer to hello\n");
    CHECK(serving->server.errors.empty());
  }

#if CLAIMS(unhandled)
  TEST_CASE_FIXTURE(Run,
                    "an error in handle_error takes no connection away") {
    struct Careless : ScheduledMixIn<TCPServer> {
      using ScheduledMixIn::ScheduledMixIn;
      void handle_error(const sys::Address&, const std::exception&) override {
        throw std::runtime_error("the log is full");
      }
    };
    int escaped = 0;
    scheduler.unhandled = [&](std::exception_ptr) { ++escaped; };
    Careless server(
        anyPort, [](ScheduledFile& request, const sys::Address&, TCPServer&) {
          request.readline();
          throw std::logic_error("no");
        });
    server.maxConnections = 1;
    go([&] { server.serve_forever(); });
    for (int i = 1; i <= 3; ++i) {
      CHECK(ask(server.server_address, "hello\n") == "");
      while (escaped < i) yield();
    }
    server.server_close();
    scheduler.run();
  }
#endif

  TEST_CASE_FIXTURE(Run, "defect 13: descriptors that others free will do") {
    sys::Address address;
    InCoroutine<Scheduled> serving(newListener(address), answer);
    yieldTimes(5);
    ScheduledFile client(
        sys::Fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket")));
    {
      const FewDescriptors none(0);
      goConnect(client.fileno(), address);
      client.write("hello\n");
      client.flush();
      yieldTimes(50);
      client.deadline = sys::now();
      CHECK_THROWS_AS(client.read(), std::system_error);
    }
    client.deadline = never;
    CHECK(client.read() == "answer to hello\n");
  }
}
// [/scheduled-server-tests]

// [accept-error-tests]
#ifdef __linux__
TEST_SUITE("server: what accept says") {
  TEST_CASE_FIXTURE(Run, "defect 13: ECONNABORTED does not end it") {
    acceptError = ECONNABORTED;
    InThread<TestServer> serving(anyPort, answer);
    CHECK(ask(serving.server.server_address, "hello\n") ==
          "answer to hello\n");
    CHECK(acceptError == 0);
  }

  // As the stack of its coroutine is when there are no mappings left.
  TEST_CASE_FIXTURE(Run, "a connection that lacks the means ends alone") {
    struct Lacking : TestServer {
      using TestServer::TestServer;
      void process_request(Request request) override {
        if (std::exchange(lacks, false)) sys::fail(ENOMEM, "mmap");
        TestServer::process_request(std::move(request));
      }
      bool lacks = true;
    };
    InCoroutine<Lacking> serving(anyPort, answer);
    const sys::Address& address = serving.server.server_address;
    CHECK(ScheduledFile::connectTcp(address).read() == "");
    CHECK(ask(address, "hello\n") == "answer to hello\n");
  }

  TEST_CASE_FIXTURE(Run, "a listener that does not work is an error") {
    TestServer server(anyPort, answer);
    acceptError = EINVAL;
    CHECK_THROWS_WITH_AS(server.serve_forever(), doctest::Contains("accept4"),
                         std::system_error);
  }

#if CLAIMS(all_of_server)
  // The limit concerns the whole process, so that the clients connect before.
  TEST_CASE_FIXTURE(Run,
                    "defect 13: it waits while there are no descriptors") {
    TestServer server(anyPort, answer);
    ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
    client.write("hello\n");
    client.flush();
    acceptFailures = 0;
    std::atomic<bool> exhausted = false;
    std::atomic<bool> failed = false;
    std::thread thread([&] {
      exhausted.wait(false);
      try {
        server.handle_request();
      } catch (const std::system_error&) {
        failed = true;
        acceptFailures = 3;
        acceptFailures.notify_all();
      }
    });
    {
      const FewDescriptors none(0);
      const sys::Time start = sys::now();
      exhausted = true;
      exhausted.notify_all();
      for (int n; (n = acceptFailures) < 3;) acceptFailures.wait(n);
      const auto tenths = (sys::now() - start) / 100ms;
      CHECK(acceptFailures <= tenths + 2);
    }
    thread.join();
    CHECK_FALSE(failed);
    if (!failed) CHECK(client.read() == "answer to hello\n");
  }
#endif

  TEST_CASE_FIXTURE(Run, "defect 13: nor a server with ScheduledMixIn") {
    InCoroutine<Scheduled> serving(anyPort, answer);
    for (const int error : {ECONNABORTED, ECONNRESET, EPROTO, EINTR, ENOBUFS,
                            ENETDOWN, EHOSTUNREACH}) {
      CAPTURE(error);
      acceptError = error;
      CHECK(ask(serving.server.server_address, "hello\n") ==
            "answer to hello\n");
      CHECK(acceptError == 0);
    }
  }

  // An error of one connection that comes with each call: the accept loop
  // waits between them. Others have their turns.
  TEST_CASE_FIXTURE(Run, "an error that does not cease makes no loop spin") {
    constexpr int most = 64 * 3;
    const auto check = [&](auto& serving) {
      for (const int error : {ECONNABORTED, EPERM, EMFILE}) {
        CAPTURE(error);
        ScheduledFile client =
            ScheduledFile::connectTcp(serving.server.server_address);
        client.write("hello\n");
        acceptError = error;
        acceptFailsAlways = true;
        client.flush();
        const std::uint64_t before = ledger[Call::accept4];
        const sys::Time start = sys::now();
        yieldTimes(2000);
        const auto tenths = (sys::now() - start) / 100ms;
        CHECK(ledger[Call::accept4] - before <=
              static_cast<std::uint64_t>(most + 64 * tenths));
        acceptFailsAlways = false;
        acceptError = 0;
        CHECK(client.read() == "answer to hello\n");
      }
    };
    SUBCASE("without a mix-in") {
      InCoroutine<TestServer> serving(anyPort, answer);
      check(serving);
    }
    SUBCASE("with ScheduledMixIn") {
      InCoroutine<Scheduled> serving(anyPort, answer);
      check(serving);
    }
  }

  // The descriptors of others are not free again within a millisecond. The
  // server has answered when it asks for the next connection.
  TEST_CASE_FIXTURE(Run, "without descriptors it tries ten times a second") {
    InCoroutine<TestServer> serving(anyPort, answer);
    ScheduledFile client =
        ScheduledFile::connectTcp(serving.server.server_address);
    acceptError = EMFILE;
    acceptFailsAlways = true;
    client.write("hello\n");
    const int before = acceptFailures;
    const sys::Time start = sys::now();
    sleep(30ms);
    const auto tenths = (sys::now() - start) / 100ms;
    const int tries = acceptFailures - before;
    acceptFailsAlways = false;
    acceptError = 0;
    CHECK(tries >= 1);
    CHECK(tries <= tenths + 1);
    CHECK(client.read() == "answer to hello\n");
  }

  TEST_CASE_FIXTURE(Run, "a socket that cannot listen is an error") {
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      const auto badListener = [type] {
        return sys::Fd(
            sys::check(::socket(AF_INET, type | SOCK_NONBLOCK, 0), "socket"));
      };
      TestServer plain(badListener(), answer);
      CHECK_THROWS_WITH_AS(plain.serve_forever(),
                           doctest::Contains("accept4"), std::system_error);
      Scheduled scheduled(badListener(), answer);
      CHECK_THROWS_WITH_AS(scheduled.serve_forever(),
                           doctest::Contains("accept4"), std::system_error);
    }
    CHECK_NOTHROW(scheduler.run());
  }

  TEST_CASE_FIXTURE(Run,
                    "such a listener ends serve_forever of ScheduledMixIn") {
    Scheduled server(anyPort, answer);
    acceptError = EINVAL;
    CHECK_THROWS_WITH_AS(server.serve_forever(), doctest::Contains("accept"),
                         std::system_error);
    CHECK_NOTHROW(scheduler.run());
  }
}
#endif
// [/accept-error-tests]

// [test-few]
#if CLAIMS(departures)
namespace {

using CometServer = ScheduledMixIn<comet::CometServer<Waiters>>;

std::string httpClientGet(ScheduledFile& client, const std::string& path) {
  client.write("GET " + path + " HTTP/1.0\r\n\r\n");
  client.readUntil("\r\n\r\n").join();
  return client.read();
}

std::string get(const sys::Address& address, const std::string& path) {
  ScheduledFile client = ScheduledFile::connectTcp(address);
  return httpClientGet(client, path);
}

// The post's own test, as it stands there.
void testScheduledServer(int n) {
  InCoroutine<CometServer> serving(
      anyPort, handlerFor<comet::QuietCometHandler<Waiters>>);
  const sys::Address address = serving.server.server_address;
  const std::string all = std::to_string(n);

  // spin up a few clients
  int answered = 0;
  for (int i = 0; i < n; ++i)
    go([&, client = ScheduledFile::connectTcp(address)]() mutable {
      CHECK(httpClientGet(client, "/wait") == all);
      ++answered;
    });

  // wait until all clients are ready
  while (get(address, "/") != all) continue;
  // notify everyone
  CHECK(get(address, "/notify") == all);
  // wait for everyone to finish
  while (get(address, "/") != "0" || answered < n) continue;
  CHECK(answered == n);
}

}  // namespace

TEST_SUITE("server: the tests of 2009") {
  TEST_CASE_FIXTURE(Run, "testFew") {
    for (int n = 0; n < 10; ++n) testScheduledServer(n);
  }
}
#endif
// [/test-few]
