// Tests of the promise that the same handler runs under all three mix-ins:
// the post's handler, not a line of it changed, in coroutines, in threads and
// in processes. The clients are coroutines of the test in all three cases.

#include <doctest/doctest.h>
#include <fcntl.h>
#ifdef __linux__
#include <link.h>
#endif
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <limits>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "comet_handler.hpp"
#include "helpers.hpp"
#include "naglfar/naglfar.hpp"
#include "naglfar/server/waiters.hpp"

using namespace naglfar;
using namespace helpers;
using namespace std::chrono_literals;

// [test-helpers]
namespace {

const sys::Address anyPort("localhost", 0);
constexpr auto noLimit = std::numeric_limits<std::size_t>::max();

// For the clients of one test.
struct LongRun : Run {
  LongRun() : Run(120) {}
};

// How long a client may take.
sys::Duration patience = 60s;
struct Patience {
  explicit Patience(sys::Duration now) { patience = now; }
  ~Patience() { patience = 60s; }
};

// The post's handler, and paths on which it fails, or its process does.
template <class Waiters>
class Handler : public comet::QuietCometHandler<Waiters> {
 public:
  Handler(ScheduledFile& request, const sys::Address& client,
          TCPServer& accepted_by)
      : comet::QuietCometHandler<Waiters>(request, client, accepted_by) {
    this->headerTimeout = this->timeout = patience;
    this->connection.peerMaySend = true;
  }
  void do_POST() override { this->rfile.read(); }

  // More than fits into the buffers of the sockets, in bytes.
  static constexpr std::size_t large = std::size_t{8} << 20;

  void do_GET() override {
    if (this->path == "/die") std::raise(SIGKILL);
    if (this->path == "/throw") throw std::runtime_error("on demand");
    if (this->path == "/throw42") throw 42;
    if (this->path == "/large") {
      this->send_response(200);
      this->end_headers();
      return this->wfile.write(std::string(large, 'x'));
    }
    comet::QuietCometHandler<Waiters>::do_GET();
  }
};

// The post's server; it does not print what its handlers throw.
template <class Waiters>
class Server : public comet::CometServer<Waiters> {
 public:
  using comet::CometServer<Waiters>::CometServer;

 protected:
  void handle_error(const sys::Address&, const std::exception&) override {}
};

}  // namespace
// [/test-helpers]

// [three-servers]
namespace {

// In this thread, beside the clients.
class InCoroutines {
 public:
  InCoroutines() {
    go([this] {
      server_.serve_forever();
      ended_ = true;
    });
  }
  ~InCoroutines() {
    server_.shutdown();
    while (!ended_) yield();
  }
  sys::Address address() const { return server_.server_address; }

 private:
  ScheduledMixIn<Server<Waiters>> server_{anyPort,
                                          handlerFor<Handler<Waiters>>};
  bool ended_ = false;
};

// In a thread, with one more for each request.
class InThreads {
 public:
  explicit InThreads(std::size_t most = noLimit) {
    server_.maxConnections = most;
    thread_ = std::thread([this] { server_.serve_forever(); });
  }
  ~InThreads() {
    server_.shutdown();
    thread_.join();
  }
  sys::Address address() const { return server_.server_address; }

 private:
  ThreadingMixIn<Server<SharedWaiters>> server_{
      anyPort, handlerFor<Handler<SharedWaiters>>};
  std::thread thread_;
};

// In a child of this process, with one more for each request. Make it while
// there is one thread only, and before there is a scheduler.
class InProcesses {
 public:
  explicit InProcesses(std::size_t most = noLimit) {
    const int before = openDescriptors();
    auto server = std::make_unique<ForkingServer>(
        anyPort, handlerFor<Handler<SharedWaiters>>);
    server->maxConnections = most;
    address_ = server->server_address;
    child_ = sys::check(sys::fork(), "fork");
    if (child_ == 0) ::_exit(serve(std::move(server), before));
  }
  ~InProcesses() {
    if (child_ != -1) stop();
  }
  sys::Address address() const { return address_; }

  // Returns how the child has ended.
  std::string stop() {
    ::kill(child_, SIGTERM);
    int status = 0;
    sys::check(sys::waitpid(std::exchange(child_, -1), &status, 0),
               "waitpid");
    if (!WIFEXITED(status)) return "by a signal";
    switch (WEXITSTATUS(status)) {
      case 0:
        return "clean";
      case 1:
        return "with children left";
      case 2:
        return "with descriptors left";
      default:
        return "by an exception";
    }
  }

 private:
  using ForkingServer = ForkingMixIn<Server<SharedWaiters>>;

  // The whole life of the child.
  static int serve(std::unique_ptr<ForkingServer> server, int before) {
    static ForkingServer* serving;
    serving = server.get();
    ::alarm(120);
    std::signal(SIGTERM, [](int) { serving->shutdown(); });
    try {
      server->serve_forever();
      server.reset();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "the server: %s\n", error.what());
      return 3;
    } catch (...) {
      return 3;
    }
    if (::waitpid(-1, nullptr, WNOHANG) != -1 || errno != ECHILD) return 1;
    return openDescriptors() == before ? 0 : 2;
  }

  sys::Address address_;
  pid_t child_ = -1;
};

}  // namespace
// [/three-servers]

// [clients]
namespace {

// The body of the answer; empty if there was none.
std::string get(ScheduledFile& client, const std::string& path) {
  client.write("GET " + path + " HTTP/1.0\r\n\r\n");
  client.readUntil("\r\n\r\n").join();
  return client.read();
}

std::string get(const sys::Address& address, const std::string& path) {
  ScheduledFile client = ScheduledFile::connectTcp(address);
  return get(client, path);
}

// Asks until the server has the answer.
void await(const sys::Address& address, const std::string& answer) {
  while (get(address, "/") != answer) continue;
}

// The run of the post: n clients wait, and one notifies them.
void waitAndNotify(const sys::Address& address, int n) {
  const std::string all = std::to_string(n);
  int answered = 0;
  for (int i = 0; i < n; ++i)
    go([&, client = ScheduledFile::connectTcp(address)]() mutable {
      CHECK(get(client, "/wait") == all);
      ++answered;
    });
  await(address, all);
  CHECK(answered == 0);
  CHECK(get(address, "/notify") == all);
  await(address, "0");
  while (answered < n) await(address, "0");
  CHECK(answered == n);
}

// Five clients wait, and leave.
void waitAndLeave(const sys::Address& address) {
  std::vector<ScheduledFile> clients;
  for (int i = 0; i < 5; ++i) {
    clients.push_back(ScheduledFile::connectTcp(address));
    clients.back().write("GET /wait HTTP/1.0\r\n\r\n");
  }
  await(address, "5");
  clients.clear();
  await(address, "0");
}

// Three clients dawdle: with the head, drop by drop, and in the body. Each is
// answered by 408 when its time is over.
void dawdle(const sys::Address& address) {
  ScheduledFile half = ScheduledFile::connectTcp(address);
  half.write("GET / HT");
  CHECK(half.read().starts_with("HTTP/1.0 408 "));
  ScheduledFile drops = ScheduledFile::connectTcp(address);
  std::string answer;
  go([&] { answer = drops.readline(); });
  drops.write("GET / HTTP/1.0\r\nA: ");
  for (; answer.empty(); sleep(1ms)) try {
      drops.write("x");
    } catch (const std::system_error&) {
      continue;  // the server has closed, and the answer is on its way
    }
  CHECK(answer.starts_with("HTTP/1.0 408 "));
  ScheduledFile body = ScheduledFile::connectTcp(address);
  body.write("POST / HTTP/1.0\r\nContent-Length: 9\r\n\r\n1234");
  CHECK(body.read().starts_with("HTTP/1.0 408 "));
}

// Clients of HTTP/1.0 say more than their request, before the answer or while
// it is sent. They get all of it.
void sayMore(const sys::Address& address) {
  ScheduledFile waiting = ScheduledFile::connectTcp(address);
  waiting.write("GET /wait HTTP/1.0\r\n\r\n");
  await(address, "1");
  waiting.write("\r\n");
  CHECK(get(address, "/notify") == "1");
  CHECK(waiting.read().ends_with("\r\n\r\n1"));

  ScheduledFile loading = ScheduledFile::connectTcp(address);
  loading.write("GET /large HTTP/1.0\r\n\r\n");
  loading.read(1);
  loading.write("\r\n");
  loading.readUntil("\r\n\r\n").join();
  CHECK(loading.read().size() == Handler<Waiters>::large);
}

// A handler that says one word.
void goodbye(ScheduledFile& request, const sys::Address&, TCPServer&) {
  request.write("goodbye");
}

// The same for a handler that knows nothing of HTTP, and reads nothing.
void sayMoreToRaw(TCPServer& server) {
  for (const std::size_t n : {1, 100'000}) {
    ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
    client.write(std::string(n, 'x'));
    CHECK(server.handle_request());
    CHECK(client.read() == "goodbye");
  }
}

// Of a server with three places, ten clients begin to ask. The fourth is
// served when one of the first three is, and so are all the others.
void crowd(const sys::Address& address) {
  std::vector<ScheduledFile> clients;
  for (int i = 0; i < 10; ++i) {
    clients.push_back(ScheduledFile::connectTcp(address));
    clients.back().write("GET / HTTP/1.0\r\n");
  }
  const auto ask = [&clients](int i) {
    clients[i].write("\r\n");
    return clients[i].read().substr(0, 12);
  };
  // Nothing tells that somebody waits: give it time to do otherwise.
  clients[3].write("\r\n");
  clients[3].deadline = after(50ms);
  CHECK_THROWS_AS(clients[3].read(), std::system_error);
  clients[3].deadline = never;
  CHECK(ask(0) == "HTTP/1.0 200");
  CHECK(clients[3].read().substr(0, 12) == "HTTP/1.0 200");
  for (const int i : {1, 2, 4, 5, 6, 7, 8, 9})
    CHECK(ask(i) == "HTTP/1.0 200");
}

// Handlers throw: their clients get a 500, and the next request is served.
void failAndGoOn(const sys::Address& address) {
  for (const char* path : {"/throw", "/throw42"}) {
    CHECK(get(address, path).find("Error 500") != std::string::npos);
    CHECK(get(address, "/") == "0");
  }
}

// What a client hears from a server that serves one request.
std::string askOnce(TCPServer& server) {
  sys::Fd socket(sys::check(sys::socket(sys::Mode::blocking), "socket"));
  goConnect(socket.get(), server.server_address);
  ScheduledFile client(std::move(socket));
  CHECK(server.handle_request());
  return client.read();
}

}  // namespace
// [/clients]

// [mix-in-tests]
TEST_SUITE("mix-ins: coroutines") {
  TEST_CASE_FIXTURE(LongRun,
                    "50 wait and all 50 are told under ScheduledMixIn") {
    const int before = openDescriptors();
    {
      const InCoroutines server;
      waitAndNotify(server.address(), 50);
      waitAndNotify(server.address(), 50);
    }
    CHECK(openDescriptors() == before);
  }

  TEST_CASE_FIXTURE(LongRun, "defect 4: departures under ScheduledMixIn") {
    const InCoroutines server;
    waitAndLeave(server.address());
    waitAndNotify(server.address(), 3);
  }

  TEST_CASE_FIXTURE(LongRun, "defect 12: exceptions under ScheduledMixIn") {
    const InCoroutines server;
    failAndGoOn(server.address());
  }

  TEST_CASE_FIXTURE(LongRun, "the last answer arrives under ScheduledMixIn") {
    const InCoroutines server;
    sayMore(server.address());
    ScheduledMixIn<TCPServer> raw(anyPort, goodbye);
    sayMoreToRaw(raw);
  }

  TEST_CASE_FIXTURE(LongRun, "deadlines bind clients under ScheduledMixIn") {
    const Patience impatient(20ms);
    const InCoroutines server;
    dawdle(server.address());
  }
}

TEST_SUITE("mix-ins: threads") {
  TEST_CASE_FIXTURE(LongRun,
                    "50 wait and all 50 are told under ThreadingMixIn") {
    const int before = openDescriptors();
    const std::uint64_t closed = totalLedger()[Call::close];
    {
      const InThreads server;
      waitAndNotify(server.address(), 50);
      waitAndNotify(server.address(), 50);
    }
    // No request's thread outlives the server, so nothing is still open, and
    // each has settled what it counted.
    CHECK(openDescriptors() == before);
    const std::uint64_t closedHere = ledger[Call::close];
    CHECK(totalLedger()[Call::close] - closed >= closedHere + 100);
  }

  TEST_CASE_FIXTURE(LongRun, "defect 4: departures under ThreadingMixIn") {
    const InThreads server;
    waitAndLeave(server.address());
    waitAndNotify(server.address(), 3);
  }

  TEST_CASE_FIXTURE(LongRun, "defect 12: exceptions under ThreadingMixIn") {
    const InThreads server;
    failAndGoOn(server.address());
  }

  TEST_CASE_FIXTURE(LongRun, "the last answer arrives under ThreadingMixIn") {
    const InThreads server;
    sayMore(server.address());
    ThreadingMixIn<TCPServer> raw(anyPort, goodbye);
    sayMoreToRaw(raw);
  }

  TEST_CASE_FIXTURE(LongRun, "deadlines bind clients under ThreadingMixIn") {
    const Patience impatient(20ms);
    const InThreads server;
    dawdle(server.address());
  }

  TEST_CASE_FIXTURE(LongRun, "connections past the limit wait for threads") {
    const InThreads server(3);
    crowd(server.address());
    waitAndNotify(server.address(), 2);
  }

  TEST_CASE_FIXTURE(LongRun, "a server without room for one more can end") {
    ThreadingMixIn<Server<SharedWaiters>> server(
        anyPort, handlerFor<Handler<SharedWaiters>>);
    server.maxConnections = 1;
    std::thread thread([&] { server.serve_forever(); });
    ScheduledFile asks = ScheduledFile::connectTcp(server.server_address);
    asks.write("GET /");
    ScheduledFile waits = ScheduledFile::connectTcp(server.server_address);
    waits.write("GET / HTTP/1.0\r\n\r\n");
    sleep(20ms);  // nothing tells that the server has found no room
    server.shutdown();
    thread.join();  // while the request runs
    asks.write(" HTTP/1.0\r\n\r\n");
    CHECK(asks.read().ends_with("\r\n\r\n0"));
    server.server_close();
    CHECK_THROWS_AS(waits.read(), std::system_error);
  }

  TEST_CASE_FIXTURE(LongRun, "a server that goes waits for its requests") {
    auto server = std::make_unique<InThreads>();
    const sys::Address address = server->address();
    ScheduledFile waiting = ScheduledFile::connectTcp(address);
    waiting.write("GET /wait HTTP/1.0\r\n\r\n");
    await(address, "1");
    // It has begun to ask: a request that has not is none to wait for.
    ScheduledFile notifying = ScheduledFile::connectTcp(address);
    notifying.write("GET /notify HTTP/1.0\r\n");
    await(address, "1");  // so that the other one has been accepted, too
    std::atomic<bool> gone = false;
    std::thread goes([&] {
      server.reset();
      gone = true;
    });
    // Nothing tells that somebody waits: give it time to do otherwise.
    for (const auto end = sys::now() + 50ms; !gone && sys::now() < end;)
      std::this_thread::yield();
    CHECK_FALSE(gone);
    notifying.write("\r\n");
    CHECK(notifying.read().ends_with("\r\n\r\n1"));
    CHECK(waiting.read().ends_with("\r\n\r\n1"));
    goes.join();
  }
}

TEST_SUITE("mix-ins: processes") {
  TEST_CASE("50 wait and all 50 are told under ForkingMixIn") {
    InProcesses server;
    const LongRun run;
    waitAndNotify(server.address(), 50);
    waitAndNotify(server.address(), 50);
    CHECK(server.stop() == "clean");
  }

  TEST_CASE("defect 4: departures under ForkingMixIn") {
    InProcesses server;
    const LongRun run;
    waitAndLeave(server.address());
    waitAndNotify(server.address(), 3);
    CHECK(server.stop() == "clean");
  }

  TEST_CASE("defect 12: exceptions under ForkingMixIn") {
    InProcesses server;
    const LongRun run;
    failAndGoOn(server.address());
    CHECK(server.stop() == "clean");
  }

  TEST_CASE("the last answer arrives under ForkingMixIn") {
    InProcesses server;
    {
      const LongRun run;
      sayMore(server.address());
      ForkingMixIn<TCPServer> raw(anyPort, goodbye);
      sayMoreToRaw(raw);
    }
    CHECK(server.stop() == "clean");
  }

  TEST_CASE("deadlines bind clients under ForkingMixIn") {
    const Patience impatient(20ms);
    InProcesses server;
    const LongRun run;
    dawdle(server.address());
    CHECK(server.stop() == "clean");
  }

  TEST_CASE("connections past the limit wait for processes") {
    InProcesses server(3);
    const Run run;
    crowd(server.address());
    waitAndNotify(server.address(), 2);
    CHECK(server.stop() == "clean");
  }

  TEST_CASE("a child that dies without a word makes room") {
    InProcesses server(1);
    const Run run;
    for (int i = 0; i < 3; ++i) {
      ScheduledFile dies = ScheduledFile::connectTcp(server.address());
      dies.write("GET /die HTTP/1.0\r\n\r\n");
      CHECK(dies.read() == "");
    }
    CHECK(get(server.address(), "/") == "0");
    CHECK(server.stop() == "clean");
  }

  // A request in a child does not change its parent, except through memory
  // that they share.
  TEST_CASE("defect 24: what a child does stays in the child") {
    class Counting : public BaseHTTPRequestHandler {
     public:
      using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
      void do_GET() override {
        static int served = 0;
        send_response(200);
        end_headers();
        wfile.write(std::to_string(++served));
      }
      void log_message(std::string_view) override {}
    };
    ::alarm(60);
    ForkingMixIn<HTTPServer> server(anyPort, handlerFor<Counting>);
    for (int i = 0; i < 3; ++i) {
      sys::Fd socket(sys::check(sys::socket(sys::Mode::blocking), "socket"));
      goConnect(socket.get(), server.server_address);
      ScheduledFile client(std::move(socket));
      client.write("GET / HTTP/1.0\r\n\r\n");
      client.flush();
      CHECK(server.handle_request());
      CHECK(client.read().ends_with("\r\n\r\n1"));
    }
    ::alarm(0);
  }

  // It has a copy of the parent's, and would run what waits in it.
  TEST_CASE_FIXTURE(LongRun,
                    "a child has no part in its parent's scheduler") {
    ForkingMixIn<TCPServer> server(
        anyPort, [](ScheduledFile& request, const sys::Address&, TCPServer&) {
          request.write(Scheduler::ofThread() == nullptr ? "none" : "one");
        });
    CHECK(askOnce(server) == "none");
  }

  // A child that leaves by exit(3) would do what its parent has yet to do.
  TEST_CASE("a child leaves without the parent's cleaning up") {
    static int atExit = -1;
    REQUIRE(std::atexit([] {
              if (atExit != -1) (void)!::write(atExit, "x", 1);
            }) == 0);
    ::alarm(60);
    int ends[2];
    sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
    const sys::Fd reader(ends[0]);
    const sys::Fd writer(ends[1]);
    {
      ForkingMixIn<TCPServer> server(anyPort, goodbye);
      atExit = writer.get();
      CHECK(askOnce(server) == "goodbye");
    }  // has waited for the child
    atExit = -1;
    char byte = 0;
    CHECK(sys::read(reader.get(), &byte, 1) == -1);
    ::alarm(0);
  }

  // A child has a copy of its parent's frames, and what left the request
  // would go through them.
  TEST_CASE("an error in handle_error ends the child that it is in") {
    struct Careless : ForkingMixIn<TCPServer> {
      using ForkingMixIn::ForkingMixIn;
      void handle_error(const sys::Address&, const std::exception&) override {
        throw std::runtime_error("the log is full");
      }
    };
    ::alarm(60);
    int ends[2];
    sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
    const sys::Fd reader(ends[0]);
    const sys::Fd writer(ends[1]);
    {
      Careless server(anyPort,
                      [](ScheduledFile&, const sys::Address&, TCPServer&) {
                        throw std::logic_error("no");
                      });
      server.maxConnections = 1;
      for (int i = 0; i < 3; ++i) {
        sys::Fd socket(
            sys::check(sys::socket(sys::Mode::blocking), "socket"));
        goConnect(socket.get(), server.server_address);
        ScheduledFile client(std::move(socket));
        try {
          server.handle_request();
        } catch (const std::runtime_error&) {
          sys::write(writer.get(), "x", 1);
          ::_exit(1);
        }
        CHECK(client.read() == "");
      }
    }  // has waited for the children
    char byte = 0;
    CHECK(sys::read(reader.get(), &byte, 1) == -1);
    ::alarm(0);
  }

  // Zombies are counted by what is left to be waited for.
  TEST_CASE("children are collected while the server runs") {
    ::alarm(60);
    constexpr int requests = 60;
    const std::uint64_t before = ledger[Call::waitpid];
    ForkingMixIn<TCPServer> server(anyPort, goodbye);
    for (int i = 0; i < requests; ++i) CHECK(askOnce(server) == "goodbye");
    // Each of them at least once but for the last few, and not all of them
    // at each request.
    CHECK(ledger[Call::waitpid] - before >= 16);
    CHECK(ledger[Call::waitpid] - before < 4 * requests);
    ::alarm(0);
  }

  // Both end by a write to a pipe, and so does shutdown() in the parent.
  TEST_CASE("the ledger has all calls of a child and of a thread") {
    shareLedger();
    const Ledger before = totalLedger();
    SUBCASE("child") {
      ForkingMixIn<TCPServer> server(anyPort, goodbye);
      CHECK(askOnce(server) == "goodbye");
      server.shutdown();
      server.server_close();
    }
    SUBCASE("thread") {
      ThreadingMixIn<TCPServer> server(anyPort, goodbye);
      server.maxConnections = 1;
      CHECK(askOnce(server) == "goodbye");
      server.shutdown();
      server.server_close();
    }
    const Ledger after = totalLedger();
    CHECK(after[Call::rt_sigprocmask] - before[Call::rt_sigprocmask] >= 4);
  }

  // The test's own scheduler watches and waits while its process forks.
  TEST_CASE_FIXTURE(LongRun,
                    "defect 24: a fork leaves the parent its events") {
    ForkingMixIn<comet::CometServer<SharedWaiters>> server(
        anyPort, handlerFor<comet::QuietCometHandler<SharedWaiters>>);
    int ends[2];
    sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
    const sys::Fd ours(ends[0]);
    const sys::Fd peer(ends[1]);
    std::string got;
    go([&] { got = goRead(ours.get(), 1); });
    yield();
    {
      ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
      client.write("GET / HTTP/1.0\r\n\r\n");
      server.handle_request();  // a child comes and goes
      CHECK(client.read().ends_with("\r\n\r\n0"));
    }
    goWrite(peer.get(), "x");
    scheduler.run();
    CHECK(got == "x");
  }
}
// [/mix-in-tests]

// [fork-tests]
namespace {

template <class Server>
struct InCoroutine {
  explicit InCoroutine(TCPServer::Handler handler)
      : server(anyPort, handler) {
    go([this] {
      server.serve_forever();
      ended = true;
    });
  }
  ~InCoroutine() {
    server.shutdown();
    while (!ended) yield();
  }
  Server server;
  bool ended = false;
};

// Closes a client's end. Its children have the socket, too.
void endOf(ScheduledFile& client) {
  client.flush();
  sys::check(sys::endWriting(client.fileno()), "shutdown");
}

// Whether a child of this process is left, dead or alive.
bool childrenLeft() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0;
}

// Answers each line until it is told to stop.
void echo(ScheduledFile& request, const sys::Address&, TCPServer& server) {
  for (std::string line; !(line = request.readline()).empty();) {
    if (line == "die\n") std::raise(SIGKILL);
    const bool stopping = server.stopping();
    request.write(stopping ? "the last\n" : line);
    request.flush();
    if (stopping) return;
  }
}

using Forking = ForkingMixIn<TCPServer>;

}  // namespace

TEST_SUITE("mix-ins: what a fork copies") {
  TEST_CASE_FIXTURE(LongRun, "a child does not hold the listening socket") {
    InCoroutine<Forking> serving(echo);
    const sys::Address address = serving.server.server_address;
    ScheduledFile client = ScheduledFile::connectTcp(address);
    client.write("a\n");
    CHECK(client.readline() == "a\n");
    serving.server.shutdown();
    while (!serving.ended) yield();
    serving.server.TCPServer::server_close();
    CHECK_NOTHROW(TCPServer(address, echo));
    client.write("b\n");
    CHECK(client.readline() == "the last\n");
  }

  TEST_CASE_FIXTURE(LongRun, "no zombie stays with a server that is idle") {
    const InCoroutine<Forking> serving(echo);
    const sys::Address address = serving.server.server_address;
    for (const char* end : {"", "die\n"}) {
      ScheduledFile client = ScheduledFile::connectTcp(address);
      client.write("a\n");
      CHECK(client.readline() == "a\n");
      CHECK(childrenLeft());
      if (*end != '\0') client.write(end);
      endOf(client);
      while (childrenLeft()) yield();
    }
  }

  TEST_CASE_FIXTURE(LongRun, "an order to stop reaches a busy child") {
    InCoroutine<Forking> serving(echo);
    ScheduledFile client =
        ScheduledFile::connectTcp(serving.server.server_address);
    client.write("a\n");
    CHECK(client.readline() == "a\n");
    serving.server.shutdown();
    client.write("b\n");
    CHECK(client.read() == "the last\n");
  }

  TEST_CASE_FIXTURE(LongRun, "and one from a child reaches its parent") {
    InCoroutine<Forking> serving(
        [](ScheduledFile&, const sys::Address&, TCPServer& server) {
          server.shutdown();
        });
    CHECK(ScheduledFile::connectTcp(serving.server.server_address).read() ==
          "");
    while (!serving.ended) yield();
  }

  // Others have their turns while the server waits for it.
  TEST_CASE_FIXTURE(LongRun, "no child outlives the grace period") {
    InCoroutine<Forking> serving(
        [](ScheduledFile& request, const sys::Address&, TCPServer&) {
          request.write("a\n");
          request.flush();
          for (;;) request.readline();
        });
    ScheduledFile client =
        ScheduledFile::connectTcp(serving.server.server_address);
    CHECK(client.readline() == "a\n");
    int turns = 0;
    Task others = go([&] {
      for (;; ++turns) yield();
    });
    SUBCASE("of server_close()") {
      serving.server.gracePeriod = 30ms;
      serving.server.server_close();
      CHECK(turns > 10);
    }
    SUBCASE("of a server that is destroyed") {
      Forking* const gone = new Forking(anyPort, [](auto& request, auto&...) {
        request.write("a\n");
        request.flush();
        for (;;) request.readline();
      });
      gone->gracePeriod = {};
      ScheduledFile other = ScheduledFile::connectTcp(gone->server_address);
      gone->handle_request();
      CHECK(other.readline() == "a\n");
      delete gone;
      CHECK(other.read() == "");
      serving.server.gracePeriod = {};
      serving.server.server_close();
    }
    CHECK_FALSE(childrenLeft());
    CHECK(client.read() == "");
    others.cancel();  // the coroutine would outlive what it counts in
  }

  // A limit of 0 counts as 1.
  TEST_CASE_FIXTURE(LongRun, "a server without room lets the others run") {
    const auto check = [](auto& serving, std::size_t most) {
      serving.server.maxConnections = most;
      const sys::Address address = serving.server.server_address;
      ScheduledFile first = ScheduledFile::connectTcp(address);
      first.write("a\n");
      CHECK(first.readline() == "a\n");
      ScheduledFile second = ScheduledFile::connectTcp(address);
      second.write("b\n");
      second.flush();
      for (int turn = 0; turn < 20; ++turn) yield();
      endOf(first);
      CHECK(second.readline() == "b\n");
      second.write("c\n");
      CHECK(second.readline() == "c\n");
      endOf(second);
    };
    for (const std::size_t most : {1, 0}) {
      CAPTURE(most);
      {
        InCoroutine<ScheduledMixIn<TCPServer>> serving(echo);
        check(serving, most);
      }
      {
        InCoroutine<ThreadingMixIn<TCPServer>> serving(echo);
        check(serving, most);
      }
      InCoroutine<Forking> serving(echo);
      check(serving, most);
    }
  }
}
// [/fork-tests]

// [hook-tests]
// Each function that a program may override, under each mix-in: it throws,
// the connection is closed, the error is told, and the next request is
// served.
namespace {

enum class Hook {
  none,
  constructor,
  do_GET,
  handle_expect_100,
  log_request,
  log_error,
  log_message,
  version_string,
  address_string,
  finish_request,
  handle_error,
  idle,
  last = idle,
  process_request  // whose test is apart
};

std::atomic<Hook> failing = Hook::none;

void mayFail(Hook hook) {
  if (failing == hook) throw std::runtime_error("a hook has failed");
}

class HookedHandler : public BaseHTTPRequestHandler {
 public:
  HookedHandler(ScheduledFile& request, const sys::Address& client,
                TCPServer& accepted_by)
      : BaseHTTPRequestHandler(request, client, accepted_by) {
    protocol_version = "HTTP/1.1";
    lingerTimeout = {};  // a child has the client's socket, too
    mayFail(Hook::constructor);
  }
  void do_GET() override {
    mayFail(Hook::do_GET);
    mayFail(Hook::handle_error);  // which is called when this throws
    if (failing == Hook::log_error) return send_error(404);
    send_response(204);
    send_header("Connection", "close");
    end_headers();
  }
  void handle_expect_100() override {
    mayFail(Hook::handle_expect_100);
    BaseHTTPRequestHandler::handle_expect_100();
  }
  void log_request(int code, std::string_view size) override {
    mayFail(Hook::log_request);
    BaseHTTPRequestHandler::log_request(code, size);
  }
  void log_error(std::string_view message) override {
    mayFail(Hook::log_error);
    BaseHTTPRequestHandler::log_error(message);
  }
  void log_message(std::string_view message) override {
    mayFail(Hook::log_message);
    BaseHTTPRequestHandler::log_message(message);
  }
  std::string version_string() const override {
    mayFail(Hook::version_string);
    return BaseHTTPRequestHandler::version_string();
  }
  std::string address_string() const override {
    mayFail(Hook::address_string);
    return BaseHTTPRequestHandler::address_string();
  }
};

template <class Mixed>
struct Hooked : Mixed {
  using Mixed::Mixed;
  void finish_request(ScheduledFile& request,
                      const sys::Address& client) override {
    mayFail(Hook::finish_request);
    Mixed::finish_request(request, client);
  }
  void handle_error(const sys::Address& client,
                    const std::exception& error) override {
    mayFail(Hook::handle_error);
    Mixed::handle_error(client, error);
  }
  void idle(int connection, bool waits) override {
    if (waits) mayFail(Hook::idle);
    Mixed::idle(connection, waits);
  }
};

// It serves each request itself, because process_request() is the mix-in's.
template <class Mixed>
struct HookedProcess : Hooked<Mixed> {
  using Hooked<Mixed>::Hooked;
  void process_request(TCPServer::Request request) override {
    mayFail(Hook::process_request);
    this->serve(request);
  }
};

// What this process and its children write to standard error.
class StandardError {
 public:
  StandardError() { ::dup2(::fileno(file_), STDERR_FILENO); }
  ~StandardError() {
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
    std::fclose(file_);
  }
  StandardError(const StandardError&) = delete;
  StandardError& operator=(const StandardError&) = delete;

  bool has(std::string_view text) {
    std::string all(65536, '\0');
    const ssize_t n = ::pread(::fileno(file_), all.data(), all.size(), 0);
    return std::string_view(all)
               .substr(0, static_cast<std::size_t>(n))
               .find(text) != std::string_view::npos;
  }

 private:
  std::FILE* file_ = std::tmpfile();
  int before_ = ::dup(STDERR_FILENO);
};

std::string askHooked(const sys::Address& address) {
  ScheduledFile client = ScheduledFile::connectTcp(address);
  client.write(
      "GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
      "Content-Length: 1\r\n\r\nx");
  client.deadline = after(60s);
  try {
    return client.read();
  } catch (const std::system_error& error) {
    return error.code() == std::errc::timed_out ? "a timeout" : "a reset";
  }
}

enum class Unhandled { unset, set, throws };

template <class Mixed>
void hooksThrow(Scheduler& scheduler, Hook first, Hook last,
                bool hasScheduler) {
  for (int hook = static_cast<int>(first); hook <= static_cast<int>(last);
       ++hook)
    for (const Unhandled unhandled :
         {Unhandled::unset, Unhandled::set, Unhandled::throws}) {
      CAPTURE(hook);
      CAPTURE(static_cast<int>(unhandled));
      int told = 0;
      if (unhandled != Unhandled::unset)
        scheduler.unhandled = [&](const std::exception_ptr&) {
          ++told;
          if (unhandled == Unhandled::throws)
            throw std::runtime_error("unhandled has failed");
        };
      StandardError log;
      {
        InCoroutine<Mixed> serving(handlerFor<HookedHandler>);
        const sys::Address address = serving.server.server_address;
        failing = static_cast<Hook>(hook);
        CHECK(askHooked(address) != "a timeout");
        const bool here = failing == Hook::handle_error && hasScheduler;
        failing = Hook::none;
        CHECK(askHooked(address).find("204 No Content") != std::string::npos);
        CHECK_FALSE(serving.ended);
        serving.server.shutdown();
        while (!serving.ended) yield();
        serving.server.server_close();
        if (here && unhandled == Unhandled::set) {
          CHECK(told == 1);
        } else {
          while (!log.has("a hook has failed")) yield();
        }
        if (here && unhandled == Unhandled::throws)
          CHECK(log.has("unhandled has failed"));
      }
      scheduler.unhandled = nullptr;
    }
}

}  // namespace

#ifdef __linux__
TEST_SUITE("mix-ins: what a thread costs") {
  // The memory that the program sets up, and touches, for each new thread. A
  // sanitizer that is linked into the program has much more.
  TEST_CASE("a thread has less than a page of variables of its own") {
    if (fiberHooksOn) return;
    std::size_t size = 0;
    const auto add = [](dl_phdr_info* info, std::size_t, void* sum) {
      for (int i = 0; i < info->dlpi_phnum; ++i)
        if (info->dlpi_phdr[i].p_type == PT_TLS)
          *static_cast<std::size_t*>(sum) += info->dlpi_phdr[i].p_memsz;
      return 1;  // the program comes first, and the others do not count
    };
    ::dl_iterate_phdr(add, &size);
    CHECK(size > 0);
    CHECK(size < 4096);
  }
}
#endif

TEST_SUITE("mix-ins: hooks that throw") {
  template <class Mixed, class WithHooks = Hooked<Mixed>>
  void allHooks(Scheduler & scheduler, bool hasScheduler) {
    hooksThrow<WithHooks>(scheduler, Hook::constructor, Hook::last,
                          hasScheduler);
    hooksThrow<HookedProcess<Mixed>>(scheduler, Hook::process_request,
                                     Hook::process_request, hasScheduler);
  }

  TEST_CASE_FIXTURE(LongRun, "a hook that throws ends its request only") {
    SUBCASE("without a mix-in") {
      allHooks<HTTPServer>(scheduler, true);
    }
    SUBCASE("in coroutines") {
      allHooks<ScheduledMixIn<HTTPServer>>(scheduler, true);
    }
    SUBCASE("in threads") {
      // The destructor of the mix-in waits for the threads, so the hooks that
      // they call must stand below it.
      allHooks<ThreadingMixIn<HTTPServer>,
               ThreadingMixIn<Hooked<HTTPServer>>>(scheduler, false);
    }
    SUBCASE("in processes") {
      allHooks<ForkingMixIn<HTTPServer>>(scheduler, false);
    }
  }
}
// [/hook-tests]
