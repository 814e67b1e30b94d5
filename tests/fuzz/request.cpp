// Reads headers and a body that arrive in pieces, and expects what an account
// of the whole text says: the same body, the same refusal, and the same first
// byte of the next request. A server that finds that byte elsewhere lets
// requests be smuggled.
//
// The first line says how: 0 for HTTP/1.0, how to read the body, and how many
// bytes at a time. Such as "1r5".

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "fuzz.hpp"
#include "naglfar/http/message.hpp"

using namespace fuzz;

// [fuzz-request-reference]
namespace {

constexpr std::size_t limit = 40;  // within reach of a random walk

// What is to be read, if all of the text is there.
struct Expected {
  int refusal = 0;
  std::vector<std::size_t> parts;  // lengths
  std::vector<std::size_t> lines;  // of the lines in front of the chunks
  std::string body;
  std::string_view rest;
};

struct Refused {
  int status;
};

// All digits, and no more than fits.
std::size_t value(std::string_view digits, unsigned base) {
  if (digits.empty()) throw Refused{400};
  std::size_t n = 0;
  for (const char c : digits) {
    const std::size_t digit =
        std::string_view("0123456789abcdef")
            .find(c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c);
    if (digit >= base) throw Refused{400};
    if (n > (~std::size_t{0} - digit) / base) throw Refused{400};
    n = n * base + digit;
  }
  return n;
}

// Cuts a line of the framing off, which has an end and is not endless. All of
// them together have no more than `spare` bytes.
std::string_view cutLine(std::string_view& rest, std::size_t& spare,
                         int tooLong = 400) {
  const std::size_t most = std::min<std::size_t>(4096, spare);
  const std::size_t end = rest.substr(0, most).find('\n');
  if (end == std::string_view::npos)
    throw Refused{rest.size() < most ? 400 : tooLong};
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + 1);
  spare -= end + 1;
  if (!line.ends_with('\r')) throw Refused{400};
  line.remove_suffix(1);
  for (const unsigned char c : line)
    if ((c < ' ' && c != '\t') || c == 0x7f) throw Refused{400};
  return line;
}

bool isHeader(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const std::string_view name = line.substr(0, colon);
  return std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) !=
               std::string_view::npos;
  });
}
// [/fuzz-request-reference]

// [fuzz-request-expected]
void cutPart(Expected& expected, std::size_t n) {
  expected.parts.push_back(n);
  expected.body += expected.rest.substr(0, n);
  if (expected.rest.size() < n) throw Refused{400};
  expected.rest.remove_prefix(n);
}

void cutChunks(Expected& expected) {
  std::size_t spare = 16384;
  for (std::size_t room = limit;;) {
    const std::size_t before = expected.rest.size();
    std::string_view head = cutLine(expected.rest, spare);
    head = head.substr(0, head.find(';'));
    while (head.ends_with(' ') || head.ends_with('\t')) head.remove_suffix(1);
    const std::size_t n = value(head, 16);
    if (n > room) throw Refused{413};
    room -= n;
    spare = std::min<std::size_t>(16384, spare + 16 + 2 * n);
    if (n == 0) break;
    expected.lines.push_back(before - expected.rest.size());
    cutPart(expected, n);
    if (!cutLine(expected.rest, spare).empty()) throw Refused{400};
  }
  for (;;) {
    const std::string_view line = cutLine(expected.rest, spare, 431);
    if (line.empty()) return;
    if (!isHeader(line)) throw Refused{400};
  }
}

Expected expectedOf(const Headers& headers, bool knowsChunks,
                    std::string_view rest) {
  Expected expected;
  expected.rest = rest;
  const auto codings = headers.get_all("transfer-encoding");
  const auto lengths = headers.get_all("content-length");
  try {
    if (!codings.empty() && (!lengths.empty() || !knowsChunks))
      throw Refused{400};
    if (!codings.empty()) {
      std::string_view last = codings.back();
      last.remove_prefix(std::min(last.rfind(',') + 1, last.size()));
      last.remove_prefix(
          std::min(last.find_first_not_of(" \t"), last.size()));
      if (!sameName(last, "chunked")) throw Refused{400};
      if (codings.size() > 1 || !sameName(codings[0], "chunked"))
        throw Refused{501};
      cutChunks(expected);
    } else if (!lengths.empty()) {
      for (const auto& length : lengths)
        if (length != lengths[0]) throw Refused{400};
      const std::size_t n = value(lengths[0], 10);
      if (n > limit) throw Refused{413};
      if (n > 0) cutPart(expected, n);
    }
  } catch (const Refused& refused) {
    expected.refusal = refused.status;
  }
  return expected;
}
// [/fuzz-request-expected]

// [fuzz-request-reading]
// How much skip() drops, or nothing if that is more than `most`.
bool mayBeSkipped(const Expected& expected, std::size_t most) {
  std::size_t all = 0;
  for (std::size_t i = 0; i < expected.parts.size(); ++i) {
    all += expected.parts[i];
    // The line with the size, and the line end of the chunk before.
    if (!expected.lines.empty()) all += expected.lines[i] + (i > 0 ? 2 : 0);
    if (all > most) return false;
  }
  return true;
}

// The body; nothing if it was left where it is.
std::optional<std::string> readBody(RequestBody& body, char manner,
                                    std::size_t n, const Expected& expected) {
  std::string all;
  switch (manner) {
    case 's': {
      const bool skipped = body.skip(n);
      expect(skipped == mayBeSkipped(expected, n), "what may be skipped");
      if (!skipped) return std::nullopt;
      return expected.body;
    }
    case 'r':
      for (std::string piece; !(piece = body.read(n)).empty(); all += piece)
        expect(piece.size() <= n, "read keeps the limit");
      return all;
    case 'l':
      for (std::string line; !(line = body.readline(n)).empty();) {
        all += line;
        expect(line.size() <= n, "readline keeps the limit");
        expect(line.find('\n') >= line.size() - 1, "a line is one");
      }
      return all;
    default:
      return body.read();
  }
}

}  // namespace
// [/fuzz-request-reading]

// [fuzz-request]
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view script = text(data, size);
  std::string how(takeLine(script));
  how.resize(3);
  const bool knowsChunks = how[0] != '0';
  const std::size_t n = static_cast<unsigned char>(how[2]) + std::size_t{1};
  const std::string all = whole(script);
  arrive(script, [&](ScheduledFile& file) {
    Headers headers;
    std::size_t read = 0;
    for (std::string line; !(line = file.readline()).empty();) {
      read += line.size();
      while (line.ends_with('\n') || line.ends_with('\r')) line.pop_back();
      if (line.empty()) break;
      headers.add(line);
    }
    const Expected expected =
        expectedOf(headers, knowsChunks, std::string_view(all).substr(read));
    RequestBody body(file);
    body.limit = limit;
    try {
      body.start(headers, knowsChunks);
      const auto got = readBody(body, how[1], n, expected);
      if (!got) return;
      expect(expected.refusal == 0, "it was to be refused");
      expect(*got == expected.body, "the body");
      expect(body.atEnd() && body.read().empty(), "the body has an end");
      expect(file.read() == expected.rest, "the next request");
    } catch (const HTTPError& error) {
      expect(error.code == expected.refusal, "why it was refused");
    }
  });
  return 0;
}
// [/fuzz-request]
