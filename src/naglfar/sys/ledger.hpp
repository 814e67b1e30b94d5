/// @file sys/ledger.hpp
/// The ledger counts what a run did: system calls by kind, switches, parks.
///
/// Seconds change from run to run and from machine to machine; counts repeat.
/// So tests and chapters state counts, and seconds only side by side.
///
/// Invariant: every thread counts in a ledger of its own with plain
/// additions, so that counting costs next to nothing; `flushLedger` adds it
/// to the process's total.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace naglfar {

/// @addtogroup sys
/// @{

// [calls-by-kind]
/// The kinds of system call that the ledger tells apart. One kind may stand
/// for a family: `accept` counts accept4(2) where the system has it.
enum class Call : unsigned char {
  socket,
  bind,
  listen,
  accept,
  connect,
  getsockname,
  getsockopt,
  setsockopt,
  socketpair,
  pipe,
  dup,
  fcntl,
  read,
  write,
  recv,
  send,
  sendfile,
  shutdown,
  close,
  epollCreate,
  epollCtl,
  epollWait,
  kqueue,
  kevent,
  select,
  poll,
  sigprocmask,
  sigaction,
  sigaltstack,
  mmap,
  munmap,
  mprotect,
  processMadvise,
  madvise,
  fork,
  waitpid,
};

/// How many kinds there are.
inline constexpr std::size_t callKinds =
    static_cast<std::size_t>(Call::waitpid) + 1;

/// @param call A kind of system call.
/// @return The name of its manual page.
const char* nameOf(Call call);
// [/calls-by-kind]

// [the-ledger]
/// What one thread, or one process, has done so far.
struct Ledger {
  std::array<std::uint64_t, callKinds> calls{};  ///< System calls by kind.
  std::uint64_t switches = 0;     ///< Changes from one stack to another.
  std::uint64_t parks = 0;        ///< Times a coroutine waited for an event.
  std::uint64_t coroutines = 0;   ///< Coroutines made.
  std::uint64_t allocations = 0;  ///< Calls of operator new, where counted.

  /// @param call A kind of system call.
  /// @return How many calls of that kind were made.
  std::uint64_t operator[](Call call) const {
    return calls[static_cast<std::size_t>(call)];
  }

  /// @return System calls of all kinds.
  std::uint64_t systemCalls() const;
};

/// This thread's ledger.
inline constinit thread_local Ledger ledger{};

/// Counts one system call in this thread's ledger.
/// @param call Its kind.
inline void count(Call call) {
  ++ledger.calls[static_cast<std::size_t>(call)];
}

/// Moves this thread's counts into the process's total. A thread or a forked
/// child whose work shall be seen by others calls it before it ends.
void flushLedger();

/// Keeps the total in memory that children made by fork(2) share from now on,
/// so that what a child settles is in its parent's total too.
void shareLedger();

/// @return The process's total, this thread's counts included.
Ledger totalLedger();
// [/the-ledger]

/// @}

}  // namespace naglfar
