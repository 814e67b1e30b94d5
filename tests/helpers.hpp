// What the tests of the layers from io on have in common: a scheduler for one
// test, connected sockets, counts, and errors as numbers.

#pragma once

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "naglfar/io.hpp"
#include "run.hpp"

namespace helpers {

// What was counted since it was made.
struct Since {
  std::uint64_t operator[](naglfar::Call call) const {
    return naglfar::ledger[call] - before[call];
  }
  std::uint64_t parks() const { return naglfar::ledger.parks - before.parks; }
  std::uint64_t switches() const {
    return naglfar::ledger.switches - before.switches;
  }
  // Where allocations.cpp is linked.
  std::uint64_t allocations() const {
    return naglfar::ledger.allocations - before.allocations;
  }
  std::uint64_t coroutines() const {
    return naglfar::ledger.coroutines - before.coroutines;
  }
  // Calls that watch a descriptor or ask for news of one.
  std::uint64_t pollerCalls() const {
    using naglfar::Call;
    return (*this)[Call::epoll_ctl] + (*this)[Call::epoll_wait] +
           (*this)[Call::kevent] + (*this)[Call::select];
  }
  naglfar::Ledger before = naglfar::ledger;
};

// The two ends of a connection.
struct Sockets {
  explicit Sockets(
      naglfar::sys::Mode mode = naglfar::sys::Mode::nonblocking) {
    int ends[2];
    naglfar::sys::check(naglfar::sys::socketpair(ends, mode), "socketpair");
    a = naglfar::sys::Fd(ends[0]);
    b = naglfar::sys::Fd(ends[1]);
  }
  naglfar::sys::Fd a;
  naglfar::sys::Fd b;
};

// A file that is gone when the test is.
struct TempFile {
  explicit TempFile(const std::string& content) {
    REQUIRE(file != nullptr);
    std::fwrite(content.data(), 1, content.size(), file.get());
    std::fflush(file.get());
  }
  int fd() const { return ::fileno(file.get()); }
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::tmpfile(),
                                                       std::fclose};
};

// Writes all of it without a wait, for which there must be room.
inline void put(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = naglfar::sys::write(fd, data.data(), data.size());
    if (n == -1 && errno == EINTR) continue;
    data.remove_prefix(static_cast<std::size_t>(
        naglfar::sys::check(static_cast<int>(n), "write")));
  }
}

// Reads what is there; waits while nothing is.
inline std::string readSome(int fd,
                            naglfar::Deadline deadline = naglfar::never) {
  std::string data(1 << 16, ' ');
  data.resize(naglfar::goReadSome(fd, data, deadline));
  return data;
}

// Writes until the kernel takes no more.
inline std::size_t fill(int fd) {
  const std::string junk(4096, '.');
  std::size_t n = 0;
  for (;;) {
    const ssize_t more = naglfar::sys::write(fd, junk.data(), junk.size());
    if (more == -1 && errno == EINTR) continue;
    if (more == -1) return n;
    n += static_cast<std::size_t>(more);
  }
}

// What a call fails with; 0 if it does not.
template <class Function>
int errorOf(Function&& function) {
  try {
    function();
    return 0;
  } catch (const std::system_error& error) {
    return error.code().value();
  }
}

inline bool isOpen(int fd) {
  return ::fcntl(fd, F_GETFD) != -1;
}

inline int openDescriptors() {
  int n = 0;
  for (int fd = 0; fd < 1024; ++fd) n += isOpen(fd);
  return n;
}

}  // namespace helpers
