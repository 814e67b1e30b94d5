/// @file http/message.hpp
/// The parts of an HTTP message: headers, the body of a request, and the body
/// of an answer.
///
/// The next request begins where the body ends. If a server and a proxy in
/// front of it disagree about that place, a client can smuggle requests past
/// the proxy (RFC 9112 section 11.2). So the library refuses every request
/// whose end can be read in two ways.
///
/// Invariants:
/// - RequestBody never takes a byte of the next request from the connection,
///   and throws rather than end before the body does.
/// - ResponseBody never sends a byte past the end of the body that the head
///   of the answer has announced.
///
/// Asks of the layer below: ScheduledFile.

#pragma once

#include <initializer_list>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "naglfar/scheduled_file.hpp"

namespace naglfar {

/// @addtogroup http
/// @{

// [http-error]
/// Thrown, by the library or by a handler, because a request cannot be
/// served. If no answer has begun, the client gets one with this status; the
/// connection is closed in any case.
class HTTPError : public std::runtime_error {
 public:
  /// @param status The status to answer with, such as 400.
  /// @param message One line; by default what RFC 9110 calls the status.
  explicit HTTPError(int status, const std::string& message = "")
      : std::runtime_error(message), code(status) {}
  const int code;  ///< The status.
};
// [/http-error]

// [http-line]
/// Reads a line of a request: the request line, a header, or a line between
/// the chunks of the body. Refuses control characters in the line, because
/// another program might take a CR or a NUL for its end.
/// @param connection Where to read from.
/// @param longest How many bytes the line may have, with its end.
/// @param tooLong The status for a line that is longer.
/// @param alone Whether LF alone ends a line, too (RFC 9112 section 2.2).
/// @return The line without its end, which is CR LF or LF.
/// @throws HTTPError `tooLong`; 400 for a control character, for a missing CR
///         unless `alone`, and if the end of file comes first; 408 if the
///         line does not come in time.
/// @throws std::system_error As ScheduledFile::readline(), except ETIMEDOUT.
std::string readHTTPLine(ScheduledFile& connection, std::size_t longest,
                         int tooLong, bool alone = true);
// [/http-line]

// [headers]
/// The headers of a request, found by name in any case of letters (RFC 9110
/// section 5.1). The views that it returns are valid until it is changed: the
/// handler of a connection clears it for each request.
class Headers {
 public:
  /// Adds a header line.
  /// @param line The line, without its line end.
  /// @return False if the line is not "name: value" (RFC 9112 section 5).
  bool add(std::string_view line);

  /// @param name A header's name.
  /// @param otherwise What to return if there is no such header.
  /// @return The value of the first header of that name.
  std::string_view get(std::string_view name,
                       std::string_view otherwise = "") const;
  /// @param name A header's name.
  /// @return The values of all headers of that name, in their order.
  std::vector<std::string_view> get_all(std::string_view name) const;
  /// @param name The name of a header whose value is a list of words.
  /// @param word A word.
  /// @return True if the word is in the list of a header of that name
  ///         (RFC 9110 section 5.6.1).
  bool hasToken(std::string_view name, std::string_view word) const;
  /// @param name A header's name.
  /// @return True if there is a header of that name.
  bool contains(std::string_view name) const {
    return !get_all(name).empty();
  }
  /// Replaces all headers of a name by one.
  /// @param name The header's name.
  /// @param value Its value.
  void set(std::string_view name, std::string_view value);
  /// @return How many headers there are.
  std::size_t size() const { return fields_.size(); }
  /// Removes all headers.
  void clear() { fields_.clear(); }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

/// Compares names, or other words that a protocol defines, in ASCII.
/// @param a A word.
/// @param b Another word.
/// @return True if they differ at most in the case of their letters.
bool sameName(std::string_view a, std::string_view b);

/// @param text A text.
/// @return True if it is a token (RFC 9110 section 5.6.2), as the names of
///         methods and headers are.
bool isToken(std::string_view text);

/// @param list Words with commas between them (RFC 9110 section 5.6.1).
/// @param word A word.
/// @return True if the word is one of them, in any case of letters.
bool hasWord(std::string_view list, std::string_view word);

/// @param text What a client calls the server.
/// @return True if it is empty, a host, or a host, a colon and a port
///         (RFC 9110 section 7.2). A host in brackets is an address of IPv6.
bool isHost(std::string_view text);

/// @param digits Digits, and nothing else.
/// @param base 10 or 16.
/// @return The number; nothing if it is none, or does not fit.
std::optional<std::size_t> parseNumber(std::string_view digits, int base);
// [/headers]

// [request-body]
/// The body of a request, as a file that ends where the body ends: after
/// Content-Length bytes, after the last chunk, or at once if the request has
/// no body.
///
/// The calls throw HTTPError if the body is not as its headers describe it.
class RequestBody {
 public:
  /// @param connection Where to read from.
  explicit RequestBody(ScheduledFile& connection) : connection_(connection) {}

  /// Reads until it has `n` bytes or the body ends.
  /// @param n How many bytes, or `unlimited`.
  /// @return The bytes; fewer only at the end of the body.
  /// @throws HTTPError 400 or 413; 408 if the bytes do not come in time.
  /// @throws std::system_error As ScheduledFile::read(), except ETIMEDOUT.
  std::string read(std::size_t n = unlimited) { return take(n, false); }
  /// Reads a line with its newline.
  /// @param n How many bytes to read at most.
  /// @return The line; empty only at the end of the body or if `n` is 0.
  /// @throws HTTPError As read().
  /// @throws std::system_error As read().
  std::string readline(std::size_t n = unlimited) { return take(n, true); }
  /// @return The connection's descriptor.
  int fileno() const { return connection_.fileno(); }

  /// Starts the body of a request. The headers tell its length (RFC 9112
  /// section 6.3); without headers there is no body.
  /// @param headers The headers of the request.
  /// @param mayBeChunked Whether the client's version knows chunks.
  /// @throws HTTPError 400 if the headers contradict each other, the length
  ///         is no number, or the last coding is not chunks; 413 if the body
  ///         is longer than `limit`; 501 for another coding before chunks.
  void start(const Headers& headers, bool mayBeChunked);
  /// @return True if the whole body was read.
  bool atEnd() const { return left_ == 0 && framing_ == Framing::length; }
  /// Reads the rest of the body and drops it.
  /// @param most How many bytes to drop, with those around chunks. Lines that
  ///        were read before that was known may exceed it by 16 KiB.
  /// @return False if the rest is longer.
  /// @throws HTTPError As read().
  /// @throws std::system_error As read().
  bool skip(std::size_t most);

  /// How many bytes a body may have, also if the handler does not read it.
  /// All lines around its chunks together may have twice as many, and 16 for
  /// each chunk, and 16 KiB; of these the trailers may have 16 KiB. A single
  /// line may have 4 KiB.
  std::size_t limit = std::size_t{64} << 20;

 private:
  // Where the reader stands if left_ is 0: at the end of the body (length),
  // before the line with the size of the first or the next chunk, or behind
  // such a line that was wrong (broken).
  enum class Framing { length, firstChunk, chunk, broken };
  bool more();
  void nextChunk();
  std::string line(int tooLong);
  std::string take(std::size_t n, bool byLine);

  ScheduledFile& connection_;
  Framing framing_ = Framing::length;
  std::size_t left_ = 0;   // unread bytes of the body, or of the chunk
  std::size_t room_ = 0;   // bytes of chunks that the limit still allows
  std::size_t lines_ = 0;  // bytes of lines around the chunks so far
  std::size_t spare_ = 0;  // bytes that such lines may still have
};
// [/request-body]

// [response-body]
/// The body of an answer, as a file that ends where the head of the answer
/// says. It drops what is written past that end: all of it in an answer to
/// HEAD and in one with a status that allows no body.
class ResponseBody {
 public:
  /// @param connection Where to send the body to.
  explicit ResponseBody(ScheduledFile& connection)
      : connection_(connection) {}

  /// Adds to the body. If that fails, the body cannot go on: the handler's
  /// request ends with a 500 or, if a part has left, with the connection.
  /// @param data The bytes.
  /// @throws std::logic_error Between send_response() and end_headers(),
  ///         where the bytes would be headers, and after a call that failed.
  /// @throws std::system_error As ScheduledFile::write().
  void write(std::string_view data);
  /// Sends what was written.
  /// @throws std::system_error As ScheduledFile::flush().
  void flush() { connection_.flush(); }
  /// Adds a part of a file to the body.
  /// @param file A descriptor of a regular file, which stays open meanwhile.
  /// @param offset Where in it to start, in bytes.
  /// @param nbytes How many bytes to send.
  /// @return How many were sent: fewer only if the file or the body ends
  ///         before.
  /// @throws std::logic_error As write().
  /// @throws std::runtime_error If the file ends within a chunk.
  /// @throws std::system_error As ScheduledFile::sendfile().
  std::size_t sendfile(int file, off_t offset, std::size_t nbytes);
  /// @return The connection's descriptor.
  int fileno() const { return connection_.fileno(); }

  /// What the handler tells the body about its answer.
  enum class Framing {
    raw,     ///< No head: every byte is sent as it is.
    head,    ///< The head has begun and not ended.
    none,    ///< There is no body: what is written is dropped.
    length,  ///< The body has a length.
    chunks,  ///< The body goes in chunks.
    close,   ///< The body ends with the connection.
    broken   ///< A part of the answer is missing: no more can be written.
  };
  /// Starts a part of the answer.
  /// @param framing What the part is.
  /// @param length How many bytes the body has, if that is known.
  void start(Framing framing, std::size_t length = unlimited) {
    framing_ = framing;
    room_ = length;
    dropped_ = false;
  }
  /// Writes pieces of the answer, its head or its body, that make sense only
  /// together. If that fails, no more of the answer can be written.
  /// @param pieces The pieces.
  /// @throws std::system_error As ScheduledFile::write().
  void writeTogether(std::initializer_list<std::string_view> pieces);
  /// Ends the body, unless it has a length. After it, each byte is dropped.
  /// @throws std::logic_error As write().
  void end();
  /// @return Where the answer stands.
  Framing framing() const { return framing_; }
  /// @return True if what was written is the body that the head announced.
  bool whole() const {
    return framing_ == Framing::none ||
           (framing_ == Framing::length && room_ == 0 && !dropped_);
  }

 private:
  std::size_t begin(std::size_t n);

  ScheduledFile& connection_;
  Framing framing_ = Framing::raw;
  std::size_t room_ = unlimited;  // bytes that the body may still have
  bool dropped_ = false;          // whether bytes past the end were written
};
// [/response-body]

/// @}

}  // namespace naglfar
