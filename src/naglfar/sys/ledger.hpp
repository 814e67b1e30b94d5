/// @file sys/ledger.hpp
/// The ledger counts what a run does: system calls by kind, switches, parks,
/// coroutines, allocations.
///
/// Seconds differ from run to run and from machine to machine, and counts do
/// not. So the tests and the book state counts.
///
/// Invariants:
/// - Each thread counts in a ledger of its own with plain additions, so that
///   counting costs next to nothing.
/// - A count is either in its thread's ledger or in the total, never in both:
///   `flushLedger` moves it.
///
/// The ledger asks the sys layer for shared memory, in `shareLedger` only.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace naglfar {

/// @addtogroup sys
/// @{

// [calls-by-kind]
/// The table of the system calls that the ledger tells apart, by the names of
/// their manual pages. `accept4` counts accept(2) on a system that has no
/// accept4(2), `pipe` counts pipe2(2) where there is one, `dup` counts
/// fcntl(2) with F_DUPFD_CLOEXEC, and `write` counts also send(2) to a socket
/// with no flag but MSG_NOSIGNAL, which is what write(2) does there. A write
/// to a pipe counts as `send`, which fails, as `write`, and as two of
/// `rt_sigprocmask`. Not counted are sigpending(2) and sigwait(3), which such
/// a write needs if no reader is left.
// clang-format off
#define NAGLFAR_SYSTEM_CALLS(CALL)                                          \
  CALL(socket) CALL(bind) CALL(listen) CALL(accept4) CALL(connect)          \
  CALL(getsockname) CALL(getsockopt) CALL(setsockopt) CALL(socketpair)      \
  CALL(pipe) CALL(dup) CALL(fcntl) CALL(read) CALL(write) CALL(recv)        \
  CALL(send) CALL(sendfile) CALL(shutdown) CALL(close) CALL(epoll_create1)  \
  CALL(epoll_ctl) CALL(epoll_wait) CALL(kqueue) CALL(kevent) CALL(select)   \
  CALL(poll) CALL(rt_sigprocmask) CALL(rt_sigaction) CALL(sigaltstack)      \
  CALL(mmap) CALL(munmap) CALL(mprotect) CALL(madvise)                      \
  CALL(process_madvise) CALL(fork) CALL(waitpid) CALL(kill)
// clang-format on

/// Makes an enumerator of an entry of the table.
#define NAGLFAR_KIND(call) call,
/// Makes a string of an entry of the table.
#define NAGLFAR_NAME(call) #call,
// [/calls-by-kind]

// [call-names]
/// The kinds of system call.
enum class Call : unsigned char { NAGLFAR_SYSTEM_CALLS(NAGLFAR_KIND) };

/// The names of the kinds, in the same order.
inline constexpr std::array callNames{NAGLFAR_SYSTEM_CALLS(NAGLFAR_NAME)};

/// How many kinds there are.
inline constexpr std::size_t callKinds = callNames.size();

/// @param call A kind of system call.
/// @return Its name in the table.
constexpr const char* nameOf(Call call) {
  return callNames[static_cast<std::size_t>(call)];
}

#undef NAGLFAR_SYSTEM_CALLS
#undef NAGLFAR_KIND
#undef NAGLFAR_NAME
// [/call-names]

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

/// Counts a system call, and makes it.
/// @param call Its kind.
/// @param function The function of the C library that makes the call.
/// @param arguments What that function takes.
/// @return What that function returns.
template <class Function, class... Arguments>
auto counted(Call call, Function function, Arguments... arguments) {
  count(call);
  return function(arguments...);
}

/// Moves this thread's counts into the process's total. A thread or a forked
/// child calls it before it ends; otherwise its counts are lost.
void flushLedger();

/// Moves the total into memory that this process shares with the children
/// that it forks from now on. What such a child flushes is then in its
/// parent's total, too.
/// @throws std::system_error If there is no memory for it.
void shareLedger();

/// @return The process's total, this thread's counts included.
Ledger totalLedger();
// [/the-ledger]

/// @}

}  // namespace naglfar
