// The names of the system calls, and the total that all ledgers end up in.
//
// Invariant: the total is only ever added to, with atomic additions: threads
// and, after shareLedger(), forked children settle into it at the same time.

#include "naglfar/sys/ledger.hpp"

#include <new>
#include <numeric>
#include <utility>

#include "naglfar/sys.hpp"

namespace naglfar {

// [call-names]
const char* nameOf(Call call) {
  static constexpr std::array names = {
      "socket",       "bind",          "listen",
      "accept4",      "connect",       "getsockname",
      "getsockopt",   "setsockopt",    "socketpair",
      "pipe",         "dup",           "fcntl",
      "read",         "write",         "recv",
      "send",         "sendfile",      "shutdown",
      "close",        "epoll_create1", "epoll_ctl",
      "epoll_wait",   "kqueue",        "kevent",
      "select",       "poll",          "rt_sigprocmask",
      "rt_sigaction", "sigaltstack",   "mmap",
      "munmap",       "mprotect",      "process_madvise",
      "madvise",      "fork",          "waitpid",
  };
  static_assert(names.size() == callKinds);
  return names[static_cast<std::size_t>(call)];
}
// [/call-names]

// [settling]
namespace {
Ledger processTotal;
Ledger* total = &processTotal;

// Calls `with` for each counter of two ledgers.
template <class Function>
void forEachCounter(Ledger& a, Ledger& b, Function with) {
  for (std::size_t kind = 0; kind < callKinds; ++kind)
    with(a.calls[kind], b.calls[kind]);
  with(a.switches, b.switches);
  with(a.parks, b.parks);
  with(a.coroutines, b.coroutines);
  with(a.allocations, b.allocations);
}
}  // namespace

void flushLedger() {
  forEachCounter(*total, ledger, [](std::uint64_t& sum, std::uint64_t& own) {
    __atomic_fetch_add(&sum, std::exchange(own, 0), __ATOMIC_RELAXED);
  });
}

void shareLedger() {
  if (total != &processTotal) return;  // it is shared already
  void* page = sys::check(sys::mapShared(sizeof(Ledger)), "mmap");
  total = new (page) Ledger(*total);
}

Ledger totalLedger() {
  flushLedger();
  Ledger copy;
  forEachCounter(*total, copy, [](std::uint64_t& sum, std::uint64_t& own) {
    own = __atomic_load_n(&sum, __ATOMIC_RELAXED);
  });
  return copy;
}
// [/settling]

std::uint64_t Ledger::systemCalls() const {
  return std::accumulate(calls.begin(), calls.end(), std::uint64_t{0});
}

}  // namespace naglfar
