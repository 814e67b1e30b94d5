// What becomes of a server when there is no memory: each allocation of a
// scenario is refused in turn (see refuse.hpp), to the server and to its
// handlers. A client gets its whole answer, or a 500, or the end of its
// connection, and the server tells of that; and when memory is back, the
// server serves. No connection, waiting request or descriptor is lost.

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "helpers.hpp"
#include "naglfar/http.hpp"
#include "naglfar/server/waiters.hpp"
#include "refuse.hpp"

using namespace naglfar;
using namespace helpers;
using namespace std::chrono_literals;

namespace {

const sys::Address anyPort("127.0.0.1", 0);
const std::string hello = "hello, this is a body that needs an allocation\n";

std::size_t coroutines() {
  std::size_t n = 0;
  Scheduler::current().forEachCoroutine([&n](const Coroutine&) { ++n; });
  return n;
}

// [refused-server]
// Counts what it tells of.
class TestServer : public HTTPServer {
 public:
  using HTTPServer::HTTPServer;
  int told = 0;
  Waiters waiters;
  TempFile page{hello};

 protected:
  void handle_error(const sys::Address&, const std::exception&) override {
    ++told;
  }
};

// Answers in each of the ways in which an answer can be written.
class Handler : public BaseHTTPRequestHandler {
 public:
  Handler(ScheduledFile& request, const sys::Address& client,
          TCPServer& accepted_by)
      : BaseHTTPRequestHandler(request, client, accepted_by) {
    protocol_version = "HTTP/1.1";
  }
  void log_message(std::string_view) override {}

  void do_GET() override {
    auto& waiters = static_cast<TestServer&>(server).waiters;
    if (path == "/chunks") return chunks();
    if (path == "/stubborn") return stubborn();
    if (path == "/stubborn-chunks") return stubbornChunks();
    if (path == "/wait") waiters.wait(rfile.fileno());
    if (path == "/notify") waiters.notifyAll();
    answer(hello);
  }
  void do_POST() override { answer(rfile.read()); }

 private:
  void answer(const std::string& body) {
    send_response(200);
    send_header("Content-Type", "text/plain; charset=utf-8");
    send_header("Content-Length", std::to_string(body.size()));
    end_headers();
    wfile.write(body);
  }
  void chunks() {
    send_response(200);
    startChunks();
    for (int i = 0; i < 3; ++i) sendChunk(hello);
    endChunks();
  }
  // Goes on after a step that has failed, as if nothing were missing.
  template <class Step>
  void bear(Step step) {
    try {
      step();
    } catch (const std::exception&) {
      ++static_cast<TestServer&>(server).told;
    }
  }
  void stubborn() {
    bear([&] { send_response(200); });
    bear([&] { send_header("X-Long", std::string(300, 'x')); });
    bear([&] { send_header("X-Longer", std::string(900, 'x')); });
    bear([&] { send_header("Content-Length", "141"); });
    bear([&] { end_headers(); });
    for (int i = 0; i < 3; ++i) bear([&] { wfile.write(hello); });
  }
  void stubbornChunks() {
    bear([&] { send_response(200); });
    bear([&] { startChunks(); });
    bear([&] { wfile.write(hello); });
    bear([&] {
      const int page = static_cast<TestServer&>(server).page.fd();
      wfile.sendfile(page, 0, hello.size());
    });
    bear([&] { wfile.write(hello); });
    bear([&] { endChunks(); });
  }
};
// [/refused-server]

// [refused-client]
// A client that needs no memory to send and to collect: the test's thread
// runs it while memory is refused.
class Client {
 public:
  Client(const sys::Address& server, std::string request)
      : request_(std::move(request)),
        fd_(sys::check(sys::socket(sys::Mode::nonblocking), "socket")) {
    answer.reserve(65536);
    const int result = sys::connect(fd_.get(), server);
    REQUIRE((result == 0 || errno == EINPROGRESS));
  }
  // Sends the request, as soon as the connection is there.
  void send() {
    std::string_view rest = request_;
    while (!rest.empty()) {
      const ssize_t n = sys::write(fd_.get(), rest.data(), rest.size());
      if (n == -1 && errno != EAGAIN) return;
      if (n > 0) rest.remove_prefix(static_cast<std::size_t>(n));
      if (n == -1) yield();
    }
  }
  // The client sends no more.
  void endInput() { sys::endWriting(fd_.get()); }
  // Takes what has come. At the end it closes its own end.
  void collect() {
    std::array<char, 4096> bytes;
    ssize_t n = 0;
    while ((n = sys::read(fd_.get(), bytes.data(), bytes.size())) > 0)
      answer.append(bytes.data(), static_cast<std::size_t>(n));
    ended = n == 0 || errno != EAGAIN;
    if (ended) fd_ = sys::Fd();
  }
  // Takes all until the end, where memory is not refused.
  void await() {
    while (collect(), !ended) goWait(fd_.get(), Interest::read, after(5s));
  }
  std::string answer;
  bool ended = false;

 private:
  std::string request_;
  sys::Fd fd_;
};

struct Answer {
  int status = 0;
  std::string body;
};

// Cuts a stream into answers. Nothing if what it says is wrong; what is
// missing at its end is left out.
std::optional<std::vector<Answer>> answersOf(std::string_view stream) {
  std::vector<Answer> all;
  while (!stream.empty()) {
    const std::size_t head = stream.find("\r\n\r\n");
    if (head == std::string_view::npos) break;
    std::string_view lines = stream.substr(0, head + 2);
    stream.remove_prefix(head + 4);
    if (!lines.starts_with("HTTP/1.1 ")) return std::nullopt;
    Answer answer;
    std::from_chars(lines.data() + 9, lines.data() + 12, answer.status);
    std::size_t length = 0;
    bool chunked = false;
    lines.remove_prefix(lines.find("\r\n") + 2);
    while (!lines.empty()) {
      const std::string_view line = lines.substr(0, lines.find("\r\n"));
      lines.remove_prefix(line.size() + 2);
      const std::size_t colon = line.find(": ");
      if (colon == std::string_view::npos ||
          line.find_first_of(":\r\n", colon + 2) <
              line.find_first_of("0123456789", colon))
        return std::nullopt;
      const std::string_view name = line.substr(0, colon);
      if (!isToken(name)) return std::nullopt;
      const std::string_view value = line.substr(colon + 2);
      if (name == "Content-Length")
        std::from_chars(value.data(), value.data() + value.size(), length);
      if (name == "Transfer-Encoding") chunked = true;
      if (name.starts_with("X-") &&
          value.find_first_not_of('x') != std::string_view::npos)
        return std::nullopt;
    }
    if (!chunked) {
      if (stream.size() < length) break;
      answer.body = stream.substr(0, length);
      stream.remove_prefix(length);
    }
    for (std::size_t size = 1; chunked && size > 0;) {
      const std::size_t end = stream.find("\r\n");
      if (end == std::string_view::npos) return all;
      const auto [last, error] =
          std::from_chars(stream.data(), stream.data() + end, size, 16);
      if (error != std::errc() || last != stream.data() + end)
        return std::nullopt;
      stream.remove_prefix(end + 2);
      if (stream.size() < size + 2) return all;
      answer.body += stream.substr(0, size);
      stream.remove_prefix(size);
      if (!stream.starts_with("\r\n")) return std::nullopt;
      stream.remove_prefix(2);
    }
    all.push_back(std::move(answer));
  }
  return all;
}
// [/refused-client]

std::string get(std::string_view path, bool last) {
  return "GET " + std::string(path) + " HTTP/1.1\r\nHost: localhost\r\n" +
         (last ? "Connection: close\r\n" : "") + "\r\n";
}

// A server of a kind in a scheduler of its own.
template <class Server>
struct Running {
  ~Running() {
    server.shutdown();
    CHECK_NOTHROW(serving.join());
    server.server_close();
    CHECK(coroutines() == 0);
  }
  Scheduler scheduler;
  Server server{anyPort, handlerFor<Handler>};
  Task serving = go([this] { server.serve_forever(); });
};

// Clients send their requests and are served while memory is refused. Then a
// last client asks for a path. Returns how many allocations there are.
template <class Server>
int sweep(const std::vector<std::string>& requests, std::size_t answersOfEach,
          const std::string& expected, std::string_view lastPath = "/") {
  const int before = openDescriptors();
  const int allocations = refuse::each([&](const refuse::Which& which) {
    Running<Server> running;
    std::vector<Client> clients;
    for (const std::string& request : requests)
      clients.emplace_back(running.server.server_address, request);
    const bool whole = refuse::during(which, [&] {
      for (Client& client : clients) client.send();
      for (int i = 0; i < 60; ++i) yield();
    });
    CHECK(whole);  // nothing has left the scheduler
    REQUIRE_FALSE(running.serving.done());
    Client last(running.server.server_address, get(lastPath, true));
    last.send();
    Task asking = go([&last] { last.await(); });
    int unanswered = 0;
    for (Client& client : clients) {
      REQUIRE_NOTHROW(client.await());
      const auto answers = answersOf(client.answer);
      CAPTURE(client.answer);
      REQUIRE(answers);
      bool good = answers->size() == answersOfEach;
      for (const Answer& answer : *answers) {
        if (answer.status != 200) good = false;
        if (answer.status == 200)
          CHECK(answer.body == expected);
        else
          CHECK(answer.status == 500);
      }
      unanswered += good ? 0 : 1;
    }
    REQUIRE_NOTHROW(asking.join());
    const auto lastAnswers = answersOf(last.answer);
    REQUIRE((lastAnswers && lastAnswers->size() == 1));
    CHECK(lastAnswers->front().body == hello);
    CHECK(running.server.waiters.size() == 0);
    for (int i = 0; i < 5; ++i) yield();  // the last request ends
    CHECK(unanswered <= running.server.told);
  });
  CHECK(openDescriptors() == before);
  return allocations;
}

}  // namespace

TEST_SUITE("refusals: server") {
  TEST_CASE("clients are served or told of, and the server goes on") {
    const Bounded bound;
    const std::string two = get("/", false) + get("/", true);
    CHECK(sweep<TestServer>({two, two, two}, 2, hello) >= 10);
    CHECK(sweep<ScheduledMixIn<TestServer>>({two, two, two}, 2, hello) >= 10);
  }

  TEST_CASE("an answer has no hole, also if the handler goes on") {
    const Bounded bound;
    const std::string thrice = hello + hello + hello;
    for (const char* path : {"/chunks", "/stubborn", "/stubborn-chunks"}) {
      CAPTURE(path);
      const std::string request = get(path, false) + get(path, true);
      CHECK(sweep<ScheduledMixIn<TestServer>>({request}, 2, thrice) >= 10);
    }
  }

  TEST_CASE("a body that was sent is answered, or its client told") {
    const Bounded bound;
    const std::string head = "POST / HTTP/1.1\r\nHost: localhost\r\n";
    const std::string body(3000, 'b');
    const std::string whole = head + "Content-Length: 3000\r\n\r\n" + body;
    const std::string chunks =
        head + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" +
        "3e8\r\n" + body.substr(0, 1000) + "\r\n7d0\r\n" + body.substr(1000) +
        "\r\n0\r\n\r\n";
    CHECK(sweep<ScheduledMixIn<TestServer>>({whole + chunks}, 2, body) >= 10);
  }

  TEST_CASE("a request that waits is told, or counted no more") {
    const Bounded bound;
    const std::string wait = get("/wait", true);
    CHECK(sweep<ScheduledMixIn<TestServer>>(
              {wait, wait, get("/notify", true), wait}, 1, hello,
              "/notify") >= 10);
  }

  TEST_CASE("a server is made, or nothing is left of it") {
    const Bounded bound;
    const int descriptors = openDescriptors();
    const int allocations = refuse::each([](const refuse::Which& which) {
      Scheduler scheduler;
      std::optional<ScheduledMixIn<TestServer>> server;
      refuse::during(which,
                     [&] { server.emplace(anyPort, handlerFor<Handler>); });
      CHECK(coroutines() == (server ? 1 : 0));
      server.reset();
      CHECK(coroutines() == 0);
      CHECK_NOTHROW(scheduler.run());
    });
    CHECK(allocations >= 2);
    CHECK(openDescriptors() == descriptors);
  }

  TEST_CASE("a server is closed, now or when memory is back") {
    const Bounded bound;
    const int descriptors = openDescriptors();
    refuse::each([](const refuse::Which& which) {
      Scheduler scheduler;
      ScheduledMixIn<TestServer> server(anyPort, handlerFor<Handler>);
      server.gracePeriod = 1ms;
      Task serving = go([&] { server.serve_forever(); });
      Client idle(server.server_address, get("/", false));
      idle.send();
      Client busy(server.server_address, get("/wait", false));
      busy.send();
      while (server.waiters.size() == 0) yield();
      Client late(server.server_address, get("/", false));
      refuse::during(which, [&] { server.server_close(); });
      server.server_close();
      CHECK_NOTHROW(serving.join());
      CHECK(coroutines() == 0);
      for (Client* client : {&idle, &busy, &late})
        CHECK_NOTHROW(client->await());
      CHECK(answersOf(idle.answer)->size() == 1);
    });
    CHECK(openDescriptors() == descriptors);
  }

  TEST_CASE("without a scheduler the thread serves on") {
    const Bounded bound;
    const int descriptors = openDescriptors();
    const int allocations = refuse::each([](const refuse::Which& which) {
      TestServer server(anyPort, handlerFor<Handler>);
      bool good = false;
      for (const bool refused : {true, false}) {
        const int before = server.told;
        Client client(server.server_address, get("/", true));
        client.send();
        client.endInput();
        if (refused)
          CHECK(refuse::during(which, [&] { server.handle_request(); }));
        else
          server.handle_request();
        client.await();
        const auto answers = answersOf(client.answer);
        REQUIRE(answers);
        good = answers->size() == 1 && answers->front().body == hello;
        CHECK((good || server.told == before + 1));
      }
      CHECK(good);
    });
    CHECK(allocations >= 5);
    CHECK(openDescriptors() == descriptors);
  }
}
