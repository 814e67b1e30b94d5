// Channels: who gets which message, in which order, and what it costs in
// parks. Channels stand before the scheduler in every test, because those who
// wait on them must be gone first.

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <exception>
#include <iterator>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "naglfar/channel.hpp"
#include "naglfar/scheduler.hpp"
#include "naglfar/sys/ledger.hpp"

namespace sys = naglfar::sys;
using naglfar::after;
using naglfar::Call;
using naglfar::Channel;
using naglfar::Coroutine;
using naglfar::Deadline;
using naglfar::Deadlock;
using naglfar::go;
using naglfar::Job;
using naglfar::Ledger;
using naglfar::never;
using naglfar::Scheduler;
using naglfar::Task;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;
using Numbers = std::vector<int>;

// What the ledger has counted since this was made.
struct Since {
  Ledger start = naglfar::ledger;
  std::uint64_t parks() const { return naglfar::ledger.parks - start.parks; }
  std::uint64_t switches() const {
    return naglfar::ledger.switches - start.switches;
  }
  std::uint64_t polls() const {
    std::uint64_t n = 0;
    for (const Call call : {Call::epollWait, Call::kevent, Call::select})
      n += naglfar::ledger[call] - start[call];
    return n;
  }
};

// Those of this thread's scheduler.
std::size_t coroutines() {
  std::size_t n = 0;
  Scheduler::current().forEachCoroutine([&n](const Coroutine&) { ++n; });
  return n;
}

// The error that a call ends with, or none.
template <class Function>
std::error_code errorOf(Function function) {
  try {
    function();
  } catch (const std::system_error& error) {
    return error.code();
  }
  return {};
}

// Lets everybody run as far as they get.
void settleDown(int turns = 5) {
  for (int i = 0; i < turns; ++i) naglfar::yield();
}

// Calls of operator new, and whether it fails.
std::uint64_t allocations = 0;
bool outOfMemory = false;

// A message with a move constructor and no assignment. The move constructor
// throws if the test says so.
struct MoveOnly {
  explicit MoveOnly(int number) : value(number) {}
  MoveOnly(MoveOnly&& other) : value(other.value) {
    if (moves-- == 0) throw std::runtime_error("the message does not move");
    other.value = -1;
  }
  MoveOnly& operator=(MoveOnly&&) = delete;
  static inline int moves = -1;  // how many succeed before one throws
  int value;
};

Numbers upTo(int n) {
  Numbers all(static_cast<std::size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

}  // namespace

void* operator new(std::size_t size) {
  ++allocations;
  void* memory = outOfMemory ? nullptr : std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

// --- the 2009 library's own ---

TEST_CASE("testBatch") {
  Channel<int> a;
  Scheduler scheduler;
  CHECK(a.readWaiting() == Numbers{});
  a.write(1);
  CHECK(a.readWaiting() == Numbers{1});
  a.write(2);
  a.write(3);
  CHECK(a.readWaiting() == Numbers{2, 3});

  go([&] {
    a.write(4);
    a.write(5);
  });
  CHECK(a.readWaiting(true) == Numbers{4, 5});

  go([&] {
    a.write(6);
    a.write(7);
  });
  auto foo = a.begin();
  CHECK(*foo == 6);
  CHECK(*++foo == 7);
}

TEST_CASE("the Go chaining example") {
  constexpr int n = 1000;
  std::vector<std::unique_ptr<Channel<int>>> channels;
  for (int i = 0; i <= n; ++i)
    channels.push_back(std::make_unique<Channel<int>>());
  Scheduler scheduler;
  const auto runner = [](Channel<int>& left, Channel<int>& right) {
    left.write(right.read() + 1);
  };
  const Since since;
  for (std::size_t i = 0; i < n; ++i)
    go(runner, std::ref(*channels[i]), std::ref(*channels[i + 1]));
  go([&] { channels.back()->write(0); });
  CHECK(channels.front()->read() == n);
  CHECK(since.parks() == n + 1);
  CHECK(since.polls() == 0);
  CHECK(coroutines() == 0);
}

// --- from hand to hand ---

TEST_CASE("messages are read in the order in which they were written") {
  Channel<int> channel;
  Scheduler scheduler;
  const Since since;
  for (int i = 0; i < 100; ++i) channel.write(i);
  CHECK(channel.size() == 100);
  Numbers read;
  for (int i = 0; i < 100; ++i) read.push_back(channel.read());
  CHECK(read == upTo(100));
  CHECK(channel.size() == 0);
  CHECK(since.parks() == 0);
  CHECK(since.switches() == 0);
}

TEST_CASE("a message goes to the reader that came first") {
  Channel<std::string> channel;
  Log log;
  Scheduler scheduler;
  for (const char* name : {"a", "b", "c"})
    go([&, name] { log.push_back(name + channel.read()); });
  settleDown();
  channel.write("1");
  CHECK(channel.size() == 0);  // it is in the reader's hand
  CHECK(log.empty());
  channel.write("2");
  channel.write("3");
  scheduler.run();
  CHECK(log == Log{"a1", "b2", "c3"});
}

TEST_CASE("100 readers and 100 messages cost 100 parks") {
  Channel<int> channel;
  std::vector<std::pair<int, int>> read;
  Scheduler scheduler;
  const Since since;
  for (int i = 0; i < 100; ++i)
    go([&, i] { read.emplace_back(i, channel.read()); });
  go([&] {
    for (int i = 0; i < 100; ++i) channel.write(i);
  });
  scheduler.run();
  CHECK(since.parks() == 100);
  // The writer's turn ends once, by its budget.
  CHECK(since.switches() == 2 * (200 + 1 + 1));
  CHECK(since.polls() == 0);
  REQUIRE(read.size() == 100);
  for (int i = 0; i < 100; ++i)
    CHECK(read[static_cast<std::size_t>(i)] == std::pair(i, i));
}

TEST_CASE("a reader that comes later cannot take what was handed over") {
  Channel<int> channel;
  int first = 0;
  Scheduler scheduler;
  go([&] { first = channel.read(); });
  settleDown();
  channel.write(1);
  channel.write(2);
  CHECK(channel.read() == 2);
  scheduler.run();
  CHECK(first == 1);
}

TEST_CASE("messages that can only be moved are moved") {
  Channel<std::unique_ptr<int>> channel;
  int sum = 0;
  Scheduler scheduler;
  go([&] {
    for (auto& message : channel) sum += *message;
  });
  settleDown();
  channel.write(std::make_unique<int>(1));  // into a hand
  channel.write(std::make_unique<int>(2));  // into the queue
  channel.write(std::make_unique<int>(3));
  channel.close();
  scheduler.run();
  CHECK(sum == 6);
  Channel<std::unique_ptr<int>> other;
  other.write(std::make_unique<int>(4));
  CHECK(*other.readWaiting().front() == 4);
}

TEST_CASE("a message needs nothing but a move constructor") {
  Channel<MoveOnly> channel(2);
  Scheduler scheduler;
  Numbers read;
  go([&] {
    for (MoveOnly& message : channel) read.push_back(message.value);
  });
  settleDown();
  for (int i = 0; i < 5; ++i) channel.write(MoveOnly(i));
  settleDown();
  CHECK(read == upTo(5));
  channel.close();
  scheduler.run();

  Channel<MoveOnly> other(2);
  go([&] {
    for (int i = 0; i < 5; ++i) other.write(MoveOnly(i));
  });
  settleDown();
  CHECK(other.read().value == 0);
  CHECK(other.next()->value == 1);
  CHECK(other.readWaiting().front().value == 2);
  settleDown();
  auto batches = other.iterateWaiting().begin();
  CHECK((*batches).front().value == 3);
  other.close();
  CHECK(++batches == std::default_sentinel);
}

TEST_CASE("a channel of bool works like any other") {
  Channel<bool> channel;
  Scheduler scheduler;
  channel.write(true);
  channel.write(false);
  CHECK(channel.read());
  CHECK(channel.readWaiting() == std::vector<bool>{false});
}

TEST_CASE("messages that nobody reads are destroyed with the channel") {
  const auto token = std::make_shared<int>(1);
  {
    Channel<std::shared_ptr<int>> channel;
    Scheduler scheduler;
    for (int i = 0; i < 10; ++i) channel.write(token);
    CHECK(token.use_count() == 11);
    for (int i = 0; i < 5; ++i) channel.read();
    CHECK(token.use_count() == 6);
  }
  CHECK(token.use_count() == 1);
}

TEST_CASE("nobody who could write is a deadlock that names the reader") {
  Channel<int> channel;
  Scheduler scheduler;
  go([&] { channel.read(); }).name = "lonely reader";
  go([&] { channel.wait(); }).name = "lonely waiter";
  const Since since;
  CHECK_THROWS_WITH_AS(scheduler.run(), doctest::Contains("lonely reader #"),
                       Deadlock);
  CHECK_THROWS_WITH_AS(scheduler.run(), doctest::Contains("lonely waiter #"),
                       Deadlock);
  CHECK_THROWS_WITH_AS(scheduler.run(),
                       doctest::Contains("waits for a message"), Deadlock);
  CHECK_THROWS_AS(channel.read(), Deadlock);
  CHECK(since.parks() == 3);  // and no spinning
}

TEST_CASE("a reader that is woken in vain waits on") {
  Channel<int> channel;
  std::optional<int> read;
  Scheduler scheduler;
  Job* reader = nullptr;
  go([&] {
    reader = &Scheduler::current().self();
    read = channel.next();
  });
  settleDown();
  scheduler.wake(*reader);
  settleDown();
  channel.write(1);
  scheduler.run();
  CHECK(read == 1);
}

TEST_CASE("a writer that is woken in vain waits on") {
  Channel<int> channel(1);
  Scheduler scheduler;
  channel.write(1);
  Job* writer = nullptr;
  go([&] {
    writer = &Scheduler::current().self();
    channel.write(2);
  });
  settleDown();
  scheduler.wake(*writer);
  settleDown();
  CHECK(channel.size() == 1);
  CHECK(channel.read() == 1);
  CHECK(channel.read() == 2);
  scheduler.run();
}

// --- to wait without taking ---

TEST_CASE("wait sees a message and leaves it there") {
  Channel<int> channel;
  bool seen = false;
  Scheduler scheduler;
  go([&] { seen = channel.wait(); });
  settleDown();
  channel.write(1);
  scheduler.run();
  CHECK(seen);
  CHECK(channel.size() == 1);
  CHECK(channel.wait());
  CHECK(channel.read() == 1);
}

TEST_CASE("who is woken and finds nothing waits again") {
  Channel<int> channel;
  int waits = 0;
  Scheduler scheduler;
  go([&] {
    CHECK(channel.wait());
    ++waits;
  });
  settleDown();
  channel.write(1);
  CHECK(channel.read() == 1);  // before the other one's turn
  settleDown();
  CHECK(waits == 0);
  channel.write(2);
  scheduler.run();
  CHECK(waits == 1);
}

TEST_CASE("who only waits holds up no message") {
  Channel<int> channel;
  Numbers read;
  int waits = 0;
  Scheduler scheduler;
  // One before the readers, one between them.
  for (const bool reads : {false, true, false, true})
    go([&, reads] {
      if (reads) {
        read.push_back(channel.read());
      } else {
        channel.wait();
        ++waits;
      }
    });
  settleDown();
  const Since since;
  channel.write(1);
  channel.write(2);
  settleDown();
  CHECK(read == Numbers{1, 2});
  CHECK(waits == 0);  // there was nothing to see for them
  channel.write(3);
  scheduler.run();
  CHECK(waits == 2);
  CHECK(channel.read() == 3);
}

TEST_CASE("a message wakes all who only wait and one reader") {
  Channel<int> channel;
  int waits = 0;
  Scheduler scheduler;
  for (int i = 0; i < 10; ++i)
    go([&] {
      channel.wait();
      ++waits;
    });
  settleDown();
  const Since since;
  channel.write(1);
  scheduler.run();
  CHECK(waits == 10);
  CHECK(since.parks() == 0);
  CHECK(channel.size() == 1);
}

// --- the limit ---

TEST_CASE("at the limit a writer waits until there is room") {
  Channel<int> channel(2);
  Log log;
  Scheduler scheduler;
  go([&] {
    for (int i = 0; i < 5; ++i) {
      channel.write(i);
      log.push_back("w" + std::to_string(i));
    }
  });
  settleDown();
  CHECK(log == Log{"w0", "w1"});
  CHECK(channel.size() == 2);
  for (int i = 0; i < 5; ++i) {
    CHECK(channel.read() == i);
    settleDown();
    CHECK(channel.size() <= 2);
  }
  CHECK(log == Log{"w0", "w1", "w2", "w3", "w4"});
}

TEST_CASE("writers that wait are served in the order of their coming") {
  Channel<int> channel(1);
  Scheduler scheduler;
  channel.write(0);
  for (int i = 1; i <= 5; ++i) go([&, i] { channel.write(i); });
  settleDown();
  const Since since;
  Numbers read;
  for (int i = 0; i < 6; ++i) {
    read.push_back(channel.read());
    settleDown();
  }
  CHECK(read == upTo(6));
  CHECK(since.parks() == 0);  // nobody was woken in vain
}

TEST_CASE("a writer that comes later does not overtake one that waits") {
  Channel<int> channel(1);
  Scheduler scheduler;
  channel.write(0);
  go([&] { channel.write(1); });
  go([&] { channel.write(2); });
  settleDown();
  Numbers read;
  // The place gets free, and a newcomer is there before those who wait have
  // had a turn.
  go([&] {
    read.push_back(channel.read());
    channel.write(3);
  });
  settleDown();
  for (int i = 0; i < 3; ++i) {
    read.push_back(channel.read());
    settleDown();
  }
  CHECK(read == upTo(4));
}

TEST_CASE("reading all that waits lets writers in up to the limit") {
  Channel<int> channel(2);
  Scheduler scheduler;
  for (int i = 0; i < 6; ++i) go([&, i] { channel.write(i); });
  settleDown();
  CHECK(channel.size() == 2);
  Numbers read;
  while (read.size() < 6) {
    const Numbers batch = channel.readWaiting(true);
    CHECK(batch.size() <= 2);
    read.insert(read.end(), batch.begin(), batch.end());
    CHECK(channel.size() <= 2);
    settleDown();
    CHECK(channel.size() <= 2);
  }
  CHECK(read == upTo(6));
  scheduler.run();
}

TEST_CASE("a writer that is unwound leaves its room to the next") {
  Channel<int> channel(1);
  Scheduler scheduler;
  channel.write(0);
  Task first = go([&] { channel.write(1); });
  go([&] { channel.write(2); });
  settleDown();
  first.cancel();
  CHECK(channel.read() == 0);
  CHECK(channel.read() == 2);
  scheduler.run();
}

TEST_CASE("room that was given to a writer who is unwound is not lost") {
  Channel<int> channel(1);
  Scheduler scheduler;
  channel.write(0);
  Task first = go([&] { channel.write(1); });
  go([&] { channel.write(2); });
  settleDown();
  CHECK(channel.read() == 0);  // it is the first one's turn
  first.cancel();
  settleDown();
  // Whether 1 counts as written or not: 2 must come.
  int last = channel.read();
  if (last == 1) last = channel.read();
  CHECK(last == 2);
  CHECK_NOTHROW(scheduler.run());
}

TEST_CASE("a limited channel hands over to a reader that waits") {
  Channel<int> channel(1);
  Numbers read;
  Scheduler scheduler;
  go([&] {
    for (const int message : channel) read.push_back(message);
  });
  settleDown();
  const Since since;
  channel.write(0);  // into the hand
  channel.write(1);  // into the queue
  CHECK(since.parks() == 0);
  channel.write(2);  // waits for room
  CHECK(since.parks() >= 1);
  channel.close();
  scheduler.run();
  CHECK(read == upTo(3));
}

// --- the end of a channel ---

TEST_CASE("a closed channel is drained and then iteration ends") {
  Channel<int> channel;
  Numbers read;
  Scheduler scheduler;
  channel.write(0);
  channel.write(1);
  channel.close();
  channel.close();  // may be called twice
  CHECK(channel.closed());
  for (const int message : channel) read.push_back(message);
  CHECK(read == upTo(2));
  CHECK(channel.next() == std::nullopt);
  CHECK_FALSE(channel.wait());
  CHECK(channel.readWaiting() == Numbers{});
  CHECK(channel.readWaiting(true) == Numbers{});
}

TEST_CASE("close ends the iteration of readers that wait") {
  Channel<int> channel;
  Numbers read;
  int ends = 0;
  Scheduler scheduler;
  for (int i = 0; i < 3; ++i)
    go([&] {
      for (const int message : channel) read.push_back(message);
      ++ends;
    });
  settleDown();
  channel.write(0);
  channel.close();
  scheduler.run();
  CHECK(read == Numbers{0});
  CHECK(ends == 3);
}

TEST_CASE("read from a closed channel is EPIPE once it is drained") {
  Channel<int> channel;
  Scheduler scheduler;
  std::error_code waiting;
  go([&] { waiting = errorOf([&] { channel.read(); }); });
  settleDown();
  channel.close();
  scheduler.run();
  CHECK(waiting == std::errc::broken_pipe);

  Channel<int> drained;
  drained.write(1);
  drained.close();
  CHECK(drained.read() == 1);
  CHECK(errorOf([&] { drained.read(); }) == std::errc::broken_pipe);
}

TEST_CASE("write to a closed channel is EPIPE") {
  Channel<int> channel;
  Scheduler scheduler;
  channel.close();
  CHECK(errorOf([&] { channel.write(1); }) == std::errc::broken_pipe);
  CHECK(channel.size() == 0);
}

TEST_CASE("writers that wait for room get EPIPE when the channel closes") {
  Channel<int> channel(1);
  std::vector<std::error_code> errors;
  Scheduler scheduler;
  channel.write(0);
  for (int i = 1; i <= 3; ++i)
    go([&, i] { errors.push_back(errorOf([&] { channel.write(i); })); });
  settleDown();
  channel.close();
  scheduler.run();
  REQUIRE(errors.size() == 3);
  for (const std::error_code& error : errors)
    CHECK(error == std::errc::broken_pipe);
  CHECK(channel.read() == 0);  // what was written before can still be read
  CHECK(channel.next() == std::nullopt);
}

TEST_CASE("a message in a reader's hand survives the close") {
  Channel<int> channel;
  int read = 0;
  Scheduler scheduler;
  go([&] { read = channel.read(); });
  settleDown();
  channel.write(7);
  channel.close();
  scheduler.run();
  CHECK(read == 7);
}

TEST_CASE("close lets those go who only wait") {
  Channel<int> channel;
  int result = -1;
  Scheduler scheduler;
  go([&] { result = channel.wait() ? 1 : 0; });
  settleDown();
  channel.close();
  scheduler.run();
  CHECK(result == 0);
}

// --- batches ---

TEST_CASE("readWaiting takes all that is there and waits if told to") {
  Channel<int> channel;
  Numbers batch;
  Scheduler scheduler;
  go([&] { batch = channel.readWaiting(true); });
  settleDown();
  CHECK(batch.empty());
  for (int i = 0; i < 3; ++i) channel.write(i);
  scheduler.run();
  CHECK(batch == upTo(3));
  CHECK(channel.size() == 0);
}

TEST_CASE("iterateWaiting gives batches until the end and none is empty") {
  Channel<int> channel;
  std::vector<Numbers> batches;
  Scheduler scheduler;
  go([&] {
    for (const Numbers& batch : channel.iterateWaiting())
      batches.push_back(batch);
  });
  settleDown();
  channel.write(0);
  channel.write(1);
  settleDown();
  channel.write(2);
  settleDown();
  channel.write(3);
  channel.close();
  scheduler.run();
  CHECK(batches == std::vector<Numbers>{{0, 1}, {2}, {3}});
}

TEST_CASE("a channel keeps the order whatever is done to it") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    std::uniform_int_distribution<unsigned> coin(0, 1);
    Channel<std::unique_ptr<int>> channel;
    std::deque<int> model;
    int next = 0;
    for (int step = 0; step < 500; ++step) {
      if (coin(random) == 0) {
        channel.write(std::make_unique<int>(next));
        model.push_back(next++);
      } else if (!model.empty()) {
        REQUIRE(*channel.read() == model.front());
        model.pop_front();
      }
      REQUIRE(channel.size() == model.size());
    }
  }
}

TEST_CASE("a channel does not keep what was read") {
  static int alive;
  struct Counted {
    Counted() { ++alive; }
    Counted(Counted&&) noexcept { ++alive; }
    Counted& operator=(Counted&&) noexcept { return *this; }
    ~Counted() { --alive; }
  };
  alive = 0;
  Channel<Counted> channel;
  for (int i = 0; i < 10; ++i) channel.write(Counted());
  for (int i = 0; i < 1000; ++i) {
    channel.write(Counted());
    CHECK(alive == 11);
    channel.read();
    CHECK(alive == 10);
  }
  CHECK(channel.size() == 10);
}

TEST_CASE("a channel keeps its messages if a move constructor throws") {
  Channel<MoveOnly> channel;
  constexpr int n = 30;
  for (int i = 0; i < n; ++i) {
    MoveOnly::moves = 0;
    CHECK_THROWS_AS(channel.write(MoveOnly(i)), std::runtime_error);
    MoveOnly::moves = -1;
    CHECK(channel.size() == static_cast<std::size_t>(i));
    channel.write(MoveOnly(i));
  }
  for (int i = 0; i < n; ++i) {
    MoveOnly::moves = 0;
    CHECK_THROWS_AS(channel.next(), std::runtime_error);
    MoveOnly::moves = -1;
    CHECK(channel.read().value == i);
  }
  CHECK(channel.size() == 0);
}

TEST_CASE("a channel keeps its messages if an allocation fails") {
  Channel<MoveOnly> channel;
  constexpr int n = 300;  // several allocations
  int failures = 0;
  for (int i = 0; i < n; ++i) {
    outOfMemory = true;
    try {
      channel.write(MoveOnly(i));
      outOfMemory = false;
    } catch (const std::bad_alloc&) {
      outOfMemory = false;
      ++failures;
      CHECK(channel.size() == static_cast<std::size_t>(i));
      channel.write(MoveOnly(i));
    }
  }
  CHECK(failures > 1);
  for (int i = 0; i < n; ++i) CHECK(channel.read().value == i);
  CHECK(channel.size() == 0);
}

TEST_CASE("a writer that gave up needs no memory again") {
  Channel<int> channel(1);
  Scheduler scheduler;
  channel.write(0);
  const auto giveUp = [&] {
    CHECK(errorOf([&] { channel.write(1, sys::now()); }) ==
          std::errc::timed_out);
  };
  giveUp();
  const std::uint64_t before = allocations;
  giveUp();
  const std::uint64_t once = allocations - before;  // for the error's text
  for (int i = 0; i < 18; ++i) giveUp();
  CHECK(allocations == before + 19 * once);
  CHECK(channel.size() == 1);
  outOfMemory = true;
  channel.read();
  channel.write(2);
  outOfMemory = false;
  CHECK(channel.read() == 2);
}

TEST_CASE("a reader admits a writer without memory and without a move") {
  Channel<MoveOnly> channel(1);
  Scheduler scheduler;
  go([&] {
    for (int i = 0; i < 3; ++i) channel.write(MoveOnly(i));
  });
  settleDown();
  outOfMemory = true;
  MoveOnly::moves = 1;  // out of the channel
  const std::optional<MoveOnly> first = channel.next();
  outOfMemory = false;
  MoveOnly::moves = -1;
  CHECK(first->value == 0);
  CHECK(channel.size() == 1);
  settleDown();
  const std::vector<MoveOnly> second = channel.readWaiting();
  CHECK(second.front().value == 1);
  CHECK(channel.read().value == 2);
}

TEST_CASE("an allocation is needed only once a channel holds a message") {
  const std::uint64_t none = allocations;
  Channel<int> channel;
  CHECK(allocations == none);
  Scheduler scheduler;
  go([&] { channel.read(); });
  settleDown();
  const std::uint64_t before = allocations;
  channel.write(1);  // to the reader
  CHECK(allocations == before);
  channel.write(2);
  CHECK(allocations > before);
  channel.write(3);
  const std::uint64_t after = allocations;
  for (int i = 0; i < 1000; ++i) {
    channel.read();
    channel.write(i);
  }
  CHECK(allocations == after);
}

// --- deadlines ---

TEST_CASE("read gives up at its deadline and is then out of the line") {
  Channel<int> channel;
  Scheduler scheduler;
  CHECK(errorOf([&] { channel.read(after(1ms)); }) == std::errc::timed_out);
  CHECK(errorOf([&] { channel.next(sys::now()); }) == std::errc::timed_out);
  channel.write(1);
  CHECK(channel.size() == 1);                 // nobody's hand is open
  CHECK(channel.read(sys::now() - 1s) == 1);  // nothing to wait for
}

TEST_CASE("wait gives up at its deadline") {
  Channel<int> channel;
  Scheduler scheduler;
  CHECK(errorOf([&] { channel.wait(after(1ms)); }) == std::errc::timed_out);
  channel.write(1);
  CHECK(channel.size() == 1);
  CHECK(channel.wait(sys::now() - 1s));
}

TEST_CASE("write gives up at its deadline and has written nothing") {
  Channel<int> channel(1);
  Scheduler scheduler;
  channel.write(0);
  CHECK(errorOf([&] { channel.write(1, after(1ms)); }) ==
        std::errc::timed_out);
  CHECK(channel.size() == 1);
  CHECK(channel.read() == 0);
  CHECK(channel.size() == 0);
  channel.write(2, sys::now() - 1s);  // nothing to wait for
  CHECK(channel.read() == 2);
}

TEST_CASE("a message and the deadline at once is no message lost") {
  // Whichever comes first, before the reader has its turn.
  for (const bool deadlineFirst : {false, true}) {
    CAPTURE(deadlineFirst);
    Channel<int> channel;
    Scheduler scheduler;
    const Deadline deadline = after(1ms);
    int read = -1;
    bool timedOut = false;
    go([&] {
      timedOut = errorOf([&] { read = channel.read(deadline); }) ==
                 std::errc::timed_out;
    });
    go([&] {
      if (!deadlineFirst) channel.write(1);
      while (sys::now() < deadline) continue;
      if (!deadlineFirst) return;
      // The poller's turn is before this one's next.
      naglfar::yield();
      channel.write(1);
    });
    scheduler.run();
    if (timedOut)
      CHECK(channel.readWaiting() == Numbers{1});
    else
      CHECK(read == 1);
    if (!deadlineFirst) CHECK_FALSE(timedOut);
  }
}

TEST_CASE("a message between the deadline and the reader's turn is read") {
  Channel<int> channel;
  Scheduler scheduler;
  const Deadline deadline = after(1ms);
  int read = -1;
  // Due at the same time, and the writer is woken first.
  go([&] {
    while (scheduler.park("time", -1, deadline - 1us)) continue;
    channel.write(5);
  });
  go([&] { read = channel.read(deadline); });
  go([&] {
    naglfar::yield();
    while (sys::now() < deadline) continue;
  });
  scheduler.run();
  CHECK(read == 5);
  CHECK(channel.size() == 0);
}

TEST_CASE("room and the deadline at once is no message lost or doubled") {
  Channel<int> channel(1);
  Scheduler scheduler;
  const Deadline deadline = after(1ms);
  std::error_code error;
  channel.write(0);
  go([&] { error = errorOf([&] { channel.write(1, deadline); }); });
  go([&] {
    CHECK(channel.read() == 0);
    while (sys::now() < deadline) continue;
  });
  scheduler.run();
  CHECK(error == std::error_code{});
  CHECK(channel.readWaiting() == Numbers{1});
}

TEST_CASE("close before the deadline is the end and no time-out") {
  Channel<int> channel;
  Scheduler scheduler;
  const Deadline deadline = after(1ms);
  bool ended = false;
  bool waited = true;
  go([&] { ended = !channel.next(deadline).has_value(); });
  go([&] { waited = channel.wait(deadline); });
  go([&] {
    channel.close();
    while (sys::now() < deadline) continue;
  });
  scheduler.run();
  CHECK(ended);
  CHECK_FALSE(waited);
}

// --- who is unwound ---

TEST_CASE("a reader that is unwound leaves the line") {
  Channel<int> channel;
  Numbers read;
  Scheduler scheduler;
  Task first = go([&] { read.push_back(channel.read()); });
  go([&] { read.push_back(channel.read()); });
  settleDown();
  first.cancel();
  channel.write(1);
  scheduler.run();
  CHECK(read == Numbers{1});
  CHECK(channel.size() == 0);
}

TEST_CASE("the scheduler goes while somebody reads and somebody writes") {
  Channel<int> empty;
  Channel<int> full(1);
  {
    Scheduler scheduler;
    full.write(0);
    go([&] { empty.read(); });
    go([&] { empty.wait(); });
    go([&] { full.write(1); });
    settleDown();
  }
  Scheduler scheduler;
  empty.write(1);
  CHECK(empty.size() == 1);
  CHECK(full.readWaiting() == Numbers{0});
}

TEST_CASE("a channel may go before those who are unwound from it") {
  Scheduler scheduler;
  Channel<int> empty;
  Channel<int> full(1);
  full.write(1);
  go([&] { empty.read(); });
  go([&] { empty.wait(); });
  go([&] { full.write(2); });
  CHECK_THROWS_AS(scheduler.run(), Deadlock);
}

TEST_CASE("a coroutine may own the channel that another one writes to") {
  Scheduler scheduler;
  int read = 0;
  go([&] {
    auto channel = std::make_shared<Channel<int>>();
    go([channel] { channel->write(9); });
    read = channel->read();
  });
  scheduler.run();
  CHECK(read == 9);
}

// --- all at once ---

namespace {

struct Message {
  int producer = 0;
  int number = 0;
};

// Several producers and consumers, which do what a seed says; everything that
// is written is read once, in the order of its producer.
void exchangeAtRandom(unsigned seed) {
  std::mt19937 random(seed);
  const auto below = [&random](int n) {
    return std::uniform_int_distribution<int>(0, n - 1)(random);
  };
  const std::size_t limit = below(3) == 0
                                ? naglfar::unlimited
                                : static_cast<std::size_t>(1 + below(4));
  const int producers = 1 + below(5);
  const int consumers = 1 + below(5);
  constexpr int messages = 40;

  Channel<Message> channel(limit);
  std::deque<Message> written;  // in the order of the writes that ended
  std::vector<Message> read;
  int writing = producers;
  int timeouts = 0;
  Scheduler scheduler;

  for (int producer = 0; producer < producers; ++producer)
    go([&, producer] {
      for (int number = 0; number < messages;) {
        const Deadline deadline = below(5) == 0 ? sys::now() : never;
        try {
          channel.write({producer, number}, deadline);
          ++number;
        } catch (const std::system_error& error) {
          REQUIRE(error.code() == std::errc::timed_out);
          ++timeouts;
        }
        REQUIRE(channel.size() <= limit);
        if (below(3) == 0) naglfar::yield();
      }
      if (--writing == 0) channel.close();
    });

  for (int consumer = 0; consumer < consumers; ++consumer)
    go([&] {
      for (;;) {
        try {
          const Deadline deadline = below(5) == 0 ? sys::now() : never;
          switch (below(4)) {
            case 0: {
              const std::vector<Message> batch = channel.readWaiting();
              read.insert(read.end(), batch.begin(), batch.end());
              break;
            }
            case 1:
              if (!channel.wait(deadline)) return;
              break;
            default: {
              const std::optional<Message> message = channel.next(deadline);
              if (!message) return;
              read.push_back(*message);
            }
          }
        } catch (const std::system_error& error) {
          REQUIRE(error.code() == std::errc::timed_out);
        }
        if (below(3) == 0) naglfar::yield();
      }
    });

  scheduler.run();
  REQUIRE(coroutines() == 0);
  REQUIRE(channel.size() == 0);
  REQUIRE(read.size() == static_cast<std::size_t>(producers * messages));
  std::set<std::pair<int, int>> once;
  for (const Message& message : read)
    once.emplace(message.producer, message.number);
  REQUIRE(once.size() == read.size());
}

// One consumer, so that the order in which messages are taken is the order in
// which they were written: each producer's must be in sequence.
void keepOrderAtRandom(unsigned seed) {
  std::mt19937 random(seed);
  const auto below = [&random](int n) {
    return std::uniform_int_distribution<int>(0, n - 1)(random);
  };
  const int producers = 1 + below(6);
  constexpr int messages = 50;
  Channel<Message> channel(static_cast<std::size_t>(1 + below(5)));
  std::vector<int> next(static_cast<std::size_t>(producers), 0);
  // Who has asked to write, in order. With a limit, that is the order in
  // which the messages must come.
  std::deque<Message> asked;
  int writing = producers;
  int read = 0;
  Scheduler scheduler;
  for (int producer = 0; producer < producers; ++producer)
    go([&, producer] {
      for (int number = 0; number < messages; ++number) {
        if (below(2) == 0) naglfar::yield();
        asked.push_back({producer, number});
        channel.write({producer, number});
      }
      if (--writing == 0) channel.close();
    });
  go([&] {
    for (const Message& message : channel) {
      REQUIRE(message.number ==
              next[static_cast<std::size_t>(message.producer)]++);
      REQUIRE(message.producer == asked.front().producer);
      REQUIRE(message.number == asked.front().number);
      asked.pop_front();
      ++read;
      for (int i = below(4); i > 0; --i) naglfar::yield();
    }
  });
  scheduler.run();
  REQUIRE(read == producers * messages);
  REQUIRE(asked.empty());
}

}  // namespace

TEST_CASE("whoever writes and reads at random every message arrives once") {
  for (unsigned seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    exchangeAtRandom(seed);
  }
}

TEST_CASE("messages arrive in the order in which their writers asked") {
  for (unsigned seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    keepOrderAtRandom(seed);
  }
}
