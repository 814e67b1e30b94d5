// Reading a request, and what becomes of its connection afterwards.
//
// Invariant: a client cannot fill the memory, for each line, the number of
// lines and the body are limited; and whoever waits for a client has a
// deadline.

#include "naglfar/http.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace naglfar {

// [handle]
void BaseHTTPRequestHandler::handle() {
  do {
    handle_one_request();
  } while (!close_connection);
  if (mayBeSending()) wfile.lingeringClose(lingerTimeout, lingerLimit);
}

// Whether input may come that nobody will read: the rest of what was refused
// or left, what has come behind the request, and requests of a client that
// takes the connection for one that lasts. A client that asks once, as they
// do in HTTP/1.0, has sent all, and is spared the wait.
bool BaseHTTPRequestHandler::mayBeSending() const {
  if (ended_) return false;
  return refused_ || !rfile.atEnd() || wfile.available() > 0 || mayGoOn_;
}

void BaseHTTPRequestHandler::handle_one_request() {
  close_connection = true;
  if (!awaitRequest(served_ ? keepAliveTimeout : headerTimeout)) return;
  served_ = true;
  status_ = 0;
  try {
    if (parse_request()) {
      dispatch();
      // A little is cheaper to read than a new connection. A client may wait
      // for the answer before it sends the rest.
      constexpr std::size_t little = 65536;
      if (!close_connection && !rfile.atEnd()) wfile.flush();
      if (!close_connection) close_connection = !rfile.skip(little);
    }
  } catch (const HTTPError& error) {
    refuse(error.code, error.what());
  }
  // If this was the last answer, close() sends it and the end in one.
  if (!close_connection) wfile.flush();
}

void BaseHTTPRequestHandler::refuse(int code, std::string_view message) {
  wfile.deadline = never;
  wfile.timeout = timeout;
  refused_ = close_connection = true;
  if (status_ < 200) send_error(code, message);
}
// [/handle]

// [await-request]
// False if none comes: the client has closed or has had its time, or the
// server ends.
bool BaseHTTPRequestHandler::awaitRequest(sys::Duration patience) {
  struct Idle {
    Idle(TCPServer& owner, int connection) : server(owner), fd(connection) {
      server.idle(fd, true);
    }
    ~Idle() { server.idle(fd, false); }
    TCPServer& server;
    const int fd;
  };
  if (server.stopping()) patience = {};  // only what is there already
  wfile.deadline = after(patience);
  wfile.timeout = sys::Duration::max();  // the deadline alone counts
  try {
    const Idle idle(server, wfile.fileno());
    ended_ = wfile.peek().empty();
    if (ended_) return false;
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::timed_out &&
        error.code() != std::errc::operation_canceled)
      throw;
    return false;
  }
  // For the first request, the wait for it counts.
  if (served_ || server.stopping()) wfile.deadline = after(headerTimeout);
  return true;
}
// [/await-request]

// [parse-request]
// False if there is nothing to serve, for the line was empty.
bool BaseHTTPRequestHandler::parse_request() {
  requestline.clear();
  command = path = request_version = "";
  headers.clear();
  rfile.startNone();
  requestline = readHTTPLine(wfile, maxLine, 414);

  std::array<std::string_view, 4> words;  // the last one of more than that
  std::size_t n = 0;
  for (std::string_view rest = requestline;; ++n) {
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
    if (rest.empty()) break;
    std::string_view& word = words[std::min(n, words.size() - 1)];
    word = rest.substr(0, rest.find_first_of(" \t"));
    rest.remove_prefix(word.size());
  }
  if (n == 0) return false;
  command = words[0];
  path = words[1];
  // In a redirection the browser would take the second slash for the
  // beginning of another host's name.
  while (path.starts_with("//")) path.remove_prefix(1);
  if (n >= 3) parseVersion(words[n == 3 ? 2 : 3]);
  if (n == 1 || n > 3) throw HTTPError(400, "Bad request syntax");
  if (n == 2 && command != "GET")
    throw HTTPError(400, "Bad HTTP/0.9 request type");
  if (n == 2)
    request_version = "HTTP/0.9";
  else
    readHeaders();
  wfile.deadline = never;
  wfile.timeout = timeout;
  return true;
}

void BaseHTTPRequestHandler::parseVersion(std::string_view version) {
  unsigned major = 0;
  unsigned minor = 0;
  const char* end = version.data() + version.size();
  bool good = version.starts_with("HTTP/");
  if (good) {
    const auto dot = std::from_chars(version.data() + 5, end, major);
    good = dot.ec == std::errc() && dot.ptr != end && *dot.ptr == '.';
    if (good) {
      const auto last = std::from_chars(dot.ptr + 1, end, minor);
      good = last.ec == std::errc() && last.ptr == end;
    }
  }
  if (!good) throw HTTPError(400, "Bad request version");
  if (major >= 2) throw HTTPError(505);
  request_version = version;
  mayGoOn_ = major == 1 && minor > 0;
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
  struct Method {
    std::string_view name;
    void (BaseHTTPRequestHandler::*serve)();
  };
  using H = BaseHTTPRequestHandler;
  static constexpr std::array<Method, 9> methods{{
      {"GET", &H::do_GET},
      {"HEAD", &H::do_HEAD},
      {"POST", &H::do_POST},
      {"PUT", &H::do_PUT},
      {"DELETE", &H::do_DELETE},
      {"PATCH", &H::do_PATCH},
      {"OPTIONS", &H::do_OPTIONS},
      {"TRACE", &H::do_TRACE},
      {"CONNECT", &H::do_CONNECT},
  }};
  for (const Method& method : methods)
    if (method.name == command) return (this->*method.serve)();
  do_other();
}

void BaseHTTPRequestHandler::unsupported() {
  send_error(501, "Unsupported method ('" + std::string(command) + "')");
}
// [/dispatch]

}  // namespace naglfar
