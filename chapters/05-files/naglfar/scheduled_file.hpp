/// @file scheduled_file.hpp
/// A descriptor as a file: buffered, read by lines, and waiting for the
/// coroutine instead of the thread.
///
/// Invariant: a byte that was read stays until a call takes it, and a byte to
/// be written stays until the kernel has taken it.
///
/// It asks io for goReadSome, goWrite and goConnect.

#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "naglfar/channel.hpp"
#include "naglfar/io.hpp"

namespace naglfar {

/// A file object over a socket or a pipe. Its destructor closes it, and loses
/// what was not flushed: a destructor cannot wait.
class ScheduledFile {
 public:
  /// @param fd A nonblocking descriptor, which the file owns from now on.
  explicit ScheduledFile(sys::Fd fd) : fd_(std::move(fd)) {}

  /// Connects to a server. Each write is sent at once.
  static ScheduledFile connectTcp(const sys::Address& address,
                                  Deadline deadline = never) {
    ScheduledFile file(
        sys::Fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket")));
    goConnect(file.fileno(), address, deadline);
    file.autoflush = true;
    return file;
  }

  /// @return The descriptor, or -1 after close().
  int fileno() const { return fd_.get(); }
  /// @return True after close().
  bool closed() const { return !fd_; }

  /// Reads until `n` bytes are there or the file ends.
  std::string read(std::size_t n = unlimited) {
    while (incoming_.size() < n && fill()) continue;
    return take(n);
  }

  /// Reads a line with its separator.
  /// @param n At most so many bytes.
  /// @return The line; empty only at the end of file.
  std::string readline(std::size_t n = unlimited,
                       std::string_view separator = "\n") {
    std::size_t searched = 0;
    for (;;) {
      const std::size_t found = incoming_.find(separator, searched);
      if (found != std::string::npos)
        return take(std::min(n, found + separator.size()));
      // The separator may have begun with the last bytes that are there.
      searched = incoming_.size() -
                 std::min(incoming_.size(), separator.size() - 1);
      if (incoming_.size() >= n || !fill()) return take(n);
    }
  }

  /// Reads up to a separator and with it.
  /// @return An iterator over what comes, in chunks: a long stretch needs no
  ///         buffer of its own size.
  auto readUntil(std::string separator) {
    return InputIterator([this, separator, found = false]() mutable {
      std::size_t n = 0;
      while (n == 0 && !found) {
        const std::size_t place = incoming_.find(separator);
        found = place != std::string::npos;
        if (found) {
          n = place + separator.size();
        } else if (incoming_.size() >= separator.size()) {
          // The last bytes might be the beginning of the separator.
          n = incoming_.size() - separator.size() + 1;
        } else if (!fill()) {
          found = true;
          n = unlimited;
        }
      }
      return unlessEmpty(take(n));
    });
  }

  /// Iterates over the lines until the end of file.
  auto begin() {
    return InputIterator([this] { return unlessEmpty(readline()); });
  }
  std::default_sentinel_t end() { return {}; }

  /// Adds to what flush() and close() send; with `autoflush`, sends it.
  void write(std::string_view data) {
    if (closed()) sys::fail(EBADF, "write to a closed file");
    outgoing_ += data;
    if (autoflush || outgoing_.size() > bufferSize) flush();
  }

  /// Sends what was written.
  void flush() {
    while (!outgoing_.empty()) {
      const auto send = [&] {
        return sys::write(fileno(), outgoing_.data(), outgoing_.size());
      };
      outgoing_.erase(
          0, attempt(fileno(), Interest::write, "write", deadline, send));
    }
  }

  /// Sends what was written, and closes the descriptor in any case.
  void close() {
    if (closed()) return;
    try {
      flush();
    } catch (...) {
      fd_ = sys::Fd();
      throw;
    }
    fd_ = sys::Fd();
  }

  bool autoflush = false;          ///< Whether each write() is sent at once.
  std::size_t bufferSize = 65536;  ///< A write() beyond it sends all.
  Deadline deadline = never;       ///< When each of the calls gives up.

 private:
  static std::optional<std::string> unlessEmpty(std::string text) {
    if (text.empty()) return std::nullopt;
    return text;
  }
  // Appends what comes next. False at the end of file.
  bool fill() {
    static thread_local char scratch[65536];
    const std::size_t n = goReadSome(fileno(), scratch, deadline);
    incoming_.append(scratch, n);
    return n > 0;
  }
  std::string take(std::size_t n) {
    std::string data = incoming_.substr(0, n);
    incoming_.erase(0, n);
    return data;
  }

  sys::Fd fd_;
  std::string incoming_;
  std::string outgoing_;
};

}  // namespace naglfar
