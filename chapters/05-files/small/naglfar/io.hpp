/// @file io.hpp
/// Reading, writing, accepting and connecting, as calls that wait for the
/// coroutine and not for the thread.
///
/// Invariant: a call tries its system call first, and waits only when the
/// kernel says EAGAIN. EINTR never leaves this layer, and no error is taken
/// for an end of file.
///
/// It asks the scheduler to wait, and sys for the calls.

#pragma once

#include <span>
#include <string>       //[2
#include <string_view>  //[2

#include "naglfar/scheduler.hpp"

namespace naglfar {

/// Makes a system call until it says something other than EINTR or EAGAIN.
/// @return What the call returned, which is not negative.
template <class SystemCall>
std::size_t attempt(int fd, Interest interest, const char* name,
                    Deadline deadline, SystemCall systemCall) {
  for (;;) {
    const auto result = systemCall();
    if (result >= 0) return static_cast<std::size_t>(result);
    if (errno == EAGAIN || errno == EWOULDBLOCK)
      Scheduler::current().wait(fd, interest, deadline);
    else if (errno != EINTR)
      sys::fail(errno, name);
  }
}

/// Reads what is there; waits while nothing is.
/// @return How many bytes were read; 0 at the end of file.
inline std::size_t goReadSome(int fd, std::span<char> buffer,
                              Deadline deadline = never) {
  return attempt(fd, Interest::read, "read", deadline,
                 [&] { return sys::read(fd, buffer.data(), buffer.size()); });
}

/// Reads `n` bytes, or fewer if the end of file comes first.
inline std::string goRead(int fd, std::size_t n, Deadline deadline = never) {  //[2
  std::string data(n, '\0');
  std::size_t have = 0;
  while (have < n) {
    const std::span<char> rest = std::span(data).subspan(have);
    const std::size_t got = goReadSome(fd, rest, deadline);
    if (got == 0) break;
    have += got;
  }
  data.resize(have);
  return data;
}

/// Writes all the data.
/// @return How many bytes were written: all of them.
inline std::size_t goWrite(int fd, std::string_view data,  //[2
                           Deadline deadline = never) {
  for (std::string_view rest = data; !rest.empty();)
    rest.remove_prefix(attempt(fd, Interest::write, "write", deadline, [&] {
      return sys::write(fd, rest.data(), rest.size());
    }));
  return data.size();
}

/// Accepts a connection.
/// @param listener A nonblocking socket that listens.
/// @param client Becomes the address of the client.
inline sys::Fd goAccept(int listener, sys::Address& client) {  //[3
  return sys::Fd(static_cast<int>(
      attempt(listener, Interest::read, "accept4", never, [&] {
        return sys::accept(listener, client, sys::Mode::nonblocking);
      })));
}

/// Connects a socket.
inline void goConnect(int fd, const sys::Address& address,  //[3
                      Deadline deadline = never) {
  for (bool waited = false; sys::connect(fd, address) == -1; waited = true) {
    if (errno == EISCONN && waited) return;
    if (errno == EINTR) continue;
    if (errno != EINPROGRESS && errno != EALREADY)
      sys::fail(errno, "connect");
    Scheduler::current().wait(fd, Interest::write, deadline);
    int error = 0;
    sys::check(sys::pendingError(fd, error), "getsockopt");
    if (error != 0) sys::fail(error, "connect");
  }
}

/// Closes a descriptor. The coroutines that wait for it get ECANCELED.
inline void goClose(int fd) {  //[3
  Scheduler::current().deregister(fd);
  if (sys::close(fd) == -1 && errno == EBADF) sys::fail(errno, "close");
}

}  // namespace naglfar
