// Tests of the HTTP layer: what a request is taken for, and what is answered.
//
// Most of them hand the bytes of a request to a handler and look at the bytes
// of its answer, on a connected pair of sockets and without a server.

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cctype>
#include <ctime>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "helpers.hpp"
#include "naglfar/http.hpp"

using namespace naglfar;
using namespace helpers;
using namespace std::chrono_literals;

// [test-helpers]
namespace {

// Tells what it was asked for, and logs into a list.
class Handler : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;

  void do_GET() override {
    if (path == "/throw") throw std::runtime_error("the handler failed");
#if CLAIMS(all_of_http)
    if (path == "/error")
      return send_error(404, "<b> & \"co\"", "<i>why</i>");
#endif
    if (path == "/inject") return inject();
    reply("GET " + std::string(path) + " " + std::string(request_version));
  }
#if CLAIMS(all_of_http)
  void do_HEAD() override {
    send_response(200);
    send_header("Content-Length", "1000");
    end_headers();
  }
  void do_POST() override {
    const std::string length(headers.get("Content-Length", "0"));
    reply("POST " + rfile.read(std::stoul(length)));
  }
#endif
  void log_message(std::string_view message) override {
    log.emplace_back(message);
  }

  std::vector<std::string> log;
  std::string injected;  // what was thrown for each attempt

 private:
  void reply(const std::string& body) {
    send_response(200);
    send_header("Content-Length", std::to_string(body.size()));
    end_headers();
    wfile.write(body);
  }
  void inject() {
    send_response(200);
    for (const char* value : {"a\r\nSet-Cookie: b", "a\nb", "a\rb"}) try {
        send_header("X-Name", value);
        injected += "not thrown ";
      } catch (const std::invalid_argument&) {
        injected += "thrown ";
      }
    CHECK_THROWS_AS(send_header("X\r\nY", "z"), std::invalid_argument);
    CHECK_THROWS_AS(send_header("X", std::string_view("a\0b", 3)),
                    std::invalid_argument);
    end_headers();
  }
};

// A handler needs a server to refer to; nobody connects to this one.
TCPServer& someServer() {
  static TCPServer server(sys::Address("localhost", 0), handlerFor<Handler>);
  return server;
}

const sys::Address someClient("127.0.0.1", 4711);

struct Exchange {
  std::string answer;            // all that the client received
  std::vector<std::string> log;  // all that the handler logged
  bool closed = false;           // what the handler decided at the end
  Headers headers;               // of the last request
};

// Sends a request, and the end of file; handles it; reads the answer.
template <class H = Handler>
Exchange exchange(std::string_view request,
                  [[maybe_unused]] std::string_view protocol = "HTTP/1.0") {
  Sockets sockets(sys::Mode::blocking);
  goWrite(sockets.a.get(), request);
  sys::check(::shutdown(sockets.a.get(), SHUT_WR), "shutdown");
  ScheduledFile file(std::move(sockets.b));
  H handler(file, someClient, someServer());
#if CLAIMS(all_of_http)
  handler.protocol_version = protocol;
#endif
  handler.handle();
  file.close();
  std::string answer;
  try {
    while (true) {
      const std::string chunk = readSome(sockets.a.get());
      if (chunk.empty()) break;
      answer += chunk;
    }
  } catch (const std::system_error&) {
    // The handler has closed a connection whose request it did not read.
  }
#if CLAIMS(all_of_http)
  const bool closed = handler.close_connection;
#else
  const bool closed = true;
#endif
  return {answer, handler.log, closed, handler.headers};
}

std::string answerTo(std::string_view request,
                     std::string_view protocol = "HTTP/1.0") {
  return exchange(request, protocol).answer;
}

std::string statusLine(const std::string& answer) {
  return answer.substr(0, answer.find("\r\n"));
}

// Whether an answer has this status line, or where the words of a status line
// are not claimed, its code.
bool has(const std::string& answer, const std::string& status) {
  const std::size_t n = CLAIMS(words) ? status.npos : sizeof "HTTP/1.0 200";
  return statusLine(answer).substr(0, n) == status.substr(0, n);
}

std::string body(const std::string& answer) {
  const std::size_t end = answer.find("\r\n\r\n");
  return end == std::string::npos ? "no headers" : answer.substr(end + 4);
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != text.npos; ++at) ++n;
  return n;
}

#if CLAIMS(all_of_http)
// Tells the path and the Host that it gets, for every method.
class Echo : public Handler {
 public:
  using Handler::Handler;
  void do_GET() override { echo(); }
  void do_POST() override { echo(); }
  void do_OPTIONS() override { echo(); }
  void do_CONNECT() override { echo(); }
  void echo() {
    const std::string said =
        std::string(path) + " at " + std::string(headers.get("Host", "none"));
    send_response(200);
    send_header("Content-Length", std::to_string(said.size()));
    end_headers();
    wfile.write(said);
  }
};
#endif

}  // namespace
// [/test-helpers]

// [request-tests]
TEST_SUITE("http: requests") {
  TEST_CASE("a request is answered with status and headers and body") {
    const std::string answer = answerTo("GET /path?q=1 HTTP/1.0\r\n\r\n");
    CHECK(statusLine(answer) == "HTTP/1.0 200 OK");
    CHECK(contains(answer, "\r\nServer: Naglfar/"));
    CHECK(contains(answer, "\r\nDate: "));
    CHECK(body(answer) == "GET /path?q=1 HTTP/1.0");
  }

  // What CPython's http.server does with the same bytes, and with the same
  // defaults. But it answers without a status line whoever names no version
  // that it knows; here that is for HTTP/0.9 alone, which is a GET.
  TEST_CASE("raw requests are taken as Python takes them") {
    struct Case {
      std::string request;
      std::string status;  // "" for an answer that is a body alone
      std::string contains;
    };
    const Case cases[] = {
      {"GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK", "GET / HTTP/1.0"},
      {"GET / HTTP/1.0\n\n", "HTTP/1.0 200 OK", "GET / HTTP/1.0"},
      {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.0 200 OK",
       "GET / HTTP/1.1"},
      {"GET / HTTP/1.7\r\nHost: a\r\n\r\n", "HTTP/1.0 200 OK",
       "GET / HTTP/1.7"},
#if CLAIMS(all_of_http)
      {"  GET   /  HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK", "GET / HTTP/1.0"},
      {"GET /\r\n\r\n", "", "GET / HTTP/0.9"},
#endif
      {"POST /\r\n\r\n", "HTTP/1.0 400 Bad HTTP/0.9 request type",
       "Error 400"},
      {"GET\r\n\r\n", "HTTP/1.0 400 Bad request syntax", "Error 400"},
      {"GET / HTP/1.0\r\n\r\n", "HTTP/1.0 400 Bad request version",
       "Error 400"},
      {"GET / HTTP/1\r\n\r\n", "HTTP/1.0 400 Bad request version",
       "Error 400"},
#if CLAIMS(all_of_http)
      {"GET / HTTP/1.x\r\n\r\n", "HTTP/1.0 400 Bad request version",
       "Error 400"},
      {"GET / HTTP/1.0.1\r\n\r\n", "HTTP/1.0 400 Bad request version",
       "Error 400"},
#endif
      {"GET / HTTP/-1.0\r\n\r\n", "HTTP/1.0 400 Bad request version",
       "Error 400"},
      {"GET / HTTP/\r\n\r\n", "HTTP/1.0 400 Bad request version",
       "Error 400"},
#if CLAIMS(all_of_http)
      {"GET / HTTP/2.0\r\n\r\n", "HTTP/1.0 505 HTTP Version Not Supported",
       "Error 505"},
#endif
      {"GET / HTTP/10.0\r\n\r\n", "HTTP/1.0 400 Bad request version",
       "Error 400"},
#if CLAIMS(all_of_http)
      {"GET / HTTP/1.01\r\n\r\n", "HTTP/1.0 400 Bad request version",
       "Error 400"},
#endif
      {"GET /a b HTTP/1.0\r\n\r\n", "HTTP/1.0 400 Bad request syntax",
       "Error 400"},
      {"GET /a b c HTTP/1.0\r\n\r\n", "HTTP/1.0 400 Bad request syntax",
       "Error 400"},
      {"BREW /pot HTTP/1.0\r\n\r\n",
       "HTTP/1.0 501 Unsupported method ('BREW')", "Error 501"},
      {"get / HTTP/1.0\r\n\r\n", "HTTP/1.0 501 Unsupported method ('get')",
       "Error 501"},
#if CLAIMS(all_of_http)
      {"GET\t/\tHTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK", "GET / HTTP/1.0"},
      {"GET //a//b HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK",
       "GET /a//b HTTP/1.0"},
#endif
      {"PUT / HTTP/1.0\r\n\r\n", "HTTP/1.0 501 Unsupported method ('PUT')",
       "Error 501"},
    };
    for (const Case& c : cases) {
      CAPTURE(c.request);
      const std::string answer = answerTo(c.request);
      if (!c.status.empty())
        CHECK(has(answer, c.status));
      else
        CHECK_FALSE(answer.starts_with("HTTP/"));
      if (CLAIMS(words) || c.contains.starts_with("GET"))
        CHECK(contains(answer, c.contains));
    }
  }

  TEST_CASE("nothing and an empty line are no requests") {
    CHECK(answerTo("") == "");
    CHECK(answerTo("\r\n") == "");
    CHECK(answerTo("\r\n", "HTTP/1.1") == "");
  }

  TEST_CASE("a handler without do_GET answers 501") {
    class Bare : public Handler {
     public:
      using Handler::Handler;
      void do_GET() override { BaseHTTPRequestHandler::do_GET(); }
    };
    CHECK(has(exchange<Bare>("GET / HTTP/1.0\r\n\r\n").answer,
              "HTTP/1.0 501 Unsupported method ('GET')"));
  }

#if CLAIMS(all_of_http)
  TEST_CASE("HTTP/0.9 gets a body alone and its connection is closed") {
    CHECK(answerTo("GET /old\r\n") == "GET /old HTTP/0.9");
    CHECK(answerTo("GET /old\r\n", "HTTP/1.1") == "GET /old HTTP/0.9");
    const auto named = exchange("GET /old HTTP/0.9\r\n\r\n", "HTTP/1.1");
    CHECK(named.answer == "GET /old HTTP/0.9");
    CHECK(named.closed);
  }

  TEST_CASE("methods have names of their own and all others answer 501") {
    class Plain : public BaseHTTPRequestHandler {
     public:
      using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
      void log_message(std::string_view) override {}
      std::vector<std::string> log;
    };
    class Named : public Plain {
     public:
      using Plain::Plain;
      void do_GET() override { say("get"); }
      void do_HEAD() override { say("head"); }
      void do_POST() override { say("post"); }
      void do_PUT() override { say("put"); }
      void do_DELETE() override { say("delete"); }
      void do_PATCH() override { say("patch"); }
      void do_OPTIONS() override { say("options"); }
      void do_TRACE() override { say("trace"); }
      void do_CONNECT() override { say("connect"); }
      void do_other() override { say("other"); }
      void say(std::string_view word) { wfile.write(word); }
    };
    for (const std::string method :
         {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE",
          "CONNECT"}) {
      CAPTURE(method);
      const std::string request = method +
                                  (method == "CONNECT" ? " a:1" : " /") +
                                  " HTTP/1.0\r\n\r\n";
      std::string word = method;
      for (char& c : word) c = static_cast<char>(std::tolower(c));
      CHECK(exchange<Named>(request).answer == word);
      CHECK(statusLine(exchange<Plain>(request).answer) ==
            "HTTP/1.0 501 Unsupported method ('" + method + "')");
    }
    CHECK(exchange<Named>("BREW / HTTP/1.0\r\n\r\n").answer == "other");
  }

  TEST_CASE("HEAD has headers and no body and neither has its 501") {
    const std::string answer = answerTo("HEAD / HTTP/1.0\r\n\r\n");
    CHECK(contains(answer, "Content-Length: 1000\r\n"));
    CHECK(body(answer) == "");
    class NoHead : public Handler {
     public:
      using Handler::Handler;
      void do_HEAD() override { send_error(404); }
    };
    const std::string error =
        exchange<NoHead>("HEAD / HTTP/1.0\r\n\r\n").answer;
    CHECK(statusLine(error) == "HTTP/1.0 404 Not Found");
    CHECK(body(error) == "");
  }

  TEST_CASE("HEAD is answered as GET is unless a handler says otherwise") {
    class Getting : public Echo {
     public:
      using Echo::Echo;
      void do_HEAD() override { BaseHTTPRequestHandler::do_HEAD(); }
    };
    const auto ask = [](const std::string& method) {
      return exchange<Getting>(method + " /a HTTP/1.0\r\n\r\n").answer;
    };
    const std::string head = ask("HEAD");
    CHECK(contains(head, "\r\nContent-Length: 10\r\n\r\n"));
    CHECK(body(head) == "");
    CHECK(head + "/a at none" == ask("GET"));
  }

  TEST_CASE("POST reads its body from rfile") {
    const std::string request =
        "POST /form HTTP/1.0\r\nContent-Length: 11\r\n\r\nname=value&and "
        "more";
    CHECK(body(answerTo(request)) == "POST name=value&");
  }
#endif
}
// [/request-tests]

// [target-tests]
#if CLAIMS(all_of_http)
namespace {

std::string echoed(std::string_view request,
                   std::string_view protocol = "HTTP/1.1") {
  const std::string answer = exchange<Echo>(request, protocol).answer;
  const std::string status = statusLine(answer);
  return contains(status, " 200 ") ? body(answer) : status.substr(9, 3);
}

}  // namespace

TEST_SUITE("http: the first lines of a request") {
  TEST_CASE("HTTP/1.1 demands exactly one Host that is one") {
    const auto ask = [](const std::string& hosts,
                        const std::string& version = "1.1") {
      return echoed("GET / HTTP/" + version + "\r\n" + hosts + "\r\n");
    };
    for (const std::string host :
         {"", "a", "a.example", "a:80", "a:", "127.0.0.1:8000", "[::1]",
          "[::1]:80", "a_b-c~d", "a%20b", "!$&'()*+,;="}) {
      CAPTURE(host);
      CHECK(ask("Host: " + host + "\r\n") == "/ at " + host);
      CHECK(ask("hOST:" + host + "\r\n", "1.0") == "/ at " + host);
    }
    for (const std::string host :
         {"a b",       "a@b",      "a/b",  "a?b",   "a#b",  "a:b",
          "a:1:2",     "a:65536",  "a:-1", "[::1",  "::1]", "[::1]x",
          "[a/b]",     "a%2",      "a%zz", "[]",    "[zz]", "[1:2]",
          "[1.2.3.4]", "http://a", "a\\b", "\"a\"", "<a>",  "a\xe4"}) {
      CAPTURE(host);
      CHECK(ask("Host: " + host + "\r\n") == "400");
      CHECK(ask("Host: " + host + "\r\n", "1.0") == "400");
    }
    for (const std::string version : {"1.1", "1.2", "1.9"})
      CHECK(ask("", version) == "400");
    CHECK(ask("", "1.0") == "/ at none");
    for (const std::string version : {"1.0", "1.1"}) {
      CHECK(ask("Host: a\r\nHost: a\r\n", version) == "400");
      CHECK(ask("Host: a\r\nX: y\r\nhost: b\r\n", version) == "400");
    }
  }

  TEST_CASE("a target may be a whole URI whose host is the Host") {
    const auto ask = [](const std::string& target) {
      return echoed("GET " + target + " HTTP/1.1\r\nHost: other\r\n\r\n");
    };
    CHECK(ask("http://a/") == "/ at a");
    CHECK(ask("http://a") == "/ at a");
    CHECK(ask("HTTPS://a:443/b?c") == "/b?c at a:443");
    CHECK(ask("http://a?b") == "/?b at a");
    CHECK(ask("http://[::1]:80/b/c") == "/b/c at [::1]:80");
    CHECK(ask("http://a//b") == "/b at a");
    CHECK(ask("/http://a/") == "/http://a/ at other");
    for (const std::string target :
         {"http:///", "http://", "http:/a", "http:a", "ftp://a/",
          "http://u@a/", "http://:80/", "http://:", "http://[]/",
          "http://a:b/", "a", "a/b", "a:1", "?b", "\\a", "javascript:1"}) {
      CAPTURE(target);
      CHECK(ask(target) == "400");
    }
    // Each header named Host gives way, and one that is none is refused.
    CHECK(echoed("GET http://a/ HTTP/1.1\r\n\r\n") == "400");
    CHECK(echoed("GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n") == "400");
    CHECK(echoed("GET http://a/ HTTP/1.0\r\n\r\n") == "/ at a");
  }

  TEST_CASE("an asterisk is a target of OPTIONS alone") {
    CHECK(echoed("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n") == "* at a");
    CHECK(echoed("OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n") == "/ at a");
    for (const std::string method :
         {"GET", "POST", "HEAD", "BREW", "CONNECT"}) {
      CAPTURE(method);
      CHECK(echoed(method + " * HTTP/1.1\r\nHost: a\r\n\r\n") == "400");
    }
  }

  TEST_CASE("a target of CONNECT is a host and a port") {
    CHECK(echoed("CONNECT b:1 HTTP/1.1\r\nHost: a\r\n\r\n") == "b:1 at a");
    CHECK(echoed("CONNECT [::1]:443 HTTP/1.1\r\nHost: a\r\n\r\n") ==
          "[::1]:443 at a");
    for (const std::string target :
         {"/", "b", "b:", "b:0", "b:x", "b:65536", "b/c:1", "http://b:1/"}) {
      CAPTURE(target);
      CHECK(echoed("CONNECT " + target + " HTTP/1.1\r\nHost: a\r\n\r\n") ==
            "400");
    }
  }

  // A redirect to such a path would lead a browser to another host.
  TEST_CASE("a path begins with one slash whatever the client sends") {
    for (const std::string start :
         {"/", "//", "///", "/\\", "/\\/", "//\\", "/\\\\", "/\\/\\"}) {
      CAPTURE(start);
      CHECK(echoed("GET " + start + "b//c\\d HTTP/1.0\r\n\r\n") ==
            "/b//c\\d at none");
      CHECK(echoed("GET " + start + " HTTP/1.0\r\n\r\n") == "/ at none");
    }
  }

  TEST_CASE("a few empty lines before a request are skipped") {
    const std::string get = "GET / HTTP/1.0\r\n\r\n";
    for (const std::string lines :
         {"\r\n", "\n", "\r\n\r\n", "\n\r\n\n\r\n"}) {
      CAPTURE(lines);
      CHECK(echoed(lines + get) == "/ at none");
      CHECK(answerTo(lines, "HTTP/1.1") == "");
    }
    CHECK(echoed("\r\n\r\n\r\n\r\n\r\n" + get) == "400");
    CHECK(echoed("\r" + get) == "400");
    // Old browsers send one behind the body of a POST.
    const std::string post =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    CHECK(count(answerTo(post + "\r\n" + post, "HTTP/1.1"), " 200 OK") == 2);
  }

  TEST_CASE("HTTP/0.9 is GET and one space and a path") {
    CHECK(answerTo("GET /a\r\n") == "GET /a HTTP/0.9");
    for (const std::string line :
         {"GET /a ", " GET /a", "GET  /a", "GET\t/a", "GET a", "POST /a"}) {
      CAPTURE(line);
      CHECK(contains(answerTo(line + "\r\n\r\n"), "Error 400"));
    }
  }

  TEST_CASE("a method is a token") {
    for (const std::string method :
         {"G@T", "/", "G(T", "G\xe4T", "GET:", "\"GET\"", "G,T"}) {
      CAPTURE(method);
      CHECK(echoed(method + " / HTTP/1.0\r\n\r\n") == "400");
    }
    CHECK(echoed("!#$%&'*+-.^_`|~9 / HTTP/1.0\r\n\r\n") == "501");
  }
}
#endif
// [/target-tests]

// [header-tests]
TEST_SUITE("http: headers of a request") {
  TEST_CASE("names are found in any case and values are trimmed") {
    const auto got = exchange(
        "GET / HTTP/1.0\r\nHost: example.org\r\nX-EMPTY:\r\n"
        "accept:\t text/html \t\r\nx-twice: 1\r\nX-Twice: 2\r\n"
        "Time: 12:30:00\r\n\r\n");
    CHECK(statusLine(got.answer) == "HTTP/1.0 200 OK");
    CHECK(got.headers.size() == 6);
    CHECK(got.headers.get("hOST") == "example.org");
    CHECK(got.headers.get("Accept") == "text/html");
    CHECK(got.headers.get("X-Twice") == "1");
    CHECK(got.headers.get("time") == "12:30:00");
    CHECK(got.headers.contains("x-empty"));
    CHECK(got.headers.get("x-empty", "default") == "");
    CHECK_FALSE(got.headers.contains("Hos"));
    CHECK(got.headers.get("Missing", "default") == "default");
  }

  TEST_CASE("what is no header line is a bad request") {
    for (const std::string line : {"no colon", ": no name", "Na me: value",
                                   "Name : value", " folded: value"}) {
      CAPTURE(line);
      CHECK(has(answerTo("GET / HTTP/1.0\r\nA: b\r\n" + line + "\r\n\r\n"),
                "HTTP/1.0 400 Bad header line"));
    }
  }

  TEST_CASE("a header line may be long and not too long") {
    const std::string start = "GET / HTTP/1.0\r\nX: ";
    CHECK(statusLine(answerTo(start + std::string(65'000, 'x') +
                              "\r\n\r\n")) == "HTTP/1.0 200 OK");
    CHECK(
        statusLine(answerTo(start + std::string(66'000, 'x') + "\r\n\r\n")) ==
        "HTTP/1.0 431 Request Header Fields Too Large");
  }

  TEST_CASE("there may be many headers and not too many") {
    const auto withHeaders = [](int n) {
      std::string request = "GET / HTTP/1.0\r\n";
      for (int i = 0; i < n; ++i)
        request += "X-" + std::to_string(i) + ": y\r\n";
      return statusLine(answerTo(request + "\r\n"));
    };
    CHECK(withHeaders(99) == "HTTP/1.0 200 OK");
    CHECK(withHeaders(101) == "HTTP/1.0 431 Request Header Fields Too Large");
  }

  TEST_CASE("a line that begins with a space is no header") {
    for (const std::string line : {" A: b", "\tA: b", " ", "  folded"}) {
      CAPTURE(line);
      for (const std::string before : {"", "Host: a\r\n"})
        CHECK(has(answerTo("GET / HTTP/1.0\r\n" + before + line + "\r\n\r\n"),
                  "HTTP/1.0 400 Bad header line"));
    }
  }

#if CLAIMS(all_of_http)
  TEST_CASE("a list may have empty elements") {
    const std::string next = "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    for (const std::string list :
         {",close", " , ,close,,", "a,, close", ","}) {
      CAPTURE(list);
      const std::string get = "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: ";
      CHECK(count(answerTo(get + list + "\r\n\r\n" + next, "HTTP/1.1"),
                  " 200 OK") == (list == "," ? 2 : 1));
    }
  }

  TEST_CASE("trailers are no headers") {
    const auto got = exchange(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        "1\r\nx\r\n0\r\nContent-Length: 5\r\nHost: b\r\nLate: c\r\n\r\n");
    CHECK(statusLine(got.answer) == "HTTP/1.0 200 OK");
    CHECK(got.headers.size() == 2);
    CHECK(got.headers.get("Host") == "a");
  }

  // In all, and not only each line: the client chooses how many there are.
  TEST_CASE("a head of the longest length is served and not a longer one") {
    const std::string start = "GET / HTTP/1.0\r\n";
    for (const std::size_t lines : {1, 2, 7, 50, 100}) {
      CAPTURE(lines);
      const auto head = [&](std::size_t length) {
        std::string all = start;
        for (std::size_t i = 0; i < lines; ++i) {
          const std::size_t end =
              start.size() + (length - start.size()) * (i + 1) / lines;
          all += "X: " + std::string(end - all.size() - 5, 'x') + "\r\n";
        }
        return all + "\r\n";
      };
      CHECK(statusLine(answerTo(head(65536))) == "HTTP/1.0 200 OK");
      CHECK(statusLine(answerTo(head(65537))).substr(9, 3) == "431");
      CHECK(statusLine(answerTo(head(200'000))).substr(9, 3) == "431");
    }
  }

  TEST_CASE("headers of one request are not those of the next") {
    const auto got = exchange(
        "GET /1 HTTP/1.1\r\nHost: a\r\nOne: 1\r\n\r\nGET /2 "
        "HTTP/1.1\r\nHost: a\r\nTwo: 2\r\nConnection: close\r\n\r\n",
        "HTTP/1.1");
    CHECK(got.headers.size() == 3);
    CHECK(got.headers.contains("Two"));
  }
#endif
}
// [/header-tests]

// [connection-tests]
TEST_SUITE("http: connections") {
  const std::string get1 = "GET /1 HTTP/1.1\r\nHost: a\r\n";
  const std::string get2 = "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n";

  TEST_CASE("HTTP/1.0 serves one request for each connection") {
    CHECK(count(answerTo(get1 + "\r\n" + get2), "HTTP/1.0 200 OK") == 1);
    // Even for a client that would like to go on.
    CHECK(count(answerTo(get1 + "Connection: keep-alive\r\n\r\n" + get2),
                "HTTP/1.0 200 OK") == 1);
  }

#if CLAIMS(all_of_http)
  TEST_CASE("HTTP/1.1 goes on and answers in order") {
    std::string requests;
    for (int i = 0; i < 50; ++i)
      requests +=
          "GET /" + std::to_string(i) + " HTTP/1.1\r\nHost: a\r\n\r\n";
    const std::string answer = answerTo(requests, "HTTP/1.1");
    CHECK(count(answer, "HTTP/1.1 200 OK") == 50);
    std::size_t at = 0;
    for (int i = 0; i < 50; ++i) {
      at = answer.find("GET /" + std::to_string(i) + " HTTP/1.1", at);
      CHECK(at != std::string::npos);
    }
  }

  TEST_CASE("the client and its version have a say in that") {
    struct Case {
      std::string version;
      std::string connection;
      std::size_t answers;
    };
    for (const Case& c :
         {Case{"HTTP/1.1", "", 2},
          Case{"HTTP/1.1", "Connection: close\r\n", 1},
          Case{"HTTP/1.1", "connection: CLOSE\r\n", 1},
          Case{"HTTP/1.0", "", 1},
          Case{"HTTP/1.0", "Connection: keep-alive\r\n", 2},
          Case{"HTTP/1.0", "Connection: Keep-Alive\r\n", 2}}) {
      CAPTURE(c.version);
      CAPTURE(c.connection);
      const std::string first =
          "GET /1 " + c.version + "\r\nHost: a\r\n" + c.connection + "\r\n";
      CHECK(count(answerTo(first + get2, "HTTP/1.1"), "HTTP/1.1 200 OK") ==
            c.answers);
    }
  }

  TEST_CASE("the handler has the last word by its own Connection header") {
    class Closing : public Handler {
     public:
      using Handler::Handler;
      void do_GET() override {
        send_response(200);
        send_header("Connection", "close");
        end_headers();
      }
    };
    CHECK(count(exchange<Closing>(get1 + "\r\n" + get2, "HTTP/1.1").answer,
                "HTTP/1.1 200 OK") == 1);
  }

  TEST_CASE("an error closes the connection and says so") {
    const std::string answer =
        answerTo("GET /error HTTP/1.1\r\nHost: a\r\n\r\n" + get2, "HTTP/1.1");
    CHECK(contains(answer, "\r\nConnection: close\r\n"));
    CHECK(count(answer, "HTTP/1.1 ") == 1);
  }

  TEST_CASE("a handler may close its connection itself") {
    class Closing : public Handler {
     public:
      using Handler::Handler;
      void do_GET() override {
        Handler::do_GET();
        if (path == "/close") connection.close();
        if (path == "/finish") connection.finish();
      }
    };
    for (const std::string path : {"/close", "/finish"}) {
      CAPTURE(path);
      Exchange closed;
      CHECK_NOTHROW(
          closed = exchange<Closing>(
              "GET " + path + " HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1"));
      CHECK(body(closed.answer) == "GET " + path + " HTTP/1.1");
    }
  }

  TEST_CASE("a body is read before the next request") {
    const std::string answer = answerTo(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + get2,
        "HTTP/1.1");
    CHECK(contains(answer, "POST hello"));
    CHECK(contains(answer, "GET /2 HTTP/1.1"));
  }

  TEST_CASE_FIXTURE(Run, "a client may wait for each answer") {
    Sockets sockets;
    go([&] {
      ScheduledFile file(std::move(sockets.b));
      Handler handler(file, someClient, someServer());
      handler.protocol_version = "HTTP/1.1";
      handler.handle();
      file.close();
    });
    ScheduledFile client(std::move(sockets.a));
    client.autoflush = true;
    for (int i = 0; i < 3; ++i) {
      client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      const std::string head = client.readUntil("\r\n\r\n").join();
      CHECK(contains(head, "Content-Length: 14\r\n"));
      CHECK(client.read(14) == "GET / HTTP/1.1");
    }
    client.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    CHECK(body(client.read()) == "GET / HTTP/1.1");
  }

  TEST_CASE_FIXTURE(Run, "a connection that is idle holds no head") {
    Sockets sockets;
    ScheduledFile file(std::move(sockets.b));
    Handler handler(file, someClient, someServer());
    handler.protocol_version = "HTTP/1.1";
    Task serving = go([&] { handler.handle(); });
    const std::string large(30'000, 'x');
    ScheduledFile client(std::move(sockets.a));
    client.autoflush = true;
    client.write("GET /" + large + " HTTP/1.1\r\nHost: a\r\nX: " + large +
                 "\r\n\r\n");
    client.readUntil("\r\n\r\n").join();
    CHECK(client.readUntil(" HTTP/1.1").join().size() > large.size());
    for (int turn = 0; turn < 5; ++turn) yield();
    CHECK_FALSE(serving.done());
    CHECK(handler.requestline.capacity() < 1000);
    CHECK(handler.path.empty());
    CHECK(handler.headers.size() == 0);
    client.close();
    serving.join();
  }

  TEST_CASE_FIXTURE(Run, "who expects 100-continue gets it before the body") {
    Sockets sockets;
    go([&] {
      ScheduledFile file(std::move(sockets.b));
      Handler handler(file, someClient, someServer());
      handler.protocol_version = "HTTP/1.1";
      handler.handle();
      file.close();
    });
    ScheduledFile client(std::move(sockets.a));
    client.autoflush = true;
    client.write(
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\n"
        "Content-Length: 4\r\nConnection: close\r\n\r\n");
    CHECK(client.readUntil("\r\n\r\n").join() ==
          "HTTP/1.1 100 Continue\r\n\r\n");
    client.write("body");
    CHECK(body(client.read()) == "POST body");
  }

  TEST_CASE("who speaks HTTP/1.0 expects nothing") {
    const std::string expecting =
        "\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody";
    CHECK_FALSE(contains(answerTo("POST / HTTP/1.0" + expecting, "HTTP/1.1"),
                         "Continue"));
    CHECK_FALSE(contains(answerTo("POST / HTTP/1.1" + expecting, "HTTP/1.0"),
                         "Continue"));
  }
#endif

  TEST_CASE("the end of a connection is not the end of a head") {
    for (const std::string half :
         {"GET / HTTP/1.0", "GET / HTTP/1.0\r\n", "GET / HTTP/1.0\r\nA: b",
          "GET / HTTP/1.0\r\nA: b\r\n"}) {
      CAPTURE(half);
      CHECK(answerTo(half).starts_with("HTTP/1.0 400 "));
    }
  }

  TEST_CASE_FIXTURE(Run, "defect 17: half a request is not handled") {
    ScheduledMixIn<HTTPServer> server(sys::Address("localhost", 0),
                                      handlerFor<Handler>);
    ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
    std::ostringstream log;
    std::streambuf* const before = std::cerr.rdbuf(log.rdbuf());
    client.write("GET / HTTP/1.0\r\nHalf-a-hea");
    go([&] { server.serve_forever(); });
    for (int turn = 0; turn < 10; ++turn) yield();
    const linger now{1, 0};
    ::setsockopt(client.fileno(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    client.close();
    for (int turn = 0; turn < 10; ++turn) yield();
    std::cerr.rdbuf(before);
    CHECK(contains(log.str(), "Connection reset by peer"));
    server.shutdown();
    scheduler.run();
  }
}
// [/connection-tests]

// [patience-tests]
namespace {

// Waits for so long for a head.
sys::Duration patience;

class Impatient : public Handler {
 public:
  Impatient(ScheduledFile& request, const sys::Address& client,
            TCPServer& accepted_by)
      : Handler(request, client, accepted_by) {
#if CLAIMS(all_of_http)
    headerTimeout = patience;
#else
    timeout = patience;
#endif
  }
};

// Handles what comes from a client in a coroutine.
template <class H>
void serve(sys::Fd connection) {
  go([file = ScheduledFile(std::move(connection))]() mutable {
    H(file, someClient, someServer()).handle();
    file.close();
  });
}

}  // namespace

TEST_SUITE("http: the time for a head") {
  TEST_CASE_FIXTURE(Run, "half a head is answered by 408 in time") {
    patience = 5ms;
    for (const std::string half :
         {"G", "GET / HTTP/1.0\r\n", "GET / HTTP/1.0\r\nA: b\r\nC"}) {
      CAPTURE(half);
      Sockets sockets;
      serve<Impatient>(std::move(sockets.b));
      put(sockets.a.get(), half);
      ScheduledFile client(std::move(sockets.a));
      CHECK(has(client.readline(), "HTTP/1.0 408 Request Timeout"));
      scheduler.run();
    }
  }

  // Each header comes in time, and all of them together do not.
  TEST_CASE_FIXTURE(Run, "a head that comes line by line is 408 in time") {
    patience = 20ms;
    Sockets sockets;
    std::string status;
    serve<Impatient>(std::move(sockets.b));
    go([&] {
      ScheduledFile client(sys::Fd(sys::dup(sockets.a.get())));
      status = client.readline();
    });
    put(sockets.a.get(), "GET / HTTP/1.0\r\n");
    for (int header = 0; header < 90 && status.empty(); ++header) {
      sleep(1ms);
      errorOf([&] { put(sockets.a.get(), "A: b\r\n"); });
    }
    errorOf([&] { put(sockets.a.get(), "\r\n"); });
    scheduler.run();
    CHECK(has(status, "HTTP/1.0 408 Request Timeout"));
  }

  TEST_CASE_FIXTURE(Run, "the time for a head does not end its answer") {
    class Late : public Impatient {
     public:
      using Impatient::Impatient;
      void do_GET() override {
        sleep(2 * patience);
        send_response(200);
        end_headers();
        wfile.write(std::string(1 << 20, 'x'));
      }
    };
    patience = 1ms;
    Sockets sockets;
    put(sockets.a.get(), "GET / HTTP/1.0\r\n\r\n");
    serve<Late>(std::move(sockets.b));
    ScheduledFile client(std::move(sockets.a));
    CHECK(body(client.read()).size() == 1 << 20);
    scheduler.run();
  }
}
// [/patience-tests]

// [long-line-tests]
TEST_SUITE("http: long request lines") {
  TEST_CASE("the longest line is served and one more byte is 414") {
    const std::string end = " HTTP/1.0\r\n";
    const std::string path = "/" + std::string(65536 - 5 - end.size(), 'x');
    CHECK(statusLine(answerTo("GET " + path + end + "\r\n")) ==
          "HTTP/1.0 200 OK");
    CHECK(statusLine(answerTo("GET " + path + "x" + end + "\r\n")) ==
          "HTTP/1.0 414 URI Too Long");
  }

#if CLAIMS(lingering)
  TEST_CASE_FIXTURE(Run, "defect 11: 70 kB get 414 and the next is served") {
    ScheduledMixIn<HTTPServer> server(sys::Address("localhost", 0),
                                      handlerFor<Handler>);
    bool ended = false;
    go([&] {
      server.serve_forever();
      ended = true;
    });
    const auto ask = [&](const std::string& path) {
      ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
      client.write("GET " + path + " HTTP/1.0\r\n\r\n");
      return client.readline();
    };
    for (int i = 0; i < 3; ++i) {
      CHECK(ask("/" + std::string(70'000, 'x')) ==
            "HTTP/1.0 414 URI Too Long\r\n");
      CHECK(ask("/") == "HTTP/1.0 200 OK\r\n");
    }
    server.shutdown();
    while (!ended) yield();
  }
#endif
}
// [/long-line-tests]

// [response-tests]
TEST_SUITE("http: responses") {
#if CLAIMS(all_of_http)
  TEST_CASE("send_error escapes what it quotes") {
    const std::string answer = answerTo("GET /error HTTP/1.0\r\n\r\n");
    CHECK(statusLine(answer) == "HTTP/1.0 404 <b> & \"co\"");
    CHECK(contains(answer, "Content-Type: text/html;charset=utf-8\r\n"));
    const std::string page = body(answer);
    CHECK(contains(page, "&lt;b&gt; &amp; \"co\""));
    CHECK(contains(page, "&lt;i&gt;why&lt;/i&gt;"));
    CHECK_FALSE(contains(page, "<b>"));
    CHECK_FALSE(contains(page, "<i>"));
    CHECK(contains(
        answer, "Content-Length: " + std::to_string(page.size()) + "\r\n"));
  }

  TEST_CASE("a method that is no token is refused and not quoted") {
    const std::string answer =
        answerTo("X\x80Set-Cookie:y\xff<b> / HTTP/1.0\r\n\r\n");
    CHECK(statusLine(answer) == "HTTP/1.0 400 Bad request syntax");
    CHECK_FALSE(contains(answer, "Set-Cookie"));
  }

  TEST_CASE("an error that quotes the client is printable text") {
    class Quoting : public Handler {
     public:
      using Handler::Handler;
      void do_GET() override {
        send_error(404, "no \x80\x1b[2J\r\nA: b<i>", "no \x1b[2J\x7f<i>");
      }
    };
    const std::string answer =
        exchange<Quoting>("GET / HTTP/1.0\r\n\r\n").answer;
    CHECK(statusLine(answer) == "HTTP/1.0 404 no ??[2J??A: b<i>");
    CHECK(contains(body(answer), "no ?[2J?&lt;i&gt;"));
    CHECK_FALSE(contains(answer, "\x1b"));
    CHECK_FALSE(contains(body(answer), "<i>"));
  }

  TEST_CASE("answers that may have no body have none") {
    class Bodiless : public Handler {
     public:
      using Handler::Handler;
      void do_GET() override {
        send_error(std::stoi(std::string(path.substr(1))));
      }
    };
    for (const std::string code : {"204", "205", "304"}) {
      CAPTURE(code);
      const std::string answer =
          exchange<Bodiless>("GET /" + code + " HTTP/1.0\r\n\r\n").answer;
      CHECK(answer.starts_with("HTTP/1.0 " + code + " "));
      CHECK_FALSE(contains(answer, "Content-Length"));
      CHECK(body(answer) == "");
    }
  }
#endif

  TEST_CASE("an error has a body that says what it is") {
    const std::string answer = answerTo(
        "GET / HTTP/1.0\r\nX: " + std::string(66'000, 'x') + "\r\n\r\n");
    CHECK(contains(answer, "\r\nContent-Type: text/"));
    CHECK(contains(body(answer), "Request Header Fields Too Large"));
  }

  TEST_CASE("a header with a line end in it is refused") {
    Sockets sockets(sys::Mode::blocking);
    goWrite(sockets.a.get(), "GET /inject HTTP/1.0\r\n\r\n");
    ScheduledFile file(std::move(sockets.b));
    Handler handler(file, someClient, someServer());
    handler.handle();
    file.close();
    CHECK(handler.injected == "thrown thrown thrown ");
    const std::string answer = readSome(sockets.a.get());
    CHECK_FALSE(contains(answer, "Set-Cookie"));
    CHECK_FALSE(contains(answer, "X-Name"));
  }

#if CLAIMS(all_of_http)
  TEST_CASE("what is no field is refused by an error that says so") {
    class Sending : public Handler {
     public:
      using Handler::Handler;
      void do_GET() override {
        using Invalid = std::invalid_argument;
        CHECK_THROWS_AS(send_header("A", "b"), std::logic_error);
        CHECK_THROWS_AS(end_headers(), std::logic_error);
        CHECK_THROWS_AS(startChunks(), std::logic_error);
        CHECK_THROWS_AS(send_response(200, "a\x1b"), Invalid);
        for (const int status : {-1, 0, 99, 600, 1000})
          CHECK_THROWS_AS(send_response(status), Invalid);
        send_response(200);
        for (const char* name :
             {"", " ", "A b", "A:", "A\t", "\xe4", "(A)", "A\r\nB"}) {
          CAPTURE(name);
          CHECK_THROWS_AS(send_header(name, "v"), Invalid);
        }
        for (const char* value : {"\r\n", "a\rb", "\x01", "\x7f", "\x1b[2J"})
          CHECK_THROWS_AS(send_header("A", value), Invalid);
        for (const char* value : {"", "-1", "+1", "1 ", "0x1", "1, 1", "a",
                                  "99999999999999999999"})
          CHECK_THROWS_AS(send_header("Content-Length", value), Invalid);
        CHECK_THROWS_AS(send_header("Transfer-Encoding", "chunked"), Invalid);
        CHECK_THROWS_AS(wfile.write("early"), std::logic_error);
        CHECK_THROWS_AS(send_response(404), std::logic_error);
        send_header("Empty", "");
        send_header("Tab", "a\tb \xe4");
        send_header("Content-Length", "2");
        CHECK_THROWS_AS(send_header("content-length", "2"), Invalid);
        end_headers();
        CHECK_THROWS_AS(send_header("Late", "x"), std::logic_error);
        CHECK_THROWS_AS(end_headers(), std::logic_error);
        wfile.write("ok");
        CHECK_THROWS_AS(send_error(404), std::logic_error);
      }
    };
    const std::string answer =
        exchange<Sending>("GET / HTTP/1.0\r\n\r\n").answer;
    CHECK(statusLine(answer) == "HTTP/1.0 200 OK");
    CHECK(contains(answer,
                   "GMT\r\nEmpty: \r\nTab: a\tb \xe4\r\n"
                   "Content-Length: 2\r\n\r\nok"));
    CHECK(count(answer, "HTTP/1.0") == 1);
  }
#endif

  TEST_CASE("a response leaves in one write" *
            doctest::test_suite("reference")) {
    const Ledger before = ledger;
    Sockets sockets(sys::Mode::blocking);
    ScheduledFile file(std::move(sockets.b));
    Handler handler(file, someClient, someServer());
    goWrite(sockets.a.get(), "GET / HTTP/1.0\r\n\r\n");
    handler.handle();
    file.close();
#if CLAIMS(last_segment)
    CHECK(ledger[Call::write] - before[Call::write] == 1);  // that is ours
    CHECK(ledger[Call::send] - before[Call::send] == 1);
#else
    CHECK(ledger[Call::write] - before[Call::write] == 2);  // one is ours
#endif
    CHECK(ledger[Call::read] - before[Call::read] == 1);
  }

  TEST_CASE("reason phrases are those of RFC 9110") {
    CHECK(reasonPhrase(200) == "OK");
    CHECK(reasonPhrase(205) == "Reset Content");
    CHECK(reasonPhrase(404) == "Not Found");
    CHECK(reasonPhrase(414) == "URI Too Long");
    CHECK(reasonPhrase(431) == "Request Header Fields Too Large");
    CHECK(reasonPhrase(501) == "Not Implemented");
    CHECK(reasonPhrase(505) == "HTTP Version Not Supported");
    CHECK(reasonPhrase(299) == "");
  }
}
// [/response-tests]

// [date-tests]
namespace {

std::tm parsed(const std::string& date, const char* format) {
  std::tm time{};
  const char* end = ::strptime(date.c_str(), format, &time);
  REQUIRE(end != nullptr);
  CHECK(*end == '\0');
  return time;
}

// Names are English: a test program has the locale "C".
std::string written(const std::tm& time, const char* format) {
  char text[64];
  return {text, std::strftime(text, sizeof text, format, &time)};
}

}  // namespace

TEST_SUITE("http: dates and the log") {
  TEST_CASE("the Date header is now as RFC 9110 writes it") {
    const std::time_t before = std::time(nullptr);
    const std::string answer = answerTo("GET / HTTP/1.0\r\n\r\n");
    const std::time_t after = std::time(nullptr);
    const std::size_t header = answer.find("\r\nDate: ");
    REQUIRE(header != answer.npos);
    const std::string date = statusLine(answer.substr(header + 8));
    std::tm utc = parsed(date, "%a, %d %b %Y %H:%M:%S GMT");
    const std::time_t time = ::timegm(&utc);  // sets the day of the week
    CHECK(date == written(utc, "%a, %d %b %Y %H:%M:%S GMT"));
    CHECK(time >= before);
    CHECK(time <= after);
  }

#if CLAIMS(all_of_http)
  TEST_CASE("the log has the local time as Python writes it") {
    const std::time_t before = std::time(nullptr);
    const std::string date = BaseHTTPRequestHandler::log_date_time_string();
    const std::time_t after = std::time(nullptr);
    std::tm local = parsed(date, "%d/%b/%Y %H:%M:%S");
    local.tm_isdst = -1;
    const std::time_t time = std::mktime(&local);
    CHECK(date == written(local, "%d/%b/%Y %H:%M:%S"));
    CHECK(time >= before);
    CHECK(time <= after);
  }
#endif

  TEST_CASE("each answer is logged and each error twice") {
    CHECK(exchange("GET /a HTTP/1.0\r\n\r\n").log ==
          std::vector<std::string>{"\"GET /a HTTP/1.0\" 200 -"});
#if CLAIMS(words)
    CHECK(exchange("BREW / HTTP/1.0\r\n\r\n").log ==
          std::vector<std::string>{
              "code 501, message Unsupported method ('BREW')",
              "\"BREW / HTTP/1.0\" 501 -"});
    CHECK(exchange("GET /" + std::string(70'000, 'x')).log ==
          std::vector<std::string>{"code 414, message URI Too Long",
                                   "\"\" 414 -"});
#endif
  }

#if CLAIMS(all_of_http)
  TEST_CASE("what is no request is not logged as the one before it") {
    const auto got =
        exchange("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\rX", "HTTP/1.1");
    CHECK(got.log == std::vector<std::string>{
                         "\"GET /1 HTTP/1.1\" 200 -",
                         "code 400, message A CR without LF", "\"\" 400 -"});
  }
#endif

  TEST_CASE("an error that quotes a client is one line of the log") {
    class Telling : public HTTPServer {
     public:
      using HTTPServer::handle_error;
      using HTTPServer::HTTPServer;
    };
    std::ostringstream log;
    std::streambuf* const before = std::cerr.rdbuf(log.rdbuf());
    Telling(sys::Address("127.0.0.1", 0), handlerFor<Handler>)
        .handle_error(someClient, std::runtime_error(
                                      "no \x1b[2J'\r\n10.0.0.1 - \x9b\x7f"));
    std::cerr.rdbuf(before);
    const std::string line = log.str();
    CHECK(line.starts_with("Exception while serving 127.0.0.1"));
    CHECK(line.ends_with(": no \\x1b[2J'\\x0d\\x0a10.0.0.1 - \\x9b\\x7f\n"));
    CHECK(count(line, "\n") == 1);
  }

#if CLAIMS(unhandled)
  TEST_CASE("so is one that leaves a coroutine") {
    std::ostringstream log;
    std::streambuf* const before = std::cerr.rdbuf(log.rdbuf());
    Scheduler::print(
        std::make_exception_ptr(std::runtime_error("no \x1b[2J\nforged")));
    std::cerr.rdbuf(before);
    CHECK(log.str() ==
          "naglfar: a coroutine ended by an exception: "
          "no \\x1b[2J\\x0aforged\n");
  }
#endif

#if CLAIMS(all_of_http)
  TEST_CASE("a line on standard error looks as Python's") {
    class Logging : public Handler {
     public:
      using Handler::Handler;
      void log_message(std::string_view message) override {
        BaseHTTPRequestHandler::log_message(message);
      }
    };
    std::ostringstream log;
    std::streambuf* const before = std::cerr.rdbuf(log.rdbuf());
    exchange<Logging>("GET /\x9b[31m HTTP/1.0\r\n\r\n");
    std::cerr.rdbuf(before);
    // A client that could write control characters could write log lines.
    // Some terminals take \x9b for one, too.
    const std::string start = "127.0.0.1 - - [";
    const std::string end = "] \"GET /\\x9b[31m HTTP/1.0\" 200 -\n";
    const std::string line = log.str();
    CAPTURE(line);
    REQUIRE(line.size() == start.size() + 20 + end.size());
    CHECK(line.starts_with(start));
    CHECK(line.ends_with(end));
    parsed(line.substr(start.size(), 20), "%d/%b/%Y %H:%M:%S");
  }
#endif
}
// [/date-tests]

// [http-server-tests]
TEST_SUITE("http: HTTPServer") {
#if CLAIMS(all_of_http)
  TEST_CASE("it knows its name and its port") {
    const HTTPServer server(sys::Address("localhost", 0),
                            handlerFor<Handler>);
    CHECK(server.server_name() == "127.0.0.1");
    CHECK(server.server_port() == server.server_address.port());
  }
#endif

  TEST_CASE_FIXTURE(Run, "the handler is told who asks and whom") {
    class Telling : public Handler {
     public:
      using Handler::Handler;
      void do_GET() override {
        const auto& http = static_cast<HTTPServer&>(server);
        send_response(200);
        end_headers();
        wfile.write(client_address.host() + ":" +
                    std::to_string(client_address.port()) + " asks " +
                    std::to_string(http.server_address.port()));
      }
    };
    ScheduledMixIn<HTTPServer> server(sys::Address("localhost", 0),
                                      handlerFor<Telling>);
    ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
    sys::Address own;
    sys::check(sys::localAddress(client.fileno(), own), "getsockname");
    client.write("GET / HTTP/1.0\r\n\r\n");
    go([&] { server.serve_forever(); });
    CHECK(body(client.read()) ==
          "127.0.0.1:" + std::to_string(own.port()) + " asks " +
              std::to_string(server.server_address.port()));
    server.shutdown();
    scheduler.run();
  }
}
// [/http-server-tests]
