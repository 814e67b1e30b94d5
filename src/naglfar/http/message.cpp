// How headers are found by name, and how a body is read by length and by
// chunks.
//
// Invariants:
// - A length that the client sends has nothing but digits and fits into
//   std::size_t; otherwise the request is refused.
// - No line between chunks is read without a limit on its length.
//
// It asks for ScheduledFile::read and readline.

#include "naglfar/http/message.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace naglfar {

// [names]
static constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// A "token" of RFC 9110 section 5.6.2.
static bool isName(std::string_view text) {
  return !text.empty() &&
         text.find_first_not_of(
             "!#$%&'*+-.^_`|~0123456789"
             "abcdefghijklmnopqrstuvwxyz"
             "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string_view::npos;
}

static std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return text.substr(0, text.find_last_not_of(" \t") + 1);
}

bool sameName(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}
// [/names]

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

// [headers-members]
bool Headers::add(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view name = line.substr(0, colon);
  if (!isName(name)) return false;  // a space before the colon, too
  fields_.emplace_back(name, trimmed(line.substr(colon + 1)));
  return true;
}

bool Headers::hasToken(std::string_view name, std::string_view word) const {
  for (std::string_view rest : get_all(name))
    while (!rest.empty()) {
      const std::string_view next = rest.substr(0, rest.find(','));
      if (sameName(trimmed(next), word)) return true;
      rest.remove_prefix(std::min(next.size() + 1, rest.size()));
    }
  return false;
}

std::string_view Headers::get(std::string_view name,
                              std::string_view otherwise) const {
  for (const auto& [key, value] : fields_)
    if (sameName(key, name)) return value;
  return otherwise;
}

std::vector<std::string_view> Headers::get_all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : fields_)
    if (sameName(key, name)) values.push_back(value);
  return values;
}
// [/headers-members]

// [body-length]
static std::size_t parseLength(std::string_view digits, int base) {
  std::size_t n = 0;
  const char* const end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, n, base);
  if (parsed.ec != std::errc() || parsed.ptr != end)
    throw HTTPError(400, "Bad length of a body");
  return n;
}

void RequestBody::start(const Headers& headers, bool mayBeChunked) {
  framing_ = Framing::length;
  left_ = 0;
  const auto codings = headers.get_all("Transfer-Encoding");
  const auto lengths = headers.get_all("Content-Length");
  if (!codings.empty()) {
    if (!lengths.empty()) throw HTTPError(400, "Two lengths of a body");
    if (!mayBeChunked) throw HTTPError(400, "Chunks before HTTP/1.1");
    if (codings.size() > 1 || !sameName(codings[0], "chunked"))
      throw HTTPError(501, "Unsupported transfer coding");
    framing_ = Framing::firstChunk;
    room_ = limit;
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
      (before == Framing::chunk && !line().empty()))
    throw HTTPError(400, "Bad end of a chunk");
  const std::string head = line();
  std::string_view size = std::string_view(head).substr(0, head.find(';'));
  size = size.substr(0, size.find_last_not_of(" \t") + 1);
  const std::size_t length = parseLength(size, 16);
  if (length > room_) throw HTTPError(413);
  room_ -= length;
  left_ = length;
  if (length == 0) {
    // Trailers have the form of headers. A server may drop them (RFC 9110
    // section 6.5.1).
    Headers trailers;
    for (std::string next = line(); !next.empty(); next = line()) {
      if (trailers.size() == 100) throw HTTPError(431);
      if (!trailers.add(next)) throw HTTPError(400, "Bad trailer");
    }
  }
  framing_ = length > 0 ? Framing::chunk : Framing::length;
}

// Only CR LF ends the line, because some programs take LF alone for a part of
// an extension.
std::string RequestBody::line() {
  constexpr std::size_t longest = 4096;  // bytes: a number, and extensions
  return readHTTPLine(connection_, longest, 400, false);
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
  while (more()) {
    if (left_ > most) return false;
    most -= left_;
    read(left_);
  }
  return true;
}
// [/body-read]

}  // namespace naglfar
