// How the handler writes a response.
//
// Invariants:
// - No control character but a tab gets into a status line or a header.
// - A request gets one final answer. What the head of that answer says about
//   its end is true: ResponseBody holds the body to it, and handle() closes
//   the connection if bytes of the body are missing.
// - An answer is replaced by an error only if no byte of it has left.
//
// It asks for ScheduledFile::write and takeBack, ResponseBody, and the C
// library for the date.

#include "naglfar/http.hpp"

#include <algorithm>
#include <array>
#include <ctime>
#include <iomanip>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace naglfar {

// [statuses]
// Whether RFC 9110 section 8.6 allows an answer to have a Content-Length.
static bool mayHaveLength(int code, std::string_view command) {
  return code >= 200 && code != 204 && code != 205 &&
         (command != "CONNECT" || code >= 300);
}

static bool mayHaveBody(int code, std::string_view command) {
  return mayHaveLength(code, command) && code != 304 && command != "HEAD";
}

// After it the connection is no longer one of HTTP.
static bool switchesProtocol(int code, std::string_view command) {
  return code == 101 || (command == "CONNECT" && code >= 200 && code < 300);
}

// Whether the answer may have what HTTP/1.0 does not know.
bool BaseHTTPRequestHandler::bothSpeak11() const {
  return protocol_version >= "HTTP/1.1" && request_version >= "HTTP/1.1";
}
// [/statuses]

// [send-response]
static void refuseControls(std::string_view text) {
  if (std::any_of(text.begin(), text.end(), [](unsigned char c) {
        return (c < ' ' && c != '\t') || c == 0x7f;
      }))
    throw std::invalid_argument(
        "a line end or another control character in what becomes one line of "
        "a response");
}

void BaseHTTPRequestHandler::send_response(int code,
                                           std::string_view message) {
  send_response_only(code, message);
  log_request(code);
  send_header("Server", version_string());
  send_header("Date", date_time_string());
}

void BaseHTTPRequestHandler::send_response_only(int code,
                                                std::string_view message) {
  refuseControls(message);
  if (code < 100 || code > 599)
    throw std::invalid_argument(
        "a status of other than three digits, from 100 to 599");
  if (status_ >= 200)
    throw std::logic_error("a second answer to one request");
  status_ = code;
  silent_ = request_version == "HTTP/0.9" || (code < 200 && !bothSpeak11());
  length_.reset();
  saidClose_ = false;
  wfile.start(ResponseBody::Framing::head);
  if (silent_) return;
  wfile.writeTogether({protocol_version, " ", std::to_string(code), " ",
                       message.empty() ? reasonPhrase(code) : message,
                       "\r\n"});
}
// [/send-response]

// [send-header]
void BaseHTTPRequestHandler::send_header(std::string_view keyword,
                                         std::string_view value) {
  if (wfile.framing() != ResponseBody::Framing::head)
    throw std::logic_error(
        "send_header() goes between send_response() and end_headers()");
  if (!isToken(keyword))
    throw std::invalid_argument("the name of a header is no token");
  refuseControls(value);
  if (sameName(keyword, "Transfer-Encoding"))
    throw std::invalid_argument(
        "Transfer-Encoding by hand: call startChunks() for it");
  if (sameName(keyword, "Content-Length")) {
    const auto length = parseNumber(value, 10);
    if (!length || length_)
      throw std::invalid_argument("a Content-Length is one number");
    if (!mayHaveLength(status_, command)) return;
    length_ = length;
  }
  if (sameName(keyword, "Connection")) {
    if (sameName(value, "keep-alive")) return;
    if (hasWord(value, "close")) saidClose_ = close_connection = true;
  }
  writeHeader(keyword, value);
}

void BaseHTTPRequestHandler::writeHeader(std::string_view keyword,
                                         std::string_view value) {
  if (silent_) return;
  wfile.writeTogether({keyword, ": ", value, "\r\n"});
}
// [/send-header]

// [end-headers]
void BaseHTTPRequestHandler::end_headers() {
  using Framing = ResponseBody::Framing;
  const bool chunks = wfile.framing() == Framing::chunks;
  if (!chunks && wfile.framing() != Framing::head)
    throw std::logic_error("end_headers() comes once, after send_response()");
  const bool hasBody = mayHaveBody(status_, command);
  const bool switches = switchesProtocol(status_, command);
  if (status_ >= 200 && !switches) {
    const bool ends = !hasBody || length_ || chunks;
    if (!ends || silent_ || saidClose_ || server.stopping())
      close_connection = true;
    // A client of HTTP/1.1 expects to go on, whatever the server's version
    // is.
    if (close_connection && !saidClose_ &&
        std::max(protocol_version, request_version) >= "HTTP/1.1")
      writeHeader("Connection", "close");
    if (!close_connection && !bothSpeak11())
      writeHeader("Connection", "keep-alive");
    // A 205 is not among the answers that end with their head.
    if (!close_connection && status_ == 205)
      writeHeader("Content-Length", "0");
  }
  if (!silent_) wfile.writeTogether({"\r\n"});
  if (status_ < 200 && !switches) begun_ = position();  // of the final answer
  if (chunks)
    wfile.start(Framing::chunks);
  else if (switches && !silent_)
    wfile.start(Framing::raw);
  else if (!hasBody)
    wfile.start(Framing::none);
  else if (length_)
    wfile.start(Framing::length, *length_);
  else
    wfile.start(Framing::close);
}
// [/end-headers]

// [send-chunks]
void BaseHTTPRequestHandler::startChunks() {
  if (wfile.framing() == ResponseBody::Framing::head && bothSpeak11() &&
      !length_ && mayHaveBody(status_, command)) {
    writeHeader("Transfer-Encoding", "chunked");
    wfile.start(ResponseBody::Framing::chunks);
  }
  end_headers();
}

void BaseHTTPRequestHandler::sendChunk(std::string_view data) {
  if (data.empty()) return;
  wfile.write(data);
  wfile.flush();
}

void BaseHTTPRequestHandler::endChunks() {
  wfile.end();
}
// [/send-chunks]

// [send-error]
// The text may quote the client: in the page it is text, and in a terminal
// too.
static std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool control =
        (byte < ' ' && c != '\n' && c != '\t') || byte == 0x7f;
    html += c == '&'   ? "&amp;"
            : c == '<' ? "&lt;"
            : c == '>' ? "&gt;"
                       : std::string(1, control ? '?' : c);
  }
  return html;
}

// A text that may quote the client, fit for a line of the response.
static std::string printable(std::string_view text) {
  std::string line(text);
  for (char& c : line)
    if (c < ' ' || c > '~') c = '?';
  return line;
}

void BaseHTTPRequestHandler::send_error(int code, std::string_view message,
                                        std::string_view explain) {
  const std::string reason =
      printable(message.empty() ? reasonPhrase(code) : message);
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
  wfile.write(body);
}

// False if a part of the answer has left, so that no other can take its
// place.
bool BaseHTTPRequestHandler::sendInstead(int code, std::string_view message) {
  const std::size_t written = position() - begun_;
  if (written > connection.unsent()) return false;
  connection.takeBack(written);
  wfile.start(ResponseBody::Framing::raw);
  status_ = 0;
  send_error(code, message);
  return true;
}
// [/send-error]

// [log]
void BaseHTTPRequestHandler::log_request(int code, std::string_view size) {
  log_message("\"" + requestline + "\" " + std::to_string(code) + " " +
              std::string(size));
}

void BaseHTTPRequestHandler::log_message(std::string_view message) {
  sys::log(
      {address_string(), " - - [", log_date_time_string(), "] ", message});
}
// [/log]

// [dates]
std::string_view BaseHTTPRequestHandler::date_time_string() {
  static thread_local std::time_t formatted = -1;
  // No string: see ScheduledFile::fill().
  static thread_local std::array<char, 32> text;
  static thread_local std::size_t size = 0;
  const std::time_t now = sys::date();
  if (now != formatted) {
    size = httpDate(now).copy(text.data(), text.size());
    formatted = now;
  }
  return {text.data(), size};
}

std::string BaseHTTPRequestHandler::log_date_time_string() {
  const std::time_t now = sys::date();
  std::tm local{};
  return formatTime(*localtime_r(&now, &local), "%d/%b/%Y %H:%M:%S");
}
// [/dates]

}  // namespace naglfar
