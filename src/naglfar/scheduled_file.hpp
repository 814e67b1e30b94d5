/// @file scheduled_file.hpp
/// A descriptor as a file: buffered, read by lines, and waiting for the
/// coroutine instead of the thread.
///
/// Without a scheduler it is an ordinary buffered file, in which the thread
/// waits: see io.hpp.
///
/// Invariants:
/// - Every byte that was read stays until a call takes it.
/// - A byte to be written stays until the kernel has taken it, and bytes and
///   parts of files leave in the order of the calls. So an error is met again
///   by the next flush, and no error is lost because it came in the
///   background.
/// - A call that fails by std::bad_alloc has lost nothing, or it has closed
///   the file: where a part was read or sent and there is no memory to keep
///   the rest, no later call goes on behind the hole.
/// - A file that has nothing to send or to be taken holds no large buffer.
///
/// Asks of io: goReadSome, tryWrite, goSendfileSome, goConnect, goWait; of
/// the scheduler: WaitQueue, park, wake, watch, spend, scratch; of sys: a
/// socket, the end of its writing, and a look at its input.

#pragma once

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>

#include "naglfar/channel/input_range.hpp"
#include "naglfar/io.hpp"

namespace naglfar {

/// @addtogroup file
/// @{

// [scheduled-file]
/// A file object over a socket or a pipe (`ScheduledFile` in the 2009
/// library). Its destructor closes the descriptor. A destructor cannot wait:
/// what was not flushed by flush() or close() is lost. If another coroutine
/// waits in a call on the file meanwhile, that call fails with ECANCELED.
///
/// Each piece that leaves wakes all coroutines that wait to send, so N of
/// them cost up to N * N wake-ups. Where hundreds have something for one
/// file, let one coroutine write what the others put into a Channel.
class ScheduledFile final : private Job {
 public:
  /// @param fd A descriptor, which the file owns from now on.
  explicit ScheduledFile(sys::Fd fd) : fd_(std::move(fd)) {}
  ~ScheduledFile() { flushing_.notifyAll(); }
  /// Moves a file in which no coroutine waits.
  /// @param other The other file, closed afterwards.
  ScheduledFile(ScheduledFile&& other) noexcept;

  /// Connects to a server. The file flushes each write (`autoflush`).
  /// @param address The server.
  /// @param deadline When to give up.
  /// @return The connection.
  /// @throws std::system_error As goConnect(), and if no socket can be had.
  static ScheduledFile connectTcp(const sys::Address& address,
                                  Deadline deadline = never);

  /// @return True after close().
  bool closed() const { return !fd_; }
  /// @return The descriptor, or -1 after close().
  int fileno() const { return fd_.get(); }

  // [file-reading]
  /// Reads until `n` bytes are there or the file ends.
  /// @param n How many bytes, or `unlimited`.
  /// @return The bytes; fewer only at the end of file.
  /// @throws std::system_error As goReadSome(). What came before stays.
  std::string read(std::size_t n = unlimited);

  /// Reads a line with its separator.
  /// @param n At most so many bytes.
  /// @param separator What ends a line; not empty.
  /// @return The line; without a separator if the limit or the end of file
  ///         came first, and empty only at the end of file or if `n` is 0.
  /// @throws std::system_error As goReadSome(). What came before stays.
  std::string readline(std::size_t n = unlimited,
                       std::string_view separator = "\n");

  /// Looks at what comes next, and waits until there is something.
  /// @return What was read and not taken yet; empty only at the end of file.
  ///         Valid until the next call of a member.
  /// @throws std::system_error As goReadSome().
  std::string_view peek();

  /// @return How many bytes were read and not taken yet.
  std::size_t available() const { return pending().size(); }

  class Chunks;
  /// Reads up to a separator, in chunks, so that a long stretch needs no
  /// buffer of its own size.
  /// @param separator What to look for. An empty separator is found at once.
  /// @param includingTxt Whether the separator is read, too; if not, it is
  ///        left in the file.
  /// @return A range of std::string. It ends at the separator or at the end
  ///         of file.
  Chunks readUntil(std::string separator, bool includingTxt = true);

  /// Iterates over the lines until the end of file.
  /// @return An iterator at the first line; waits for that line.
  auto begin() {
    return inputIterator<std::string>(
        [this](auto& line) { line = unlessEmpty(readline()); });
  }
  /// @return The end.
  std::default_sentinel_t end() { return {}; }
  // [/file-reading]

  // [file-writing]
  /// Adds to what is to be sent: by flush() and close(), when it is more than
  /// `bufferSize` together with what leaves in the background, and at once
  /// with `autoflush`. What goes past `bufferSize` is sent without a copy.
  /// @param data The bytes; must stay until this returns.
  /// @throws std::system_error EBADF after close(), and as flush(). What was
  ///         not sent then stays for the next flush().
  void write(std::string_view data);

  /// Sends what was written before. It succeeds as soon as all of that has
  /// left, whatever becomes of the file then.
  /// @param block Whether to wait until the kernel has taken it all. If not,
  ///        what it does not take at once leaves in the background. Without a
  ///        scheduler the thread waits in any case.
  /// @throws std::system_error As goWrite().
  void flush(bool block = true);

  /// @return How many bytes were written and have not left yet.
  std::size_t unsent() const { return outgoing_.size() - sent_; }

  /// Takes back what was written last, so that it is never sent.
  /// @param n How many bytes; at most unsent().
  void takeBack(std::size_t n);

  /// Sends a part of a file, after what was written before the call. What
  /// other coroutines write from then on comes after the part.
  /// @param file A descriptor of a regular file, which stays open meanwhile.
  /// @param offset Where in it to start, in bytes.
  /// @param nbytes How many bytes to send.
  /// @return How many were sent: fewer only if the file ends before.
  /// @throws std::system_error As goSendfileSome() and flush().
  std::size_t sendfile(int file, off_t offset, std::size_t nbytes);

  /// Closes the descriptor. May be called twice.
  /// @param flush Whether to send first what was written. It then leaves
  ///        together with the end of file.
  /// @throws std::system_error As flush(); the descriptor is closed anyhow.
  void close(bool flush = true);

  /// Closes a connection whose peer may still be sending. To close it with
  /// input unread would be a reset, and a reset may take from the peer what
  /// it was sent last (RFC 9112 section 9.6). So this sends what was written
  /// and the end of file, and drops the input until the peer ends, too.
  /// @param patience How long to wait for the peer's end.
  /// @param most After how many dropped bytes to close; a last piece of up to
  ///        64 KiB may exceed it.
  /// @throws std::system_error As flush(); the descriptor is closed anyhow.
  void lingeringClose(sys::Duration patience = std::chrono::seconds(2),
                      std::size_t most = std::size_t{16} << 20);

  /// Closes a connection whose peer should not be sending: like close(), but
  /// like lingeringClose() if the kernel has input that was not read, or if
  /// more was sent than is on its way for certain. May be called twice.
  /// @param patience As for lingeringClose().
  /// @param most As for lingeringClose().
  /// @throws std::system_error As flush(); the descriptor is closed anyhow.
  void finish(sys::Duration patience = std::chrono::seconds(2),
              std::size_t most = std::size_t{16} << 20);
  // [/file-writing]

  bool autoflush = false;  ///< Whether each write() is sent at once.
  /// How many bytes may wait to be sent. A write() that makes them more waits
  /// until all are sent.
  std::size_t bufferSize = 65536;
  /// When each of the calls above gives up. A change binds the next wait.
  Deadline deadline = never;
  /// How long one wait for the peer may last, to read or to send. Every bit
  /// of progress starts it anew, so only a deadline bounds a whole line. That
  /// holds beside another coroutine's sendfile(), too.
  sys::Duration timeout = std::chrono::nanoseconds::max();
  /// Whether the peer may send more than was read by the time of the close.
  /// If it is false, close() and finish() trust that no more comes, and save
  /// the two system calls which see to it that the last bytes arrive all the
  /// same: shutdown(2) and recv(2).
  bool peerMaySend = true;
  std::size_t nread = 0;   ///< Bytes read from the descriptor.
  std::size_t nwrite = 0;  ///< Bytes that the kernel has taken.

 private:
  // [file-private]
  // A loop over strings ends at an empty optional, not at an empty string.
  static std::optional<std::string> unlessEmpty(std::string text) {
    if (text.empty()) return std::nullopt;
    return text;
  }
  // A call on some coroutine's stack, in one of the lists below. It leaves
  // the list when the file is destroyed.
  struct Call : List<Call>::Link {
    Call(ScheduledFile& file, List<Call>& calls);
    const std::size_t number;  // of all calls, in order
    std::size_t place;         // up to where outgoing_ leaves before it
  };
  struct DirectCall;
  std::string_view pending() const;
  std::size_t sendable() const;
  Deadline patience() const { return std::min(deadline, after(timeout)); }
  template <class Grow>
  void keep(Grow grow);
  bool fill();
  std::string take(std::size_t n);
  void sendSome();
  void send(bool block);
  void awaitRoom(const Call& call);
  void awaitTurn(const Call& call);
  void writeDirectly(std::string_view data);
  void sendLast();
  void linger(sys::Duration patience, std::size_t most);
  void run() override;  // sends in the background, or wakes what flushes

  sys::Fd fd_;
  std::string incoming_;       // read from the descriptor; the first taken_
  std::size_t taken_ = 0;      // bytes of it have left
  std::string outgoing_;       // written; the kernel has taken the first
  std::size_t sent_ = 0;       // sent_ bytes of it
  std::size_t sentSoFar_ = 0;  // how many bytes of outgoing_ have left, ever
  bool last_ = false;          // the end comes right after what is sent now
  bool held_ = false;          // the kernel holds bytes back until the end
  Waiter room_{*this};         // waits for room to write
  WaitQueue flushing_;
  std::size_t calls_ = 0;  // how many there have been
  List<Call> flushes_;     // flush() and close()
  List<Call> direct_;      // sendfile() and large writes
  // [/file-private]
};
// [/scheduled-file]

// [chunks]
/// What stands before a separator, in chunks.
class ScheduledFile::Chunks {
 public:
  /// @return An iterator at the first chunk; waits for that chunk.
  /// @throws std::system_error As goReadSome(), for each chunk. What came
  ///         before stays.
  auto begin() {
    return inputIterator<std::string>(
        [this](auto& chunk) { chunk = next(); });
  }
  /// @return The end.
  std::default_sentinel_t end() { return {}; }
  /// @return All chunks in one string.
  std::string join();

 private:
  friend class ScheduledFile;
  Chunks(ScheduledFile& file, std::string separator, bool including)
      : file_(file),
        separator_(std::move(separator)),
        including_(including) {}
  std::optional<std::string> next();

  ScheduledFile& file_;
  std::string separator_;
  bool including_;
  bool found_ = false;
};
// [/chunks]

/// @}

}  // namespace naglfar
