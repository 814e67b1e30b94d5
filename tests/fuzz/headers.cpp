// Adds each line of a text to Headers, and looks for each name: what is found
// is what a list of pairs has.

#include <algorithm>
#include <utility>

#include <strings.h>

#include "fuzz.hpp"
#include "naglfar/http/message.hpp"

using namespace fuzz;

// [fuzz-headers-reference]
namespace {

using Pair = std::pair<std::string, std::string>;

bool same(const std::string& a, const std::string& b) {
  return a.size() == b.size() && ::strcasecmp(a.c_str(), b.c_str()) == 0;
}

bool isTokenCharacter(unsigned char c) {
  return (c > ' ' && c < 0x7f) &&
         std::string_view("\"(),/:;<=>?@[\\]{}").find(static_cast<char>(c)) ==
             std::string_view::npos;
}

// The line as a pair; no name if it is no header line.
Pair split(std::string_view line) {
  const std::size_t colon = line.find(':');
  const std::string_view name = line.substr(0, colon);
  if (colon == std::string_view::npos ||
      !std::all_of(name.begin(), name.end(), isTokenCharacter))
    return {};
  std::string_view value = line.substr(colon + 1);
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!value.empty() && blank(value.front())) value.remove_prefix(1);
  while (!value.empty() && blank(value.back())) value.remove_suffix(1);
  return {std::string(name), std::string(value)};
}

// The name in letters of the other case.
std::string otherCase(std::string name) {
  for (char& c : name)
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) c ^= 0x20;
  return name;
}

}  // namespace
// [/fuzz-headers-reference]

// [fuzz-headers]
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Headers headers;
  std::vector<Pair> pairs;
  std::vector<std::string> names = {"", "absent"};
  for (std::string_view rest = text(data, size); !rest.empty();) {
    const std::string_view line = takeLine(rest);
    const Pair pair = split(line);
    expect(headers.add(line) == !pair.first.empty(), "what is a header line");
    if (!pair.first.empty()) pairs.push_back(pair);
    names.emplace_back(line.substr(0, line.find(':')));
    names.push_back(otherCase(names.back()));
  }
  expect(headers.size() == pairs.size(), "how many there are");
  for (const std::string& name : names) {
    std::vector<std::string_view> values;
    for (const Pair& pair : pairs)
      if (pair.first.find('\0') == std::string::npos &&
          same(pair.first, name))
        values.push_back(pair.second);
    expect(headers.get_all(name) == values, "all of a name");
    expect(headers.contains(name) == !values.empty(), "whether there is one");
    expect(headers.get(name, "none") == (values.empty() ? "none" : values[0]),
           "the first of a name");
  }
  for (std::size_t i = 1; i < names.size(); ++i)
    expect(
        sameName(names[i], names[i - 1]) == sameName(names[i - 1], names[i]),
        "names are the same both ways");
  headers.clear();
  expect(headers.size() == 0, "none after clear");
  return 0;
}
// [/fuzz-headers]
