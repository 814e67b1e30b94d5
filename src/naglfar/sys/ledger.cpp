// The total of the process, into which the threads flush their ledgers.
//
// Invariant: the total never falls, and each addition to it is atomic,
// because threads and (after shareLedger) forked children flush at the same
// time.
//
// It asks the sys layer for shared memory: mapShared.

#include "naglfar/sys/ledger.hpp"

#include <new>
#include <numeric>
#include <utility>

#include "naglfar/sys.hpp"

namespace naglfar {

// [settling]
static Ledger processTotal;
static Ledger* total = &processTotal;

// Calls `with` for each counter of two ledgers.
template <class Function>
static void forEachCounter(Ledger& a, Ledger& b, Function with) {
  for (std::size_t kind = 0; kind < callKinds; ++kind)
    with(a.calls[kind], b.calls[kind]);
  with(a.switches, b.switches);
  with(a.parks, b.parks);
  with(a.coroutines, b.coroutines);
  with(a.allocations, b.allocations);
}

void flushLedger() {
  forEachCounter(*total, ledger, [](std::uint64_t& sum, std::uint64_t& own) {
    __atomic_fetch_add(&sum, std::exchange(own, 0), __ATOMIC_RELAXED);
  });
}

void shareLedger() {
  if (total != &processTotal) return;  // the total is shared already
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
