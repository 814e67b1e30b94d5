//[4
/// @file scheduled_file.hpp
/// A descriptor as a file: buffered, read by lines, and waiting for the
/// coroutine instead of the thread.
///
/// Invariant: a byte that was read stays until a call takes it, and a byte to
/// be written stays until the kernel has taken it.
///
/// It asks io for attempt, goReadSome, goWrite and goConnect, and channel.hpp
/// for InputIterator.

#pragma once

#include <algorithm>  //[7
#include <optional>   //[9
#include <string>
#include <string_view>
#include <utility>

#include "naglfar/channel.hpp"  //[9
#include "naglfar/io.hpp"

namespace naglfar {

/// A file object over a socket or a pipe. Its destructor closes it, and loses
/// what was not flushed: a destructor cannot wait.
class ScheduledFile {
 public:
  /// @param fd A nonblocking descriptor, which the file owns from now on.
  explicit ScheduledFile(sys::Fd fd) : fd_(std::move(fd)) {}

  /// Connects to a server. Each write is sent at once.
  static ScheduledFile connectTcp(const sys::Address& address,  //[8
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
  std::string read(std::size_t n = unlimited) {  //[6
    while (incoming_.size() < n && fill()) continue;
    return take(n);
  }

  /// Reads a line with its separator.
  /// @param n At most so many bytes.
  /// @return The line; empty only at the end of file.
  std::string readline(std::size_t n = unlimited,  //[7
                       std::string_view separator = "\n") {
    for (std::size_t searched = 0;;) {
      const std::size_t found = incoming_.find(separator, searched);
      if (found != std::string::npos)
        return take(std::min(n, found + separator.size()));
      // The separator may have begun with the last bytes that are there.
      searched =
          incoming_.size() - std::min(incoming_.size(), separator.size() - 1);
      if (incoming_.size() >= n || !fill()) return take(n);
    }
  }

  /// Iterates over the lines until the end of file.
  auto begin() {  //[9
    return InputIterator([this] { return unlessEmpty(readline()); });
  }
  std::default_sentinel_t end() { return {}; }  //[9

  /// Reads up to a separator and with it.
  /// @return An iterator over what comes, in pieces: a long stretch needs no
  ///         buffer of its own size.
  auto readUntil(std::string separator) {  //[9
    return InputIterator([this, separator, ended = false]() mutable {
      std::size_t n = 0;
      while (n == 0 && !ended) {
        const std::size_t found = incoming_.find(separator);
        ended = found != std::string::npos;
        if (ended)
          n = found + separator.size();
        else if (incoming_.size() >= separator.size())
          n = incoming_.size() - separator.size() + 1;
        else if (ended = !fill(); ended)
          n = unlimited;
      }
      return unlessEmpty(take(n));
    });
  }

  //[4-7 /// Adds to what the file has to send.
  //[8
  /// Adds to what flush() and close() send; with `autoflush`, sends it.
  //]
  void write(std::string_view data) {
    if (closed()) sys::fail(EBADF, "write to a closed file");
    outgoing_ += data;
    //[4-7 if (outgoing_.size() > bufferSize) flush();
    if (autoflush || outgoing_.size() > bufferSize) flush();  //[8
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
  void close() {  //[5
    if (closed()) return;
    const sys::Fd closing = std::move(fd_);
    goWrite(closing.get(), outgoing_, deadline);
  }

  /// A write() that makes more than so many bytes sends all of them.
  std::size_t bufferSize = 65536;
  /// Whether each write() is sent at once.
  bool autoflush = false;  //[8
  /// When each of the calls gives up.
  Deadline deadline = never;

 private:
  static std::optional<std::string> unlessEmpty(std::string text) {  //[9
    if (text.empty()) return std::nullopt;
    return text;
  }
  // Appends what comes next. False at the end of file.
  bool fill() {  //[6
    static thread_local char buffer[65536];
    const std::size_t n = goReadSome(fileno(), buffer, deadline);
    incoming_.append(buffer, n);
    return n > 0;
  }
  std::string take(std::size_t n) {  //[6
    std::string data = incoming_.substr(0, n);
    incoming_.erase(0, n);
    return data;
  }

  sys::Fd fd_;
  std::string incoming_;  //[6
  std::string outgoing_;
};

}  // namespace naglfar
//]
