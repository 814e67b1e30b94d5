// How lines are read, how the body of a request is read by length and by
// chunks, and how the body of an answer is written.
//
// Invariants:
// - A length that the client sends has nothing but digits and fits into
//   std::size_t; otherwise the request is refused.
// - No line between chunks is read without a limit on its length, nor on the
//   length of all such lines.
//
// It asks for ScheduledFile::read, readline, write and sendfile.

#include "naglfar/http/message.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <system_error>

namespace naglfar {

// [read-line]
// Turns a timeout into a 408. Only calls that read from the client go through
// it: another timeout in a handler is not the client's fault.
template <class Read>
static std::string inTime(Read&& read) {
  try {
    return read();
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::timed_out) throw;
    throw HTTPError(408);
  }
}

std::string readHTTPLine(ScheduledFile& connection, std::size_t longest,
                         int tooLong, bool alone) {
  std::string line = inTime([&] { return connection.readline(longest); });
  if (!line.ends_with('\n'))
    throw line.size() < longest ? HTTPError(400, "The request ended early")
                                : HTTPError(tooLong);
  line.pop_back();
  if (line.ends_with('\r'))
    line.pop_back();
  else if (!alone)
    throw HTTPError(400, "No CR at the end of a line");
  if (std::any_of(line.begin(), line.end(), [](unsigned char c) {
        return (c < ' ' && c != '\t') || c == 0x7f;
      }))
    throw HTTPError(400, "A control character in the request");
  return line;
}
// [/read-line]

// [body-length]
static std::size_t parseLength(std::string_view digits, int base) {
  const auto n = parseNumber(digits, base);
  if (!n) throw HTTPError(400, "Bad length of a body");
  return *n;
}

// Bytes that lines around chunks may have beyond what their chunks allow.
static constexpr std::size_t mostBeside = 16384;

void RequestBody::start(const Headers& headers, bool mayBeChunked) {
  framing_ = Framing::length;
  left_ = lines_ = 0;
  const auto codings = headers.get_all("Transfer-Encoding");
  const auto lengths = headers.get_all("Content-Length");
  if (!codings.empty()) {
    if (!lengths.empty()) throw HTTPError(400, "Two lengths of a body");
    if (!mayBeChunked) throw HTTPError(400, "Chunks before HTTP/1.1");
    const std::string_view last = codings.back();
    if (!sameName(trimmed(last.substr(last.rfind(',') + 1)), "chunked"))
      throw HTTPError(400, "A body without an end");
    if (codings.size() > 1 || !sameName(last, "chunked"))
      throw HTTPError(501, "Unsupported transfer coding");
    framing_ = Framing::firstChunk;
    room_ = limit;
    spare_ = mostBeside;
  } else if (!lengths.empty()) {
    if (std::count(lengths.begin(), lengths.end(), lengths[0]) !=
        std::ssize(lengths))
      throw HTTPError(400, "Two lengths of a body");
    const std::size_t length = parseLength(lengths[0], 10);
    if (length > limit) throw HTTPError(413);
    left_ = length;
  }
}
// [/body-length]

// [body-chunks]
// True if bytes of the body come next; left_ says how many.
bool RequestBody::more() {
  if (left_ == 0 && framing_ != Framing::length) nextChunk();
  return left_ > 0;
}

// Reads what stands between two chunks (RFC 9112 section 7.1): the line end
// of the chunk before, and the size of the next. A size of 0 ends the body;
// the trailers follow it.
void RequestBody::nextChunk() {
  const Framing before = std::exchange(framing_, Framing::broken);
  if (before == Framing::broken ||
      (before == Framing::chunk && !line(400).empty()))
    throw HTTPError(400, "Bad end of a chunk");
  const std::string head = line(400);
  std::string_view size = std::string_view(head).substr(0, head.find(';'));
  size = size.substr(0, size.find_last_not_of(" \t") + 1);
  const std::size_t length = parseLength(size, 16);
  if (length > room_) throw HTTPError(413);
  room_ -= length;
  left_ = length;
  spare_ =
      std::min(mostBeside, spare_ + 16 + 2 * std::min(length, mostBeside));
  if (length == 0) {
    // Trailers have the form of headers. A server may drop them (RFC 9110
    // section 6.5.1).
    for (std::string next = line(431); !next.empty(); next = line(431))
      if (!Headers().add(next)) throw HTTPError(400, "Bad trailer");
  }
  framing_ = length > 0 ? Framing::chunk : Framing::length;
}

// Only CR LF ends the line, because some programs take LF alone for a part of
// an extension.
std::string RequestBody::line(int tooLong) {
  constexpr std::size_t longest = 4096;  // bytes: a number, and extensions
  std::string line =
      readHTTPLine(connection_, std::min(longest, spare_), tooLong, false);
  lines_ += line.size() + 2;
  spare_ -= line.size() + 2;
  return line;
}
// [/body-chunks]

// [body-read]
std::string RequestBody::take(std::size_t n, bool byLine) {
  std::string data;
  while (data.size() < n && more()) {
    const std::size_t asked = std::min(n - data.size(), left_);
    const std::string piece = inTime([&] {
      return byLine ? connection_.readline(asked) : connection_.read(asked);
    });
    left_ -= piece.size();
    data += piece;
    if (byLine && piece.ends_with('\n')) break;
    if (piece.size() < asked)
      throw HTTPError(400, "The body ended too early");
  }
  return data;
}

bool RequestBody::skip(std::size_t most) {
  std::size_t dropped = 0;
  const std::size_t before = lines_;
  while (more()) {
    dropped += left_;  // does not wrap: the limit binds all chunks together
    if (dropped > most || lines_ - before > most - dropped) return false;
    read(left_);
  }
  return true;
}
// [/body-read]

// [body-write]
void ResponseBody::writeTogether(
    std::initializer_list<std::string_view> pieces) {
  try {
    for (const std::string_view piece : pieces) connection_.write(piece);
  } catch (...) {
    framing_ = Framing::broken;
    throw;
  }
}

// Begins a piece of at most n bytes. Returns how many of them the body takes.
std::size_t ResponseBody::begin(std::size_t n) {
  if (framing_ == Framing::head)
    throw std::logic_error("the body of an answer comes after end_headers()");
  if (framing_ == Framing::broken)
    throw std::logic_error("a part of the answer is missing");
  dropped_ = dropped_ || n > room_;
  n = framing_ == Framing::none ? 0 : std::min(n, room_);
  if (framing_ == Framing::length) room_ -= n;
  return n;
}

// The line before a chunk.
static std::array<char, 32> sizeLine(std::size_t n) {
  std::array<char, 32> line;
  std::snprintf(line.data(), line.size(), "%zx\r\n", n);
  return line;
}

void ResponseBody::write(std::string_view data) {
  data = data.substr(0, begin(data.size()));
  if (data.empty()) return;  // an empty chunk would end the body
  if (framing_ == Framing::chunks)
    writeTogether({sizeLine(data.size()).data(), data, "\r\n"});
  else
    writeTogether({data});
}

std::size_t ResponseBody::sendfile(int file, off_t offset,
                                   std::size_t nbytes) {
  nbytes = begin(nbytes);
  if (nbytes == 0) return 0;
  const bool chunk = framing_ == Framing::chunks;
  if (chunk) writeTogether({sizeLine(nbytes).data()});
  std::size_t sent = 0;
  try {
    sent = connection_.sendfile(file, offset, nbytes);
    if (chunk && sent < nbytes)
      throw std::runtime_error("a file ended within the chunk that sends it");
  } catch (...) {
    framing_ = Framing::broken;
    throw;
  }
  if (framing_ == Framing::length) room_ += nbytes - sent;
  if (chunk) writeTogether({"\r\n"});
  return sent;
}

void ResponseBody::end() {
  begin(0);
  if (framing_ == Framing::chunks) writeTogether({"0\r\n\r\n"});
  if (framing_ != Framing::length) start(Framing::none);
}
// [/body-write]

}  // namespace naglfar
