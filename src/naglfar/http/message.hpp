/// @file http/message.hpp
/// The parts of an HTTP message besides its headers: the body of a request,
/// and the body of an answer.
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
/// Asks of the layers below: Headers, ScheduledFile.

#pragma once

#include <initializer_list>
#include <string>
#include <string_view>

#include "naglfar/http/headers.hpp"
#include "naglfar/scheduled_file.hpp"

namespace naglfar {

/// @addtogroup http
/// @{

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
