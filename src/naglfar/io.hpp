/// @file io.hpp
/// Reading, writing and connecting, as calls that wait for the coroutine and
/// not for the thread.
///
/// Each call tries its system call first and waits only when the kernel says
/// EAGAIN. In a thread without a scheduler the thread itself waits, in
/// poll(2). On a blocking descriptor the kernel never says EAGAIN, so these
/// calls work there, too, and no deadline binds them.
///
/// A write that the peer cannot read any more fails with EPIPE and sends no
/// SIGPIPE, in any thread and to any descriptor.
///
/// Invariant: EINTR never leaves this layer, and no error is taken for an end
/// of file: the end is 0 bytes, an error is an exception.
///
/// Asks of the scheduler: spend, wait, watch, wake, deregister; of the
/// poller: registered, stale; of sys: the calls on descriptors.

#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "naglfar/scheduler.hpp"

namespace naglfar {

/// @addtogroup io
/// @{

// [go-wait]
/// Waits for a descriptor: this coroutine, or, without a scheduler, this
/// thread. Only after a system call has said EAGAIN. It may end in vain.
/// @param fd A nonblocking descriptor. After a wait, only goClose() or an
///        sys::Fd of this thread may close it. Call Scheduler::deregister()
///        before foreign code closes it or puts another file in its place:
///        otherwise a wait for the number's next file may never end. The
///        functions of %sys.hpp notice when they get such a number again.
/// @param interest The direction.
/// @param deadline When to give up.
/// @throws std::system_error As Scheduler::wait().
void goWait(int fd, Interest interest, Deadline deadline = never);
// [/go-wait]

// [read-and-write]
/// Reads what is there; waits while nothing is.
/// @param fd A descriptor.
/// @param buffer Where to; not empty.
/// @param deadline When to give up.
/// @return How many bytes were read; 0 at the end of file.
/// @throws std::system_error What read(2) fails with, EINVAL if the buffer is
///         empty, errc::timed_out, and ECANCELED if the descriptor is closed
///         meanwhile.
std::size_t goReadSome(int fd, std::span<char> buffer,
                       Deadline deadline = never);

/// Reads `n` bytes, or fewer if the end of file comes first (`goRead(fd, n)`
/// in the 2009 library).
/// @param fd A descriptor.
/// @param n How many bytes; `unlimited` for all until the end of file.
/// @param deadline When to give up.
/// @return The bytes.
/// @throws std::system_error As goReadSome(). What was read before is lost: a
///         ScheduledFile keeps it.
std::string goRead(int fd, std::size_t n, Deadline deadline = never);

/// Reads the next chunk, of at most 32 KiB (`goRead(fd)`).
/// @param fd A descriptor.
/// @param deadline When to give up.
/// @return The chunk; empty at the end of file.
/// @throws std::system_error As goReadSome().
std::string goRead(int fd, Deadline deadline = never);

/// Writes what the kernel takes now.
/// @param fd A descriptor.
/// @param data What to write; not empty.
/// @param last Whether the output is ended as soon as the data are written,
///        by shutdown(2) or a close: on a socket, and where the system has
///        MSG_MORE, they then leave with the end of file, in one segment. A
///        close alone will do only if the peer sends nothing that is not
///        read: otherwise it is a reset, and takes the data along.
/// @return How many bytes were written; 0 if the kernel takes none now.
/// @throws std::system_error What write(2) fails with, such as EPIPE, and
///         EINVAL if there is nothing to write.
std::size_t tryWrite(int fd, std::string_view data, bool last = false);

/// Writes all the data.
/// @param fd A descriptor.
/// @param data What to write; must stay until this returns.
/// @param deadline When to give up.
/// @return How many bytes were written: all of them.
/// @throws std::system_error As tryWrite(), errc::timed_out, and ECANCELED.
std::size_t goWrite(int fd, std::string_view data, Deadline deadline = never);

/// Sends what the kernel takes of a part of a file, without copying it
/// through this process; waits while it takes nothing.
/// @param file A descriptor of a regular file, which stays open meanwhile.
/// @param fd The socket to send to.
/// @param offset Where in the file to start, in bytes.
/// @param nbytes How many bytes to send.
/// @param deadline When to give up.
/// @return How many were sent: 0 only if the file ends at `offset`, or
///         `nbytes` is 0.
/// @throws std::system_error What sendfile(2) fails with, errc::timed_out,
///         and ECANCELED.
std::size_t goSendfileSome(int file, int fd, off_t offset, std::size_t nbytes,
                           Deadline deadline = never);

/// Sends a part of a file.
/// @param file A descriptor of a regular file, which stays open meanwhile.
/// @param fd The socket to send to.
/// @param offset Where in the file to start, in bytes.
/// @param nbytes How many bytes to send.
/// @param deadline When to give up.
/// @return How many were sent: fewer only if the file ends before.
/// @throws std::system_error As goSendfileSome().
std::size_t goSendfile(int file, int fd, off_t offset, std::size_t nbytes,
                       Deadline deadline = never);
// [/read-and-write]

// [connect-accept-close]
/// Accepts a connection.
/// @param listener A listening socket.
/// @param client Filled in with the client's address.
/// @param mode Whether the accepted socket shall block.
/// @param deadline When to give up.
/// @return The connection.
/// @throws std::system_error What accept4(2) fails with, errc::timed_out,
///         and ECANCELED.
sys::Fd goAccept(int listener, sys::Address& client,
                 sys::Mode mode = sys::Mode::nonblocking,
                 Deadline deadline = never);

/// Connects a socket. As any call here it counts against the turn's budget,
/// so a program that connects in a loop lets a server in the same thread
/// accept.
/// @param fd A nonblocking TCP socket.
/// @param address The server.
/// @param deadline When to give up.
/// @throws std::system_error ECONNREFUSED and whatever else connect(2) fails
///         with, errc::timed_out, and ECANCELED.
void goConnect(int fd, const sys::Address& address,
               Deadline deadline = never);

/// Closes a descriptor: its waiters are woken with ECANCELED, the
/// poller forgets it, and then it is closed. In this order, because the
/// number is free for another file as soon as it is closed.
/// @param fd A descriptor.
/// @throws std::system_error EBADF if it is closed already.
void goClose(int fd);
// [/connect-accept-close]

// [hangup-watch]
/// How many bytes of a watched peer may stay unread in the kernel. If the
/// peer sends on, the kernel has no room left, and the end of the peer's
/// output does not get to it: that the peer leaves cannot be seen any more. A
/// socket whose receive buffer (SO_RCVBUF) holds fewer bytes cannot be
/// watched.
inline constexpr std::size_t mostUnread = 16384;
/// How long a waiting request bears a peer that has sent so many. Then the
/// peer counts as gone.
inline constexpr sys::Duration unreadPatience = std::chrono::seconds(3);

/// Calls a function when the peer of a socket leaves or the socket is closed,
/// while the coroutine of the socket waits for something else. The watch may
/// outlive its scheduler, and is silent then. With select(2), which would
/// tell of unread data again and again, it watches only until the peer sends
/// something or ends its output.
class HangupWatch final : private Job {
 public:
  /// @param fd A nonblocking socket that is not read from meanwhile.
  /// @param gone Called once, on the scheduler's stack: it must not wait.
  /// @param endMeansGone Whether the end of file means that the peer has
  ///        left. A peer that only ends its output looks the same; if such a
  ///        peer shall count as present, only an error tells that it has
  ///        left.
  /// @param crowded Called in the same way, once, when the peer has sent
  ///        `mostUnread` bytes. It must not end this object.
  /// @throws std::logic_error If the thread has no scheduler.
  /// @throws std::system_error As Scheduler::watch().
  HangupWatch(int fd, std::function<void()> gone, bool endMeansGone = true,
              std::function<void()> crowded = nullptr);

 private:
  void run() override;

  int fd_;
  std::function<void()> gone_;
  bool endMeansGone_;
  std::function<void()> crowded_;
  Waiter waiter_{*this};
};

/// Tells whether the peer of a socket is still there, without taking anything
/// that it has sent.
/// @param fd A socket.
/// @param endMeansGone As for HangupWatch.
/// @param crowded Set to true, unless it is null, if the peer has sent
///        `mostUnread` bytes that were not read.
/// @return False if the peer has left.
/// @throws std::system_error EBADF if the descriptor is closed, and what else
///         poll(2) fails with.
bool peerIsThere(int fd, bool endMeansGone, bool* crowded = nullptr);
// [/hangup-watch]

/// @}

}  // namespace naglfar
