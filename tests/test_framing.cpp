// The framing of answers: where each answer ends, for the client that reads
// it by the rules of RFC 9112 section 6.3 and by nothing else.
//
// The test makes every cell of a table: status x method x version of the
// request x version of the handler x how the handler answers. In each cell
// the client sends a second request behind the first. What it takes for the
// second answer must be that, and what it takes for the end must be the end.

#include <doctest/doctest.h>
#include <sys/socket.h>

#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "helpers.hpp"
#include "naglfar/http.hpp"

using namespace naglfar;
using namespace helpers;

// [framing-cells]
namespace {

// How a handler answers.
enum class How {
  length,            // as many bytes as its Content-Length says
  chunks,            // startChunks() to endChunks()
  close,             // no length: the body ends with the connection
  tooShort,          // fewer bytes than its Content-Length says
  tooLong,           // more
  muchTooLong,       // more than fits into the buffer
  lengthAndChunks,   // a Content-Length, and then startChunks()
  afterChunks,       // bytes behind endChunks()
  endless,           // chunks without endChunks()
  saysClose,         // Connection: close
  saysKeepAlive,     // Connection: keep-alive
  silent,            // nothing
  stopsInHead,       // no end_headers()
  throwsFirst,       // an exception before the status
  throwsInHead,      // an exception within the head
  throwsInBody,      // an exception within a body of which nothing has left
  throwsAfterFlush,  // an exception within a body of which a part has left
  refuses,           // HTTPError(410)
  error,             // send_error(status)
  last = error
};

struct Cell {
  int status = 200;
  std::string method;
  std::string request;   // HTTP/1.1 and its like; "" for HTTP/0.9
  std::string header;    // the request's Connection header, or ""
  std::string protocol;  // the handler's
  How how = How::length;

  bool keeps() const {  // what the client would like
    return request == "HTTP/1.1" ? !header.ends_with("close\r\n")
                                 : !header.empty();
  }
  bool both11() const { return request == protocol && request == "HTTP/1.1"; }
  bool bodiless() const {
    return method == "HEAD" || status < 200 || status == 204 ||
           status == 205 || status == 304;
  }
  bool tunnel() const {
    return (status == 101 && both11()) ||
           (method == "CONNECT" && status / 100 == 2);
  }
};

std::ostream& operator<<(std::ostream& out, const Cell& cell) {
  return out << cell.method << ' ' << cell.request << ' ' << cell.header
             << " -> " << cell.protocol << ' ' << cell.status << " how "
             << static_cast<int>(cell.how);
}

Cell cell;  // the one that is tried

const std::string text = "0123456789";
// [/framing-cells]

// [framing-handler]
class Handler : public BaseHTTPRequestHandler {
 public:
  Handler(ScheduledFile& request, const sys::Address& client,
          TCPServer& accepted_by)
      : BaseHTTPRequestHandler(request, client, accepted_by) {
    protocol_version = cell.protocol;
  }
  void do_GET() override { answer(); }
  void do_POST() override { answer(); }
  void do_PUT() override { answer(); }
  void do_DELETE() override { answer(); }
  void do_OPTIONS() override { answer(); }
  void do_CONNECT() override { answer(); }
  void do_other() override { answer(); }
  void log_message(std::string_view) override {}

 private:
  void start(const std::string& length) {
    send_response(path == "/next" ? 200 : cell.status);
    if (!length.empty()) send_header("Content-Length", length);
  }
  void all(const std::string& length, const std::string& body) {
    start(length);
    end_headers();
    wfile.write(body);
  }
  void answer() {
    if (path == "/next") return all("4", "next");
    switch (cell.how) {
      case How::length:
        return all("10", text);
      case How::chunks:
      case How::afterChunks:
      case How::endless:
      case How::lengthAndChunks:
        return inChunks();
      case How::close:
        return all("", text);
      case How::tooShort:
        return all("11", text);
      case How::tooLong:
        return all("10", text + "HTTP/1.1 200 OK\r\n\r\n");
      case How::muchTooLong:
        return all("10", text + std::string(100'000, 'x'));
      case How::saysClose:
      case How::saysKeepAlive:
        start("10");
        send_header("Connection",
                    cell.how == How::saysClose ? "close" : "keep-alive");
        end_headers();
        return wfile.write(text);
      case How::silent:
        return;
      case How::stopsInHead:
        return start("10");
      case How::refuses:
        throw HTTPError(410);
      case How::error:
        return send_error(cell.status);
      default:
        return fail();
    }
  }
  void inChunks() {
    start(cell.how == How::lengthAndChunks ? "10" : "");
    startChunks();
    sendChunk(text.substr(0, 3));
    wfile.write(text.substr(3));
    if (cell.how == How::endless) return;
    endChunks();
    if (cell.how == How::afterChunks) wfile.write("5\r\nafter\r\n");
  }
  void fail() {
    if (cell.how != How::throwsFirst) start("10");
    if (cell.how == How::throwsInHead) send_header("A b", "c");
    if (cell.how != How::throwsFirst) {
      end_headers();
      wfile.write(text.substr(0, 3));
    }
    if (cell.how == How::throwsAfterFlush) wfile.flush();
    throw std::runtime_error("the handler fails");
  }
};

// A server for the handlers to refer to.
class Server : public TCPServer {
 public:
  using TCPServer::TCPServer;
  int errors = 0;  // that left a handler
};

Server& server() {
  static Server one(sys::Address("localhost", 0), handlerFor<Handler>);
  return one;
}

std::string answers() {
  Sockets sockets(sys::Mode::blocking);
  const bool http09 = cell.request.empty();
  std::string request = cell.method;
  request += cell.method == "CONNECT" ? " a:1" : " /first";
  if (!http09) request += ' ' + cell.request;
  request += "\r\n";
  if (!http09) request += "Host: a\r\n" + cell.header;
  if (cell.method == "POST") request += "Content-Length: 4\r\n";
  if (!http09) request += "\r\n";
  if (cell.method == "POST") request += "body";
  goWrite(sockets.a.get(), request +
                               "GET /next HTTP/1.1\r\nHost: a\r\n"
                               "Connection: close\r\n\r\n");
  sys::check(::shutdown(sockets.a.get(), SHUT_WR), "shutdown");
  {
    ScheduledFile file(std::move(sockets.b));
    Handler handler(file, sys::Address("127.0.0.1", 1), server());
    try {
      handler.handle();
    } catch (const std::exception&) {
      ++server().errors;  // as a server does
    }
    file.close();
  }
  std::string all;
  for (std::string piece; !(piece = goRead(sockets.a.get())).empty();)
    all += piece;
  return all;
}
// [/framing-handler]

// [framing-client]
// What a client takes for one answer.
struct Answer {
  int status = 0;
  Headers headers;
  std::string body;
  bool whole = true;  // false: the end of the connection came before its end
  bool toTheEnd = false;  // whether the body ends with the connection
  bool keeps = false;     // whether another answer may come
};

// Takes a line off.
std::string line(std::string& rest) {
  const std::size_t end = rest.find("\r\n");
  REQUIRE(end != std::string::npos);
  const std::string line = rest.substr(0, end);
  rest.erase(0, end + 2);
  return line;
}

void take(Answer& answer, std::string& rest, std::size_t n) {
  answer.whole = answer.whole && n <= rest.size();
  answer.body += rest.substr(0, n);
  rest.erase(0, n);
}

void takeChunks(Answer& answer, std::string& rest) {
  while (answer.whole) {
    if (rest.empty()) {
      answer.whole = false;
      return;
    }
    const auto n = parseNumber(line(rest), 16);
    REQUIRE(n);
    if (*n > 0) take(answer, rest, *n);
    CHECK(line(rest).empty());
    if (*n == 0) return;
  }
}

// Takes an answer off, as RFC 9112 section 6.3 says.
Answer takeAnswer(std::string& rest, const std::string& method) {
  Answer answer;
  const std::string status = line(rest);
  CHECK(status.starts_with(cell.protocol + " "));
  answer.status = std::stoi(status.substr(9, 3));
  for (std::string next; !(next = line(rest)).empty();)
    REQUIRE(answer.headers.add(next));
  const auto lengths = answer.headers.get_all("Content-Length");
  const auto codings = answer.headers.get_all("Transfer-Encoding");
  CHECK(lengths.size() + codings.size() <= 1);
  const int kind = answer.status / 100;
  const bool connected = method == "CONNECT" && kind == 2;
  if (kind == 1 || answer.status == 204 || connected)
    CHECK(lengths.size() + codings.size() == 0);
  if (!codings.empty()) {
    CHECK(codings[0] == "chunked");
    CHECK(cell.both11());
    CHECK(method != "HEAD");
    CHECK(answer.status != 304);
  }
  if (kind == 1 && answer.status != 101) {
    answer.keeps = true;
  } else if (connected || answer.status == 101) {
    take(answer, rest, rest.size());
  } else if (method == "HEAD" || answer.status == 204 ||
             answer.status == 304) {
  } else if (!codings.empty()) {
    takeChunks(answer, rest);
  } else if (!lengths.empty()) {
    const auto n = parseNumber(lengths[0], 10);
    REQUIRE(n);
    take(answer, rest, *n);
  } else {
    answer.toTheEnd = true;
    take(answer, rest, rest.size());
  }
  if (kind > 1)  // RFC 9112 section 9.3
    answer.keeps = !answer.toTheEnd && !connected &&
                   !answer.headers.hasToken("Connection", "close") &&
                   (cell.both11() ||
                    answer.headers.hasToken("Connection", "keep-alive"));
  return answer;
}
// [/framing-client]

// [framing-expected]
// What the final answer must be, by what the handler does.
struct Expected {
  int status = cell.status;
  bool page = false;   // whether the body is a page about an error
  bool whole = true;   // whether the client gets all that was announced
  bool keeps = false;  // whether the second answer may follow
  bool told = false;   // whether the server is told of an exception
};

Expected expected() {
  const How how = cell.how;
  Expected e;
  const bool fails = how == How::silent || how == How::stopsInHead ||
                     how == How::throwsFirst || how == How::throwsInHead ||
                     how == How::throwsInBody;
  const bool noFinal = cell.status < 200 && !cell.tunnel();
  const bool cutOff = how == How::throwsAfterFlush && !noFinal;
  e.told = how != How::refuses && (fails || cutOff || noFinal);
  if (cutOff) e.whole = cell.bodiless() || cell.tunnel();
  if (how == How::refuses)
    e.status = 410;
  else if (fails || noFinal)
    e.status = 500;
  e.page = fails || noFinal || how == How::refuses || how == How::error;
  const bool ok = !e.page && !e.told && !cell.tunnel();
  const bool chunks =
      how == How::chunks || how == How::afterChunks || how == How::endless;
  const bool ends = cell.bodiless() || (chunks && cell.both11()) ||
                    (!chunks && how != How::close);
  if (how == How::tooShort || (how == How::endless && cell.both11()))
    e.whole = e.whole && (cell.bodiless() || cell.tunnel());
  const bool overrun =
      (how == How::tooLong || how == How::muchTooLong) && !cell.bodiless();
  e.keeps = ok && ends && e.whole && !overrun && how != How::saysClose &&
            cell.keeps() && cell.protocol == "HTTP/1.1";
  return e;
}

std::string expectedBody() {
  if (cell.method == "HEAD" || cell.bodiless()) return "";
  if (cell.how == How::throwsAfterFlush) return text.substr(0, 3);
  return text;
}
// [/framing-expected]

// [framing-check]
void checkHTTP09(const std::string& answer) {
  const Expected e = expected();
  CHECK_FALSE(answer.starts_with("HTTP/"));
  // Of an answer that is empty nothing has left, so an error may replace it.
  if (e.page || (cell.how == How::throwsAfterFlush && cell.bodiless()))
    CHECK(answer.starts_with(
        cell.how == How::error && cell.bodiless() ? "" : "<!DOCTYPE html>"));
  else
    CHECK(answer == expectedBody());
}

void check() {
  CAPTURE(cell);
  server().errors = 0;
  std::string rest = answers();
  CAPTURE(rest);
  if (cell.request.empty()) return checkHTTP09(rest);
  const Expected e = expected();
  Answer answer = takeAnswer(rest, cell.method);
  while (answer.status < 200 && answer.status != 101) {
    CHECK(cell.both11());  // RFC 9110 section 15.2
    CHECK(answer.status == cell.status);
    answer = takeAnswer(rest, cell.method);
  }
  CHECK(answer.status == e.status);
  CHECK((server().errors > 0) == e.told);
  CHECK(answer.whole == e.whole);
  if (cell.tunnel()) return;  // what follows is not HTTP
  if (!e.page) CHECK(answer.body == expectedBody());
  // A body that is too long is cut off; only the end can tell the client so.
  if (e.whole && cell.how != How::tooLong && cell.how != How::muchTooLong &&
      !(e.told && !e.page))
    CHECK(answer.keeps == e.keeps);
  CHECK(answer.headers.hasToken("Connection", "keep-alive") ==
        (answer.keeps && cell.request != "HTTP/1.1"));
  if (!answer.keeps && cell.request == "HTTP/1.1")
    CHECK(answer.headers.hasToken("Connection", "close"));
  if (!e.keeps) {
    CHECK(rest.empty());
    return;
  }
  const Answer next = takeAnswer(rest, "GET");
  CHECK(next.status == 200);
  CHECK(next.body == "next");
  CHECK(next.whole);
  CHECK(rest.empty());
}

const std::vector<std::string> methods = {"GET",     "HEAD",    "POST", "PUT",
                                          "OPTIONS", "CONNECT", "BREW"};
const std::vector<int> statuses = {100, 101, 103, 200, 201, 204, 205,
                                   206, 301, 304, 400, 404, 500, 503};

void checkAll(const std::string& request, const std::string& header) {
  for (const std::string& method : methods)
    for (const int status : statuses)
      for (const std::string protocol : {"HTTP/1.0", "HTTP/1.1"})
        for (int how = 0; how <= static_cast<int>(How::last); ++how) {
          if (request.empty() && method != "GET") continue;
          cell = {status, method,   request,
                  header, protocol, static_cast<How>(how)};
          check();
        }
}

}  // namespace
// [/framing-check]

// [framing-tests]
TEST_SUITE("framing") {
  TEST_CASE("each answer to HTTP/1.1 ends where its head says") {
    checkAll("HTTP/1.1", "");
  }
  TEST_CASE("each answer to a client that asks for close is the last") {
    checkAll("HTTP/1.1", "Connection: close\r\n");
  }
  TEST_CASE("each answer to HTTP/1.0 ends with the connection") {
    checkAll("HTTP/1.0", "");
  }
  TEST_CASE("HTTP/1.0 is told in each answer whether it may go on") {
    checkAll("HTTP/1.0", "Connection: Keep-Alive\r\n");
  }
  TEST_CASE("each answer to HTTP/0.9 is a body") {
    checkAll("", "");
  }
}
// [/framing-tests]
