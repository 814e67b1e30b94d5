// How the handler writes a response.
//
// Invariants:
// - A text with CR, LF or NUL never gets into a status line or a header.
// - The library sends no second answer to a request whose final status line
//   is sent: handle_one_request() cuts the answer off. A client sees this if
//   the answer has a length or chunks, and not if the answer ends with the
//   connection.
//
// It asks for ScheduledFile::write and flush, and the C library for the date.

#include "naglfar/http.hpp"

#include <array>
#include <cstdio>
#include <ctime>
#include <iomanip>
#include <locale>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace naglfar {

// [send-response]
static void refuseLineEnds(std::string_view text) {
  if (text.find_first_of(std::string_view("\r\n\0", 3)) !=
      std::string_view::npos)
    throw std::invalid_argument(
        "a line end or NUL in what becomes one line of a response");
}

void BaseHTTPRequestHandler::send_response(int code,
                                           std::string_view message) {
  log_request(code);
  send_response_only(code, message);
  send_header("Server", version_string());
  send_header("Date", date_time_string());
}

void BaseHTTPRequestHandler::send_response_only(int code,
                                                std::string_view message) {
  refuseLineEnds(message);
  if (code < 100 || code > 999)
    throw std::invalid_argument("a status of other than three digits");
  status_ = code;
  framed_ = code < 200 || code == 204 || code == 304 || command == "HEAD";
  chunked_ = saidConnection_ = false;
  if (request_version == "HTTP/0.9") return;
  wfile.write(protocol_version);
  wfile.write(' ' + std::to_string(code) + ' ');
  wfile.write(message.empty() ? reasonPhrase(code) : message);
  wfile.write("\r\n");
}

void BaseHTTPRequestHandler::send_header(std::string_view keyword,
                                         std::string_view value) {
  refuseLineEnds(keyword);
  refuseLineEnds(value);
  if (sameName(keyword, "Content-Length") ||
      sameName(keyword, "Transfer-Encoding"))
    framed_ = true;
  if (sameName(keyword, "Connection")) {
    saidConnection_ = true;
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
  if (!framed_ || server.stopping()) close_connection = true;
  if (close_connection && !saidConnection_ && status_ >= 200 &&
      protocol_version >= "HTTP/1.1")
    send_header("Connection", "close");
  if (request_version != "HTTP/0.9") wfile.write("\r\n");
}
// [/send-response]

// [send-chunks]
void BaseHTTPRequestHandler::startChunks() {
  chunked_ = protocol_version >= "HTTP/1.1" && request_version >= "HTTP/1.1";
  if (chunked_) send_header("Transfer-Encoding", "chunked");
  end_headers();
}

void BaseHTTPRequestHandler::sendChunk(std::string_view data) {
  // An empty chunk would end the body.
  if (data.empty() || command == "HEAD") return;
  if (chunked_) {
    std::array<char, 32> line;
    std::snprintf(line.data(), line.size(), "%zx\r\n", data.size());
    wfile.write(line.data());
  }
  wfile.write(data);
  if (chunked_) wfile.write("\r\n");
  wfile.flush();
}

void BaseHTTPRequestHandler::endChunks() {
  if (chunked_ && command != "HEAD") wfile.write("0\r\n\r\n");
}
// [/send-chunks]

// [send-error]
static std::string escaped(std::string_view text) {
  std::string html;
  for (const char c : text)
    html += c == '&'   ? "&amp;"
            : c == '<' ? "&lt;"
            : c == '>' ? "&gt;"
                       : std::string(1, c);
  return html;
}

// Makes a reason phrase, which may quote the client, printable.
static std::string oneLine(std::string_view text) {
  std::string line(text);
  for (char& c : line)
    if (c < ' ' || c > '~') c = '?';
  return line;
}

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
  sys::log({address_string(), " - - [", log_date_time_string(), "] ",
            oneLine(message)});
}
// [/log]

// [dates]
// RFC 9110 wants English, so the program's locale does not matter.
static std::string written(const std::tm& time, const char* format) {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << std::put_time(&time, format);
  return text.str();
}

std::string_view BaseHTTPRequestHandler::date_time_string() {
  static thread_local std::time_t formatted = -1;
  // No string: see ScheduledFile::fill().
  static thread_local std::array<char, 32> text;
  static thread_local std::size_t size = 0;
  const std::time_t now = std::time(nullptr);
  if (now != formatted) {
    std::tm utc{};
    size = written(*gmtime_r(&now, &utc), "%a, %d %b %Y %H:%M:%S GMT")
               .copy(text.data(), text.size());
    formatted = now;
  }
  return {text.data(), size};
}

std::string BaseHTTPRequestHandler::log_date_time_string() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  return written(*localtime_r(&now, &local), "%d/%b/%Y %H:%M:%S");
}
// [/dates]

// [reasons]
std::string_view reasonPhrase(int code) {
  static constexpr std::pair<int, std::string_view> reasons[] = {
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
  for (const auto& [number, phrase] : reasons)
    if (number == code) return phrase;
  return "";
}
// [/reasons]

}  // namespace naglfar
