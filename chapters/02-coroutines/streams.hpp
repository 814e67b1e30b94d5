// Reading, writing and connecting as straight lines of code, for a program
// that can wait in the middle of a function.
//
// How it waits differs from chapter to chapter; the lines stay the same. So
// `wait(fd, interest)` is the argument: it returns when the call is worth
// another try.

#pragma once

#include <string>
#include <string_view>

#include "harness.hpp"
#include "naglfar/poller.hpp"

namespace comet {

// [attempt]
// Tries a call; on EAGAIN waits and tries again. A socket that is still
// connecting says ENOTCONN on some systems where Linux says EAGAIN.
template <class Wait, class SystemCall>
auto attempt(int fd, naglfar::Interest interest, const char* name, Wait wait,
             SystemCall call) {
  for (;;) {
    const auto result = call();
    if (result != -1) return result;
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOTCONN)
      wait(fd, interest);
    else if (errno != EINTR)
      naglfar::sys::fail(errno, name);
  }
}
// [/attempt]

// [read-and-write]
// Appends what is there to `data`. False at the end.
template <class Wait>
bool readMore(int fd, std::string& data, Wait wait) {
  using naglfar::Interest;
  char buffer[512];
  const ssize_t n = attempt(fd, Interest::read, "read", wait, [&] {
    return naglfar::sys::read(fd, buffer, sizeof buffer);
  });
  data.append(buffer, static_cast<std::size_t>(n));
  return n > 0;
}

template <class Wait>
std::string readToEnd(int fd, Wait wait) {
  std::string data;
  while (readMore(fd, data, wait)) continue;
  return data;
}

template <class Wait>
std::string readRequest(int fd, Wait wait) {
  std::string request;
  while (pathOf(request).empty() && readMore(fd, request, wait)) continue;
  return request;
}

template <class Wait>
void writeAll(int fd, std::string_view data, Wait wait) {
  using naglfar::Interest;
  while (!data.empty()) {
    const ssize_t n = attempt(fd, Interest::write, "write", wait, [&] {
      return naglfar::sys::write(fd, data.data(), data.size());
    });
    data.remove_prefix(static_cast<std::size_t>(n));
  }
}
// [/read-and-write]

// [accept-and-connect]
template <class Wait>
naglfar::sys::Fd acceptFrom(int listener, Wait wait) {
  using namespace naglfar;
  sys::Address client;
  return sys::Fd(attempt(listener, Interest::read, "accept4", wait, [&] {
    for (;;) {
      const int fd = sys::accept(listener, client, sys::Mode::nonblocking);
      if (fd != -1 || errno != ECONNABORTED) return fd;
    }
  }));
}

// The first write finds out what becomes of it.
inline naglfar::sys::Fd startConnecting(
    const naglfar::sys::Address& address) {
  using namespace naglfar;
  sys::Fd fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
  if (sys::connect(fd.get(), address) == -1 && errno != EINPROGRESS)
    sys::fail(errno, "connect");
  return fd;
}
// [/accept-and-connect]

}  // namespace comet
