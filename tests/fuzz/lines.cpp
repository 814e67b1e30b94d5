// Reads a text that arrives in pieces, and expects what reading it from a
// string gives: where it is split must not change what is read.
//
// The first line is the program: pairs of characters, what to do and with
// which number. It is done again and again until the text has ended.

#include "fuzz.hpp"

using namespace fuzz;

// [fuzz-lines-reference]
namespace {

// What ScheduledFile does, for a text that is all there.
struct Reference {
  std::string_view rest;

  std::string take(std::size_t n) {
    const std::string_view taken = rest.substr(0, n);
    rest.remove_prefix(taken.size());
    return std::string(taken);
  }
  // How many bytes there are up to a separator, and with it if told so.
  std::size_t upTo(std::string_view separator, bool including) const {
    const std::size_t found = rest.find(separator);
    if (found == std::string_view::npos) return rest.size();
    return found + (including ? separator.size() : 0);
  }
};

constexpr std::string_view separators[] = {"\n",  "\r\n", "\r\n\r\n", "aa",
                                           "aab", "abab", "a"};
// [/fuzz-lines-reference]

// [fuzz-lines-step]
void step(char kind, unsigned char number, ScheduledFile& file,
          Reference& reference) {
  const std::string separator(separators[number % std::size(separators)]);
  switch (kind) {
    case 'r':
      return expect(file.read(number) == reference.take(number), "read");
    case 'l':
      return expect(
          file.readline(number) ==
              reference.take(std::min(reference.upTo("\n", true), {number})),
          "readline with a limit");
    case 's':
      return expect(file.readline(naglfar::unlimited, separator) ==
                        reference.take(reference.upTo(separator, true)),
                    "readline with a separator");
    case 'b': {
      const std::size_t n = reference.upTo(separator, true);
      return expect(file.readline(number, separator) ==
                        reference.take(std::min(n, std::size_t{number})),
                    "readline with both");
    }
    case 'u':
    case 'x':
      return expect(
          file.readUntil(separator, kind == 'u').join() ==
              reference.take(reference.upTo(separator, kind == 'u')),
          "readUntil");
    case 'e':
      return expect(file.readUntil("").join().empty(),
                    "an empty separator is found at once");
    case 'p': {
      const std::string_view next = file.peek();
      return expect(next.empty() == reference.rest.empty() &&
                        reference.rest.starts_with(next),
                    "peek");
    }
    case 'c': {  // a few chunks, and no more
      const std::size_t most = reference.upTo(separator, true);
      std::string got;
      int left = number % 4;
      for (const std::string& chunk : file.readUntil(separator)) {
        got += chunk;
        if (--left <= 0) break;
      }
      expect(got.size() <= most, "chunks end at the separator");
      return expect(got == reference.take(got.size()), "chunks");
    }
    default:
      return;
  }
}

}  // namespace
// [/fuzz-lines-step]

// [fuzz-lines]
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view script = text(data, size);
  const std::string_view program = takeLine(script);
  const std::string all = whole(script);
  arrive(script, [&](ScheduledFile& file) {
    Reference reference{all};
    std::size_t before = all.size() + 1;
    while (reference.rest.size() < before) {  // as long as it gets on
      before = reference.rest.size();
      for (std::size_t i = 0; i + 1 < program.size(); i += 2)
        step(program[i], static_cast<unsigned char>(program[i + 1]), file,
             reference);
    }
    expect(file.read() == reference.rest, "the rest");
    expect(file.read().empty() && file.nread == all.size(), "the end");
  });
  return 0;
}
// [/fuzz-lines]
