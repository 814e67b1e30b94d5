// Channels: who gets which message, in which order, and what it costs in
// parks.

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
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
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "limited.hpp"
#include "naglfar/channel.hpp"
#include "naglfar/scheduler.hpp"
#include "naglfar/sys/ledger.hpp"
#include "run.hpp"

namespace sys = naglfar::sys;
using helpers::Limited;
using helpers::Run;
using helpers::Task;
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
    for (const Call call : {Call::epoll_wait, Call::kevent, Call::select})
      n += naglfar::ledger[call] - start[call];
    return n;
  }
};

// Those of this thread's scheduler.
std::size_t coroutines() {
  std::size_t n = 0;
#if CLAIMS(coroutines)
  Scheduler::current().forEachCoroutine([&n](const Coroutine&) { ++n; });
#else
  std::stringstream list;
  Scheduler::current().dump(list);
  for (std::string line; std::getline(list, line);) ++n;
#endif
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

// Calls of operator new, the bytes that it has given, and whether it fails.
std::uint64_t allocations = 0;
std::size_t bytesInUse = 0;
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

// Each block begins with its size, so that the bytes in use can be counted.
static constexpr std::size_t prefix = alignof(std::max_align_t);

void* operator new(std::size_t size) {
  ++allocations;
  void* memory = outOfMemory ? nullptr : std::malloc(prefix + size);
  if (memory == nullptr) throw std::bad_alloc();
  *static_cast<std::size_t*>(memory) = size;
  bytesInUse += size;
  return static_cast<char*>(memory) + prefix;
}
void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  void* const block = static_cast<char*>(memory) - prefix;
  bytesInUse -= *static_cast<std::size_t*>(block);
  std::free(block);
}
void operator delete(void* memory, std::size_t) noexcept {
  operator delete(memory);
}

// --- the 2009 library's own ---

TEST_CASE_FIXTURE(Run, "testBatch") {
  Channel<int> a;
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

TEST_CASE_FIXTURE(Run, "the Go chaining example") {
  constexpr int n = 1000;
  std::vector<std::unique_ptr<Channel<int>>> channels;
  for (int i = 0; i <= n; ++i)
    channels.push_back(std::make_unique<Channel<int>>());
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

TEST_CASE_FIXTURE(
    Run, "messages are read in the order in which they were written") {
  Channel<int> channel;
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

TEST_CASE_FIXTURE(Run, "a message goes to the reader that came first") {
  Channel<std::string> channel;
  Log log;
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

// The writer yields after each message: otherwise all messages are there
// before the first reader is woken, and to wake all of them costs nothing.
TEST_CASE_FIXTURE(Run, "100 readers and 100 messages cost 100 parks") {
  Channel<int> channel;
  std::vector<std::pair<int, int>> read;
  const Since since;
  for (int i = 0; i < 100; ++i)
    go([&, i] { read.emplace_back(i, channel.read()); });
  go([&] {
    for (int i = 0; i < 100; ++i) {
      channel.write(i);
      naglfar::yield();
    }
  });
  scheduler.run();
  CHECK(since.parks() == 100);
  CHECK(since.polls() == 0);
  REQUIRE(read.size() == 100);
  for (int i = 0; i < 100; ++i)
    CHECK(read[static_cast<std::size_t>(i)] == std::pair(i, i));
}

TEST_CASE_FIXTURE(
    Run, "a writer that does not yield costs its readers no more parks") {
  Channel<int> channel;
  const Since since;
  for (int i = 0; i < 100; ++i) go([&] { channel.read(); });
  go([&] {
    for (int i = 0; i < 100; ++i) channel.write(i);
  });
  scheduler.run();
  CHECK(since.parks() == 100);
}

TEST_CASE_FIXTURE(
    Run, "a reader that comes later cannot take what was handed over") {
  Channel<int> channel;
  int first = 0;
  go([&] { first = channel.read(); });
  settleDown();
  channel.write(1);
  channel.write(2);
  CHECK(channel.read() == 2);
  scheduler.run();
  CHECK(first == 1);
}

TEST_CASE_FIXTURE(Run, "messages that can only be moved are moved") {
  Channel<std::unique_ptr<int>> channel;
  int sum = 0;
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

TEST_CASE_FIXTURE(Run, "a message needs nothing but a move constructor") {
  Limited<MoveOnly> channel(2);
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

  Limited<MoveOnly> other(2);
  go([&] {
    for (int i = 0; i < 5; ++i) other.write(MoveOnly(i));
  });
  settleDown();
  CHECK(other.read().value == 0);
  CHECK(other.next()->value == 1);
  CHECK(other.readWaiting().front().value == 2);
#if CLAIMS(batches)
  settleDown();
  auto batches = other.iterateWaiting().begin();
  CHECK((*batches).front().value == 3);
  other.close();
  CHECK(++batches == std::default_sentinel);
#endif
}

TEST_CASE_FIXTURE(Run, "a channel of bool works like any other") {
  Channel<bool> channel;
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

TEST_CASE_FIXTURE(
    Run, "nobody who could write is a deadlock that names the reader") {
  Channel<int> channel;
  go([&] { channel.read(); }).name = "lonely reader";
  go([&] { channel.wait(); }).name = "lonely waiter";
  const Since since;
  std::string message;
  try {
    scheduler.run();
  } catch (const Deadlock& deadlock) {
    message = deadlock.what();
  }
  CHECK(message.find("lonely reader") != std::string::npos);
  CHECK(message.find("lonely waiter") != std::string::npos);
  CHECK(since.parks() == 2);  // and no spinning
#if CLAIMS(main_waits)
  CHECK_THROWS_AS(channel.read(), Deadlock);
#endif
}

TEST_CASE_FIXTURE(Run, "a reader that is woken in vain waits on") {
  Channel<int> channel;
  std::optional<int> read;
  Job* reader = nullptr;
  go([&] {
    reader = &Scheduler::current().self();
    read = channel.next();
    reader = nullptr;
  });
  settleDown();
  REQUIRE(reader != nullptr);
  scheduler.wake(*reader);
  settleDown();
  channel.write(1);
  scheduler.run();
  CHECK(read == 1);
}

#if CLAIMS(limits)
TEST_CASE_FIXTURE(Run, "a writer that is woken in vain waits on") {
  Channel<int> channel(1);
  channel.write(1);
  Job* writer = nullptr;
  go([&] {
    writer = &Scheduler::current().self();
    channel.write(2);
    writer = nullptr;
  });
  settleDown();
  REQUIRE(writer != nullptr);
  scheduler.wake(*writer);
  settleDown();
  CHECK(channel.size() == 1);
  CHECK(channel.read() == 1);
  CHECK(channel.read() == 2);
  scheduler.run();
}
#endif

// --- a reader that goes ---

#if CLAIMS(promises)
TEST_CASE_FIXTURE(
    Run, "a message for a reader that is cancelled goes to the next") {
  Channel<int> channel;
  int got = 0;
  Task first = go([&] { channel.read(); });
  go([&] { got = channel.read(); });
  settleDown();
  channel.write(1);
  first.cancel();
  scheduler.run();
  CHECK(got == 1);
  CHECK(channel.size() == 0);
}

// Four readers wait, and so many messages are promised. Each set of readers
// is cancelled before its turn, in both directions: those who are left get
// the first messages, in order, and the others wait for later readers.
TEST_CASE("whichever readers are cancelled, no message is lost") {
  constexpr int readers = 4;
  for (int messages = 0; messages <= 6; ++messages)
    for (unsigned cancelled = 0; cancelled < 1u << readers; ++cancelled)
      for (const bool backwards : {false, true}) {
        CAPTURE(messages);
        CAPTURE(cancelled);
        CAPTURE(backwards);
        Channel<int> channel;
        Scheduler scheduler;
        std::vector<Task> tasks;
        Numbers read;
        int waits = 0;
        const auto wait = [&] {
          channel.wait();
          ++waits;
        };
        go(wait);
        for (int i = 0; i < readers; ++i)
          tasks.push_back(go([&, i] {
            if (i % 2 == 0)
              read.push_back(channel.read());
            else
              read.push_back(*channel.next());
          }));
        settleDown();
        for (int i = 0; i < messages; ++i) channel.write(i);
        int left = readers;
        for (int k = 0; k < readers; ++k) {
          const int i = backwards ? readers - 1 - k : k;
          if ((cancelled >> i & 1u) == 0) continue;
          tasks[static_cast<std::size_t>(i)].cancel();
          --left;
        }
        settleDown();
        CHECK(read == upTo(std::min(left, messages)));
        CHECK(waits == (messages > left ? 1 : 0));
        Numbers rest = channel.readWaiting();
        read.insert(read.end(), rest.begin(), rest.end());
        CHECK(read == upTo(messages));
        // Those that still wait are in line: each gets one, in order.
        const int still = left - std::min(left, messages);
        read.clear();
        for (int i = 0; i < still; ++i) channel.write(i);
        settleDown();
        CHECK(read == upTo(still));
        CHECK(channel.size() == 0);
        for (Task& task : tasks) task.cancel();
        channel.close();
        scheduler.run();
      }
}
#endif

#if CLAIMS(limits)
TEST_CASE_FIXTURE(
    Run, "a message that comes back may exceed the limit and admits none") {
  Channel<int> channel(1);
  Task reader = go([&] { channel.read(); });
  settleDown();
  channel.write(0);  // promised
  channel.write(1);
  bool written = false;
  Task writer = go([&] {
    channel.write(2);
    written = true;
  });
  // The reader's turn is first, so it is cancelled before.
  reader.cancel();
  settleDown();
  CHECK(channel.size() == 2);
  CHECK(channel.read() == 0);
  settleDown();
  CHECK_FALSE(written);
  CHECK(channel.size() == 1);
  CHECK(channel.read() == 1);
  settleDown();
  CHECK(written);
  CHECK(channel.read() == 2);
}
#endif

#if CLAIMS(promises)
TEST_CASE_FIXTURE(
    Run, "a message that comes back to a closed channel is drained") {
  Channel<int> channel;
  Numbers read;
  Task first = go([&] { channel.read(); });
  go([&] {
    for (const int message : channel) read.push_back(message);
  });
  settleDown();
  channel.write(0);
  channel.close();
  first.cancel();
  scheduler.run();
  CHECK(read == Numbers{0});
}

TEST_CASE_FIXTURE(
    Run, "a channel may go before readers that it has promised a message") {
  std::vector<Task> tasks;
  {
    Channel<std::string> channel;
    for (int i = 0; i < 3; ++i) tasks.push_back(go([&] { channel.read(); }));
    settleDown();
    channel.write("1");
    channel.write("2");
  }
  for (Task& task : tasks) task.cancel();
  CHECK_NOTHROW(scheduler.run());
}
#endif

// --- to wait without taking ---

TEST_CASE_FIXTURE(Run, "wait sees a message and leaves it there") {
  Channel<int> channel;
  bool seen = false;
  go([&] { seen = channel.wait(); });
  settleDown();
  channel.write(1);
  scheduler.run();
  CHECK(seen);
  CHECK(channel.size() == 1);
  CHECK(channel.wait());
  CHECK(channel.read() == 1);
}

TEST_CASE_FIXTURE(Run, "who is woken and finds nothing waits again") {
  Channel<int> channel;
  int waits = 0;
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

TEST_CASE_FIXTURE(Run, "who only waits holds up no message") {
  Channel<int> channel;
  Numbers read;
  int waits = 0;
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

TEST_CASE_FIXTURE(Run, "a message wakes all who only wait and one reader") {
  Channel<int> channel;
  int waits = 0;
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

#if CLAIMS(limits)
TEST_CASE_FIXTURE(Run, "at the limit a writer waits until there is room") {
  Channel<int> channel(2);
  Log log;
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

TEST_CASE_FIXTURE(
    Run, "writers that wait are served in the order of their coming") {
  Channel<int> channel(1);
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

TEST_CASE_FIXTURE(
    Run, "a writer that comes later does not overtake one that waits") {
  Channel<int> channel(1);
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

TEST_CASE_FIXTURE(Run,
                  "reading all that waits lets writers in up to the limit") {
  Channel<int> channel(2);
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

TEST_CASE_FIXTURE(Run,
                  "a writer that is unwound leaves its room to the next") {
  Channel<int> channel(1);
  channel.write(0);
  Task first = go([&] { channel.write(1); });
  go([&] { channel.write(2); });
  settleDown();
  first.cancel();
  CHECK(channel.read() == 0);
  CHECK(channel.read() == 2);
  scheduler.run();
}

TEST_CASE_FIXTURE(
    Run, "room that was given to a writer who is unwound is not lost") {
  Channel<int> channel(1);
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

TEST_CASE_FIXTURE(Run,
                  "a limited channel hands over to a reader that waits") {
  Channel<int> channel(1);
  Numbers read;
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

TEST_CASE_FIXTURE(
    Run, "reading all that waits lets in as many writers as there is room") {
  Channel<int> channel(3);
  for (int i = 0; i < 6; ++i) go([&, i] { channel.write(i); });
  settleDown();
  CHECK(channel.readWaiting() == upTo(3));
  CHECK(channel.size() == 3);  // at once, and not one a turn
  const Since since;
  settleDown();
  CHECK(since.parks() == 0);
  CHECK(channel.readWaiting() == Numbers{3, 4, 5});
}
#endif

// --- no room ---

#if CLAIMS(limits)
TEST_CASE_FIXTURE(
    Run, "with the limit 0 a writer waits until its message is taken") {
  Channel<int> channel(0);
  Log log;
  for (int i = 0; i < 3; ++i)
    go([&, i] {
      channel.write(i);
      log.push_back("w" + std::to_string(i));
    });
  settleDown();
  CHECK(log.empty());
  CHECK(channel.size() == 0);
  CHECK(channel.wait());
  CHECK(channel.read() == 0);
  settleDown();
  CHECK(log == Log{"w0"});
  CHECK(channel.next() == 1);
  CHECK(channel.readWaiting() == Numbers{2});
  CHECK(channel.readWaiting() == Numbers{});
  settleDown();
  CHECK(log == Log{"w0", "w1", "w2"});
}

TEST_CASE_FIXTURE(
    Run, "with the limit 0 a writer hands its message to a waiting reader") {
  Channel<int> channel(0);
  Numbers read;
  Task first = go([&] { read.push_back(channel.read()); });
  go([&] { read.push_back(channel.read()); });
  settleDown();
  const Since since;
  channel.write(0);
  channel.write(1);
  CHECK(since.parks() == 0);
  CHECK(errorOf([&] { channel.write(2, after(1ms)); }) ==
        std::errc::timed_out);  // no third reader
  scheduler.run();
  CHECK(read == upTo(2));
}

TEST_CASE_FIXTURE(Run, "with the limit 0 no message is lost or comes twice") {
  Channel<int> channel(0);
  Numbers read;
  Numbers batches;
  int waits = 0;
  go([&] {
    while (channel.wait()) {
      ++waits;
      naglfar::yield();
    }
  });
  go([&] {
    for (const int message : channel) read.push_back(message);
  });
  for (int i = 0; i < 10; ++i) go([&, i] { channel.write(i); });
  settleDown(20);
  CHECK(read == upTo(10));
  Task writer = go([&] { channel.write(10); });
  settleDown();
  CHECK(writer.done());
  channel.close();
  scheduler.run();
  CHECK(read == upTo(11));
}

TEST_CASE_FIXTURE(
    Run, "with the limit 0 a writer that goes takes its message with it") {
  Channel<int> channel(0);
  Task first = go([&] { channel.write(0); });
  go([&] { channel.write(1); });
  settleDown();
  first.cancel();
  CHECK(channel.read() == 1);
  std::error_code error;
  go([&] { error = errorOf([&] { channel.write(2); }); });
  settleDown();
  channel.close();
  CHECK(channel.next() == std::nullopt);
  scheduler.run();
  CHECK(error == std::errc::broken_pipe);
}

TEST_CASE_FIXTURE(
    Run, "with the limit 0 a message whose reader goes stays to be read") {
  Channel<int> channel(0);
  Task reader = go([&] { channel.read(); });
  settleDown();
  channel.write(0);
  reader.cancel();
  Task writer = go([&] { channel.write(1); });
  settleDown();
  CHECK_FALSE(writer.done());
  CHECK(channel.read() == 0);
  settleDown();
  CHECK_FALSE(writer.done());
  CHECK(channel.read() == 1);
  scheduler.run();
}

TEST_CASE_FIXTURE(
    Run, "with the limit 0 what waits for a message sees the writer's") {
  Channel<int> channel(0);
  bool seen = false;
  go([&] { seen = channel.wait(); });
  settleDown();
  Task writer = go([&] { channel.write(7); });
  settleDown();
  CHECK(seen);
  CHECK_FALSE(writer.done());
  CHECK(channel.read() == 7);
  scheduler.run();
}
#endif

// --- the end of a channel ---

TEST_CASE_FIXTURE(Run,
                  "a closed channel is drained and then iteration ends") {
  Channel<int> channel;
  Numbers read;
  channel.write(0);
  channel.write(1);
  channel.close();
  channel.close();  // may be called twice
  CHECK(channel.closed());
  CHECK(channel.size() == 2);  // what waits to be read still does
  for (const int message : channel) read.push_back(message);
  CHECK(read == upTo(2));
  CHECK(channel.size() == 0);
  CHECK(channel.next() == std::nullopt);
  CHECK_FALSE(channel.wait());
  CHECK(channel.readWaiting() == Numbers{});
  CHECK(channel.readWaiting(true) == Numbers{});
}

TEST_CASE_FIXTURE(Run, "close ends the iteration of readers that wait") {
  Channel<int> channel;
  Numbers read;
  int ends = 0;
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

TEST_CASE_FIXTURE(Run,
                  "read from a closed channel is EPIPE once it is drained") {
  Channel<int> channel;
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

TEST_CASE_FIXTURE(Run, "write to a closed channel is EPIPE") {
  Channel<int> channel;
  channel.close();
  CHECK(errorOf([&] { channel.write(1); }) == std::errc::broken_pipe);
  CHECK(channel.size() == 0);
}

#if CLAIMS(limits)
TEST_CASE_FIXTURE(
    Run, "writers that wait for room get EPIPE when the channel closes") {
  Channel<int> channel(1);
  std::vector<std::error_code> errors;
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
#endif

TEST_CASE_FIXTURE(Run, "a message in a reader's hand survives the close") {
  Channel<int> channel;
  int read = 0;
  go([&] { read = channel.read(); });
  settleDown();
  channel.write(7);
  channel.close();
  scheduler.run();
  CHECK(read == 7);
}

TEST_CASE_FIXTURE(Run, "close lets those go who only wait") {
  Channel<int> channel;
  int result = -1;
  go([&] { result = channel.wait() ? 1 : 0; });
  settleDown();
  channel.close();
  scheduler.run();
  CHECK(result == 0);
}

// --- batches ---

TEST_CASE_FIXTURE(
    Run, "readWaiting takes all that is there and waits if told to") {
  Channel<int> channel;
  Numbers batch;
  go([&] { batch = channel.readWaiting(true); });
  settleDown();
  CHECK(batch.empty());
  for (int i = 0; i < 3; ++i) channel.write(i);
  scheduler.run();
  CHECK(batch == upTo(3));
  CHECK(channel.size() == 0);
}

#if CLAIMS(batches)
TEST_CASE_FIXTURE(
    Run, "iterateWaiting gives batches until the end and none is empty") {
  Channel<int> channel;
  std::vector<Numbers> batches;
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
#endif

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

#if CLAIMS(throwing_moves)
// Three messages; the first move throws, or the second, and so on. What the
// call has given and what is left are all messages, in order.
TEST_CASE("no call loses a message whose move throws") {
  using Reads = void (*)(Channel<MoveOnly>&, Numbers&);
  const Reads calls[] = {[](Channel<MoveOnly>& c, Numbers& got) {
                           got.push_back(c.read().value);
                         },
                         [](Channel<MoveOnly>& c, Numbers& got) {
                           got.push_back(c.next()->value);
                         },
                         [](Channel<MoveOnly>& c, Numbers& got) {
                           for (const MoveOnly& message : c.readWaiting(true))
                             got.push_back(message.value);
                         },
                         [](Channel<MoveOnly>& c, Numbers& got) {
                           for (const MoveOnly& message : c) {
                             got.push_back(message.value);
                             if (message.value == 2) break;
                           }
                         }};
  for (const Reads& call : calls)
    for (const bool waits : {false, true})
      for (int moves = 0; moves < 6; ++moves) {
        CAPTURE(&call - calls);
        CAPTURE(waits);
        CAPTURE(moves);
        Channel<MoveOnly> channel;
        Scheduler scheduler;
        Numbers got;
        bool thrown = false;
        const auto write = [&] {
          for (int i = 0; i < 3; ++i) channel.write(MoveOnly(i));
        };
        if (!waits) write();
        go([&] {
          try {
            call(channel, got);
          } catch (const std::runtime_error&) {
            thrown = true;
          }
        });
        if (waits) settleDown();
        if (waits) write();
        MoveOnly::moves = moves;
        settleDown();
        MoveOnly::moves = -1;
        CHECK((thrown || !got.empty()));
        while (channel.size() > 0) got.push_back(channel.read().value);
        CHECK(got == upTo(3));
      }
}

TEST_CASE_FIXTURE(Run,
                  "a message whose move throws goes to the next reader") {
  Channel<MoveOnly> channel;
  int failed = 0;
  Numbers got;
  for (int i = 0; i < 2; ++i)
    go([&] {
      try {
        got.push_back(channel.read().value);
      } catch (const std::runtime_error&) {
        ++failed;
      }
    });
  settleDown();
  channel.write(MoveOnly(1));
  MoveOnly::moves = 0;
  scheduler.run();
  CHECK(failed == 1);
  CHECK(got == Numbers{1});
}
#endif

#if CLAIMS(limits)
namespace {

// Counts how often it is copied and moved.
struct Counted {
  Counted() = default;
  Counted(const Counted&) { ++copies; }
  Counted(Counted&&) noexcept { ++moves; }
  Counted& operator=(const Counted&) = delete;
  static inline int copies;
  static inline int moves;
};

// Lets messages go each way through a channel: to a reader that waits, out of
// the hands of writers that wait for room, and through a long queue. Returns
// how many there were.
int messagesOfEachWay() {
  Counted::copies = Counted::moves = 0;
  Channel<Counted> channel(4);
  Channel<Counted> unlimited;
  Scheduler scheduler;
  go([&] { channel.read(); });
  settleDown();
  channel.write(Counted());
  settleDown();
  for (int i = 0; i < 100; ++i) go([&] { channel.write(Counted()); });
  settleDown();
  for (int i = 0; i < 100; ++i) {
    channel.read();
    settleDown(1);
  }
  for (int i = 0; i < 1000; ++i) unlimited.write(Counted());
  for (int i = 0; i < 1000; ++i) unlimited.next();
  return 1 + 100 + 1000;
}

}  // namespace

// If messages moved up in the queue for each read, there would be a hundred
// times as many moves.
TEST_CASE("a message is moved and never copied, however many wait") {
  const int messages = messagesOfEachWay();
  CHECK(Counted::copies == 0);
  CHECK(Counted::moves <= 6 * messages);
}
#endif

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

#if CLAIMS(limits)
TEST_CASE_FIXTURE(Run, "a writer that gave up needs no memory again") {
  Channel<int> channel(1);
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

TEST_CASE_FIXTURE(Run, "a reader admits a writer without memory") {
  Channel<MoveOnly> channel(1);
  go([&] {
    for (int i = 0; i < 3; ++i) channel.write(MoveOnly(i));
  });
  settleDown();
  outOfMemory = true;
  const std::optional<MoveOnly> first = channel.next();
  outOfMemory = false;
  CHECK(first->value == 0);
  CHECK(channel.size() == 1);
  settleDown();
  const std::vector<MoveOnly> second = channel.readWaiting();
  CHECK(second.front().value == 1);
  CHECK(channel.read().value == 2);
}
#endif

#if CLAIMS(spare_nodes)
TEST_CASE_FIXTURE(
    Run, "an allocation is needed only once a channel holds a message") {
  const std::uint64_t none = allocations;
  Channel<int> channel;
  CHECK(allocations == none);
  go([&] { channel.read(); });
  settleDown();
  const std::uint64_t before = allocations;
  channel.write(1);  // to the reader
  CHECK(allocations == before);
  for (int i = 0; i < 100; ++i) channel.write(i);
  CHECK(allocations > before);  // they are counted
  const std::uint64_t after = allocations;
  for (int i = 0; i < 1000; ++i) {
    channel.read();
    channel.write(i);
  }
  CHECK(allocations == after);
}
#endif

// However large the burst was, and whichever call has read it.
TEST_CASE("a channel that is empty holds no memory of a burst") {
  Scheduler scheduler;
  Channel<int> channel;
  const std::size_t before = bytesInUse;
  for (const bool batch : {false, true})
    for (const int burst : {100, 10'000}) {
      CAPTURE(batch);
      CAPTURE(burst);
      for (int i = 0; i < burst; ++i) channel.write(i);
      CHECK(bytesInUse - before >= burst * sizeof(int));
      if (batch)
        channel.readWaiting();
      else
        for (int i = 0; i < burst; ++i) channel.read();
      CHECK(channel.size() == 0);
      CHECK(bytesInUse - before <= 4096);
    }
}

// --- deadlines ---

TEST_CASE_FIXTURE(
    Run, "read gives up at its deadline and is then out of the line") {
  Channel<int> channel;
  CHECK(errorOf([&] { channel.read(after(1ms)); }) == std::errc::timed_out);
  CHECK(errorOf([&] { channel.next(sys::now()); }) == std::errc::timed_out);
  channel.write(1);
  CHECK(channel.size() == 1);                 // nobody's hand is open
  CHECK(channel.read(sys::now() - 1s) == 1);  // nothing to wait for
}

TEST_CASE_FIXTURE(Run, "wait gives up at its deadline") {
  Channel<int> channel;
  CHECK(errorOf([&] { channel.wait(after(1ms)); }) == std::errc::timed_out);
  channel.write(1);
  CHECK(channel.size() == 1);
  CHECK(channel.wait(sys::now() - 1s));
}

#if CLAIMS(limits)
TEST_CASE_FIXTURE(Run,
                  "write gives up at its deadline and has written nothing") {
  Channel<int> channel(1);
  channel.write(0);
  CHECK(errorOf([&] { channel.write(1, after(1ms)); }) ==
        std::errc::timed_out);
  CHECK(channel.size() == 1);
  CHECK(channel.read() == 0);
  CHECK(channel.size() == 0);
  channel.write(2, sys::now() - 1s);  // nothing to wait for
  CHECK(channel.read() == 2);
}
#endif

// It is woken in vain again and again. It gives up at its deadline: not
// before, and before another coroutine whose deadline is a little later.
TEST_CASE_FIXTURE(Run, "a call that is woken in vain keeps its deadline") {
  using Waits = void (*)(Channel<int>&, Channel<int>&, Deadline);
  const Waits calls[] = {
    [](Channel<int>& c, Channel<int>&, Deadline d) { c.next(d); },
    [](Channel<int>& c, Channel<int>&, Deadline d) { c.read(d); },
#if CLAIMS(limits)
    [](Channel<int>&, Channel<int>& full, Deadline d) { full.write(1, d); },
#endif
    [](Channel<int>& c, Channel<int>&, Deadline d) { c.wait(d); }
  };
  for (const Waits& call : calls) {
    CAPTURE(&call - calls);
    bool inTime = false;
    while (!inTime) {  // the system may stop this process past the deadline
      Channel<int> empty;
      Limited<int> full(1);
      full.write(0);
      const Deadline start = sys::now();
      const Deadline deadline = start + 4ms;
      Job* job = nullptr;
      Log log;
      go([&] {
        job = &Scheduler::current().self();
        CHECK(errorOf([&] { call(empty, full, deadline); }) ==
              std::errc::timed_out);
        CHECK(sys::now() >= deadline);
        job = nullptr;
        log.push_back("the call");
      });
      go([&] {
        while (scheduler.park("time", -1, deadline + 500us)) continue;
        log.push_back("a little later");
      });
      naglfar::yield();
      while (job != nullptr && sys::now() < start + 2ms) {
        scheduler.wake(*job);
        naglfar::yield();
      }
      inTime = sys::now() < deadline;
      scheduler.run();
      if (inTime) CHECK(log == Log{"the call", "a little later"});
    }
  }
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

TEST_CASE_FIXTURE(
    Run, "a message between the deadline and the reader's turn is read") {
  Channel<int> channel;
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

#if CLAIMS(limits)
TEST_CASE_FIXTURE(
    Run, "room and the deadline at once is no message lost or doubled") {
  Channel<int> channel(1);
  const Deadline deadline = after(1ms);
  std::error_code error;
  channel.write(0);
  SUBCASE("and the room comes first") {
    go([&] { error = errorOf([&] { channel.write(1, deadline); }); });
    go([&] {
      CHECK(channel.read() == 0);
      while (sys::now() < deadline) continue;
    });
  }
  // Due at the same time, and the reader is woken first.
  SUBCASE("and the room comes before the writer's turn") {
    go([&] {
      while (scheduler.park("time", -1, deadline - 1us)) continue;
      CHECK(channel.read() == 0);
    });
    go([&] { error = errorOf([&] { channel.write(1, deadline); }); });
    go([&] {
      naglfar::yield();
      while (sys::now() < deadline) continue;
    });
  }
  scheduler.run();
  CHECK(error == std::error_code{});
  CHECK(channel.readWaiting() == Numbers{1});
}
#endif

TEST_CASE_FIXTURE(Run,
                  "close before the deadline is the end and no time-out") {
  Channel<int> channel;
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

TEST_CASE_FIXTURE(Run, "a reader that is unwound leaves the line") {
  Channel<int> channel;
  Numbers read;
  Task first = go([&] { read.push_back(channel.read()); });
  go([&] { read.push_back(channel.read()); });
  settleDown();
  first.cancel();
  channel.write(1);
  scheduler.run();
  CHECK(read == Numbers{1});
  CHECK(channel.size() == 0);
}

#if CLAIMS(limits)
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
  empty.write(1);
  CHECK(empty.size() == 1);
  CHECK(full.readWaiting() == Numbers{0});
}

TEST_CASE_FIXTURE(Run,
                  "a channel may go before those who are unwound from it") {
  Channel<int> empty;
  Channel<int> full(1);
  full.write(1);
  go([&] { empty.read(); });
  go([&] { empty.wait(); });
  go([&] { full.write(2); });
  CHECK_THROWS_AS(scheduler.run(), Deadlock);
}
#endif

TEST_CASE_FIXTURE(
    Run, "a coroutine may own the channel that another one writes to") {
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

  Limited<Message> channel(limit);
  std::deque<Message> written;  // in the order of the writes that ended
  std::vector<Message> read;
  int writing = producers;
  int timeouts = 0;
  Scheduler scheduler;

  for (int producer = 0; producer < producers; ++producer)
    go([&, producer] {
      for (int number = 0; number < messages;) {
        [[maybe_unused]] const Deadline deadline =
            below(5) == 0 ? sys::now() : never;
        try {
#if CLAIMS(limits)
          channel.write({producer, number}, deadline);
#else
          channel.write({producer, number});
#endif
          ++number;
        } catch (const std::system_error& error) {
          REQUIRE(error.code() == std::errc::timed_out);
          ++timeouts;
        }
#if CLAIMS(limits)
        REQUIRE(channel.size() <= limit);
#endif
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
  Limited<Message> channel(static_cast<std::size_t>(1 + below(5)));
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

// --- counts of this implementation ---

TEST_SUITE("reference") {
  TEST_CASE("the switches of 100 readers and 100 messages") {
    for (const bool yields : {false, true}) {
      Channel<int> channel;
      Scheduler scheduler;
      const Since since;
      for (int i = 0; i < 100; ++i) go([&] { channel.read(); });
      go([&] {
        for (int i = 0; i < 100; ++i) {
          channel.write(i);
          if (yields) naglfar::yield();
        }
      });
      scheduler.run();
      // Each reader runs twice. The writer's turn ends when it yields, or
      // else once, by its budget.
      CHECK(since.switches() ==
            2 * (200 + (yields ? 101 : 1 + CLAIMS(budgets))));
    }
  }

#if CLAIMS(limits)
  TEST_CASE("a message is moved twice on its way") {
    const int messages = messagesOfEachWay();
    CHECK(Counted::moves == 2 * messages);
  }

  TEST_CASE("a reader admits a writer without a move") {
    Channel<MoveOnly> channel(1);
    Scheduler scheduler;
    go([&] {
      for (int i = 0; i < 2; ++i) channel.write(MoveOnly(i));
    });
    settleDown();
    MoveOnly::moves = 1;  // out of the channel
    const std::optional<MoveOnly> first = channel.next();
    MoveOnly::moves = -1;
    CHECK(first->value == 0);
    CHECK(channel.size() == 1);
  }
#endif
}
