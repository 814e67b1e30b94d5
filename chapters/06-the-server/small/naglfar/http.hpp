//[7
/// @file http.hpp
/// A request handler with the interface of Python's
/// http.server.BaseHTTPRequestHandler: a program derives a class, overrides
/// do_GET(), and writes to `wfile`.
///
/// Invariants:
/// - What is no request gets an answer that says why. A connection that ends
///   with nothing, or begins with an empty line, is closed without one.
/// - A handler cannot start a second header within a header.
/// - A client has `timeout` to send its request, and no longer.
///
/// It asks for ScheduledFile, TCPServer, Headers and HTTPError.

#pragma once

#include <chrono>            //[12
#include <initializer_list>  //[9
#include <stdexcept>         //[9
#include <string>
#include <string_view>

#include "naglfar/http/headers.hpp"
#include "naglfar/server.hpp"

namespace naglfar {

/// Handles the request of a connection. Members are named as in Python.
class BaseHTTPRequestHandler {
 public:
  BaseHTTPRequestHandler(ScheduledFile& request, const sys::Address& client,
                         TCPServer& accepted_by)
      : wfile(request), client_address(client), server(accepted_by) {}
  virtual ~BaseHTTPRequestHandler() = default;

  /// Reads a request and answers it.
  //[7-7 void handle() { do_GET(); }
  void handle() {  //[8
    //[8-10 if (parse_request() && command == "GET") do_GET();
    try {  //[11
      wfile.deadline = after(timeout);  //[12
      if (!parse_request()) return;
      wfile.deadline = never;  //[12
    } catch (const HTTPError& error) {
      wfile.deadline = never;  //[12
      return send_error(error.code);
    }
    command == "GET" ? do_GET() : send_error(501);  //[11
  }
  /// Answers a GET. Override it.
  //[7-10 virtual void do_GET() {}
  virtual void do_GET() { send_error(501); }  //[11

  //[9-12 /// Starts a response with the status line and Server.
  /// Starts a response with the status line, Server and Date.  //[13]
  void send_response(int code, std::string_view message = "") {  //[9
    log_request(code);  //[13
    if (message.empty()) message = reasonPhrase(code);
    writeLine({"HTTP/1.0 ", std::to_string(code), " ", message});
    send_header("Server", "Naglfar/0.1");
    send_header("Date", httpDate(sys::date()));  //[13
  }
  /// Adds a header to the response.
  void send_header(std::string_view keyword, std::string_view value) {  //[9
    writeLine({keyword, ": ", value});
  }
  /// Ends the headers of the response. The body ends with the connection.
  void end_headers() { wfile.write("\r\n"); }  //[9
  /// Answers with an error and a line about it.
  void send_error(int code, std::string_view message = "") {  //[11
    if (message.empty()) message = reasonPhrase(code);
    send_response(code, message);
    send_header("Content-Type", "text/plain");
    end_headers();
    wfile.write(std::string(message) + '\n');
  }

  virtual void log_request(int code, std::string_view size = "-") {  //[13
    log_message('"' + requestline + "\" " + std::to_string(code) + ' ' +
                std::string(size));
  }
  virtual void log_message(std::string_view message) {  //[13
    sys::log({client_address.host(), " - - ", message});
  }

  //[8
  std::string requestline;  ///< "GET / HTTP/1.0", without its line end.
  std::string command;
  std::string path;
  std::string request_version;
  //]
  Headers headers;  //[10
  ScheduledFile& wfile;
  const sys::Address client_address;
  TCPServer& server;
  /// How long a client may take to send its request.
  sys::Duration timeout = std::chrono::seconds(10);  //[12

  //[8

 private:
  // False if the client has closed the connection without a request.
  bool parse_request() {
    requestline = readLine();
    if (requestline.empty()) return false;
    const std::size_t first = requestline.find(' ');
    const std::size_t last = requestline.rfind(' ');
    //[8-10 if (first == last) return false;
    if (first == last || requestline.find(' ', first + 1) != last)  //[11
      throw HTTPError(400);
    command = requestline.substr(0, first);
    path = requestline.substr(first + 1, last - first - 1);
    request_version = requestline.substr(last + 1);
    if (!request_version.starts_with("HTTP/1.")) throw HTTPError(400);  //[11
    //[8-9 return true;
    for (;;) {  //[10
      const std::string line = readLine();
      if (line.empty()) return true;
      //[10-10 headers.add(line);
      if (headers.size() == 100) throw HTTPError(431);  //[12
      if (!headers.add(line)) throw HTTPError(400);  //[11
    }
  }

  // A line without its end.
  //[8-11 std::string readLine() {
  std::string readLine() try {  //[12]
    //[8-10 std::string line = wfile.readline();
    //[8-10 if (line.ends_with('\n')) line.pop_back();
    //[11
    constexpr std::size_t longest = 65536;
    const int tooLong = requestline.empty() ? 414 : 431;
    std::string line = wfile.readline(longest);
    if (line.empty() && requestline.empty()) return line;
    if (!line.ends_with('\n'))
      throw HTTPError(line.size() < longest ? 400 : tooLong);
    line.pop_back();
    //]
    if (line.ends_with('\r')) line.pop_back();
    return line;
    //[12
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::timed_out) throw;
    throw HTTPError(408);
    //]
  }
  //]
  //[9

  // One line of a response: a line end within it would start another header.
  void writeLine(std::initializer_list<std::string_view> parts) {
    for (const std::string_view part : parts)
      if (part.find_first_of(std::string_view("\r\n\0", 3)) != part.npos)
        throw std::invalid_argument("a line end within a line of a response");
    for (const std::string_view part : parts) wfile.write(part);
    wfile.write("\r\n");
  }
  //]
};

/// A TCPServer with the name that Python's HTTPServer has.
using HTTPServer = TCPServer;

}  // namespace naglfar
//]
