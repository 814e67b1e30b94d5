// Greedy coroutines and modest ones. The kernel moves one byte a call, so
// that a long transfer is many operations, and most of them need no wait.
//
// What each run checks besides: between two turns of a modest coroutine, a
// greedy one makes no more operations than the budget allows, whatever it
// does; a timer has its turn; and a coroutine that is cancelled leaves no
// byte behind that it has written.

#include "naglfar/channel.hpp"
#include "naglfar/scheduled_file.hpp"
#include "scenarios.hpp"

#include <deque>
#include <functional>

namespace simulate {

using namespace naglfar;

// [competitors]
namespace {

// What a greedy coroutine works on, and how far it has come.
struct Competitor {
  explicit Competitor(sys::Fd fd) : file(std::move(fd)) {}
  ScheduledFile file;
  std::size_t jobs = 1;        // that work on it
  std::size_t operations = 0;  // with messages
  std::size_t before = 0;      // its progress one turn ago
  std::size_t progress() const {
    return operations + file.nread + file.nwrite;
  }
};

// All of them, and what runs beside them.
struct Turns {
  explicit Turns(World& w) : world(w) {}
  World& world;
  std::deque<Competitor> competitors;
  std::deque<Channel<int>> channels;
  sys::Fd source;
  std::size_t turns = 0;
  TaskGroup greedy;

  Competitor& competitor(int fd) {
    return competitors.emplace_back(sys::Fd(fd));
  }
  void count();
  void sleeps();
  void transfer(std::size_t size);
  void messages(std::size_t n);
};

// The modest coroutine. An operation that has had to wait begins a turn, and
// is none of its budget.
void Turns::count() {
  do {
    ++turns;
    for (Competitor& each : competitors) each.before = each.progress();
    yield();
    for (const Competitor& each : competitors)
      world.expect(each.progress() - each.before <=
                       each.jobs * (Scheduler::operationsPerTurn + 1),
                   std::to_string(each.progress() - each.before) +
                       " operations in one turn");
  } while (greedy.size() > 0);
}

// The poller has one turn to see that the time has come.
void Turns::sleeps() {
  while (greedy.size() > 0) {
    const std::size_t before = turns;
    naglfar::sleep(sys::Duration{0});
    world.expect(turns - before <= 3, "a timer had to wait for its turn");
  }
}
// [/competitors]

// [transfers]
// From one end of a connection to the other, in one of several ways. Perhaps
// the sender is cancelled, and then all of it comes or nothing.
void Turns::transfer(std::size_t size) {
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
  Competitor& from = competitor(ends[0]);
  Competitor& to = competitor(ends[1]);
  from.jobs = 3;  // the sender, the coroutine that closes, and the flusher
  const std::size_t way = world.roll(0, 3);
  const bool background = world.coin();
  const auto sends = [&, way, background, size] {
    if (way == 0) {
      from.file.sendfile(source.get(), 0, size);
      return;
    }
    from.file.autoflush = way == 1;
    from.file.bufferSize = background ? unlimited : 100;
    from.file.write(pattern(7, 0, size));
    from.file.flush(!background);
  };
  const bool cancelled = world.dice.below(3) == 0;
  greedy
      .go([&, sends, way, cancelled] {
        Task sender = go(sends);
        if (way == 0 && world.coin()) from.file.flush(false);
        if (cancelled) {
          for (std::size_t n = world.roll(0, 20); n > 0; --n) yield();
          sender.cancel();
        } else {
          sender.join();
        }
        from.file.close();
      })
      .name = "sender";
  greedy
      .go([&, size, way, cancelled, lingers = world.dice.below(3) == 0] {
        if (world.coin()) world.pause();  // so that there is much to read
        if (lingers) return to.file.lingeringClose(std::chrono::hours(1));
        const std::string got = to.file.read();
        world.expect(got.size() == size || (cancelled && way == 0) ||
                         (cancelled && got.empty()),
                     std::to_string(got.size()) + " of " +
                         std::to_string(size) + " bytes came");
        world.expect(got == pattern(7, 0, got.size()), "other bytes came");
      })
      .name = "receiver";
}

void Turns::messages(std::size_t n) {
  Channel<int>& channel = channels.emplace_back(
      world.coin() ? world.roll(1, 200) : naglfar::unlimited);
  Competitor& writer = competitor(-1);
  Competitor& reader = competitor(-1);
  greedy
      .go([&, n] {
        for (; writer.operations < n; ++writer.operations) channel.write(1);
        channel.close();
      })
      .name = "writer";
  greedy
      .go([&, n, waits = world.coin()] {
        if (world.coin()) world.pause();  // so that there is much to read
        for (; !waits || channel.wait(); ++reader.operations)
          if (!channel.next()) break;
        world.expect(reader.operations == n, "messages were lost");
      })
      .name = "reader";
}

}  // namespace
// [/transfers]

// [turns-scenario]
void turns(World& world) {
  sim::Faults faults;
  faults.shortTransfer = 1;
  if (world.coin()) faults.againInVain = faults.readyInVain = 0.01;
  if (world.coin()) faults.interrupted = 0.1;
  if (world.coin()) faults.reordered = 0.5;
  world.kernel.setFaults(faults);

  Turns run(world);
  const std::size_t most = world.roll(1, 5000);
  run.source = sys::Fd(world.kernel.makeFile(pattern(7, 0, most)));
  go([&] { run.count(); }).name = "counter";
  for (std::size_t i = world.roll(1, 4); i > 0; --i)
    world.coin() ? run.transfer(most) : run.messages(world.roll(1, 1000));
  go([&] { run.sleeps(); }).name = "sleeper";
  Scheduler::current().run();
}
// [/turns-scenario]

}  // namespace simulate
