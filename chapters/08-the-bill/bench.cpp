// What the library's own steps cost, one by one, without a socket in sight.
//
// Invariant: what is measured is the library as it is; nothing here reaches
// around its interface. A benchmark's name says what one iteration is.

#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <cstdint>
#include <deque>

#include "naglfar/channel.hpp"
#include "naglfar/coroutine/switch.hpp"
#include "naglfar/scheduler.hpp"
#include "naglfar/scheduler/timer_heap.hpp"

using namespace naglfar;
using benchmark::State;

// [bench-switch]
static Context here;
static Context there;

static void goBackAndForth() {
  for (;;) switchContext(there, here);
}

// From one stack to another, and nothing else.
static void oneSwitch(State& state) {
  StackPool pool;
  char* stack = pool.acquire();
  makeContext(there, stack, StackPool::stackSize, goBackAndForth);
  while (state.KeepRunningBatch(2)) switchContext(here, there);
  pool.release(stack);
}
BENCHMARK(oneSwitch)->Name("switch");

// The same between coroutines: with the exceptions, the hooks, the ledger.
static void resumeOrSuspend(State& state) {
  StackPool pool;
  Coroutine& coroutine = Coroutine::make(pool, [] {
    for (;;) Coroutine::suspend();
  });
  while (state.KeepRunningBatch(2)) coroutine.resume();
  Coroutine::destroy(coroutine);
}
BENCHMARK(resumeOrSuspend)->Name("resume_or_suspend");
// [/bench-switch]

// [bench-scheduler]
// A coroutine from `go` to its end, on a stack that was used before. Ten at
// a time, for as many stacks fit into the cache.
static void goAndFinish(State& state) {
  Scheduler scheduler;
  while (state.KeepRunningBatch(10)) {
    for (int i = 0; i < 10; ++i) go([] {});
    scheduler.run();
  }
}
BENCHMARK(goAndFinish)->Name("go_and_finish");

// Two coroutines that let each other run: park nobody, poll nothing.
static void yieldOnce(State& state) {
  Scheduler scheduler;
  bool stop = false;
  go([&] {
    while (!stop) yield();
  });
  while (state.KeepRunningBatch(2)) yield();
  stop = true;
  scheduler.run();
}
BENCHMARK(yieldOnce)->Name("yield");

// The poller's turn while others can run: one look that finds nothing.
static void pollerTurn(State& state) {
  Scheduler scheduler;
  int ends[2];
  sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
  Task reader = go([&] { scheduler.wait(ends[0], Interest::read); });
  yield();
  while (state.KeepRunning()) yield();
  reader.cancel();
  for (const int end : ends) sys::close(end);
}
BENCHMARK(pollerTurn)->Name("poller_turn");
// [/bench-scheduler]

// [bench-channel]
// A message to a reader that waits for it, in a coroutine of its own: the
// reader is woken, runs, and waits again.
static void handOff(State& state) {
  Scheduler scheduler;
  Channel<int> forth;
  Channel<int> back;
  go([&] {
    for (const int message : forth) back.write(message);
  });
  go([&] {
    while (state.KeepRunningBatch(2)) {
      forth.write(1);
      back.read();
    }
    forth.close();
  });
  scheduler.run();
}
BENCHMARK(handOff)->Name("channel_hand_off");
// [/bench-channel]

// [bench-timers]
namespace {
struct Nobody final : Job {
  void run() override {}
};
}  // namespace

// A deadline that is set and not met, among so many others.
static void insertAndCancel(State& state) {
  TimerHeap heap;
  Nobody job;
  const auto at = [](std::int64_t n) {
    // Scattered over an hour, the same way each time.
    return sys::Time(
        std::chrono::microseconds(n * 2'654'435'761 % (1 << 30)));
  };
  std::deque<Timer> others;
  for (std::int64_t n = 0; n < state.range(0); ++n)
    others.emplace_back(heap, job, at(n));
  std::int64_t n = 0;
  while (state.KeepRunning()) const Timer timer(heap, job, at(++n));
}
BENCHMARK(insertAndCancel)
    ->Name("timer_insert_and_cancel")
    ->Arg(100)
    ->Arg(10'000);

// To sleep for no time at all: park, expire, wake. The clock is read twice.
static void sleepOnce(State& state) {
  const Scheduler scheduler;
  while (state.KeepRunning()) sleep(sys::Duration(0));
}
BENCHMARK(sleepOnce)->Name("sleep");
// [/bench-timers]

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
