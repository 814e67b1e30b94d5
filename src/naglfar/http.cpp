// Reading a request, writing a response.
//
// Invariant: of a request line and of each header line at most 64 KiB are
// read, and at most 100 headers: a client cannot fill the memory.

#include "naglfar/http.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <ctime>
#include <iostream>
#include <stdexcept>

namespace naglfar {

// [limits]
namespace {

constexpr std::size_t maxLine = 65536;  // bytes, as in Python
constexpr std::size_t maxHeaders = 100;

std::string_view withoutLineEnd(std::string_view line) {
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool sameName(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

}  // namespace
// [/limits]

// [headers-members]
bool Headers::add(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view name = line.substr(0, colon);
  if (name.find_first_of(" \t") != std::string_view::npos) return false;
  std::string_view value = line.substr(colon + 1);
  const std::size_t start = value.find_first_not_of(" \t");
  value.remove_prefix(std::min(start, value.size()));
  value = value.substr(0, value.find_last_not_of(" \t") + 1);
  fields_.push_back({std::string(name), std::string(value)});
  return true;
}

const Headers::Field* Headers::find(std::string_view name) const {
  const auto found = std::ranges::find_if(fields_, [&](const Field& field) {
    return sameName(field.name, name);
  });
  return found == fields_.end() ? nullptr : &*found;
}

std::string_view Headers::get(std::string_view name,
                              std::string_view otherwise) const {
  const Field* field = find(name);
  return field != nullptr ? std::string_view(field->value) : otherwise;
}

bool Headers::contains(std::string_view name) const {
  return find(name) != nullptr;
}
// [/headers-members]

// [handle]
void BaseHTTPRequestHandler::handle() {
  close_connection = true;
  do {
    handle_one_request();
  } while (!close_connection);
}

void BaseHTTPRequestHandler::handle_one_request() {
  close_connection = true;
  requestline = rfile.readline(maxLine + 1);
  if (requestline.empty()) return;
  if (requestline.size() > maxLine) {
    requestline.clear();
    command = path = request_version = "";
    send_error(414);
  } else if (parse_request()) {
    dispatch();
  }
  wfile.flush();
}
// [/handle]

// [parse-request]
// On false there is nothing to serve: an error has been sent, or the line was
// empty.
bool BaseHTTPRequestHandler::parse_request() {
  requestline.resize(withoutLineEnd(requestline).size());
  std::array<std::string_view, 4> words;  // the last one of more than that
  std::size_t n = 0;
  for (std::string_view rest = requestline;; ++n) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    if (rest.empty()) break;
    std::string_view& word = words[std::min(n, words.size() - 1)];
    word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(word.size());
  }
  headers.clear();
  command = words[0];
  path = words[1];
  request_version = "HTTP/0.9";
  if (n == 0) return false;
  if (n >= 3 && !parse_version(words[n == 3 ? 2 : 3])) return false;
  if (n == 1 || n > 3) {
    send_error(400, "Bad request syntax");
    return false;
  }
  if (n == 2 && command != "GET") {
    send_error(400, "Bad HTTP/0.9 request type");
    return false;
  }
  return request_version == "HTTP/0.9" || read_headers();
}

bool BaseHTTPRequestHandler::parse_version(std::string_view version) {
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
  if (!good) {
    send_error(400, "Bad request version");
    return false;
  }
  if (major >= 2) {
    send_error(505);
    return false;
  }
  request_version = version;
  close_connection =
      major == 0 || minor == 0 || protocol_version < "HTTP/1.1";
  return true;
}
// [/parse-request]

// [read-headers]
bool BaseHTTPRequestHandler::read_headers() {
  for (;;) {
    const std::string line = rfile.readline(maxLine + 1);
    const std::string_view text = withoutLineEnd(line);
    if (text.empty()) break;
    if (line.size() > maxLine || headers.size() == maxHeaders) {
      send_error(431);
      return false;
    }
    if (!headers.add(text)) {
      send_error(400, "Bad header line");
      return false;
    }
  }
  const std::string_view connection = headers.get("Connection");
  if (sameName(connection, "close"))
    close_connection = true;
  else if (sameName(connection, "keep-alive") &&
           protocol_version >= "HTTP/1.1")
    close_connection = false;
  if (sameName(headers.get("Expect"), "100-continue") &&
      protocol_version >= "HTTP/1.1" && request_version >= "HTTP/1.1") {
    send_response_only(100);
    end_headers();
    wfile.flush();
  }
  return true;
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
  const auto found = std::ranges::find(methods, command, &Method::name);
  if (found == methods.end()) return do_other();
  (this->*found->serve)();
}

void BaseHTTPRequestHandler::unsupported() {
  send_error(501, "Unsupported method ('" + std::string(command) + "')");
}
// [/dispatch]

// [send-response]
void BaseHTTPRequestHandler::send_response(int code,
                                           std::string_view message) {
  log_request(code);
  send_response_only(code, message);
  send_header("Server", version_string());
  send_header("Date", date_time_string());
}

void BaseHTTPRequestHandler::send_response_only(int code,
                                                std::string_view message) {
  if (request_version == "HTTP/0.9") return;
  wfile.write(protocol_version);
  std::array<char, 16> status;
  *std::to_chars(status.data() + 1, status.end() - 1, code).ptr = ' ';
  status[0] = ' ';
  wfile.write(std::string_view(status.data(), 5));
  wfile.write(message.empty() ? reasonPhrase(code) : message);
  wfile.write("\r\n");
}

void BaseHTTPRequestHandler::send_header(std::string_view keyword,
                                         std::string_view value) {
  constexpr std::string_view forbidden("\r\n\0", 3);
  if (keyword.find_first_of(forbidden) != std::string_view::npos ||
      value.find_first_of(forbidden) != std::string_view::npos)
    throw std::invalid_argument("a header with a line end or NUL in it");
  if (sameName(keyword, "Connection")) {
    if (sameName(value, "close")) close_connection = true;
    if (sameName(value, "keep-alive")) close_connection = false;
  }
  if (request_version == "HTTP/0.9") return;
  wfile.write(keyword);
  wfile.write(": ");
  wfile.write(value);
  wfile.write("\r\n");
}

void BaseHTTPRequestHandler::end_headers() {
  if (request_version != "HTTP/0.9") wfile.write("\r\n");
}
// [/send-response]

// [send-error]
namespace {

std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : text) {
    if (c == '&')
      html += "&amp;";
    else if (c == '<')
      html += "&lt;";
    else if (c == '>')
      html += "&gt;";
    else
      html += c;
  }
  return html;
}

// A reason phrase may quote what the client sent.
std::string oneLine(std::string_view text) {
  std::string line(text);
  std::ranges::replace_if(
      line, [](unsigned char c) { return c < ' ' || c > '~'; }, '?');
  return line;
}

}  // namespace

void BaseHTTPRequestHandler::send_error(int code, std::string_view message,
                                        std::string_view explain) {
  const std::string reason =
      oneLine(message.empty() ? reasonPhrase(code) : message);
  log_error("code " + std::to_string(code) + ", message " + reason);
  const std::string body =
      "<!DOCTYPE html>\n<title>Error " + std::to_string(code) +
      "</title>\n<h1>Error " + std::to_string(code) + "</h1>\n<p>" +
      escaped(reason) + ".\n<p>" + escaped(explain) + "\n";
  send_response(code, reason);
  send_header("Connection", "close");
  const bool hasBody =
      code >= 200 && code != 204 && code != 205 && code != 304;
  if (hasBody) {
    send_header("Content-Type", "text/html;charset=utf-8");
    send_header("Content-Length", std::to_string(body.size()));
  }
  end_headers();
  if (hasBody && command != "HEAD") wfile.write(body);
}
// [/send-error]

// [log]
void BaseHTTPRequestHandler::log_request(int code, std::string_view size) {
  log_message("\"" + requestline + "\" " + std::to_string(code) + " " +
              std::string(size));
}

void BaseHTTPRequestHandler::log_message(std::string_view message) {
  std::cerr << address_string() + " - - [" + log_date_time_string() + "] " +
                   oneLine(message) + "\n";
}

std::string BaseHTTPRequestHandler::address_string() const {
  return client_address.host();
}

std::string BaseHTTPRequestHandler::version_string() const {
  return "Naglfar/0.1";
}
// [/log]

// [dates]
namespace {

// In English whatever the locale is, as RFC 9110 wants it.
constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed",
                                "Thu", "Fri", "Sat"};
constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

}  // namespace

std::string_view BaseHTTPRequestHandler::date_time_string() {
  static thread_local std::time_t formatted = -1;
  static thread_local std::array<char, 64> text;
  const std::time_t now = std::time(nullptr);
  if (now != formatted) {
    std::tm utc{};
    gmtime_r(&now, &utc);
    std::snprintf(text.data(), text.size(),
                  "%s, %02d %s %04d %02d:%02d:%02d GMT", days[utc.tm_wday],
                  utc.tm_mday, months[utc.tm_mon], utc.tm_year + 1900,
                  utc.tm_hour, utc.tm_min, utc.tm_sec);
    formatted = now;
  }
  return text.data();
}

std::string BaseHTTPRequestHandler::log_date_time_string() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  localtime_r(&now, &local);
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), "%02d/%s/%04d %02d:%02d:%02d",
                local.tm_mday, months[local.tm_mon], local.tm_year + 1900,
                local.tm_hour, local.tm_min, local.tm_sec);
  return text.data();
}
// [/dates]

// [reasons]
std::string_view reasonPhrase(int code) {
  struct Reason {
    int code;
    std::string_view phrase;
  };
  static constexpr Reason reasons[] = {
      {100, "Continue"},
      {101, "Switching Protocols"},
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {205, "Reset Content"},
      {206, "Partial Content"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {303, "See Other"},
      {304, "Not Modified"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {410, "Gone"},
      {411, "Length Required"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {417, "Expectation Failed"},
      {426, "Upgrade Required"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
  };
  const auto* found = std::ranges::find(reasons, code, &Reason::code);
  return found == std::end(reasons) ? "" : found->phrase;
}
// [/reasons]

}  // namespace naglfar
