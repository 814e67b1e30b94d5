// Tests of what clumsy and hostile clients do to the HTTP layer: requests
// that can be read in two ways, bodies that nobody reads, and clients that
// dawdle.
//
// Deadlines are set to milliseconds. No test passes or fails by the clock: it
// waits for the answer that a deadline brings.

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "comet_handler.hpp"
#include "helpers.hpp"
#include "naglfar/http.hpp"
#include "naglfar/server/waiters.hpp"

using namespace naglfar;
using namespace helpers;
using namespace std::chrono_literals;

// [test-helpers]
namespace {

// What the handlers below do otherwise than by default.
struct Settings {
  std::string_view protocol = "HTTP/1.1";
  sys::Duration headerTimeout = 60s;
  sys::Duration timeout = 60s;
  sys::Duration keepAliveTimeout = 60s;
  std::size_t max_body = std::size_t{64} << 20;
  bool peerMaySend = true;
};
Settings settings;

class Handler : public BaseHTTPRequestHandler {
 public:
  Handler(ScheduledFile& request, const sys::Address& client,
          TCPServer& accepted_by)
      : BaseHTTPRequestHandler(request, client, accepted_by) {
    protocol_version = settings.protocol;
    headerTimeout = settings.headerTimeout;
    timeout = settings.timeout;
    keepAliveTimeout = settings.keepAliveTimeout;
    rfile.limit = settings.max_body;
    connection.peerMaySend = settings.peerMaySend;
  }

  void do_GET() override {
    if (path == "/stream") return stream();
    if (path == "/unframed") return unframed("until the end");
    if (path == "/late") throw HTTPError(503, "not now");
    if (path == "/upstream") sys::fail(ECONNRESET, "another connection");
    if (path == "/closed") closedChannel();
    if (path == "/large") return reply(std::string(large, 'x'));
    if (path == "/large-unframed") return unframed(std::string(large, 'x'));
    if (path == "/reason") send_response(200, "OK\r\nSet-Cookie: a");
    if (path == "/seven") send_response(7);
    if (path == "/patience") Channel<int>().read(after(1ms));
    reply("GET " + std::string(path));
  }
  void do_HEAD() override {
    if (path == "/stream") return stream();
    reply("");
  }
  void do_POST() override {
    if (path == "/ignore") return reply("ignored");
    if (path == "/catch") return careless();
    if (path == "/lines") return lines();
    if (path == "/half") return reply("half " + rfile.read(2));
    reply("POST " + rfile.read());
  }
  void handle_expect_100() override {
    if (path == "/refuse") throw HTTPError(417);
    BaseHTTPRequestHandler::handle_expect_100();
  }
  void log_message(std::string_view) override {}

  // More than fits into the buffers of the sockets, in bytes.
  static constexpr std::size_t large = std::size_t{8} << 20;

 private:
  static void closedChannel() {
    Channel<int> closed;
    closed.close();
    closed.read();  // EPIPE
  }
  void careless() {
    for (int attempt = 0; attempt < 2; ++attempt) try {
        rfile.read();
      } catch (const HTTPError&) {
      }
    reply("caught");
  }
  void reply(const std::string& body) {
    send_response(200);
    send_header("Content-Length", std::to_string(body.size()));
    end_headers();
    wfile.write(body);
  }
  void stream() {
    send_response(200);
    startChunks();
    for (const char* word : {"one ", "", "two ", "three"}) sendChunk(word);
    sendChunk(std::string(20, '!'));
    endChunks();
  }
  void unframed(const std::string& body) {
    send_response(200);
    end_headers();
    wfile.write(body);
  }
  void lines() {
    std::string all;
    for (std::string line; !(line = rfile.readline()).empty();)
      all += "[" + line + "]";
    reply(all);
  }
};

class Server : public ScheduledMixIn<HTTPServer> {
 public:
  using ScheduledMixIn::ScheduledMixIn;
  std::vector<std::string> errors;

 protected:
  void handle_error(const sys::Address&,
                    const std::exception& error) override {
    errors.emplace_back(error.what());
  }
};

// A scheduler, and a server in a coroutine of it.
struct Serving : Run {
  Serving() {
    settings = {};
    server.emplace(sys::Address("localhost", 0), handlerFor<Handler>);
    go([this] {
      server->serve_forever();
      ended = true;
    });
  }
  ~Serving() {
    server->shutdown();
    while (!ended) yield();
  }
  ScheduledFile connect() const {
    ScheduledFile client = ScheduledFile::connectTcp(server->server_address);
    client.deadline = after(30s);
    return client;
  }
  // The client may see the end before the server tells of the error.
  void awaitError() const {
    while (server->errors.empty()) yield();
    REQUIRE(server->errors.size() == 1);
  }
  // All that the server says to a client that ends after its request.
  std::string ask(std::string_view request) const {
    ScheduledFile client = connect();
    client.write(request);
    sys::endWriting(client.fileno());
    return client.read();
  }

  std::optional<Server> server;
  bool ended = false;
};

std::string statusOf(const std::string& answer) {
  return answer.starts_with("HTTP/") ? answer.substr(9, 3) : answer;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string body(const std::string& answer) {
  const std::size_t end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "no headers" : answer.substr(end + 4);
}

const std::string next =
    "GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

std::string post(const std::string& headers, const std::string& body,
                 const std::string& path = "/") {
  return "POST " + path + " HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" +
         body;
}

const std::string chunked = "Transfer-Encoding: chunked\r\n";

}  // namespace
// [/test-helpers]

// [syntax-tests]
TEST_SUITE("hostile: requests") {
  TEST_CASE_FIXTURE(Serving, "what can be read in two ways is refused") {
    using namespace std::string_literals;
    for (const std::string& request :
         {"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"s,
          "GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n"s,
          "GET / HTTP/1.1\r\r\n\r\n"s,
          "GET / HTTP/1.1\r\nHost: a\r\nA: \0\r\n\r\n"s,
          "GET / HTTP/1.1\r\nHost: a\r\nA: b\rC: d\r\n\r\n"s,
          "GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n"s,
          "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n"s,
          "GET / HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n"s,
          "GET / HTTP/1.1\r\nHost: a\r\nA(: b\r\n\r\n"s,
          "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n folded\r\n\r\n"s,
          "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"s}) {
      CAPTURE(request);
      CHECK(statusOf(ask(request + next)) == "400");
    }
  }

  TEST_CASE_FIXTURE(Serving, "lengths that are none are refused") {
    for (const std::string value : {"-1", "+1", "1x", "0x1", "1.0", "1 1", "",
                                    "1,1", "99999999999999999999999999"}) {
      CAPTURE(value);
      CHECK(statusOf(ask(post("Content-Length: " + value + "\r\n", "a") +
                         next)) == "400");
    }
    CHECK(statusOf(ask(post("Content-Length: 1\r\nContent-Length: 2\r\n",
                            "ab"))) == "400");
    CHECK(statusOf(ask(post(chunked + "Content-Length: 11\r\n",
                            "1\r\na\r\n0\r\n\r\n"))) == "400");
    CHECK(statusOf(ask("POST / HTTP/1.0\r\n" + chunked + "\r\n0\r\n\r\n")) ==
          "400");
    for (const std::string coding :
         {"gzip, chunked", "chunked, chunked", "gzip,chunked",
          "chunked\r\nTransfer-Encoding: chunked"}) {
      CAPTURE(coding);
      CHECK(statusOf(ask(post("Transfer-Encoding: " + coding + "\r\n",
                              "0\r\n\r\n"))) == "501");
    }
    // Where the last coding is not chunks, the body has no end.
    for (const std::string coding :
         {"gzip", "identity", "xchunked", "chunked, gzip", "chunked,", "",
          "chunked;q=1", "chunked\r\nTransfer-Encoding: gzip"}) {
      CAPTURE(coding);
      CHECK(statusOf(ask(post("Transfer-Encoding: " + coding + "\r\n",
                              "0\r\n\r\n"))) == "400");
    }
    settings.max_body = 10;
    CHECK(statusOf(ask(post("Content-Length: 11\r\n", ""))) == "413");
    CHECK(statusOf(ask(post(chunked,
                            "6\r\n123456\r\n5\r\n12345\r\n0\r\n"
                            "\r\n"))) == "413");
    CHECK(body(ask(post("Content-Length: 10\r\nConnection: close\r\n"
                        "Content-Length: 10\r\n",
                        "0123456789"))) == "POST 0123456789");
  }

  TEST_CASE_FIXTURE(Serving, "a request that ends too early is none") {
    const std::string whole = "GET / HTTP/1.0\r\nA: b\r\n\r\n";
    CHECK(ask("") == "");
    for (std::size_t n = 1; n < whole.size(); ++n) {
      CAPTURE(n);
      CHECK(statusOf(ask(whole.substr(0, n))) == "400");
    }
    CHECK(statusOf(ask(whole)) == "200");
  }

  TEST_CASE_FIXTURE(Serving, "the bytes may come in any pieces") {
    const std::string request =
        post(chunked,
             "4;x=y\r\nbody\r\nA\r\n and more \r\n0\r\nT: t\r\n\r\n") +
        next;
    for (std::size_t split = 1; split < request.size(); ++split) {
      CAPTURE(split);
      ScheduledFile client = connect();
      client.write(request.substr(0, split));
      for (int turn = 0; turn < 6; ++turn) yield();
      client.write(request.substr(split));
      const std::string answers = client.read();
      CHECK(contains(answers, "POST body and more "));
      CHECK(contains(answers, "GET /next"));
    }
    ScheduledFile slow = connect();
    for (const char byte : request) {
      slow.write(std::string_view(&byte, 1));
      for (int turn = 0; turn < 4; ++turn) yield();
    }
    CHECK(contains(slow.read(), "GET /next"));
  }

  TEST_CASE_FIXTURE(Serving, "LF alone ends lines") {
    const std::string answer =
        ask("POST / HTTP/1.1\nHost: a\nContent-Length: 2\n\nab"
            "GET /next HTTP/1.1\nHost: a\n\n");
    CHECK(contains(answer, "POST ab"));
    CHECK(contains(answer, "GET /next"));
  }

  // Is what follows the LF a chunk, or still the extension?
  TEST_CASE_FIXTURE(Serving, "but no lines of chunks") {
    for (const std::string chunks :
         {"2;\nxx\r\n0\r\n\r\n", "2\r\nxx\n0\r\n\r\n", "2\r\nxx\r\n0\n\r\n",
          "0\r\na: b\n\r\n"}) {
      CAPTURE(chunks);
      CHECK(statusOf(ask(post(chunked, chunks + next))) == "400");
    }
  }

  TEST_CASE_FIXTURE(Serving, "a client that only half-closes is answered") {
    CHECK(body(ask("GET /a HTTP/1.0\r\n\r\n")) == "GET /a");
    CHECK(body(ask(post("Content-Length: 4\r\n", "body"))) == "POST body");
  }
}
// [/syntax-tests]

// [body-tests]
TEST_SUITE("hostile: bodies") {
  TEST_CASE_FIXTURE(Serving, "a body ends where it ends") {
    for (const std::string& request :
         {post("Content-Length: 11\r\n", "hello world"),
          post(chunked, "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")}) {
      const std::string answers = ask(request + next);
      CHECK(contains(answers, "POST hello world"));
      CHECK(contains(answers, "GET /next"));
    }
    CHECK(contains(ask(post("", "") + next), "POST HTTP/1.1 200"));
    CHECK(body(ask(post(chunked, "7\r\na\nbc\nd\n\r\n3\r\nefg\r\n0\r\n\r\n",
                        "/lines"))) == "[a\n][bc\n][d\n][efg]");
  }

  TEST_CASE_FIXTURE(Serving, "bad chunks are refused") {
    for (const std::string bad :
         {"x\r\n", "-1\r\na\r\n0\r\n\r\n", "+1\r\na\r\n0\r\n\r\n",
          "0x1\r\na\r\n0\r\n\r\n", "1\r\nab0\r\n\r\n", "1\r\nab\r\n0\r\n\r\n",
          "\r\n", "2\r\na", "1\r\na", "ffffffffffffffffff\r\n", "1\r\na\r\n",
          " 1\r\na\r\n", "1;a\rb\r\na\r\n0\r\n\r\n",
          "0\r\nA: b\rC: d\r\n\r\n", "0\r\nno colon\r\n\r\n"}) {
      CAPTURE(bad);
      CHECK(statusOf(ask(post(chunked, bad))) == "400");
    }
    CHECK(statusOf(ask(post(chunked, std::string(5000, '1')))) == "400");
    CHECK(statusOf(ask(post("Content-Length: 5\r\n", "1234"))) == "400");
  }

  // In all, and not only each line. What is around the chunks costs the
  // server as much as what is in them.
  TEST_CASE_FIXTURE(Serving, "lines around chunks have a bound in all") {
    const auto repeat = [](int n, const std::string& part) {
      std::string all;
      for (int i = 0; i < n; ++i) all += part;
      return all;
    };
    const std::string start = "Connection: close\r\n" + chunked;
    const std::string end = "0\r\n\r\n";
    const std::string extended = "1;" + std::string(1000, 'e') + "\r\nx\r\n";
    const std::string zeros = std::string(1000, '0') + "1\r\nx\r\n";
    const std::string trailer = "T: " + std::string(1000, 't') + "\r\n";
    for (const std::string path : {"/", "/ignore", "/half"}) {
      CAPTURE(path);
      const auto ask = [&](const std::string& body) {
        return statusOf(this->ask(post(start, body, path)));
      };
      CHECK(ask(repeat(15, extended) + end) == "200");
      CHECK(ask(repeat(15, zeros) + end) == "200");
      CHECK(ask("0\r\n" + repeat(15, trailer) + "\r\n") == "200");
      CHECK(ask("0\r\n" + repeat(200, "T: t\r\n") + "\r\n") == "200");
      // Small chunks are no offence: their lines are longer than they.
      CHECK(ask(repeat(60'000, "1\r\nx\r\n") + end) == "200");
    }
    const auto refused = [&](const std::string& body) {
      return statusOf(ask(post(start, body)));
    };
    CHECK(refused(repeat(20, extended) + end) == "400");
    CHECK(refused(repeat(20, zeros) + end) == "400");
    CHECK(refused("0\r\n" + repeat(20, trailer) + "\r\n") == "431");
    CHECK(refused("0\r\nT: " + std::string(5000, 't') + "\r\n\r\n") == "431");
  }

  // A body that the handler leaves is skipped if it is short on the wire.
  TEST_CASE_FIXTURE(Serving, "what is skipped counts with its lines") {
    for (const int chunks : {1000, 60'000}) {
      CAPTURE(chunks);
      std::string body;
      for (int i = 0; i < chunks; ++i) body += "1\r\nx\r\n";
      const std::string answers =
          ask(post(chunked, body + "0\r\n\r\n", "/ignore") + next);
      CHECK(contains(answers, "ignored"));
      CHECK(contains(answers, "GET /next") == (chunks == 1000));
    }
  }

  TEST_CASE_FIXTURE(Serving, "who does not read a body poisons nobody") {
    const std::string evil = "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    for (const std::string path : {"/ignore", "/half"}) {
      CAPTURE(path);
      const std::string length =
          "Content-Length: " + std::to_string(evil.size()) + "\r\n";
      for (const std::string& request :
           {post(length, evil, path),
            post(chunked, "1f\r\n" + evil + "\r\n0\r\n\r\n", path)}) {
        const std::string answers = ask(request + next);
        CHECK(contains(answers, "GET /next"));
        CHECK_FALSE(contains(answers, "GET /evil"));
      }
    }
  }

  TEST_CASE_FIXTURE(Serving, "a long one costs the connection instead") {
    const std::string answers =
        ask(post("Content-Length: 1000000\r\n", std::string(1000000, 'x'),
                 "/ignore") +
            next);
    CHECK(contains(answers, "ignored"));
    CHECK_FALSE(contains(answers, "GET /next"));
  }

  TEST_CASE_FIXTURE(Serving, "an early answer is not lost to a reset") {
    // More than fits into the buffers of the sockets, so that it is still
    // being sent when the answer comes.
    const std::string rest(std::size_t{8} << 20, 'x');
    for (const std::string& start :
         {std::string("BAD\r\n"),
          std::string("POST /ignore HTTP/1.0\r\nContent-Length: 8388608\r\n"
                      "\r\n")}) {
      ScheduledFile client = connect();
      client.write(start);
      CHECK_NOTHROW(client.write(rest));
      const std::string answer = client.read();
      CHECK(answer.starts_with("HTTP/1.1 "));
      CHECK((contains(answer, "Error 400") || contains(answer, "ignored")));
    }
    CHECK(server->errors.empty());
  }

  // What comes while the answer is sent is in the kernel, unread, when the
  // server closes. The end of the answer is still in the kernel, too.
  TEST_CASE_FIXTURE(Serving, "a last answer is not lost to a reset") {
    for (const std::string& start :
         {std::string(
              "GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
          std::string("GET /large-unframed HTTP/1.1\r\nHost: a\r\n\r\n"),
          std::string("GET /large-unframed HTTP/1.0\r\n"
                      "Connection: keep-alive\r\n\r\n"),
          "GET /large HTTP/1.0\r\n\r\n" + next}) {
      CAPTURE(start);
      ScheduledFile client = connect();
      client.write(start);
      std::string answer = client.read(1);
      client.write(next);
      answer += client.readUntil("\r\n\r\n").join();
      const std::string body = client.read();
      CHECK(answer.starts_with("HTTP/1.1 200 "));
      CHECK(body.size() == Handler::large);
    }
    CHECK(server->errors.empty());
  }

  TEST_CASE_FIXTURE(Serving, "the end of who asks once needs no wait") {
    const auto calls = [this](std::string_view request) {
      const std::uint64_t shutdowns = ledger[Call::shutdown];
      const std::uint64_t reads = ledger[Call::read];
      const std::uint64_t looks = ledger[Call::recv];
      ScheduledFile client = connect();
      client.write(request);
      CHECK(contains(client.read(), "200 OK"));
      client.close();
      for (int turn = 0; turn < 50; ++turn) yield();
      return std::array{ledger[Call::shutdown] - shutdowns,
                        ledger[Call::read] - reads,
                        ledger[Call::recv] - looks};
    };
    const auto once = calls("GET /a HTTP/1.0\r\n\r\n");
    const auto mayGoOn =
        calls("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK(once[0] == 1);
    CHECK(once[2] == 1);
    CHECK(mayGoOn[0] == 1);
    CHECK(mayGoOn[1] > once[1]);
    settings.peerMaySend = false;
    const auto trusted = calls("GET /a HTTP/1.0\r\n\r\n");
    CHECK(trusted[0] == 0);
    CHECK(trusted[1] == once[1]);
    CHECK(trusted[2] == 0);
  }

  TEST_CASE_FIXTURE(Serving, "a body may be refused before it is sent") {
    ScheduledFile client = connect();
    client.write(
        post("Expect: 100-continue\r\nContent-Length: 9\r\n", "", "/refuse"));
    CHECK(statusOf(client.read()) == "417");
  }

  // The data of a chunk that is too long are no requests, whatever the
  // handler makes of the error.
  TEST_CASE_FIXTURE(Serving, "who catches a bad body has not read it") {
    settings.max_body = 1000;
    std::string inside =
        "\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    inside.resize(0x400, 'x');
    const std::string answer =
        ask(post(chunked, "400\r\n" + inside + "\r\n0\r\n\r\n", "/catch"));
    CHECK(contains(answer, "caught"));
    CHECK_FALSE(contains(answer, "smuggled"));
  }

  TEST_CASE_FIXTURE(Serving, "an answer does not wait for the body") {
    ScheduledFile client = connect();
    client.write(
        "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n");
    CHECK(contains(client.readUntil("ignored").join(), "200 OK"));
    client.write("ab" + next);
    CHECK(contains(client.read(), "GET /next"));
  }

  TEST_CASE_FIXTURE(Serving, "close may be one word of Connection") {
    for (const std::string header :
         {"Connection: TE, close\r\n", "Connection: close , TE\r\n",
          "Connection: TE\r\nConnection: close\r\n"}) {
      CAPTURE(header);
      const std::string answer =
          ask("GET /a HTTP/1.1\r\nHost: a\r\n" + header + "\r\n" + next);
      CHECK(contains(answer, "GET /a"));
      CHECK_FALSE(contains(answer, "GET /next"));
    }
    CHECK(contains(
        ask("GET /a HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n" +
            next),
        "GET /next"));
    // Where nothing tells how long the answer is, its end is the
    // connection's.
    CHECK(ask("GET /a HTTP/0.9\r\nConnection: keep-alive\r\n\r\n" + next) ==
          "GET /a");
  }

  TEST_CASE_FIXTURE(Serving, "handlers can throw a status") {
    const std::string answer =
        ask("GET /late HTTP/1.1\r\nHost: a\r\n\r\n" + next);
    CHECK(answer.starts_with("HTTP/1.1 503 not now\r\n"));
    CHECK_FALSE(contains(answer, "GET /next"));
  }

  TEST_CASE_FIXTURE(Serving, "an error of another connection is a 500") {
    for (const char* path : {"/closed", "/upstream"}) {
      ScheduledFile client = connect();
      client.write("GET " + std::string(path) +
                   " HTTP/1.1\r\nHost: a\r\n\r\n");
      CHECK(statusOf(client.read()) == "500");
    }
    CHECK(statusOf(ask("GET /closed HTTP/1.0\r\n\r\n")) == "500");
  }
}
// [/body-tests]

// [response-tests]
TEST_SUITE("hostile: responses") {
  TEST_CASE_FIXTURE(Serving, "a stream goes in chunks to who knows chunks") {
    const std::string get = "GET /stream HTTP/1.";
    const std::string words = "one two three!!!!!!!!!!!!!!!!!!!!";
    const std::string answers = ask(get + "1\r\nHost: a\r\n\r\n" + next);
    CHECK(contains(answers, "\r\nTransfer-Encoding: chunked\r\n"));
    CHECK(contains(answers,
                   "\r\n\r\n4\r\none \r\n4\r\ntwo \r\n5\r\nthree\r\n14\r\n"
                   "!!!!!!!!!!!!!!!!!!!!\r\n0\r\n\r\nHTTP/1.1 200"));
    CHECK(contains(answers, "GET /next"));
    const std::string plain =
        ask(get + "0\r\nConnection: keep-alive\r\n\r\n" + next);
    CHECK(body(plain) == words);
    CHECK(contains(plain, "\r\nConnection: close\r\n"));
    const std::string head =
        ask("HEAD /stream HTTP/1.1\r\nHost: a\r\n\r\n" + next);
    CHECK(contains(head, "GMT\r\n\r\nHTTP/1.1 200"));
  }

  TEST_CASE_FIXTURE(Serving, "an answer without a length ends by a close") {
    const std::string answer =
        ask("GET /unframed HTTP/1.1\r\nHost: a\r\n\r\n" + next);
    CHECK(contains(answer, "\r\nConnection: close\r\n"));
    CHECK(body(answer) == "until the end");
  }

  TEST_CASE_FIXTURE(Serving, "a status has three digits") {
    CHECK(statusOf(ask("GET /seven HTTP/1.1\r\nHost: a\r\n\r\n")) == "500");
    awaitError();
    CHECK(contains(server->errors[0], "three digits"));
  }

  TEST_CASE_FIXTURE(Serving, "a reason with a line end in it is refused") {
    const std::string answer = ask("GET /reason HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(statusOf(answer) == "500");
    CHECK_FALSE(contains(answer, "Set-Cookie"));
    awaitError();
    CHECK(contains(server->errors[0], "line end"));
  }
}
// [/response-tests]

// [deadline-tests]
TEST_SUITE("hostile: deadlines") {
  TEST_CASE_FIXTURE(Serving, "half a head is answered by 408 in time") {
    settings.headerTimeout = 5ms;
    for (const std::string half :
         {"G", "GET / HTTP/1.1\r\nHost: a\r\n",
          "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\nC"}) {
      ScheduledFile client = connect();
      client.write(half);
      CHECK(statusOf(client.read()) == "408");
    }
    CHECK(server->errors.empty());
  }

  TEST_CASE_FIXTURE(Serving, "so is one that comes drop by drop") {
    settings.headerTimeout = 20ms;
    ScheduledFile client = connect();
    std::string answer;
    bool answered = false;
    go([&] {
      answer = client.readline();
      answered = true;
    });
    client.write("GET / HTTP/1.1\r\nHost: a\r\nA: ");
    while (!answered) {
      client.write("x");
      sleep(1ms);
    }
    CHECK(statusOf(answer) == "408");
  }

  TEST_CASE_FIXTURE(Serving, "who says nothing is let go without a word") {
    settings.headerTimeout = 5ms;
    CHECK(connect().read() == "");
    settings.headerTimeout = 60s;
    settings.keepAliveTimeout = 5ms;
    ScheduledFile client = connect();
    client.write("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(body(client.read()) == "GET /a");
    CHECK(server->errors.empty());
  }

  TEST_CASE_FIXTURE(Serving, "each next request has its time anew") {
    settings.keepAliveTimeout = 60s;
    settings.headerTimeout = 5ms;
    ScheduledFile client = connect();
    client.write("GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HT");
    const std::string answers = client.read();
    CHECK(contains(answers, "GET /a"));
    CHECK(contains(answers, "HTTP/1.1 408 "));
  }

  TEST_CASE_FIXTURE(Serving, "a body that stops coming is 408") {
    settings.timeout = 5ms;
    ScheduledFile client = connect();
    client.write(post("Content-Length: 10\r\n", "12345"));
    CHECK(statusOf(client.read()) == "408");
    ScheduledFile chunks = connect();
    chunks.write(post(chunked, "5\r\n12345"));
    CHECK(statusOf(chunks.read()) == "408");
  }

  TEST_CASE_FIXTURE(Serving, "what else takes too long is not its fault") {
    CHECK(statusOf(ask("GET /patience HTTP/1.1\r\nHost: a\r\n\r\n")) ==
          "500");
    awaitError();
    CHECK(contains(server->errors[0], "a message"));
  }

  TEST_CASE_FIXTURE(Serving, "a body that goes on coming is read") {
    settings.timeout = 200ms;
    settings.headerTimeout = 1ms;
    ScheduledFile client = connect();
    client.write(post("Content-Length: 30\r\nConnection: close\r\n", ""));
    for (int i = 0; i < 30; ++i) {
      sleep(1ms);
      client.write("x");
    }
    CHECK(body(client.read()) == "POST " + std::string(30, 'x'));
  }

  TEST_CASE_FIXTURE(Serving, "who takes no answer is given up") {
    settings.timeout = 5ms;
    std::string request =
        "GET /" + std::string(60000, 'x') + " HTTP/1.1\r\nHost: a\r\n\r\n";
    // Answers that nobody reads, until there is no room for them.
    ScheduledFile client = connect();
    const auto askOn = [&] {
      for (;;) client.write(request);
    };
    CHECK_THROWS_AS(askOn(), std::system_error);  // it has been closed
    client.close(false);
    awaitError();
    CHECK(contains(server->errors[0], "timed out"));
  }

  TEST_CASE_FIXTURE(Serving, "time between requests is no lack of progress") {
    settings.timeout = 1ms;
    ScheduledFile client = connect();
    for (int request = 0; request < 2; ++request) {
      client.write("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
      CHECK(contains(client.readUntil("GET /a").join(), "200 OK"));
      sleep(10ms);
    }
  }

  TEST_CASE_FIXTURE(Serving, "a slow client costs a coroutine that sleeps") {
    std::vector<std::unique_ptr<ScheduledFile>> clients;
    for (int i = 0; i < 50; ++i) {
      clients.push_back(std::make_unique<ScheduledFile>(connect()));
      clients.back()->write("GET / HTTP/1.1\r\nHost: a\r\n");
    }
    for (int turn = 0; turn < 20; ++turn) yield();
    const Ledger before = ledger;
    sleep(1ms);
    CHECK(ledger[Call::read] == before[Call::read]);
    CHECK(ledger.parks - before.parks <= 2);
    for (const auto& client : clients) {
      client->write("Connection: close\r\n\r\n");
      CHECK(statusOf(client->read()) == "200");
    }
  }
}
// [/deadline-tests]

// [server-helpers]
namespace {

// Waits in a way that a test can end, and answers late.
class Waiting : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
  static inline int running = 0;
  static inline bool go = false;
  void do_GET() override {
    ++running;
    while (!go) sleep(1ms);
    --running;
    send_response(200);
    end_headers();
    wfile.write("late");
  }
  void log_message(std::string_view) override {}
};

// Those who leave are no news here.
class QuietCometServer : public comet::CometServer<Waiters> {
 public:
  using comet::CometServer<Waiters>::CometServer;

 protected:
  void handle_error(const sys::Address&, const std::exception&) override {}
};
using CometServer = ScheduledMixIn<QuietCometServer>;

// The comet server in a coroutine, and clients that wait there.
struct Comet : Run {
  Comet()
      : server(sys::Address("localhost", 0),
               handlerFor<comet::QuietCometHandler<Waiters>>) {
    go([this] {
      server.serve_forever();
      ended = true;
    });
  }
  ~Comet() {
    server.shutdown();
    while (!ended) yield();
  }
  std::unique_ptr<ScheduledFile> send(const std::string& path) const {
    auto client = std::make_unique<ScheduledFile>(
        ScheduledFile::connectTcp(server.server_address));
    client->deadline = after(30s);
    client->write("GET " + path + " HTTP/1.0\r\n\r\n");
    return client;
  }
  std::string ask(const std::string& path) const {
    return body(send(path)->read());
  }
  void awaitWaiters(std::size_t n) {
    while (server.waiters.size() != n) yield();
  }
  CometServer server;
  bool ended = false;
};

// As many as there are descriptors for, with both ends in this process.
std::size_t roomForWaiters(std::size_t most) {
  rlimit limit{};
  sys::check(::getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 2 * most + 100);
#ifdef NAGLFAR_SELECT
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_cur, FD_SETSIZE);
#endif
  sys::check(::setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
  return std::min<std::size_t>(most, (limit.rlim_cur - 100) / 2);
}

void reset(ScheduledFile& client) {
  const linger now{1, 0};
  ::setsockopt(client.fileno(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
  client.close();
}

}  // namespace
// [/server-helpers]

// [limit-tests]
TEST_SUITE("hostile: servers") {
  TEST_CASE_FIXTURE(Serving, "connections past the limit wait") {
    server->maxConnections = 3;
    std::vector<std::unique_ptr<ScheduledFile>> clients;
    for (int i = 0; i < 10; ++i) {
      clients.push_back(std::make_unique<ScheduledFile>(connect()));
      clients.back()->write("GET / HTTP/1.1\r\nHost: a\r\n");
    }
    for (int turn = 0; turn < 50; ++turn) yield();
    const std::uint64_t accepts = ledger[Call::accept4];
    for (int turn = 0; turn < 200; ++turn) yield();
    CHECK(ledger[Call::accept4] == accepts);  // it does not spin
    // The limit counts what is open: the fourth is served when one has ended.
    clients[3]->write("Connection: close\r\n\r\n");
    for (int turn = 0; turn < 50; ++turn) yield();
    clients[3]->deadline = sys::now();
    CHECK_THROWS_AS(clients[3]->read(), std::system_error);
    clients[3]->deadline = after(30s);
    for (const auto& client : clients) {
      if (client != clients[3]) client->write("Connection: close\r\n\r\n");
      CHECK(statusOf(client->read()) == "200");
    }
  }
}
// [/limit-tests]

// [departure-tests]
TEST_SUITE("hostile: those who wait") {
  TEST_CASE_FIXTURE(Comet, "the end of file means gone by default") {
    auto closes = send("/wait");
    auto halfCloses = send("/wait");
    auto resets = send("/wait");
    auto stays = send("/wait");
    awaitWaiters(4);
    closes->close();
    awaitWaiters(3);
    sys::endWriting(halfCloses->fileno());
    awaitWaiters(2);
    reset(*resets);
    awaitWaiters(1);
    CHECK(ask("/notify") == "1");
    CHECK(body(stays->read()) == "1");
  }

  TEST_CASE_FIXTURE(Comet, "or only a reset does") {
    server.waiters.endMeansGone = false;
    auto halfCloses = send("/wait");
    auto resetsLater = send("/wait");
    auto resets = send("/wait");
    auto stays = send("/wait");
    awaitWaiters(4);
    sys::endWriting(halfCloses->fileno());
    sys::endWriting(resetsLater->fileno());
    for (int turn = 0; turn < 50; ++turn) yield();
    CHECK(server.waiters.size() == 4);
    reset(*resets);
    awaitWaiters(3);
    // With select nobody hears again of a peer that has ended its output.
    if (Poller::levelTriggered) return;
    reset(*resetsLater);
    awaitWaiters(2);
    CHECK(ask("/notify") == "2");
    CHECK(body(stays->read()) == "2");
    CHECK(body(halfCloses->read()) == "2");
  }

  TEST_CASE_FIXTURE(Comet, "all whom one notify tells get its number") {
    constexpr int n = 100;
    for (int round = 0; round < 5; ++round) {
      std::vector<std::unique_ptr<ScheduledFile>> clients;
      for (int i = 0; i < n; ++i) clients.push_back(send("/wait"));
      awaitWaiters(n);
      // A third leaves before the notification, a third at the same time.
      for (int i = 0; i < n; i += 3) clients[i]->close();
      for (int turn = 0; turn < round; ++turn) yield();
      auto notifying = send("/notify");
      for (int i = 1; i < n; i += 3) clients[i]->close();
      const std::string number = body(notifying->read());
      CHECK(std::stoi(number) >= n / 3);
      for (int i = 2; i < n; i += 3)
        CHECK(body(clients[i]->read()) == number);
      awaitWaiters(0);
    }
  }

  TEST_CASE_FIXTURE(Comet, "they cost nothing while nothing happens") {
    const std::size_t n = roomForWaiters(2000);
    MESSAGE(n << " waiters");
    std::vector<std::unique_ptr<ScheduledFile>> clients;
    for (std::size_t i = 0; i < n; ++i) clients.push_back(send("/wait"));
    awaitWaiters(n);
    for (int turn = 0; turn < 20; ++turn) yield();
    const Ledger before = ledger;
    sleep(20ms);
    // Nothing but the poller's wait, which a signal may interrupt.
    std::uint64_t waits = 0;
    for (const Call wait : {Call::epoll_wait, Call::kevent, Call::select})
      waits += ledger[wait] - before[wait];
    CHECK(waits >= 1);
    CHECK(waits <= 3);
    CHECK(ledger.systemCalls() - before.systemCalls() == waits);
    CHECK(ledger.switches == before.switches);
    CHECK(ask("/notify") == std::to_string(n));
    for (const auto& client : clients)
      CHECK(body(client->read()) == std::to_string(n));
  }
}
// [/departure-tests]

// [shutdown-tests]
TEST_SUITE("hostile: shutdown") {
  TEST_CASE_FIXTURE(Run, "requests that run are finished and idle ones not") {
    settings = {};
    Waiting::go = false;
    ScheduledMixIn<HTTPServer> server(sys::Address("localhost", 0),
                                      handlerFor<Waiting>);
    go([&] { server.serve_forever(); });
    ScheduledFile silent = ScheduledFile::connectTcp(server.server_address);
    ScheduledFile runs = ScheduledFile::connectTcp(server.server_address);
    runs.write("GET / HTTP/1.0\r\n\r\n");
    while (Waiting::running != 1) yield();
    server.gracePeriod = 60s;
    server.shutdown();
    bool ended = false;
    go([&] {
      CHECK(silent.read() == "");
      ended = true;
    });
    for (int turn = 0; turn < 50; ++turn) yield();
    CHECK(ended);  // long before its time is over
    go([] {
      sleep(2ms);
      Waiting::go = true;
    });
    server.server_close();
    CHECK(Waiting::running == 0);
    CHECK(body(runs.read()) == "late");
    scheduler.run();
  }

  TEST_CASE_FIXTURE(Run, "but not for ever") {
    Waiting::go = false;
    ScheduledMixIn<HTTPServer> server(sys::Address("localhost", 0),
                                      handlerFor<Waiting>);
    go([&] { server.serve_forever(); });
    ScheduledFile runs = ScheduledFile::connectTcp(server.server_address);
    runs.write("GET / HTTP/1.0\r\n\r\n");
    while (Waiting::running != 1) yield();
    server.gracePeriod = 2ms;
    server.server_close();
    CHECK(runs.read() == "");
    Waiting::running = 0;
    scheduler.run();
  }

  TEST_CASE_FIXTURE(Serving, "the answer after it is a connection's last") {
    ScheduledFile idle = connect();
    ScheduledFile asks = connect();
    idle.write("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    asks.write("GET /b HTTP/1.1\r\nHost: a\r\n");
    for (int turn = 0; turn < 20; ++turn) yield();
    server->shutdown();
    CHECK(body(idle.read()) == "GET /a");  // and it is closed at once
    asks.write("\r\n" + next);
    const std::string answers = asks.read();
    CHECK(contains(answers, "\r\nConnection: close\r\n"));
    CHECK(contains(answers, "GET /b"));
    CHECK_FALSE(contains(answers, "GET /next"));
    CHECK(server->errors.empty());
  }

  TEST_CASE_FIXTURE(Comet, "those who wait are told") {
    auto waits = send("/wait");
    auto waitsToo = send("/wait");
    awaitWaiters(2);
    server.server_close();
    CHECK(body(waits->read()) == "2");
    CHECK(body(waitsToo->read()) == "2");
  }
}
// [/shutdown-tests]
