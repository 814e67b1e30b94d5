/// @file http/headers.hpp
/// The headers of an HTTP message, the words that they are made of, and the
/// names of the statuses. There is nothing about connections in it.
///
/// Invariant: a header that was added has a token for its name, so that it
/// cannot be taken for a part of another line.
///
/// Asks of no other layer.

#pragma once

#include <cstddef>
#include <ctime>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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

/// @param text A text.
/// @return The text without spaces and tabs at its ends.
std::string_view trimmed(std::string_view text);

/// @param digits Digits, and nothing else.
/// @param base 10 or 16.
/// @return The number; nothing if it is none, or does not fit.
std::optional<std::size_t> parseNumber(std::string_view digits, int base);

/// @param code A status, such as 404.
/// @return What RFC 9110 section 15 calls the status, or "".
std::string_view reasonPhrase(int code);

/// Writes a time in English, whatever the locale of the program is.
/// @param time The time.
/// @param format As for strftime(3).
/// @return The text.
std::string formatTime(const std::tm& time, const char* format);

/// @param time A time.
/// @return The time as a Date header says it (RFC 9110 section 5.6.7).
std::string httpDate(std::time_t time);
// [/headers]

/// @}

}  // namespace naglfar
