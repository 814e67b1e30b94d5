/// @file http/message.hpp
/// What an HTTP request is made of: headers, and a body that ends somewhere.
///
/// Where a body ends is what the next request on the connection depends on. A
/// server that sees that end elsewhere than a proxy in front of it lets a
/// client smuggle requests past the proxy (RFC 9112 section 11.2). So what
/// can be read in two ways is refused, between the chunks of a body, too.
///
/// Invariant: RequestBody never takes a byte of the next request, and gives
/// no part of a body for the whole of it.
///
/// Asks of the layer below: ScheduledFile.

#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "naglfar/scheduled_file.hpp"

namespace naglfar {

/// @addtogroup http
/// @{

// [http-error]
/// Thrown by whoever finds that a request cannot be served. The client is
/// told, if its answer has not begun, and the connection is closed.
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
/// Reads a line of a request: its first one, a header, or one that stands
/// between the chunks of its body. A CR or a NUL within it would mean one
/// thing here and another elsewhere.
/// @param connection Read from.
/// @param longest How many bytes it may have, with its end.
/// @param tooLong The status to answer if it has more.
/// @param alone Whether LF alone ends it, too (RFC 9112 section 2.2).
/// @return The line without its end, which is CR LF or LF.
/// @throws HTTPError `tooLong`; 400 if the end of file comes first, or if
///         there is a control character in it; 408 if it does not come in
///         time.
/// @throws std::system_error As ScheduledFile::readline(), but ETIMEDOUT.
std::string readHTTPLine(ScheduledFile& connection, std::size_t longest,
                         int tooLong, bool alone = true);
// [/http-line]

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
  /// @return The values of all headers of that name, in their order.
  std::vector<std::string_view> get_all(std::string_view name) const;
  /// @param name A header's name, whose values are lists of words.
  /// @param word A word.
  /// @return True if it is in one of the lists (RFC 9110 section 5.6.1).
  bool hasToken(std::string_view name, std::string_view word) const;
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

/// @param a A name, or a word that a protocol defines.
/// @param b Another.
/// @return True if they are the same in ASCII, in any case of letters.
bool sameName(std::string_view a, std::string_view b);
// [/headers]

// [request-body]
/// The body of a request, as a file that ends where the body ends: after
/// Content-Length bytes, after the last chunk, or at once if there is none.
///
/// Its calls throw HTTPError if the body is not what it was said to be.
class RequestBody {
 public:
  /// @param connection Read from.
  explicit RequestBody(ScheduledFile& connection) : connection_(connection) {}

  /// Reads until `n` bytes are there or the body ends.
  /// @param n How many bytes, or `unlimited`.
  /// @return The bytes; fewer only at the end of the body.
  /// @throws HTTPError 400 or 413; 408 if they do not come in time.
  /// @throws std::system_error As ScheduledFile::read(), but ETIMEDOUT.
  std::string read(std::size_t n = unlimited) { return take(n, false); }
  /// Reads a line with its newline.
  /// @param n At most so many bytes.
  /// @return The line; empty only at the end of the body.
  /// @throws HTTPError As read().
  /// @throws std::system_error As read().
  std::string readline(std::size_t n = unlimited) { return take(n, true); }
  /// @return The connection's descriptor.
  int fileno() const { return connection_.fileno(); }

  /// Finds out from the headers how long the body is (RFC 9112 section 6.3).
  /// @param headers Of the request.
  /// @param mayBeChunked Whether the client's version knows chunks.
  /// @throws HTTPError 400 if they contradict each other, 413 if the body is
  ///         longer than `limit`, 501 for another coding than chunks.
  void start(const Headers& headers, bool mayBeChunked);
  /// Says that there is no body.
  void startNone();
  /// @return True if all of the body was read.
  bool atEnd() const { return left_ == 0 && framing_ == Framing::length; }
  /// Drops what was not read.
  /// @param most How many bytes are worth reading for that.
  /// @return False if there were more.
  /// @throws HTTPError As read().
  /// @throws std::system_error As read().
  bool skip(std::size_t most);

  /// How long a body may be, in bytes, whoever reads it or not.
  std::size_t limit = std::size_t{64} << 20;

 private:
  // Where the reader stands: in a part whose length is known, with what is
  // left of it; or before the line that tells how long a chunk is; or nobody
  // knows, for such a line was wrong.
  enum class Framing { length, firstChunk, chunk, broken };
  bool more();
  void nextChunk();
  void skipTrailers();
  std::string line();
  std::string take(std::size_t n, bool byLine);

  ScheduledFile& connection_;
  Framing framing_ = Framing::length;
  std::size_t left_ = 0;  // bytes of the body, or of the chunk
  std::size_t room_ = 0;  // bytes of chunks that the limit still allows
};
// [/request-body]

/// @}

}  // namespace naglfar
