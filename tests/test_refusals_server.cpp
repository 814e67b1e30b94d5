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
    for (int i = 0; i < 3; ++i) bear([&] { wfile.write(hello); });
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

// One scenario: clients send their requests and are served while memory is
// refused. What else happens then is done by `also`.
template <class Server>
int sweep(const std::vector<std::string>& requests,
          const std::string& expected) {
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
    int unanswered = 0;
    for (Client& client : clients) {
      REQUIRE_NOTHROW(client.await());
      const auto answers = answersOf(client.answer);
      CAPTURE(client.answer);
      REQUIRE(answers);
      bool good = answers->size() == 2;
      for (const Answer& answer : *answers) {
        if (answer.status != 200) good = false;
        if (answer.status == 200)
          CHECK(answer.body == expected);
        else
          CHECK(answer.status == 500);
      }
      unanswered += good ? 0 : 1;
    }
    Client last(running.server.server_address, get("/", true));
    last.send();
    REQUIRE_NOTHROW(last.await());
    const auto answers = answersOf(last.answer);
    REQUIRE((answers && answers->size() == 1));
    CHECK(answers->front().body == hello);
    CHECK(unanswered <= running.server.told);
  });
  CHECK(openDescriptors() == before);
  return allocations;
}

}  // namespace

TEST_SUITE("refusals: server") {
  TEST_CASE_TEMPLATE("clients are served or told of, and the server goes on",
                     Server, TestServer, ScheduledMixIn<TestServer>) {
    const Bounded bound;
    const std::string request = get("/", false) + get("/", true);
    CHECK(sweep<Server>({request, request, request}, hello) >= 10);
  }

  TEST_CASE("an answer has no hole, also if the handler goes on") {
    const Bounded bound;
    const std::string thrice = hello + hello + hello;
    for (const char* path : {"/chunks", "/stubborn", "/stubborn-chunks"}) {
      CAPTURE(path);
      const std::string request = get(path, false) + get(path, true);
      CHECK(sweep<ScheduledMixIn<TestServer>>({request}, thrice) >= 10);
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
    CHECK(sweep<ScheduledMixIn<TestServer>>({whole + chunks}, body) >= 10);
  }
}
