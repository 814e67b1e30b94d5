// The log: lines on standard error that never make the thread wait.
//
// A reader of standard error that has stopped reading would stop a thread
// that writes to the full pipe. The pipe may be made nonblocking only at the
// price of all other processes that write to it. So log() asks poll(2) before
// each line, and a line has at most PIPE_BUF bytes: where poll(2) says that a
// pipe takes data, it takes that many (pipe(7)). A reader that has gone must
// not end the program either, so the write sends no SIGPIPE.
//
// Invariants:
// - One call writes one line, whatever the text contains.
// - A reader that is gone sends no SIGPIPE to the program.
//
// It asks the C library for poll(2) and the mask of signals, on the real
// kernel also in a program that has the simulated one, and std::cerr for the
// write.

#include <poll.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdio>
#include <iostream>
#include <mutex>

#include "naglfar/sys.hpp"
#include "naglfar/sys/without_sigpipe.hpp"

namespace naglfar::sys {

// [log-line]
namespace {

// A line that grows by texts, up to a limit.
struct Line {
  void add(std::string_view text) {
    for (const char c : text) {
      std::array<char, 8> escaped{c};
      std::size_t n = 1;
      if (c == '\\')
        n = 2, escaped[1] = c;
      else if (c < ' ' || c > '~')
        n = static_cast<std::size_t>(
            std::snprintf(escaped.data(), escaped.size(), "\\x%02x",
                          static_cast<unsigned>(c) & 0xffu));
      if (size + n >= text_.size()) return;  // the line end has room, too
      for (std::size_t i = 0; i < n; ++i) text_[size++] = escaped[i];
    }
  }
  std::string_view end() {
    text_[size++] = '\n';
    return {text_.data(), size};
  }
  std::size_t size = 0;

 private:
  std::array<char, PIPE_BUF> text_;
};

}  // namespace
// [/log-line]

// [log]
// By the buffer of std::cerr, which the program may have replaced. Its `<<`
// would flush std::cout before, which may wait, and which in a child would
// write once more what the parent has not written yet.
static bool write(std::string_view line) {
  pollfd entry{STDERR_FILENO, POLLOUT, 0};
  if (counted(Call::poll, ::poll, &entry, nfds_t{1}, 0) == 0) return false;
  const auto n = static_cast<std::streamsize>(line.size());
  const ssize_t written = withoutSigpipe([&] {
    count(Call::write);
    std::streambuf& out = *std::cerr.rdbuf();
    return ssize_t{out.sputn(line.data(), n) == n && out.pubsync() == 0};
  });
  return written == 1;
}

// One thread at a time: two that had both asked could find room for one.
void log(std::initializer_list<std::string_view> texts) {
  static std::mutex mutex;
  static std::size_t dropped = 0;
  static Line line;
  const std::lock_guard lock(mutex);
  if (dropped > 0) {
    line.size = 0;
    line.add(std::to_string(dropped));
    line.add(" lines were not written: standard error was full");
    if (write(line.end())) dropped = 0;
  }
  line.size = 0;
  for (const std::string_view text : texts) line.add(text);
  if (!write(line.end())) ++dropped;
}
// [/log]

}  // namespace naglfar::sys
