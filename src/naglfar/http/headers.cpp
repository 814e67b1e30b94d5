// How headers are found by name, and which words may stand in them.
//
// Invariant: names are compared in ASCII, whatever the locale is.
//
// It asks the C++ library only.

#include "naglfar/http/headers.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <iomanip>
#include <locale>
#include <sstream>
#include <system_error>

namespace naglfar {

// [names]
static constexpr char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

static constexpr std::string_view lettersAndDigits =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

static bool hasOnly(std::string_view text, std::string_view marks) {
  return std::all_of(text.begin(), text.end(), [marks](char c) {
    return lettersAndDigits.find(c) != std::string_view::npos ||
           marks.find(c) != std::string_view::npos;
  });
}

bool isToken(std::string_view text) {
  return !text.empty() && hasOnly(text, "!#$%&'*+-.^_`|~");
}

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return text.substr(0, text.find_last_not_of(" \t") + 1);
}

bool sameName(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

bool hasWord(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::string_view next = list.substr(0, list.find(','));
    if (sameName(trimmed(next), word)) return true;
    list.remove_prefix(std::min(next.size() + 1, list.size()));
  }
  return false;
}

static bool isAddress(std::string_view text) {
  in6_addr address{};
  return inet_pton(AF_INET6, std::string(text).c_str(), &address) == 1;
}

// A name may have any character in percent-encoding; an address of IPv6
// stands in brackets (RFC 3986 section 3.2.2).
bool isHost(std::string_view text) {
  const bool bracketed = text.starts_with('[');
  const std::size_t end =
      std::min(bracketed ? text.find(']') : text.find(':'), text.size());
  const std::string_view name =
      text.substr(bracketed ? 1 : 0, end - bracketed);
  std::string_view port = text.substr(end);
  if (bracketed && !port.starts_with(']')) return false;
  if (bracketed) port.remove_prefix(1);
  if (bracketed ? !isAddress(name) : !hasOnly(name, "-._~!$&'()*+,;=%"))
    return false;
  for (std::size_t at = 0; (at = name.find('%', at)) != name.npos; ++at)
    if (name.size() < at + 3 || !parseNumber(name.substr(at + 1, 2), 16))
      return false;
  if (port.empty()) return true;
  const auto number = parseNumber(port.substr(1), 10);
  return port[0] == ':' &&
         (port.size() == 1 || number.value_or(1 << 16) < 1 << 16);
}
// [/names]

// [headers-members]
bool Headers::add(std::string_view line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view name = line.substr(0, colon);
  if (!isToken(name)) return false;  // a space before the colon, too
  fields_.emplace_back(name, trimmed(line.substr(colon + 1)));
  return true;
}

bool Headers::hasToken(std::string_view name, std::string_view word) const {
  const auto lists = get_all(name);
  return std::any_of(lists.begin(), lists.end(),
                     [word](auto list) { return hasWord(list, word); });
}

void Headers::set(std::string_view name, std::string_view value) {
  std::erase_if(fields_,
                [name](const auto& f) { return sameName(f.first, name); });
  fields_.emplace_back(name, value);
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

// [parse-number]
std::optional<std::size_t> parseNumber(std::string_view digits, int base) {
  std::size_t n = 0;
  const char* const end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, n, base);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return n;
}
// [/parse-number]

// [reasons]
std::string_view reasonPhrase(int code) {
  static constexpr std::pair<int, std::string_view> reasons[] = {
      {100, "Continue"},
      {101, "Switching Protocols"},
      {200, "OK"},
      {201, "Created"},
      {202, "Accepted"},
      {204, "No Content"},
      {205, "Reset Content"},
      {206, "Partial Content"},
      {301, "Moved Permanently"},
      {302, "Found"},
      {303, "See Other"},
      {304, "Not Modified"},
      {307, "Temporary Redirect"},
      {308, "Permanent Redirect"},
      {400, "Bad Request"},
      {401, "Unauthorized"},
      {403, "Forbidden"},
      {404, "Not Found"},
      {405, "Method Not Allowed"},
      {408, "Request Timeout"},
      {409, "Conflict"},
      {410, "Gone"},
      {411, "Length Required"},
      {413, "Content Too Large"},
      {414, "URI Too Long"},
      {415, "Unsupported Media Type"},
      {417, "Expectation Failed"},
      {426, "Upgrade Required"},
      {429, "Too Many Requests"},
      {431, "Request Header Fields Too Large"},
      {500, "Internal Server Error"},
      {501, "Not Implemented"},
      {502, "Bad Gateway"},
      {503, "Service Unavailable"},
      {504, "Gateway Timeout"},
      {505, "HTTP Version Not Supported"},
  };
  for (const auto& [number, phrase] : reasons)
    if (number == code) return phrase;
  return "";
}
// [/reasons]

// [http-date]
std::string formatTime(const std::tm& time, const char* format) {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << std::put_time(&time, format);
  return text.str();
}

std::string httpDate(std::time_t time) {
  std::tm utc{};
  return formatTime(*gmtime_r(&time, &utc), "%a, %d %b %Y %H:%M:%S GMT");
}
// [/http-date]

}  // namespace naglfar
