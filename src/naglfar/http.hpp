/// @file http.hpp
/// A request handler with the interface of Python's
/// http.server.BaseHTTPRequestHandler, and the server for it. A program
/// derives a class, overrides do_GET() and its like, and writes to `wfile`.
///
/// Invariants:
/// - A request that the handler cannot understand gets an answer that says
///   why. A few empty lines before a request are skipped.
/// - A handler cannot start a second header within a header, nor a second
///   answer within an answer: it gets an exception that says what is wrong.
/// - The next answer begins where the body of the answer before it ends. A
///   body that is shorter or longer than its head says ends the connection.
/// - A handler that throws, or returns without an answer or with one of which
///   a piece could not be written, is answered for by a 500, unless a part of
///   its own answer, or the client, has left. Then the connection ends there.
/// - A slow client costs one sleeping coroutine: for at most `headerTimeout`
///   while it sends the head of a request, and for at most `timeout` each
///   time that it sends no more of a body or takes no more of an answer.
/// - The next request begins where the body of the request before it ends,
///   however much of that the handler has read.
///
/// docs/rfc-conformance.md lists what RFC 9110 and RFC 9112 demand.
///
/// Asks of the layers below: RequestBody, ResponseBody, ScheduledFile,
/// TCPServer.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "naglfar/http/message.hpp"
#include "naglfar/server.hpp"

namespace naglfar {

/// @addtogroup http
/// @{

// [handler]
/// Handles the requests of one connection. Members are named as in Python.
class BaseHTTPRequestHandler {
 public:
  /// @param request The connection.
  /// @param client The client's address.
  /// @param accepted_by The server.
  BaseHTTPRequestHandler(ScheduledFile& request, const sys::Address& client,
                         TCPServer& accepted_by)
      : rfile(request),
        wfile(request),
        connection(request),
        client_address(client),
        server(accepted_by) {}
  virtual ~BaseHTTPRequestHandler() = default;
  BaseHTTPRequestHandler& operator=(BaseHTTPRequestHandler&&) = delete;

  /// Handles requests until `close_connection` is set.
  void handle();
  /// Waits for one request and handles it.
  void handle_one_request();

  // [methods]
  /// @name What a request is answered by
  /// Override the functions of the methods that you serve. By default each
  /// answers 501.
  /// @{
  virtual void do_GET() { unsupported(); }  ///< GET.
  /// HEAD. By default answers as do_GET() does; `wfile` drops the body.
  virtual void do_HEAD() { do_GET(); }
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
  /// Called when a client waits for leave to send its body
  /// (`Expect: 100-continue`). By default the client gets it.
  /// @throws HTTPError Such as 417, to refuse the body.
  virtual void handle_expect_100();
  // [/methods]

  // [responding]
  /// Starts a response: status line, Server and Date. Logs the request.
  /// @param code The status, such as 200.
  /// @param message The reason; by default what RFC 9110 calls the status.
  /// @throws std::invalid_argument If the reason has a control character in
  ///         it, such as a line end, or the status is not from 100 to 599.
  /// @throws std::logic_error If the request has an answer already.
  void send_response(int code, std::string_view message = "");
  /// Starts a response with the status line alone.
  /// @param code The status.
  /// @param message The reason; by default what RFC 9110 calls the status.
  /// @throws std::invalid_argument As send_response().
  /// @throws std::logic_error As send_response().
  void send_response_only(int code, std::string_view message = "");
  /// Adds a header to the response. `Connection: close` also sets
  /// `close_connection`; `Connection: keep-alive` is left out, because
  /// end_headers() says it where it is true. A Content-Length is left out
  /// where the status allows none.
  /// @param keyword The header's name.
  /// @param value The header's value.
  /// @throws std::invalid_argument If the name is no token; if the value has
  ///         a control character, such as a line end, with which a client
  ///         could add headers of its own; if it is a second Content-Length
  ///         or no number; for Transfer-Encoding, which startChunks() sends.
  /// @throws std::logic_error Before send_response() or after end_headers().
  void send_header(std::string_view keyword, std::string_view value);
  /// Ends the headers of the response. If neither the headers nor the status
  /// tell where the body ends, the body ends with the connection. A client
  /// of HTTP/1.0 that asked for it is told whether the connection stays open.
  /// @throws std::logic_error If no headers have begun.
  void end_headers();
  /// Answers with an error and a short page about it. The connection is
  /// closed after this answer.
  /// @param code The status, such as 404.
  /// @param message One line; by default what RFC 9110 calls the status.
  /// @param explain More about it.
  void send_error(int code, std::string_view message = "",
                  std::string_view explain = "");

  /// Ends the headers of a response whose length is not known yet. A client
  /// that knows chunks gets the body in chunks (RFC 9112 section 7.1); for
  /// other clients the body ends with the connection. An answer that has a
  /// Content-Length or may have no body has no chunks either.
  /// @throws std::logic_error As end_headers().
  void startChunks();
  /// Sends a piece of the body, after startChunks(), without delay.
  /// @param data The piece. An empty piece changes nothing.
  /// @throws std::system_error As ScheduledFile::flush().
  void sendChunk(std::string_view data);
  /// Ends the body, after startChunks(). If a handler does not call it, the
  /// connection ends, so that the client sees that something is missing.
  void endChunks();
  // [/responding]

  /// Logs an answered request.
  /// @param code The status.
  /// @param size Bytes of the answer, or "-".
  virtual void log_request(int code, std::string_view size = "-");
  /// Logs an error.
  /// @param message One line.
  virtual void log_error(std::string_view message) { log_message(message); }
  /// Writes a line to standard error, with the client and the time. A class
  /// that logs elsewhere, or not at all, overrides this function.
  /// @param message One line.
  virtual void log_message(std::string_view message);

  /// @return What the Server header says.
  virtual std::string version_string() const { return "Naglfar/0.1"; }
  /// @return The time for the Date header (RFC 9110 section 5.6.7). It is
  ///         formatted once a second; valid until the thread's next call.
  static std::string_view date_time_string();
  /// @return The time for the log.
  static std::string log_date_time_string();
  /// @return The client, for the log.
  virtual std::string address_string() const { return client_address.host(); }

  // [handler-fields]
  // Those of the request are empty while the handler waits for the next.
  std::string requestline;  ///< "GET / HTTP/1.0", without line end.
  /// The method: "GET". Valid until the next request.
  std::string_view command;
  /// What the client wants: "/". Valid until the next request: a handler that
  /// keeps it for longer makes a std::string of it.
  std::string_view path;
  /// "HTTP/1.0"; "HTTP/0.9" if absent. Valid until the next request.
  std::string_view request_version;
  /// Of the request. Its values are valid until the next request, too.
  Headers headers;
  RequestBody rfile;   ///< The body of the request.
  ResponseBody wfile;  ///< The body of the answer.
  /// Both directions as they are: for another protocol than HTTP, after a
  /// 101 or an accepted CONNECT.
  ScheduledFile& connection;
  const sys::Address client_address;  ///< The client's address.
  TCPServer& server;                  ///< It accepted the connection.
  bool close_connection = true;       ///< Whether this is the last request.
  // [/handler-fields]

  // [handler-settings]
  /// @name Settings
  /// The constructor of a derived class sets them, and `rfile.limit`. A time
  /// of 0 or less is over when it begins: what has come by then is taken. The
  /// longest time has no end. A limit of 0 allows nothing, and `unlimited`
  /// anything.
  /// @{

  /// "HTTP/1.1" keeps connections open for more requests; then each answer
  /// needs a Content-Length, or chunks. The text must outlive the handler, as
  /// a literal does.
  std::string_view protocol_version = "HTTP/1.0";
  /// How long a client may take to send the request line and all headers. A
  /// client that takes longer gets a 408.
  sys::Duration headerTimeout = std::chrono::seconds(10);
  /// How long a client may take to send the next bytes of a body, or to take
  /// the next bytes of an answer.
  sys::Duration timeout = std::chrono::seconds(30);
  /// How long a connection may stay open between two requests.
  sys::Duration keepAliveTimeout = std::chrono::seconds(15);
  /// How long the server reads and drops what a client sends after its last
  /// answer, before it closes the connection.
  sys::Duration lingerTimeout = std::chrono::seconds(2);
  /// How many bytes the server drops so, and up to 64 KiB more. After either
  /// limit it closes the connection, and the kernel answers further bytes by
  /// a reset.
  std::size_t lingerLimit = std::size_t{16} << 20;
  /// How many bytes the request line and all headers may have together, with
  /// their line ends. The answer to more is 414 if the request line alone is
  /// longer, and else 431.
  std::size_t maxHead = 65536;
  /// How many headers a request may have. The answer to more is 431.
  std::size_t maxHeaders = 100;
  /// @}
  // [/handler-settings]

 private:
  // [handler-private]
  bool awaitRequest(sys::Duration patience);
  char awaitByte();
  void parse_request();
  void parseVersion(std::string_view version);
  void readHeaders(std::size_t start);
  void parseTarget(std::string_view target);
  void serve();
  void dispatch();
  void unsupported();
  bool sendInstead(int code, std::string_view message = "");
  void apologize();
  void hangUp();
  void writeHeader(std::string_view keyword, std::string_view value);
  bool bothSpeak11() const;
  std::size_t taken() const {
    return connection.nread - connection.available();
  }
  std::size_t position() const {
    return connection.nwrite + connection.unsent();
  }

  bool served_ = false;    // whether this is not the first request
  bool refused_ = false;   // whether the rest of the request is unread
  bool ended_ = false;     // whether the client's end of file has come
  bool mayGoOn_ = false;   // whether the client may send another request
  std::string target_;     // of the request, where path is not a part of it
  int status_ = 0;         // of the answer that has begun; 0 if none has
  std::size_t begun_ = 0;  // position() where the answer begins
  std::optional<std::size_t> length_;  // Content-Length of the answer
  bool silent_ = false;                // whether the client gets no head
  bool saidClose_ = false;  // whether the answer has Connection: close
  // [/handler-private]
};
// [/handler]

// [http-server]
/// A TCPServer with the members that Python's HTTPServer adds.
class HTTPServer : public TCPServer {
 public:
  using TCPServer::TCPServer;
  /// @return The address that the server listens on.
  std::string server_name() const { return server_address.host(); }
  /// @return The port that the server listens on.
  std::uint16_t server_port() const { return server_address.port(); }
};
// [/http-server]

/// @}

}  // namespace naglfar
