// Two threads count in one variable. An addition reads, adds and writes; here
// each thread has read before the other writes, as may happen any time.

#include <atomic>
#include <barrier>
#include <cstdint>
#include <cstdio>
#include <thread>

#include "naglfar/sys.hpp"

using namespace naglfar;

#ifdef CURED
static void countOnce(std::barrier<>& both) {
  both.arrive_and_wait();
  count(Call::read);  // in this thread's own ledger
  flushLedger();
}
#else
static std::atomic<std::uint64_t> reads = 0;

static void countOnce(std::barrier<>& both) {
  const std::uint64_t before = reads.load();
  both.arrive_and_wait();
  reads.store(before + 1);
}
#endif

int main() {
  std::barrier both(2);
  std::thread first([&] { countOnce(both); });
  std::thread second([&] { countOnce(both); });
  first.join();
  second.join();
#ifdef CURED
  const std::uint64_t counted = totalLedger()[Call::read];
#else
  const std::uint64_t counted = reads;
#endif
  std::printf("two threads have counted one read each: %d in all\n",
              static_cast<int>(counted));
  return counted == 2 ? 0 : 1;
}
