/// @file http.hpp
/// A request handler with the interface of Python's
/// http.server.BaseHTTPRequestHandler: a program derives a class, overrides
/// do_GET(), and writes to `wfile`.
///
/// Invariants:
/// - What is no request gets an answer that says why.
/// - A handler cannot start a second header within a header.
/// - A client has `timeout` to send its request, and no longer.
///
/// It asks for ScheduledFile and TCPServer.

#pragma once

#include <algorithm>
#include <chrono>
#include <ctime>
#include <initializer_list>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "naglfar/server.hpp"

namespace naglfar {

/// The headers of a request, found by name in any case of letters.
class Headers {
 public:
  /// Adds a header line.
  /// @return False if the line is not "name: value".
  bool add(std::string_view line) {
    const std::size_t colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos) return false;
    if (line.substr(0, colon).find_first_of(" \t") != std::string_view::npos)
      return false;
    fields_.emplace_back(line.substr(0, colon), trim(line.substr(colon + 1)));
    return true;
  }
  /// @return The value of the first header of that name.
  std::string_view get(std::string_view name,
                       std::string_view otherwise = "") const {
    for (const auto& [key, value] : fields_)
      if (sameName(key, name)) return value;
    return otherwise;
  }
  /// @return How many headers there are.
  std::size_t size() const { return fields_.size(); }

 private:
  static bool sameName(std::string_view a, std::string_view b) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? c | 32 : c; };
    return std::ranges::equal(a, b, {}, lower, lower);
  }
  static std::string_view trim(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return "";
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
  }
  std::vector<std::pair<std::string, std::string>> fields_;
};

/// Thrown because a request cannot be served: the client gets the status.
struct HTTPError : std::runtime_error {
  explicit HTTPError(int status)
      : std::runtime_error(std::to_string(status)), code(status) {}
  int code;
};

/// Handles the request of a connection. Members are named as in Python.
class BaseHTTPRequestHandler {
 public:
  BaseHTTPRequestHandler(ScheduledFile& request, const sys::Address& client,
                         TCPServer& accepted_by)
      : wfile(request), client_address(client), server(accepted_by) {}
  virtual ~BaseHTTPRequestHandler() = default;

  /// Reads a request and answers it.
  void handle() {
    wfile.deadline = after(timeout);
    try {
      if (!parse_request()) return;
      wfile.deadline = never;
      command == "GET" ? do_GET() : throw HTTPError(501);
    } catch (const HTTPError& error) {
      wfile.deadline = never;
      send_error(error.code);
    }
  }

  virtual void do_GET() { throw HTTPError(501); }  ///< Override it.

  /// Starts a response: status line, Server and Date. Logs the request.
  void send_response(int code, std::string_view message = "") {
    log_request(code);
    writeLine({protocol_version, " ", std::to_string(code), " ",
               message.empty() ? reasonPhrase(code) : message});
    send_header("Server", "Naglfar/0.1");
    send_header("Date", date_time_string());
  }
  /// Adds a header to the response.
  void send_header(std::string_view keyword, std::string_view value) {
    writeLine({keyword, ": ", value});
  }
  /// Ends the headers of the response. The body ends with the connection.
  void end_headers() { wfile.write("\r\n"); }
  /// Answers with an error and a line about it.
  void send_error(int code, std::string_view message = "") {
    send_response(code, message);
    send_header("Content-Type", "text/plain");
    end_headers();
    wfile.write(message.empty() ? reasonPhrase(code) : message);
    wfile.write("\n");
  }

  virtual void log_request(int code, std::string_view size = "-") {
    log_message('"' + requestline + "\" " + std::to_string(code) + ' ' +
                std::string(size));
  }
  virtual void log_message(std::string_view message) {
    std::cerr << client_address.host() + " - - " + std::string(message) +
                     "\n";
  }

  static std::string date_time_string() {
    const std::time_t now = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&now, &parts);
    char text[64];
    return {text, std::strftime(text, sizeof text,
                                "%a, %d %b %Y %H:%M:%S GMT", &parts)};
  }

  std::string requestline;
  std::string command;
  std::string path;
  std::string request_version;
  Headers headers;
  ScheduledFile& wfile;
  const sys::Address client_address;
  TCPServer& server;
  std::string_view protocol_version = "HTTP/1.0";
  sys::Duration timeout = std::chrono::seconds(10);

 private:
  // False if the client has closed the connection without a request.
  bool parse_request() {
    requestline = readLine(414);
    if (requestline.empty()) return false;
    std::istringstream words(requestline);
    std::string more;
    if (!(words >> command >> path >> request_version) || words >> more ||
        !request_version.starts_with("HTTP/1."))
      throw HTTPError(400);
    for (;;) {
      const std::string line = readLine(431);
      if (line.empty()) return true;
      if (headers.size() == 100) throw HTTPError(431);
      if (!headers.add(line)) throw HTTPError(400);
    }
  }

  // A line without its end. Empty also if the file ends before the request.
  std::string readLine(int tooLong) try {
    constexpr std::size_t longest = 65536;
    std::string line = wfile.readline(longest);
    if (line.empty() && requestline.empty()) return line;
    if (!line.ends_with('\n'))
      throw HTTPError(line.size() == longest ? tooLong : 400);
    line.pop_back();
    if (line.ends_with('\r')) line.pop_back();
    return line;
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::timed_out) throw;
    throw HTTPError(408);
  }

  // One line of a response: a line end within it would start another header.
  void writeLine(std::initializer_list<std::string_view> parts) {
    for (const std::string_view part : parts)
      if (part.find_first_of(std::string_view("\r\n\0", 3)) != part.npos)
        throw std::invalid_argument("a line end within a line of a response");
    for (const std::string_view part : parts) wfile.write(part);
    wfile.write("\r\n");
  }

  static std::string_view reasonPhrase(int code) {
    switch (code) {
      case 200: return "OK";
      case 400: return "Bad Request";
      case 404: return "Not Found";
      case 408: return "Request Timeout";
      case 414: return "URI Too Long";
      case 431: return "Request Header Fields Too Large";
      case 500: return "Internal Server Error";
      case 501: return "Not Implemented";
      default: return "";
    }
  }
};

/// A TCPServer with the name that Python's HTTPServer has.
using HTTPServer = TCPServer;

}  // namespace naglfar
