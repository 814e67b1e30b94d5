/// @file http.hpp
/// How little HTTP is enough: a request handler with the interface of
/// Python's http.server.BaseHTTPRequestHandler, and the server for it.
///
/// Derive a class, override do_GET() and its like, and write to `wfile`.
///
/// Invariants:
/// - A request that cannot be understood gets an answer that says why.
/// - What a handler puts into a header stays in that header.
///
/// Asks of the layers below: ScheduledFile for both directions, TCPServer.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "naglfar/server.hpp"

namespace naglfar {

/// @addtogroup http
/// @{

// [headers]
/// The headers of a request, found by name in any case of letters (RFC 9110
/// section 5.1).
class Headers {
 public:
  /// Adds a header line.
  /// @param line Without its line end.
  /// @return False if it is not "name: value" (RFC 9112 section 5).
  bool add(std::string_view line);

  /// @param name A header's name.
  /// @param otherwise What to return if there is none.
  /// @return The value of the first header of that name.
  std::string_view get(std::string_view name,
                       std::string_view otherwise = "") const;
  /// @param name A header's name.
  /// @return True if there is one of that name.
  bool contains(std::string_view name) const;
  /// @return How many headers there are.
  std::size_t size() const { return fields_.size(); }
  /// Forgets all headers.
  void clear() { fields_.clear(); }

 private:
  struct Field {
    std::string name;
    std::string value;
  };
  const Field* find(std::string_view name) const;
  std::vector<Field> fields_;
};
// [/headers]

// [handler]
/// Handles the requests of one connection. Members are named as in Python.
class BaseHTTPRequestHandler {
 public:
  /// @param request The connection.
  /// @param client Who connected.
  /// @param accepted_by The server.
  BaseHTTPRequestHandler(ScheduledFile& request, const sys::Address& client,
                         TCPServer& accepted_by)
      : rfile(request),
        wfile(request),
        client_address(client),
        server(accepted_by) {}
  virtual ~BaseHTTPRequestHandler() = default;
  BaseHTTPRequestHandler(const BaseHTTPRequestHandler&) = delete;
  BaseHTTPRequestHandler& operator=(const BaseHTTPRequestHandler&) = delete;

  /// Handles requests until the connection shall be closed.
  void handle();
  /// Handles one request.
  void handle_one_request();

  // [methods]
  /// @name What a request is answered by
  /// Override the ones that you serve. By default they answer 501.
  /// @{
  virtual void do_GET() { unsupported(); }      ///< GET.
  virtual void do_HEAD() { unsupported(); }     ///< HEAD.
  virtual void do_POST() { unsupported(); }     ///< POST.
  virtual void do_PUT() { unsupported(); }      ///< PUT.
  virtual void do_DELETE() { unsupported(); }   ///< DELETE.
  virtual void do_PATCH() { unsupported(); }    ///< PATCH.
  virtual void do_OPTIONS() { unsupported(); }  ///< OPTIONS.
  virtual void do_TRACE() { unsupported(); }    ///< TRACE.
  virtual void do_CONNECT() { unsupported(); }  ///< CONNECT.
  /// Any other method.
  virtual void do_other() { unsupported(); }
  /// @}
  // [/methods]

  // [responding]
  /// Starts a response: status line, Server and Date. Logs the request.
  /// @param code The status, such as 200.
  /// @param message The reason; by default what RFC 9110 calls the status.
  void send_response(int code, std::string_view message = "");
  /// Starts a response with the status line alone.
  /// @param code The status.
  /// @param message The reason.
  void send_response_only(int code, std::string_view message = "");
  /// Adds a header to the response.
  /// @param keyword Its name.
  /// @param value Its value.
  /// @throws std::invalid_argument If either contains CR, LF or NUL, with
  ///         which a client could add headers of its own.
  void send_header(std::string_view keyword, std::string_view value);
  /// Ends the headers of the response.
  void end_headers();
  /// Answers with an error and a short page about it. Closes the connection
  /// afterwards.
  /// @param code The status, such as 404.
  /// @param message One line; by default what RFC 9110 calls the status.
  /// @param explain More about it.
  void send_error(int code, std::string_view message = "",
                  std::string_view explain = "");
  // [/responding]

  /// Logs an answered request.
  /// @param code The status.
  /// @param size Bytes of the answer, or "-".
  virtual void log_request(int code, std::string_view size = "-");
  /// Logs an error.
  /// @param message One line.
  virtual void log_error(std::string_view message) { log_message(message); }
  /// Writes a line to standard error, with the client and the time. Override
  /// it to log elsewhere, or not at all.
  /// @param message One line.
  virtual void log_message(std::string_view message);

  /// @return What the Server header says.
  virtual std::string version_string() const;
  /// @return The time for the Date header (RFC 9110 section 5.6.7). It is
  ///         formatted once a second.
  static std::string_view date_time_string();
  /// @return The time for the log.
  static std::string log_date_time_string();
  /// @return The client, for the log.
  virtual std::string address_string() const;

  // [handler-fields]
  std::string requestline;            ///< "GET / HTTP/1.0", without line end.
  std::string_view command;           ///< The method: "GET".
  std::string_view path;              ///< What is asked for: "/".
  std::string_view request_version;   ///< "HTTP/1.0"; "HTTP/0.9" if absent.
  Headers headers;                    ///< Of the request.
  ScheduledFile& rfile;               ///< What the client sends.
  ScheduledFile& wfile;               ///< What is sent to the client.
  const sys::Address client_address;  ///< Who asks.
  TCPServer& server;                  ///< Who accepted the connection.
  /// "HTTP/1.1" keeps connections open; then each answer needs a
  /// Content-Length.
  std::string_view protocol_version = "HTTP/1.0";
  bool close_connection = true;  ///< Whether this was the last request.
                                 // [/handler-fields]

 private:
  bool parse_request();
  bool parse_version(std::string_view version);
  bool read_headers();
  void dispatch();
  void unsupported();
};
// [/handler]

// [http-server]
/// A TCPServer that knows its name.
class HTTPServer : public TCPServer {
 public:
  using TCPServer::TCPServer;
  /// @return The address that it listens on.
  std::string server_name() const { return server_address.host(); }
  /// @return The port that it listens on.
  std::uint16_t server_port() const { return server_address.port(); }
};
// [/http-server]

/// @param code A status.
/// @return What RFC 9110 section 15 calls it, or "".
std::string_view reasonPhrase(int code);

/// @}

}  // namespace naglfar
