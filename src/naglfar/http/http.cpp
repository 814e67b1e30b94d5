// How the handler reads a request, and what it does with the connection
// after the answer.
//
// Invariants:
// - A client cannot fill the memory: the length of a head, the number of its
//   headers and the length of the body are limited.
// - The handler never waits for a client without a time limit.
//
// It asks for readHTTPLine, RequestBody, ScheduledFile, and the server's
// idle() and handle_error().

#include "naglfar/http.hpp"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <utility>

namespace naglfar {

// [handle]
void BaseHTTPRequestHandler::handle() {
  do {
    handle_one_request();
  } while (!close_connection);
  hangUp();
}

// The client may still send, or has sent, bytes that the handler will not
// read: the rest of a request that was refused, the rest of a body, another
// request behind this one, or a request that it sends because it takes the
// connection for a lasting one. A client of HTTP/1.0 that has sent its only
// request should send no more: there, what the kernel has decides.
void BaseHTTPRequestHandler::hangUp() {
  const bool mayBeSending =
      refused_ || !rfile.atEnd() || connection.available() > 0 || mayGoOn_;
  if (connection.closed()) return;
  if (ended_) return connection.close();
  if (mayBeSending)
    connection.lingeringClose(lingerTimeout, lingerLimit);
  else
    connection.finish(lingerTimeout, lingerLimit);
}

void BaseHTTPRequestHandler::handle_one_request() {
  close_connection = true;
  status_ = 0;
  begun_ = position();
  // A connection that is idle holds no head, which may have been a large one.
  std::string().swap(requestline);
  std::string().swap(target_);
  command = path = request_version = "";
  headers.clear();
  wfile.start(ResponseBody::Framing::raw);
  try {
    if (!awaitRequest(served_ ? keepAliveTimeout : headerTimeout)) return;
    served_ = true;
    parse_request();
    serve();
    // The rest of the body stands before the next request. To drop a short
    // rest is cheaper than a new connection. The client may wait for the
    // answer before it sends the rest, so the answer goes first.
    constexpr std::size_t little = 65536;
    if (!close_connection && !rfile.atEnd()) connection.flush();
    if (!close_connection) close_connection = !rfile.skip(little);
  } catch (const HTTPError& error) {
    connection.deadline = never;
    connection.timeout = timeout;
    refused_ = close_connection = true;
    sendInstead(error.code, error.what());
  }
  // close() sends the last answer together with the end of the connection.
  if (!close_connection) connection.flush();
}
// [/handle]

// [serve-request]
// Calls the handler's function, and looks at what became of the answer.
void BaseHTTPRequestHandler::serve() {
  using Framing = ResponseBody::Framing;
  try {
    dispatch();
    if (wfile.framing() == Framing::head)
      throw std::logic_error("a handler returned before end_headers()");
    if (status_ < 200 && position() == begun_)
      throw std::logic_error("a handler returned without an answer");
    if (wfile.framing() == Framing::length && !wfile.whole())
      log_error("the body has not the length that its head says");
    // The handler has caught what it was told of its answer.
    if (wfile.framing() == Framing::broken) return apologize();
    if (!wfile.whole() || connection.closed()) close_connection = true;
  } catch (const HTTPError&) {
    throw;
  } catch (const Unwind&) {
    throw;  // this coroutine is being destroyed
  } catch (const std::system_error& error) {
    // The error may be another connection's, or a channel's. Waiters takes
    // the end of the client's output for a reset, too.
    const bool reset = error.code() == std::errc::connection_reset;
    if ((reset || error.code() == std::errc::broken_pipe) &&
        (connection.closed() || !peerIsThere(connection.fileno(), reset)))
      connection.close(false);  // the client has left
    else
      apologize();
    throw;  // the server tells of it
  } catch (...) {
    apologize();
    throw;
  }
}

// The handler has failed. The client gets a 500, or else the end, so that it
// does not take a part of an answer for the whole.
void BaseHTTPRequestHandler::apologize() {
  close_connection = true;
  try {
    if (sendInstead(500)) return hangUp();
  } catch (const std::exception&) {
    // The client has left, too, or there is no memory for this answer.
  }
  connection.close(false);
}
// [/serve-request]

// [await-request]
// Waits for the first byte of a request. False if none comes: the client has
// closed the connection or its time is over, or the server stops.
bool BaseHTTPRequestHandler::awaitRequest(sys::Duration patience) {
  if (server.stopping()) patience = {};  // only a request that is there
  connection.deadline = after(patience);
  connection.timeout = sys::Duration::max();  // only the deadline counts
  try {
    constexpr int mostEmptyLines = 4;
    for (int emptyLines = 0;; ++emptyLines) {
      const char next = awaitByte();
      if (ended_) return false;
      // An empty line may stand behind a body (RFC 9112 section 2.2).
      const bool empty = next == '\r' || next == '\n';
      if (!empty || emptyLines == mostEmptyLines) break;
      if (!connection.readline(2).ends_with('\n'))
        throw HTTPError(400, "A CR without LF");
    }
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::timed_out &&
        error.code() != std::errc::operation_canceled)
      throw;
    return false;
  }
  // The deadline of a first request begins with the connection.
  if (served_ || server.stopping())
    connection.deadline = after(headerTimeout);
  return true;
}

// The next byte, or, if ended_, none.
char BaseHTTPRequestHandler::awaitByte() {
  struct Idle {
    Idle(TCPServer& owner, int number) : server(owner), fd(number) {
      server.idle(fd, true);
    }
    ~Idle() { server.idle(fd, false); }
    TCPServer& server;
    const int fd;
  };
  // A request that is there already must not be cut off by a shutdown() while
  // peek() lets the others run.
  std::optional<Idle> idle;
  if (connection.available() == 0) idle.emplace(server, connection.fileno());
  const std::string_view next = connection.peek();
  ended_ = next.empty();
  return ended_ ? '\0' : next.front();
}
// [/await-request]

// [parse-request]
// Takes the next word of a line; it is empty after the last.
static std::string_view takeWord(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  const std::string_view word = line.substr(0, line.find_first_of(" \t"));
  line.remove_prefix(word.size());
  return word;
}

void BaseHTTPRequestHandler::parse_request() {
  rfile.start(headers, false);
  const std::size_t start = taken();
  requestline = readHTTPLine(connection, maxHead, 414);

  std::string_view rest = requestline;
  command = takeWord(rest);
  const std::string_view target = takeWord(rest);
  const std::string_view version = takeWord(rest);
  if (!isToken(command) || target.empty() || !takeWord(rest).empty())
    throw HTTPError(400, "Bad request syntax");
  if (version.empty()) {
    // Such a request is two words with one space between them.
    if (command != "GET" || requestline[3] != ' ' ||
        requestline.size() != target.size() + 4)
      throw HTTPError(400, "Bad HTTP/0.9 request type");
    request_version = "HTTP/0.9";
  } else {
    parseVersion(version);
    readHeaders(start);
  }
  parseTarget(target);
  connection.deadline = never;
  connection.timeout = timeout;
  if (headers.hasToken("Expect", "100-continue") && bothSpeak11())
    handle_expect_100();
}

// RFC 9112 section 2.3: two numbers of one digit.
void BaseHTTPRequestHandler::parseVersion(std::string_view version) {
  const auto isDigit = [](char c) { return c >= '0' && c <= '9'; };
  if (version.size() != 8 || !version.starts_with("HTTP/") ||
      !isDigit(version[5]) || version[6] != '.' || !isDigit(version[7]))
    throw HTTPError(400, "Bad request version");
  if (version >= "HTTP/2") throw HTTPError(505);
  request_version = version;
  mayGoOn_ = version >= "HTTP/1.1";
  close_connection = !mayGoOn_ || protocol_version < "HTTP/1.1";
}
// [/parse-request]

// [read-headers]
// The empty line at the end does not count against maxHead.
void BaseHTTPRequestHandler::readHeaders(std::size_t start) {
  for (;;) {
    const std::string line =
        readHTTPLine(connection, maxHead + 2 - (taken() - start), 431);
    if (line.empty()) break;
    if (headers.size() == maxHeaders) throw HTTPError(431);
    if (!headers.add(line)) throw HTTPError(400, "Bad header line");
  }
  const auto hosts = headers.get_all("Host");
  if (hosts.size() > 1 || (hosts.empty() && request_version >= "HTTP/1.1") ||
      (!hosts.empty() && !isHost(hosts[0])))
    throw HTTPError(400, "Bad or missing Host");
  if (headers.hasToken("Connection", "close")) {
    close_connection = true;
  } else if (headers.hasToken("Connection", "keep-alive") &&
             request_version >= "HTTP/1.0") {
    mayGoOn_ = true;
    if (protocol_version >= "HTTP/1.1") close_connection = false;
  }
  rfile.start(headers, request_version >= "HTTP/1.1");
}

void BaseHTTPRequestHandler::handle_expect_100() {
  send_response_only(100);
  end_headers();
  connection.flush();
}
// [/read-headers]

// [parse-target]
// The four forms of a target (RFC 9112 section 3.2): `host:port` for CONNECT,
// `*` for OPTIONS, a path, and a whole URI.
void BaseHTTPRequestHandler::parseTarget(std::string_view target) {
  path = target;
  if (target == "*" && command == "OPTIONS") return;
  if (command == "CONNECT") {
    const std::string_view port = target.substr(target.rfind(':') + 1);
    if (isHost(target) && parseNumber(port, 10).value_or(0) > 0) return;
    throw HTTPError(400, "Bad request target");
  }
  if (!target.starts_with('/')) {
    const std::string_view scheme = target.substr(0, target.find("//"));
    if (!sameName(scheme, "http:") && !sameName(scheme, "https:"))
      throw HTTPError(400, "Bad request target");
    target.remove_prefix(scheme.size() + 2);
    const std::string_view host =
        target.substr(0, target.find_first_of("/?#"));
    if (host.empty() || host.starts_with(':') || !isHost(host))
      throw HTTPError(400, "Bad request target");
    headers.set("Host", host);  // it counts: section 3.2.2
    target.remove_prefix(host.size());
  }
  // If a handler redirects to a path that begins with two slashes, a browser
  // takes what follows them for the name of a host. It takes a backslash for
  // a slash.
  const std::size_t first =
      std::min(target.find_first_not_of("/\\"), target.size());
  if (first > 0 && target[first - 1] == '/') {
    path = target.substr(first - 1);
  } else {
    target_ = "/" + std::string(target.substr(first));
    path = target_;
  }
}
// [/parse-target]

// [dispatch]
void BaseHTTPRequestHandler::dispatch() {
  using H = BaseHTTPRequestHandler;
  static constexpr std::pair<std::string_view, void (H::*)()> methods[] = {
      {"GET", &H::do_GET},         {"HEAD", &H::do_HEAD},
      {"POST", &H::do_POST},       {"PUT", &H::do_PUT},
      {"DELETE", &H::do_DELETE},   {"PATCH", &H::do_PATCH},
      {"OPTIONS", &H::do_OPTIONS}, {"TRACE", &H::do_TRACE},
      {"CONNECT", &H::do_CONNECT},
  };
  for (const auto& [name, serve] : methods)
    if (name == command) return (this->*serve)();
  do_other();
}

void BaseHTTPRequestHandler::unsupported() {
  send_error(501, "Unsupported method ('" + std::string(command) + "')");
}
// [/dispatch]

}  // namespace naglfar
