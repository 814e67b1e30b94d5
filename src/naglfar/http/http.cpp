// How the handler reads a request, and what it does with the connection
// after the answer.
//
// Invariants:
// - A client cannot fill the memory: the length of each line, the number of
//   headers and the length of the body are limited.
// - The handler never waits for a client without a time limit.
//
// It asks for readHTTPLine, RequestBody, ScheduledFile, and TCPServer::idle.

#include "naglfar/http.hpp"

#include <algorithm>
#include <optional>
#include <utility>

namespace naglfar {

// [handle]
void BaseHTTPRequestHandler::handle() {
  do {
    handle_one_request();
  } while (!close_connection);
  // The client may still send, or has sent, bytes that the handler will not
  // read: the rest of a request that was refused, the rest of a body, another
  // request behind this one, or a request that it sends because it takes the
  // connection for a lasting one. A client of HTTP/1.0 that has sent its only
  // request should send no more: there, what the kernel has decides.
  const bool mayBeSending =
      refused_ || !rfile.atEnd() || wfile.available() > 0 || mayGoOn_;
  if (ended_) return wfile.close();
  if (mayBeSending)
    wfile.lingeringClose(lingerTimeout, lingerLimit);
  else
    wfile.finish(lingerTimeout, lingerLimit);
}

void BaseHTTPRequestHandler::handle_one_request() {
  close_connection = true;
  if (!awaitRequest(served_ ? keepAliveTimeout : headerTimeout)) return;
  served_ = true;
  status_ = 0;
  try {
    if (parse_request()) {
      dispatch();
      // The rest of the body stands before the next request. To drop a short
      // rest is cheaper than a new connection. The client may wait for the
      // answer before it sends the rest, so the answer goes first.
      constexpr std::size_t little = 65536;
      if (!close_connection && !rfile.atEnd()) wfile.flush();
      if (!close_connection) close_connection = !rfile.skip(little);
    }
  } catch (const HTTPError& error) {
    wfile.deadline = never;
    wfile.timeout = timeout;
    refused_ = close_connection = true;
    if (status_ < 200) send_error(error.code, error.what());
  }
  // close() sends the last answer together with the end of the connection.
  if (!close_connection) wfile.flush();
}
// [/handle]

// [await-request]
// Waits for the first byte of a request. False if none comes: the client has
// closed the connection or its time is over, or the server stops.
bool BaseHTTPRequestHandler::awaitRequest(sys::Duration patience) {
  struct Idle {
    Idle(TCPServer& owner, int connection) : server(owner), fd(connection) {
      server.idle(fd, true);
    }
    ~Idle() { server.idle(fd, false); }
    TCPServer& server;
    const int fd;
  };
  if (server.stopping()) patience = {};  // only a request that is there
  wfile.deadline = after(patience);
  wfile.timeout = sys::Duration::max();  // only the deadline counts
  try {
    // A request that is there already must not be cut off by a shutdown()
    // while peek() lets the others run.
    std::optional<Idle> idle;
    if (wfile.available() == 0) idle.emplace(server, wfile.fileno());
    ended_ = wfile.peek().empty();
    if (ended_) return false;
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::timed_out &&
        error.code() != std::errc::operation_canceled)
      throw;
    return false;
  }
  // The deadline of a first request begins with the connection.
  if (served_ || server.stopping()) wfile.deadline = after(headerTimeout);
  return true;
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

// False if the line was empty, so that there is no request to serve.
bool BaseHTTPRequestHandler::parse_request() {
  requestline.clear();
  command = path = request_version = "";
  headers.clear();
  rfile.start(headers, false);
  requestline = readHTTPLine(wfile, maxLine, 414);

  std::string_view rest = requestline;
  command = takeWord(rest);
  path = takeWord(rest);
  const std::string_view version = takeWord(rest);
  if (command.empty()) return false;
  // If a handler redirects to a path that begins with two slashes, a browser
  // takes what follows them for the name of a host.
  while (path.starts_with("//")) path.remove_prefix(1);
  if (path.empty() || !takeWord(rest).empty())
    throw HTTPError(400, "Bad request syntax");
  if (version.empty()) {
    if (command != "GET") throw HTTPError(400, "Bad HTTP/0.9 request type");
    request_version = "HTTP/0.9";
  } else {
    parseVersion(version);
    readHeaders();
  }
  wfile.deadline = never;
  wfile.timeout = timeout;
  return true;
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
void BaseHTTPRequestHandler::readHeaders() {
  for (;;) {
    const std::string line = readHTTPLine(wfile, maxLine, 431);
    if (line.empty()) break;
    if (headers.size() == maxHeaders) throw HTTPError(431);
    if (!headers.add(line)) throw HTTPError(400, "Bad header line");
  }
  if (headers.get_all("Host").size() > 1) throw HTTPError(400, "Two hosts");
  if (headers.hasToken("Connection", "close")) {
    close_connection = true;
  } else if (headers.hasToken("Connection", "keep-alive") &&
             request_version >= "HTTP/1.0") {
    mayGoOn_ = true;
    if (protocol_version >= "HTTP/1.1") close_connection = false;
  }
  rfile.start(headers, request_version >= "HTTP/1.1");
  if (sameName(headers.get("Expect"), "100-continue") &&
      protocol_version >= "HTTP/1.1" && request_version >= "HTTP/1.1")
    handle_expect_100();
}

void BaseHTTPRequestHandler::handle_expect_100() {
  send_response_only(100);
  end_headers();
  wfile.flush();
}
// [/read-headers]

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
