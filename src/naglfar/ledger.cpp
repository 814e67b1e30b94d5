// The names of the system calls, and the total that all ledgers end up in.
//
// Invariant: the total is only ever added to, with atomic additions: threads
// and, after shareLedger(), forked children settle into it at the same time.

#include "naglfar/ledger.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <new>
#include <numeric>
#include <system_error>

namespace naglfar {

// [call-names]
const char* nameOf(Call call) {
  static constexpr std::array names = {
      "socket",       "bind",          "listen",     "accept4",
      "connect",      "getsockname",   "getsockopt", "setsockopt",
      "socketpair",   "pipe",          "dup",        "fcntl",
      "read",         "write",         "recv",       "sendfile",
      "close",        "epoll_create1", "epoll_ctl",  "epoll_wait",
      "kqueue",       "kevent",        "select",     "mmap",
      "munmap",       "mprotect",      "madvise",    "rt_sigprocmask",
      "rt_sigaction", "sigaltstack",   "fork",       "waitpid",
  };
  static_assert(names.size() == callKinds);
  return names[static_cast<std::size_t>(call)];
}
// [/call-names]

// [settling]
namespace {
Ledger processTotal;
Ledger* total = &processTotal;

void add(std::uint64_t& sum, std::uint64_t amount) {
  __atomic_fetch_add(&sum, amount, __ATOMIC_RELAXED);
}
}  // namespace

void settle() {
  for (std::size_t kind = 0; kind < callKinds; ++kind)
    add(total->calls[kind], ledger.calls[kind]);
  add(total->switches, ledger.switches);
  add(total->parks, ledger.parks);
  add(total->coroutines, ledger.coroutines);
  add(total->allocations, ledger.allocations);
  ledger = Ledger{};
}

void shareLedger() {
  count(Call::mmap);
  void* page = mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED)
    throw std::system_error(errno, std::generic_category(), "mmap");
  total = new (page) Ledger(*total);
}

Ledger totalLedger() {
  settle();
  return *total;
}
// [/settling]

std::uint64_t Ledger::systemCalls() const {
  return std::accumulate(calls.begin(), calls.end(), std::uint64_t{0});
}

}  // namespace naglfar
