// The scheduler: whose turn it is, who waits until when, and what happens if
// nobody is left. The order of events and the ledger decide here, and never
// how long something took.

#include <doctest/doctest.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "naglfar/scheduler.hpp"
#include "naglfar/sys.hpp"
#include "naglfar/sys/ledger.hpp"
#include "run.hpp"

#if CLAIMS(signals)
#include "naglfar/scheduler/signals.hpp"
#endif

namespace sys = naglfar::sys;
using naglfar::after;
using naglfar::Call;
using naglfar::Coroutine;
using naglfar::Deadline;
using naglfar::Deadlock;
using naglfar::go;
using naglfar::Interest;
using naglfar::Job;
using naglfar::Ledger;
using naglfar::never;
using naglfar::Scheduler;
using naglfar::WaitQueue;
#if CLAIMS(signals)
using naglfar::Signals;
#endif
#if CLAIMS(groups)
using naglfar::TaskGroup;
#endif
using helpers::Run;
using helpers::Task;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

// What the ledger has counted since this was made.
struct Since {
  Ledger start = naglfar::ledger;
  std::uint64_t operator()(Call call) const {
    return naglfar::ledger[call] - start[call];
  }
  std::uint64_t parks() const { return naglfar::ledger.parks - start.parks; }
  std::uint64_t switches() const {
    return naglfar::ledger.switches - start.switches;
  }
  // Whichever of them the build has chosen.
  std::uint64_t polls() const {
    return (*this)(Call::epoll_wait) + (*this)(Call::kevent) +
           (*this)(Call::select);
  }
};

// Those of this thread's scheduler; none without one.
std::size_t coroutines() {
  std::size_t n = 0;
#if CLAIMS(coroutines)
  if (const Scheduler* scheduler = Scheduler::ofThread())
    scheduler->forEachCoroutine([&n](const Coroutine&) { ++n; });
#else
  try {
    std::stringstream list;
    Scheduler::current().dump(list);
    for (std::string line; std::getline(list, line);) ++n;
  } catch (const std::logic_error&) {
  }
#endif
  return n;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A pipe, and one byte at a time.
struct Pipe {
  sys::Fd reader;
  sys::Fd writer;

  Pipe() {
    int ends[2];
    sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
    reader = sys::Fd(ends[0]);
    writer = sys::Fd(ends[1]);
  }
  void put() const {
    const char byte = 'x';
    sys::check(sys::write(writer.get(), &byte, 1), "write");
  }
  bool take() const {
    char byte;
    return sys::read(reader.get(), &byte, 1) == 1;
  }
  // Tries first, as everybody must.
  void read() const {
    while (!take()) Scheduler::current().wait(reader.get(), Interest::read);
  }
};

#if CLAIMS(unhandled)
void rethrow(std::exception_ptr escaped) {
  std::rethrow_exception(escaped);
}
#endif

// Says in the log that a scope has ended.
struct Leaves {
  Log& log;
  std::string what;
  Leaves(Log& to, std::string text) : log(to), what(std::move(text)) {}
  Leaves(const Leaves&) = delete;
  Leaves& operator=(const Leaves&) = delete;
  ~Leaves() { log.push_back(what); }
};

// Lets the others run until something is the case, or clearly never will be.
template <class Condition>
void yieldUntil(Condition condition) {
  for (int turn = 0; turn < 1000 && !condition(); ++turn) naglfar::yield();
  CHECK(condition());
}

// What is printed on a stream while this lives.
class Captured {
 public:
  explicit Captured(std::ostream& stream)
      : stream_(stream), former_(stream.rdbuf(text_.rdbuf())) {}
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;
  ~Captured() { stream_.rdbuf(former_); }
  std::string text() const { return text_.str(); }

 private:
  std::ostream& stream_;
  std::ostringstream text_;
  std::streambuf* former_;
};

// Runs a function in a child, which shall return 0.
template <class Function>
int inChild(Function function) {
  const pid_t child = sys::fork();
  REQUIRE(child != -1);
  if (child == 0) {
    int status = 99;
    try {
      status = function();
    } catch (...) {
    }
    _exit(status);
  }
  int status = 0;
  REQUIRE(sys::waitpid(child, &status, 0) == child);
  return status;
}

}  // namespace

// --- whose turn it is ---

TEST_CASE("coroutines start in the order in which they were made") {
  Log log;
  Scheduler scheduler;
  for (const char* name : {"a", "b", "c"})
    go([&log, name] { log.push_back(name); });
  CHECK(log.empty());
  scheduler.run();
  CHECK(log == Log{"a", "b", "c"});
}

TEST_CASE("go passes arguments on and moves what can only be moved") {
  Scheduler scheduler;
  int sum = 0;
  go([&sum](int a, std::unique_ptr<int> b) { sum = a + *b; }, 2,
     std::make_unique<int>(40));
  struct Adder {
    void add(int n) { value += n; }
    int value = 0;
  } adder;
  go(&Adder::add, &adder, 7);
  scheduler.run();
  CHECK(sum == 42);
  CHECK(adder.value == 7);
}

TEST_CASE("what a coroutine starts comes after those who wait already") {
  Log log;
  Scheduler scheduler;
  go([&log] {
    go([&log] { log.push_back("child"); });
    log.push_back("parent");
  });
  go([&log] { log.push_back("other"); });
  scheduler.run();
  CHECK(log == Log{"parent", "other", "child"});
}

TEST_CASE("yield lets everybody else have a turn") {
  Log log;
  Scheduler scheduler;
  for (const char* name : {"a", "b"})
    go([&log, name] {
      for (int i = 0; i < 3; ++i) {
        log.push_back(name);
        naglfar::yield();
      }
    });
  const Since since;
  scheduler.run();
  CHECK(log == Log{"a", "b", "a", "b", "a", "b"});
  CHECK(since.parks() == 0);
}

#if CLAIMS(main_waits)
TEST_CASE("the thread's own stack takes its turns with the others") {
  Log log;
  Scheduler scheduler;
  go([&log] {
    log.push_back("a1");
    naglfar::yield();
    log.push_back("a2");
  });
  naglfar::yield();
  log.push_back("main");
  naglfar::yield();
  CHECK(log == Log{"a1", "main", "a2"});
}
#endif

TEST_CASE_FIXTURE(Run, "a coroutine runs once however often it was woken") {
  int wakes = 0;
  Job* sleeper = nullptr;
  go([&] {
    sleeper = &Scheduler::current().self();
    for (;;) {
      scheduler.park("a wake-up");
      ++wakes;
    }
  });
  naglfar::yield();
  scheduler.wake(*sleeper);
  scheduler.wake(*sleeper);
  scheduler.wake(*sleeper);
  naglfar::yield();
  CHECK(wakes == 1);
  naglfar::yield();
  CHECK(wakes == 1);
  scheduler.wake(*sleeper);
  naglfar::yield();
  CHECK(wakes == 2);
}

TEST_CASE_FIXTURE(Run,
                  "those who are woken run in the order of their waking") {
  Log log;
  std::vector<Job*> all;
  for (const char* name : {"a", "b", "c"})
    go([&, name] {
      all.push_back(&scheduler.self());
      scheduler.park("a wake-up");
      log.push_back(name);
    });
  naglfar::yield();
  for (const int i : {2, 0, 1})
    scheduler.wake(*all[static_cast<std::size_t>(i)]);
  scheduler.run();
  CHECK(log == Log{"c", "a", "b"});
}

TEST_CASE("a program that watches nothing makes no poll calls") {
  Scheduler scheduler;
  const Since since;
  WaitQueue line;
  int turns = 0;
  for (int i = 0; i < 100; ++i)
    go([&] {
      WaitQueue::Entry entry(line);
      while (entry.waiting()) scheduler.park("a call");
      naglfar::yield();
      ++turns;
    });
  go([&] {
    while (line.first() != nullptr) {
      line.first()->notify();
      naglfar::yield();
    }
  });
  scheduler.run();
  CHECK(turns == 100);
  CHECK(since.parks() == 100);
  CHECK(since.polls() == 0);
}

TEST_CASE_FIXTURE(Run, "who waits in line is called in the order of coming") {
  Log log;
  WaitQueue line;
  std::vector<Task> all;
  for (const char* name : {"a", "b", "c", "d"})
    all.push_back(go([&, name] {
      WaitQueue::Entry entry(line);
      while (entry.waiting()) scheduler.park("a call");
      log.push_back(name);
    }));
  naglfar::yield();
  line.first()->notify();
  naglfar::yield();
  CHECK(log == Log{"a"});
  all[2].cancel();  // leaves the line from its middle
  line.notifyAll();
  CHECK(line.first() == nullptr);
  scheduler.run();
  CHECK(log == Log{"a", "b", "d"});
}

TEST_CASE_FIXTURE(Run, "who leaves the end of a line leaves it to the next") {
  Log log;
  WaitQueue line;
  const auto join = [&](const char* name) {
    return Task(go([&, name] {
      WaitQueue::Entry entry(line);
      while (entry.waiting()) scheduler.park("a call");
      log.push_back(name);
    }));
  };
  join("a");
  Task last = join("b");
  naglfar::yield();
  last.cancel();
  join("c");
  naglfar::yield();
  line.notifyAll();
  scheduler.run();
  CHECK(log == Log{"a", "c"});
}

TEST_CASE_FIXTURE(
    Run, "an entry that is woken by mistake keeps its place in the line") {
  Log log;
  WaitQueue line;
  Job* first = nullptr;
  for (const char* name : {"a", "b"})
    go([&, name] {
      if (first == nullptr) first = &scheduler.self();
      WaitQueue::Entry entry(line);
      entry.wait("a call");
      log.push_back(name);
    });
  naglfar::yield();
  scheduler.wake(*first);
  naglfar::yield();
  CHECK(log.empty());
  line.first()->notify();
  naglfar::yield();
  CHECK(log == Log{"a"});
  line.first()->notify();
  scheduler.run();
  CHECK(log == Log{"a", "b"});
}

TEST_CASE("a notification between the deadline and the turn is not lost") {
  Scheduler scheduler;
  WaitQueue line;
  const Deadline deadline = after(1ms);
  bool notified = false;
  go([&] {
    while (scheduler.park("time", -1, deadline - 1us)) continue;
    line.notifyAll();  // its own deadline comes first, and so does its turn
  });
  go([&] {
    WaitQueue::Entry entry(line);
    entry.wait("a call", deadline);
    notified = true;
  });
  go([&] {  // then both are over when the poller looks at the clock
    while (sys::now() < deadline) continue;
  });
  CHECK_NOTHROW(scheduler.run());
  CHECK(notified);
}

// --- time ---

TEST_CASE_FIXTURE(Run,
                  "a sleeper wakes when its time has come and not before") {
  const Deadline deadline = after(2ms);
  naglfar::sleep(2ms);
  CHECK(sys::now() >= deadline);
  bool late = false;
  go([&late] {
    const Deadline mine = after(1ms);
    naglfar::sleep(1ms);
    late = sys::now() >= mine;
  });
  scheduler.run();
  CHECK(late);
}

TEST_CASE("sleepers wake in the order of their deadlines") {
  Scheduler scheduler;
  std::vector<int> order;
  // All are due at once in the end, so that only the heap decides.
  const Deadline base = after(3ms);
  for (const int i : {4, 0, 3, 1, 2})
    go([&, i] {
      while (scheduler.park("time", -1, base + i * 1us)) continue;
      order.push_back(i);
    });
  const Since since;
  scheduler.run();
  CHECK(order == std::vector<int>{0, 1, 2, 3, 4});
  CHECK(since.parks() == 5);
}

TEST_CASE("a sleeper does not keep the others from running") {
  Log log;
  Scheduler scheduler;
  go([&log] {
    naglfar::sleep(50ms);
    log.push_back("sleeper");
  });
  go([&log] {
    for (int i = 0; i < 3; ++i) naglfar::yield();
    log.push_back("worker");
  });
  scheduler.run();
  CHECK(log == Log{"worker", "sleeper"});
}

TEST_CASE_FIXTURE(Run, "the wait for a timer is one poll and no spin") {
  const Since since;
  naglfar::sleep(20ms);
  // One wait; a few more if the kernel's clock and ours disagree.
  CHECK(since.polls() >= 1);
  CHECK(since.polls() <= 3);
  CHECK(since.parks() == 1);
}

TEST_CASE_FIXTURE(Run, "a sleeper that is woken by mistake sleeps on") {
  bool slept = false;
  Job* sleeper = nullptr;
  go([&] {
    sleeper = &Scheduler::current().self();
    naglfar::sleep(1h);
    slept = true;
  });
  const Since since;
  for (int i = 0; i < 3; ++i) {
    naglfar::yield();
    REQUIRE_FALSE(slept);
    scheduler.wake(*sleeper);
  }
  naglfar::yield();
  CHECK_FALSE(slept);
  CHECK(since.parks() == 4);
}

TEST_CASE_FIXTURE(
    Run, "park returns false at its deadline and true if woken before") {
  std::vector<bool> results;
  Job* a = nullptr;
  go([&] {
    a = &Scheduler::current().self();
    results.push_back(scheduler.park("it", -1, sys::now()));
    results.push_back(scheduler.park("it", -1, after(1h)));
    results.push_back(scheduler.park("it", -1, after(1ms)));
    results.push_back(scheduler.park("it"));
  });
  while (results.empty()) naglfar::yield();
  naglfar::yield();
  REQUIRE(results.size() == 1);
  scheduler.wake(*a);
  while (results.size() < 3) naglfar::yield();
  naglfar::yield();
  REQUIRE(results.size() == 3);
  scheduler.wake(*a);
  scheduler.run();
  CHECK(results == std::vector<bool>{false, true, false, true});
}

TEST_CASE_FIXTURE(Run, "a deadline wakes the thread's own stack as well") {
  CHECK_FALSE(scheduler.park("nothing", -1, after(1ms)));
  CHECK_FALSE(scheduler.park("nothing", -1, sys::now() - 1s));
}

TEST_CASE_FIXTURE(Run, "a deadline before all time is over at once") {
  CHECK_FALSE(scheduler.park("nothing", -1, Deadline()));
  CHECK_FALSE(scheduler.park("nothing", -1, Deadline::min()));
}

TEST_CASE("who was woken before its deadline has not missed it") {
  // The wake-up comes first, then the deadline, then its turn.
  Scheduler scheduler;
  const Deadline deadline = after(1ms);
  int result = -1;
  Job* sleeper = nullptr;
  go([&] {
    sleeper = &Scheduler::current().self();
    result = scheduler.park("a wake-up", -1, deadline) ? 1 : 0;
  });
  go([&] {
    if (result == -1) scheduler.wake(*sleeper);
    while (sys::now() < deadline) continue;
  });
  scheduler.run();
  CHECK(result == 1);
}

TEST_CASE_FIXTURE(Run, "a timer that is not needed any more wakes nobody") {
  int turns = 0;
  Job* sleeper = nullptr;
  go([&] {
    sleeper = &Scheduler::current().self();
    scheduler.park("a wake-up", -1, after(1ms));
    ++turns;
    scheduler.park("something else");
    ++turns;
  });
  naglfar::yield();
  scheduler.wake(*sleeper);
  naglfar::sleep(3ms);
  REQUIRE(turns == 1);
  scheduler.wake(*sleeper);
  scheduler.run();
  CHECK(turns == 2);
}

TEST_CASE_FIXTURE(Run,
                  "the timer of a coroutine that was unwound wakes nothing") {
  Log log;
  Task sleeper = go([&log] {
    const Leaves scope(log, "unwound");
    naglfar::sleep(1ms);
    log.push_back("woken");
  });
  naglfar::yield();
  sleeper.cancel();
  naglfar::sleep(3ms);
  CHECK_NOTHROW(scheduler.run());
  CHECK(log == Log{"unwound"});
}

TEST_CASE("after saturates instead of overflowing") {
  CHECK(after(sys::Duration::max()) == never);
  CHECK(after(1h) < never);
  CHECK(after(1h) > sys::now());
}

TEST_CASE("many sleepers with random deadlines wake in their order") {
  Scheduler scheduler;
  std::mt19937 random(7);
  std::uniform_int_distribution<int> micros(0, 3000);
  const Deadline base = sys::now();
  std::vector<Deadline> expected;
  std::vector<Deadline> woken;
  std::vector<Job*> jobs(500);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const Deadline at = base + 5ms + micros(random) * 1us;
    const bool wakeEarly = i % 5 == 0;
    if (!wakeEarly) expected.push_back(at);
    go([&, i, at, wakeEarly] {
      jobs[i] = &scheduler.self();
      const bool early = scheduler.park("time", -1, at);
      if (!early || !wakeEarly) woken.push_back(at);
      jobs[i] = nullptr;
    });
    if (wakeEarly)
      go([&, i] {
        if (jobs[i] != nullptr) scheduler.wake(*jobs[i]);
      });
  }
  std::sort(expected.begin(), expected.end());
  const Since since;
  scheduler.run();
  CHECK(woken == expected);
  CHECK(since.parks() == 500);
}

// --- nobody left to run ---

TEST_CASE("run ends quietly when everybody has ended") {
  Scheduler scheduler;
  CHECK_NOTHROW(scheduler.run());
  go([] { naglfar::sleep(1ms); });
  go([] { naglfar::yield(); });
  CHECK_NOTHROW(scheduler.run());
  CHECK(coroutines() == 0);
}

TEST_CASE("somebody who waits for ever is a deadlock that names it") {
  Scheduler scheduler;
  go([&] { scheduler.park("the bus"); }).name = "passenger";
  go([&] { scheduler.park("a taxi"); }).name = "hurried one";
  go([] {}).name = "one who ends";
  const Since since;
  std::string message;
  try {
    scheduler.run();
  } catch (const Deadlock& deadlock) {
    message = deadlock.what();
  }
  INFO(message);
  CHECK(contains(message, "passenger"));
  CHECK(contains(message, "the bus"));
  CHECK(contains(message, "hurried one"));
  CHECK(contains(message, "a taxi"));
  CHECK_FALSE(contains(message, "one who ends"));
  CHECK(since.polls() == 0);
}

#if CLAIMS(main_waits)
TEST_CASE("main that waits for ever is a deadlock and main may go on") {
  Scheduler scheduler;
  Job* c = nullptr;
  go([&] {
    c = &Scheduler::current().self();
    scheduler.park("an answer");
  }).name = "partner";
  std::string message;
  try {
    scheduler.park("the question");
  } catch (const Deadlock& deadlock) {
    message = deadlock.what();
  }
  INFO(message);
  CHECK(contains(message, "the question"));
  CHECK(contains(message, "partner"));
  CHECK(contains(message, "an answer"));
  scheduler.wake(*c);
  CHECK_NOTHROW(scheduler.run());
}

TEST_CASE("main alone that waits for ever is a deadlock") {
  Scheduler scheduler;
  CHECK_THROWS_AS(scheduler.park("Godot"), Deadlock);
  CHECK_THROWS_WITH_AS(scheduler.park("Godot"), doctest::Contains("Godot"),
                       Deadlock);
}
#endif

TEST_CASE("who waits for a descriptor or for time is no deadlock") {
  const Pipe pipe;
  Scheduler scheduler;
  bool arrived = false;
  go([&] {
    pipe.read();
    arrived = true;
  });
  go([&] {
    naglfar::sleep(1ms);
    pipe.put();
  });
  CHECK_NOTHROW(scheduler.run());
  CHECK(arrived);
}

// --- exceptions ---

#if CLAIMS(unhandled)
TEST_CASE("with unhandled set an exception ends its coroutine and no other") {
  Log log;
  Scheduler scheduler;
  std::string escaped;
  scheduler.unhandled = [&escaped](std::exception_ptr what) {
    try {
      std::rethrow_exception(what);
    } catch (const std::exception& error) {
      escaped += error.what();
    }
  };
  go([&log] {
    naglfar::yield();
    log.push_back("before");
  });
  go([] { throw std::runtime_error("thrown"); });
  go([&log] {
    naglfar::yield();
    naglfar::yield();
    log.push_back("after");
  });
  scheduler.run();
  CHECK(log == Log{"before", "after"});
  CHECK(escaped == "thrown");
}

TEST_CASE("to print an exception and go on is a choice") {
  Scheduler scheduler;
  scheduler.unhandled = Scheduler::print;
  go([] { throw std::runtime_error("no such thing"); });
  go([] { throw 42; });
  std::string text;
  {
    const Captured captured(std::cerr);
    scheduler.run();
    text = captured.text();
  }
  INFO(text);
  CHECK(contains(text, "no such thing\n"));
  CHECK(contains(text, "unknown exception\n"));
  CHECK(std::count(text.begin(), text.end(), '\n') == 2);
}
#endif

TEST_CASE("an exception that nothing joins leaves run after the others") {
  Log log;
  Scheduler scheduler;
  const auto waits = [&](const char* name) {
    const Leaves scope(log, name);
    scheduler.park("the end");
  };
  go(waits, "first");
  go([&] {
    const Leaves scope(log, "thrower");
    throw std::runtime_error("out");
  });
  go(waits, "third");
  go(waits, "fourth");
  naglfar::go([&] { log.push_back("never"); });
  CHECK_THROWS_WITH(scheduler.run(), "out");
  // Those that had begun are unwound, in the order of their making.
  CHECK(log == Log{"thrower", "first"});
  CHECK(coroutines() == 0);
  bool ran = false;
  go([&ran] { ran = true; });
  scheduler.run();  // the scheduler goes on
  CHECK(ran);
}

#if CLAIMS(unhandled)
TEST_CASE("it comes out of main's own wait as well") {
  Scheduler scheduler;
  scheduler.unhandled = rethrow;
  go([] { throw std::runtime_error("out"); });
  CHECK_THROWS_WITH(naglfar::yield(), "out");
  CHECK_NOTHROW(naglfar::yield());
}
#endif

// --- descriptors ---

TEST_CASE("wait returns when there is something to read") {
  const Pipe pipe;
  Log log;
  Scheduler scheduler;
  const Since since;
  go([&] {
    pipe.read();
    log.push_back("read");
  });
  go([&] {
    log.push_back("write");
    pipe.put();
  });
  scheduler.run();
  CHECK(log == Log{"write", "read"});
  CHECK(since.parks() == 1);
}

TEST_CASE_FIXTURE(Run, "main waits for a descriptor while the others run") {
  const Pipe pipe;
  go([&] {
    naglfar::yield();
    pipe.put();
  });
  pipe.read();
  CHECK(coroutines() == 0);
}

TEST_CASE_FIXTURE(
    Run, "a pipe that is full can be written when somebody has read") {
  const Pipe pipe;
  std::array<char, 4096> block{};
  std::size_t written = 0;
  for (;;) {
    const ssize_t n =
        sys::write(pipe.writer.get(), block.data(), block.size());
    if (n <= 0) break;
    written += static_cast<std::size_t>(n);
  }
  REQUIRE(errno == EAGAIN);
  bool wrote = false;
  go([&] {
    scheduler.wait(pipe.writer.get(), Interest::write);
    wrote = sys::write(pipe.writer.get(), block.data(), 1) == 1;
  });
  naglfar::yield();
  CHECK_FALSE(wrote);
  while (written > 0) {
    const ssize_t n =
        sys::read(pipe.reader.get(), block.data(), block.size());
    REQUIRE(n > 0);
    written -= static_cast<std::size_t>(n);
  }
  scheduler.run();
  CHECK(wrote);
}

namespace {
std::error_code errorOfWait(int fd, Deadline deadline = never) {
  try {
    Scheduler::current().wait(fd, Interest::read, deadline);
  } catch (const std::system_error& error) {
    return error.code();
  }
  return {};
}
}  // namespace

TEST_CASE(
    "a second waiter on one direction gets EBUSY and the first its byte") {
  const Pipe pipe;
  Scheduler scheduler;
  bool arrived = false;
  go([&] {
    pipe.read();
    arrived = true;
  });
  std::error_code second;
  go([&] { second = errorOfWait(pipe.reader.get()); });
  go([&] { pipe.put(); });
  scheduler.run();
  CHECK(second == std::errc::device_or_resource_busy);
  CHECK(arrived);
}

TEST_CASE_FIXTURE(
    Run, "who waits for a descriptor that is forgotten gets ECANCELED") {
  const Pipe pipe;
  std::error_code error;
  go([&] { error = errorOfWait(pipe.reader.get()); });
  naglfar::yield();
  scheduler.deregister(pipe.reader.get());
  naglfar::yield();  // within one turn
  CHECK(error == std::errc::operation_canceled);
  CHECK(coroutines() == 0);
}

TEST_CASE_FIXTURE(Run, "a close cancels the wait for the descriptor") {
  Pipe pipe;
  std::error_code error;
  go([&] { error = errorOfWait(pipe.reader.get(), after(100ms)); });
  naglfar::yield();
  pipe.reader = sys::Fd();
  scheduler.run();
  CHECK(error == std::errc::operation_canceled);
}

// The byte queues the reader; before its turn the number is closed, and may
// be somebody else's.
TEST_CASE_FIXTURE(Run,
                  "news and a close before the waiter's turn are ECANCELED") {
  const Pipe pipe;
  std::error_code error;
  Job* reader = nullptr;
  go([&] {
    reader = &Scheduler::current().self();
    error = errorOfWait(pipe.reader.get());
    reader = nullptr;
  });
  naglfar::yield();
  REQUIRE_FALSE(reader->queued());
  pipe.put();
  while (reader != nullptr && !reader->queued()) naglfar::yield();
  REQUIRE(reader != nullptr);
  scheduler.deregister(pipe.reader.get());
  scheduler.run();
  CHECK(error == std::errc::operation_canceled);
}

TEST_CASE_FIXTURE(Run,
                  "wait gives up at its deadline and leaves nothing behind") {
  const Pipe pipe;
  CHECK(errorOfWait(pipe.reader.get(), after(1ms)) == std::errc::timed_out);
  // The place is free, and a later byte is seen.
  pipe.put();
  CHECK(errorOfWait(pipe.reader.get(), after(1h)) == std::error_code{});
  CHECK(pipe.take());
  CHECK_NOTHROW(scheduler.run());
}

TEST_CASE("readiness that comes before the deadline is no time-out") {
  // Both have happened when the poller has its turn.
  const Pipe pipe;
  Scheduler scheduler;
  const Deadline deadline = after(1ms);
  std::error_code error = std::make_error_code(std::errc::io_error);
  go([&] { error = errorOfWait(pipe.reader.get(), deadline); });
  go([&] {
    pipe.put();
    while (sys::now() < deadline) continue;
  });
  scheduler.run();
  CHECK(error == std::error_code{});
}

TEST_CASE_FIXTURE(
    Run, "a coroutine that is unwound leaves its descriptor to others") {
  const Pipe pipe;
  Task first = go([&] { pipe.read(); });
  naglfar::yield();
  first.cancel();
  bool arrived = false;
  go([&] {
    pipe.read();
    arrived = true;
  });
  go([&] { pipe.put(); });
  scheduler.run();
  CHECK(arrived);
}

namespace {
// Lets a coroutine take turns until another has news from the poller. Returns
// after how many turns it had them.
int turnsUntilNews() {
  const Pipe pipe;
  Scheduler scheduler;
  bool arrived = false;
  go([&] {
    pipe.read();
    arrived = true;
  });
  int turns = 0;
  go([&] {
    pipe.put();  // the other has found nothing, and waits
    while (!arrived && turns < 1000) {
      ++turns;
      naglfar::yield();
    }
  });
  scheduler.run();
  return turns;
}
}  // namespace

TEST_CASE("those who run are not starved and neither is the poller") {
  CHECK(turnsUntilNews() < 1000);
}

namespace {
volatile std::sig_atomic_t ticks = 0;
volatile std::sig_atomic_t tickPipe = -1;

// Five interruptions first, then what the sleeper waits for.
void tick(int, siginfo_t*, void*) {
  const int error = errno;
  ticks = ticks + 1;
  const char byte = 'x';
  if (ticks == 5) (void)!::write(tickPipe, &byte, 1);
  errno = error;
}
}  // namespace

TEST_CASE("an interval timer has no effect on who is parked") {
  const Pipe pipe;
  Scheduler scheduler;
  ticks = 0;
  tickPipe = pipe.writer.get();
  REQUIRE(sys::signalAction(SIGALRM, tick, 0) == 0);
  const itimerval every{{0, 1000}, {0, 1000}};
  const itimerval stop{};
  bool arrived = false;
  go([&] {
    pipe.read();
    arrived = true;
  });
  const Since since;
  setitimer(ITIMER_REAL, &every, nullptr);
  scheduler.run();
  setitimer(ITIMER_REAL, &stop, nullptr);
  std::signal(SIGALRM, SIG_IGN);  // valgrind hands a signal on late
  CHECK(arrived);
  CHECK(ticks >= 5);
  CHECK(since.parks() == 1);
  CHECK(since.polls() >= 2);  // it was in the middle of one when interrupted
}

// --- who is there ---

namespace {
// What dump says of five coroutines in different states, as lines.
std::vector<std::string> dumped(Scheduler& scheduler, const Pipe& pipe) {
  go([&] { pipe.read(); }).name = "reader";
  go([&] { scheduler.park("the moon"); }).name = "dreamer";
  go([] { naglfar::sleep(1h); }).name = "sleeper";
  Job* woken = nullptr;
  go([&] {
    woken = &Scheduler::current().self();
    scheduler.park("a call");
  }).name = "woken";
  naglfar::yield();
  scheduler.wake(*woken);
  go([] {}).name = "newcomer";
  std::stringstream text;
  scheduler.dump(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  return lines;
}
}  // namespace

TEST_CASE_FIXTURE(Run, "dump lists every coroutine and what it waits for") {
  const Pipe pipe;
  const std::vector<std::string> lines = dumped(scheduler, pipe);
  const auto lineOf = [&lines](const char* name) {
    for (const std::string& line : lines)
      if (contains(line, name)) return line;
    return std::string();
  };
  CHECK(contains(lineOf("reader"), std::to_string(pipe.reader.get())));
  CHECK(contains(lineOf("dreamer"), "the moon"));
  CHECK_FALSE(lineOf("sleeper").empty());
  CHECK_FALSE(lineOf("woken").empty());
  CHECK_FALSE(contains(lineOf("woken"), "a call"));  // it waits no more
  CHECK_FALSE(lineOf("newcomer").empty());
}

TEST_CASE("a coroutine that runs is not listed as waiting") {
  Scheduler scheduler;
  std::ostringstream out;
  Job* parked = nullptr;
  go([&] {
    parked = &scheduler.self();
    scheduler.park("a call");
    scheduler.dump(out);
  });
  go([&] { scheduler.wake(*parked); });
  scheduler.run();
  INFO(out.str());
  CHECK_FALSE(out.str().empty());
  CHECK_FALSE(contains(out.str(), "a call"));
}

// --- the end ---

TEST_CASE("a scheduler that goes destroys what never started") {
  Log log;
  {
    const Scheduler scheduler;
    go([&log, token = std::make_shared<Leaves>(log, "never started")] {
      log.push_back("started");
    });
    CHECK(log.empty());
  }
  CHECK(log == Log{"never started"});
  CHECK(coroutines() == 0);
}

#if CLAIMS(main_waits)
TEST_CASE("a scheduler that goes unwinds whoever is left") {
  const Pipe pipe;
  WaitQueue line;
  Log log;
  {
    Scheduler scheduler;
    go([&] {
      const Leaves scope(log, "line");
      WaitQueue::Entry entry(line);
      scheduler.park("a call");
    });
    go([&] {
      const Leaves scope(log, "descriptor");
      pipe.read();
    });
    go([&] {
      const Leaves scope(log, "timer");
      naglfar::sleep(1h);
    });
    go([&] {
      const Leaves scope(log, "queue");
      for (;;) naglfar::yield();
    });
    naglfar::yield();
  }
  CHECK(log == Log{"line", "descriptor", "timer", "queue"});
  CHECK(coroutines() == 0);
  CHECK(line.first() == nullptr);
}
#endif

#if CLAIMS(groups)
TEST_CASE("cancel survives that the unwinding of one ends the next") {
  Scheduler scheduler;
  TaskGroup group;
  Log log;
  Task second;
  struct Cancels {
    Task& task;
    ~Cancels() { task.cancel(); }
  };
  group.go([&] {
    const Cancels cancels{second};
    const Leaves scope(log, "first");
    scheduler.park("nothing");
  });
  second = group.go([&] {
    const Leaves scope(log, "second");
    scheduler.park("nothing");
  });
  group.go([&] {
    const Leaves scope(log, "third");
    scheduler.park("nothing");
  });
  naglfar::yield();
  group.cancel();
  CHECK(log == Log{"first", "second", "third"});
  CHECK(group.size() == 0);
}
#endif

TEST_CASE("what an unwinding starts is unwound as well") {
  struct Starter {
    int& ran;
    ~Starter() {
      go([&r = ran] { ++r; });
    }
  };
  int ran = 0;
  {
    Scheduler scheduler;
    go([&] {
      const Starter starter{ran};
      scheduler.park("nothing");
    });
    SUBCASE("when run() throws") {
      go([] { throw std::runtime_error("the end"); });
      CHECK_THROWS(scheduler.run());
    }
#if CLAIMS(main_waits)
    SUBCASE("when the scheduler goes") {
      naglfar::yield();
    }
#endif
  }
  CHECK(ran == 0);
  CHECK(coroutines() == 0);
}

TEST_CASE("a thread may have one scheduler after the other") {
  int runs = 0;
  for (int i = 0; i < 3; ++i) {
    Scheduler scheduler;
    CHECK(&Scheduler::current() == &scheduler);
#if CLAIMS(coroutines)
    CHECK(Scheduler::ofThread() == &scheduler);
#endif
    go([&runs] { ++runs; });
    scheduler.run();
  }
  CHECK_THROWS_AS(Scheduler::current(), std::logic_error);
  CHECK(runs == 3);
}

TEST_CASE("a descriptor may be closed after its scheduler has ended") {
  std::optional<Pipe> pipe(std::in_place);
  {
    Scheduler scheduler;
    go([&] { pipe->read(); });
    go([&] { pipe->put(); });
    scheduler.run();
  }
  pipe.reset();
  const Pipe next;
  next.put();
  CHECK(next.take());
}

TEST_CASE("a thread has one scheduler at a time") {
  Scheduler scheduler;
  CHECK_THROWS_AS(Scheduler{}, std::logic_error);
  CHECK(&Scheduler::current() == &scheduler);
}

#if CLAIMS(generators)
TEST_CASE("a generator cannot wait and is told so") {
  Scheduler scheduler;
  naglfar::StackPool pool;
  bool waited = false;
  go([&] {
    Coroutine& generator = Coroutine::make(pool, [&] {
      scheduler.park("what it cannot wait for");
      waited = true;
    });
    generator.name = "generator";
    CHECK_THROWS_AS(generator.resume(), std::logic_error);
  });
  CHECK_NOTHROW(scheduler.run());
  CHECK_FALSE(waited);
}
#endif

TEST_CASE("a job that is no coroutine cannot wait and is told so") {
  Scheduler scheduler;
  struct Waits final : Job {
    explicit Waits(Scheduler& of) : scheduler(of) {}
    void run() override { scheduler.park("what it cannot wait for"); }
    Scheduler& scheduler;
  } job{scheduler};
  scheduler.wake(job);
  CHECK_THROWS_AS(scheduler.run(), std::logic_error);
#if CLAIMS(main_waits)
  CHECK(&scheduler.self() != &job);  // main is itself again, and may wait
  CHECK_NOTHROW(naglfar::yield());
#endif
}

TEST_CASE("without a scheduler there is nothing to go on") {
  CHECK_THROWS_AS(go([] {}), std::logic_error);
  CHECK_THROWS_AS(naglfar::yield(), std::logic_error);
  CHECK_THROWS_AS(naglfar::sleep(1ms), std::logic_error);
  CHECK_THROWS_AS(Scheduler::current(), std::logic_error);
}

TEST_CASE("two threads have schedulers that know nothing of each other") {
  const auto work = [](std::vector<int>& seen, bool& alone) {
    const Pipe pipe;
    Scheduler scheduler;
    for (int i = 0; i < 100; ++i)
      go([&seen, i] {
        naglfar::yield();
        naglfar::sleep(10us * (i % 7));
        seen.push_back(i);
      });
    go([&pipe] { pipe.read(); });
    alone = coroutines() == 101;
    go([&pipe] {
      naglfar::sleep(1ms);
      pipe.put();
    });
    scheduler.run();
    alone = alone && coroutines() == 0;
  };
  std::vector<int> mine;
  std::vector<int> theirs;
  bool mineAlone = false;
  bool theirsAlone = false;
  std::thread other([&] { work(theirs, theirsAlone); });
  work(mine, mineAlone);
  other.join();
  for (std::vector<int>* seen : {&mine, &theirs}) {
    CHECK(std::set<int>(seen->begin(), seen->end()).size() == 100);
    CHECK(seen->size() == 100);
  }
  CHECK(mineAlone);
  CHECK(theirsAlone);
}

TEST_CASE("who writes to a peer that is gone gets EPIPE and no signal") {
  Pipe pipe;
  const Scheduler scheduler;
  pipe.reader = sys::Fd();
  const char byte = 'x';
  CHECK(sys::write(pipe.writer.get(), &byte, 1) == -1);
  CHECK(errno == EPIPE);
}

#if CLAIMS(signals)
// A shell that sends itself SIGPIPE ends, unless it has inherited that the
// signal is ignored or blocked.
TEST_CASE("a program that is started finds its signals as they were") {
  std::signal(SIGPIPE, SIG_DFL);
  Scheduler scheduler;
  Signals signals;
  signals.on(SIGTERM, [] {});
  std::signal(SIGHUP, SIG_IGN);  // as nohup(1) does
  const int piped = inChild([] {
    ::execl("/bin/sh", "sh", "-c", "kill -HUP $$; kill -PIPE $$; exit 7",
            nullptr);
    return 9;
  });
  CHECK(WIFSIGNALED(piped));
  CHECK(WTERMSIG(piped) == SIGPIPE);
}
#endif

// --- names ---

#if CLAIMS(sleep_numbers)
namespace names {
using namespace naglfar;
// Whether a call compiles, in a program that also has sleep(3).
template <class Argument>
concept Sleeps = requires(Argument argument) {
  sleep(argument);
};
}  // namespace names

TEST_CASE("sleep of a number is not sleep(3), which stops the thread") {
  CHECK_FALSE(names::Sleeps<int>);
  CHECK_FALSE(names::Sleeps<unsigned>);
  CHECK_FALSE(names::Sleeps<long>);
  CHECK_FALSE(names::Sleeps<std::size_t>);
  CHECK_FALSE(names::Sleeps<char>);
  CHECK_FALSE(names::Sleeps<double>);
  CHECK(names::Sleeps<std::chrono::seconds>);
  CHECK(names::Sleeps<std::chrono::duration<double>>);
}
#endif

// --- signals ---

#if CLAIMS(signals)
TEST_CASE("a signal runs its action between two jobs") {
  Scheduler scheduler;
  Signals signals;
  Log log;
  signals.on(SIGUSR1, [&log] {
    log.push_back(Coroutine::current() == nullptr ? "action" : "wrong stack");
  });
  go([&log] {
    naglfar::sleep(1us);
    log.push_back("raise");
    std::raise(SIGUSR1);
    log.push_back("raised");
    naglfar::sleep(1us);
    naglfar::yield();
  });
  scheduler.run();
  CHECK(log == Log{"raise", "raised", "action"});
}

TEST_CASE("a signal wakes a scheduler that is asleep") {
  const Pipe pipe;
  Scheduler scheduler;
  Signals signals;
  int seen = 0;
  signals.on(SIGALRM, [&] {
    ++seen;
    pipe.put();
  });
  const itimerval once{{0, 0}, {0, 1000}};
  setitimer(ITIMER_REAL, &once, nullptr);
  pipe.read();
  CHECK(seen == 1);
}

TEST_CASE("an action is called for each signal and each has its own") {
  Scheduler scheduler;
  Signals signals;
  Log log;
  signals.on(SIGUSR1, [&log] { log.push_back("one"); });
  signals.on(SIGUSR2, [&log] { log.push_back("two"); });
  for (std::size_t round = 1; round <= 3; ++round) {
    for (int turn = 0; turn < 5; ++turn) naglfar::yield();  // nothing is left
    std::raise(SIGUSR1);
    std::raise(SIGUSR2);
    std::raise(SIGUSR1);
    yieldUntil([&] { return log.size() == 3 * round; });
  }
  CHECK(log ==
        Log{"one", "two", "one", "one", "two", "one", "one", "two", "one"});
}

// More than a pipe has room for. All of them arrive in one turn.
TEST_CASE("no signal is lost to many of another kind") {
  Scheduler scheduler;
  Signals signals;
  int usr = 0;
  int term = 0;
  int usrBeforeTerm = 0;
  signals.on(SIGUSR1, [&] { ++usr; });
  signals.on(SIGTERM, [&] {
    ++term;
    usrBeforeTerm = usr;
  });
  constexpr int many = 70'000;
  for (int i = 0; i < many; ++i) std::raise(SIGUSR1);
  std::raise(SIGTERM);
  yieldUntil([&] { return term == 1; });
  CHECK(usrBeforeTerm <= 1);  // the actions take turns
  for (int i = 0; i < 2 * many && usr < many; ++i) naglfar::yield();
  CHECK(usr == many);
  CHECK(term == 1);
}

TEST_CASE("an action may raise signals and each is told") {
  Scheduler scheduler;
  Signals signals;
  int left = 1000;
  int others = 0;
  signals.on(SIGUSR1, [&] {
    std::raise(SIGUSR2);
    if (--left > 0) std::raise(SIGUSR1);
  });
  signals.on(SIGUSR2, [&] { ++others; });
  std::raise(SIGUSR1);
  for (int i = 0; i < 5000 && others < 1000; ++i) naglfar::yield();
  CHECK(left == 0);
  CHECK(others == 1000);
}

TEST_CASE(
    "a signal to another thread runs its action in the right scheduler") {
  Scheduler scheduler;
  Signals signals;
  std::thread::id ranIn;
  signals.on(SIGUSR1, [&] { ranIn = std::this_thread::get_id(); });
  bool othersIdle = false;
  std::thread other([&] {
    Scheduler own;
    pthread_kill(pthread_self(), SIGUSR1);
    for (int i = 0; i < 100; ++i) naglfar::yield();
    othersIdle = ranIn == std::thread::id();
    own.run();
  });
  other.join();
  CHECK(othersIdle);
  yieldUntil([&] { return ranIn != std::thread::id(); });
  CHECK(ranIn == std::this_thread::get_id());
}

namespace {

void formerHandler(int) {}

// What the process does at a signal.
auto dispositionOf(int signal) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action.sa_handler;
}

}  // namespace

TEST_CASE("what a signal did before is given back, also in a child") {
  std::signal(SIGUSR1, formerHandler);
  std::signal(SIGUSR2, SIG_IGN);
  std::signal(SIGTERM, SIG_DFL);
  const auto asBefore = [] {
    return dispositionOf(SIGUSR1) == formerHandler &&
           dispositionOf(SIGUSR2) == SIG_IGN &&
           dispositionOf(SIGTERM) == SIG_DFL;
  };
  {
    Scheduler scheduler;
    Signals signals;
    for (const int signal : {SIGUSR1, SIGUSR2, SIGTERM, SIGUSR1})
      signals.on(signal, [] {});
    CHECK_FALSE(asBefore());
    CHECK(inChild([&] { return asBefore() ? 0 : 1; }) == 0);
    CHECK_FALSE(asBefore());
  }
  CHECK(asBefore());
  std::signal(SIGUSR1, SIG_DFL);
  std::signal(SIGUSR2, SIG_DFL);
}

TEST_CASE("a handler that the program sets later is not taken back") {
  {
    Scheduler scheduler;
    Signals signals;
    signals.on(SIGUSR1, [] {});
    std::signal(SIGUSR1, formerHandler);
  }
  CHECK((dispositionOf(SIGUSR1) == formerHandler));
  std::signal(SIGUSR1, SIG_DFL);
}

TEST_CASE("Signals::on says why it cannot be") {
  std::optional<Scheduler> scheduler(std::in_place);
  Signals signals;
  CHECK_THROWS_AS(signals.on(SIGKILL, [] {}), std::system_error);
  CHECK_THROWS_AS(signals.on(0, [] {}), std::system_error);
  CHECK_THROWS_AS(signals.on(100'000, [] {}), std::system_error);
  const auto reason = [&] {
    try {
      signals.on(SIGUSR1, [] {});
    } catch (const std::logic_error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(inChild([&] { return contains(reason(), "child") ? 0 : 1; }) == 0);
  std::string elsewhere;
  std::thread([&] { elsewhere = reason(); }).join();
  CHECK(contains(elsewhere, "another thread"));
  scheduler.reset();
  CHECK(contains(reason(), "has ended"));
  CHECK((dispositionOf(SIGUSR1) == SIG_DFL));
}

TEST_CASE("an action may say what the next signal shall do") {
  Scheduler scheduler;
  Signals signals;
  Log log;
  const std::string polite = "once more, and it is an order to stop";
  signals.on(SIGUSR1, [&signals, &log, polite] {
    signals.on(SIGUSR1, [&log] { log.push_back("stop"); });
    log.push_back(polite);  // its own copy
  });
  for (int i = 0; i < 2; ++i) {
    std::raise(SIGUSR1);
    naglfar::sleep(1us);
    naglfar::yield();
  }
  CHECK(log == Log{polite, "stop"});
}

TEST_CASE("signals need a scheduler and leave nothing behind without") {
  CHECK_THROWS_AS(Signals(), std::logic_error);
  Scheduler scheduler;
  CHECK_NOTHROW(Signals());
}

TEST_CASE("signals are seen by a program that only yields") {
  Scheduler scheduler;
  Signals signals;
  bool seen = false;
  signals.on(SIGUSR1, [&seen] { seen = true; });
  int turns = 0;
  go([&] {
    std::raise(SIGUSR1);
    while (!seen && turns < 1000) {
      ++turns;
      naglfar::yield();
    }
  });
  scheduler.run();
  CHECK(seen);
  CHECK(turns <= 3);
}

TEST_CASE("signals alone keep no scheduler running") {
  Scheduler scheduler;
  Signals signals;
  signals.on(SIGUSR1, [] {});
  go([] { naglfar::sleep(1us); });
  CHECK_NOTHROW(scheduler.run());
  go([&] { scheduler.park("nothing"); });
  CHECK_THROWS_AS(scheduler.run(), Deadlock);
  CHECK_THROWS_AS(scheduler.park("nothing"), Deadlock);
}

TEST_CASE("an action that throws is reported and the next one runs") {
  Scheduler scheduler;
  Signals signals;
  int seen = 0;
  int reported = 0;
  scheduler.unhandled = [&reported](std::exception_ptr) { ++reported; };
  signals.on(SIGUSR1, [&seen] {
    ++seen;
    throw std::runtime_error("from an action");
  });
  for (const int n : {1, 2}) {
    std::raise(SIGUSR1);
    yieldUntil([&] { return reported == n; });
    CHECK(seen == n);
  }
  std::raise(SIGUSR1);  // and two that arrive together
  std::raise(SIGUSR1);
  yieldUntil([&] { return reported == 4; });
  CHECK(seen == 4);
}

TEST_CASE("SIGQUIT may dump the coroutines") {
  Scheduler scheduler;
  Signals signals;
  std::ostringstream out;
  signals.on(SIGQUIT, [&] { scheduler.dump(out); });
  go([&] { scheduler.park("the question"); }).name = "waiter";
  naglfar::yield();
  std::raise(SIGQUIT);
  yieldUntil([&] { return !out.str().empty(); });
  CHECK(contains(out.str(), "waiter"));
  CHECK(contains(out.str(), "the question"));
}

TEST_CASE("a process has one Signals at a time and the default comes back") {
  Scheduler scheduler;
  {
    Signals signals;
    CHECK_THROWS_AS(Signals{}, std::logic_error);
    signals.on(SIGUSR1, [] {});
  }
  struct sigaction action {};
  sigaction(SIGUSR1, nullptr, &action);
  CHECK((action.sa_handler == SIG_DFL));
  const Signals again;
  CHECK_NOTHROW(scheduler.run());
}
#endif

// --- fork ---

#if CLAIMS(fork)
TEST_CASE("after fork the child's poller takes no event from the parent's") {
  const Pipe pipe;
  Scheduler scheduler;
  bool arrived = false;
  // Registered before the fork, so both processes have it.
  Task reader = go([&] {
    pipe.read();
    arrived = true;
  });
  naglfar::yield();
  const int status = inChild([&] {
    reader.cancel();  // it would take the byte
    const Pipe own;
    bool ownArrived = false;
    go([&] {
      own.read();
      ownArrived = true;
    });
    naglfar::yield();
    pipe.put();
    own.put();
    // Polls until there is no more news.
    for (int turn = 0; turn < 10; ++turn) naglfar::yield();
    return ownArrived ? 0 : 1;
  });
  CHECK(status == 0);
  CHECK_FALSE(arrived);
  for (int turn = 0; turn < 10; ++turn) naglfar::yield();
  CHECK(arrived);
}

TEST_CASE("after fork both processes go on with their own descriptors") {
  const Pipe toChild;
  const Pipe toParent;
  Scheduler scheduler;
  const pid_t child = sys::fork();
  if (child == 0) {
    int status = 1;
    go([&] {
      toChild.read();
      toParent.put();
      naglfar::sleep(1ms);
      status = 0;
    });
    try {
      scheduler.run();
    } catch (...) {
      status = 2;
    }
    _exit(status);
  }
  REQUIRE(child > 0);
  toChild.put();
  toParent.read();
  int status = -1;
  REQUIRE(sys::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("a coroutine that was parked before a fork is woken in the child") {
  const Pipe pipe;
  Scheduler scheduler;
  bool arrived = false;
  go([&] {
    pipe.read();
    arrived = true;
  });
  naglfar::yield();
  const int status = inChild([&] {
    pipe.put();
    scheduler.run();
    return arrived ? 0 : 1;
  });
  CHECK(status == 0);
  CHECK_FALSE(arrived);
  CHECK_FALSE(pipe.take());  // the child's turn took it
}

TEST_CASE("a fork in a coroutine goes on in both processes") {
  const Pipe pipe;
  Scheduler scheduler;
  int status = -1;
  go([&] {
    const pid_t child = sys::fork();
    if (child == 0) {
      pipe.put();
      naglfar::yield();
      naglfar::sleep(1ms);
      _exit(coroutines() == 1 ? 0 : 1);
    }
    pipe.read();
    sys::waitpid(child, &status, 0);
  });
  scheduler.run();
  CHECK(status == 0);
}
#endif

#if CLAIMS(signals)
TEST_CASE("a child that asks for its parent's signals is told why not") {
  Scheduler scheduler;
  Signals signals;
  const pid_t child = sys::fork();
  if (child == 0) {
    try {
      signals.on(SIGUSR1, [] {});
    } catch (const std::logic_error& error) {
      const std::string_view text = error.what();
      _exit(text.find("child") != std::string_view::npos ? 0 : 1);
    }
    _exit(2);
  }
  int status = -1;
  REQUIRE(sys::waitpid(child, &status, 0) == child);
  CHECK(status == 0);
}

TEST_CASE("a forked child does not run its parent's actions") {
  const Pipe pipe;
  Scheduler scheduler;
  Signals signals;
  int seen = 0;
  signals.on(SIGUSR1, [&] { ++seen; });
  std::raise(SIGUSR1);  // it is in the pipe already, which both have
  SUBCASE("that the poller has not seen") {}
  SUBCASE("that are queued") {
    naglfar::yield();  // the poller stands behind main
    naglfar::yield();  // and now the action does
    REQUIRE(seen == 0);
  }
  const pid_t child = sys::fork();
  if (child == 0) {
    for (int turn = 0; turn < 10; ++turn) naglfar::yield();
    naglfar::sleep(1ms);
    _exit(seen);
  }
  int status = -1;
  REQUIRE(sys::waitpid(child, &status, 0) == child);
  REQUIRE(status == 0);
  go([&] {
    while (seen == 0) naglfar::yield();
  });
  scheduler.run();
  CHECK(seen == 1);
}

TEST_CASE("a signal to a forked child is not its parent's") {
  std::signal(SIGTERM, SIG_DFL);  // not the handler of the test program
  Scheduler scheduler;
  Signals signals;
  int seen = 0;
  signals.on(SIGTERM, [&] { ++seen; });
  const pid_t child = sys::fork();
  if (child == 0) {
    std::raise(SIGTERM);
    _exit(0);
  }
  int status = 0;
  REQUIRE(sys::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  std::raise(SIGTERM);  // the parent's own: exactly one
  go([&] {
    while (seen == 0) naglfar::yield();
  });
  scheduler.run();
  CHECK(seen == 1);
}
#endif

// --- counts and words of this implementation ---

TEST_SUITE("reference") {
  TEST_CASE("a yield is two switches") {
    Scheduler scheduler;
    for (int i = 0; i < 2; ++i)
      go([] {
        for (int turn = 0; turn < 3; ++turn) naglfar::yield();
      });
    const Since since;
    scheduler.run();
    CHECK(since.switches() == 2 * 2 * 4);
  }

#if CLAIMS(idle_timers)
  TEST_CASE("a timer costs no poll calls while others can run") {
    Scheduler scheduler;
    go([] { naglfar::sleep(1h); });
    const Since since;
    for (int i = 0; i < 100; ++i) naglfar::yield();
    CHECK(since.parks() == 1);
    CHECK(since.polls() == 0);
  }
#endif

  TEST_CASE("the poller has its turn after each round of the others") {
    const Since since;
    CHECK(turnsUntilNews() <= 3);
    CHECK(since.polls() <= 5);
  }

#if CLAIMS(words)
  TEST_CASE("a deadlock is told in these words") {
    Scheduler scheduler;
    go([&] { scheduler.park("the bus"); }).name = "passenger";
    std::string message;
    try {
      scheduler.park("its passenger");
    } catch (const Deadlock& deadlock) {
      message = deadlock.what();
    }
    INFO(message);
    CHECK(message.starts_with("deadlock: no job can run"));
    CHECK(contains(message, "main waits for its passenger"));
    CHECK(contains(message, "passenger #"));
    CHECK(contains(message, " waits for the bus\n"));
  }

  TEST_CASE_FIXTURE(Run, "dump lists coroutines in these words") {
    const Pipe pipe;
    const std::vector<std::string> lines = dumped(scheduler, pipe);
    REQUIRE(lines.size() == 6);
    CHECK(lines[0] == "5 coroutines, 1 waits for descriptors");
    CHECK(contains(lines[1], "reader #"));
    CHECK(contains(lines[1], " waits for a descriptor to read from"));
    CHECK(contains(lines[1],
                   "descriptor " + std::to_string(pipe.reader.get())));
    CHECK(contains(lines[2], "dreamer #"));
    CHECK(contains(lines[2], " waits for the moon"));
    CHECK_FALSE(contains(lines[2], "descriptor"));
    CHECK(contains(lines[3], "sleeper #"));
    CHECK(contains(lines[3], " waits for time to pass"));
    CHECK(contains(lines[4], "woken #"));
    CHECK(contains(lines[4], " is ready to run"));
    CHECK(contains(lines[5], "newcomer #"));
    CHECK(contains(lines[5], " is ready to run"));
  }

  TEST_CASE("dump says which coroutine runs") {
    const Pipe pipe;
    Scheduler scheduler;
    std::ostringstream out;
    pipe.put();
    go([&] {
      scheduler.wait(pipe.reader.get(), Interest::read);
      scheduler.dump(out);
    }).name = "myself";
    go([&] {
      while (out.str().empty()) naglfar::yield();
    }).name = "other";
    scheduler.run();
    const std::string text = out.str();
    INFO(text);
    CHECK(contains(text, " runs\n"));
    CHECK(contains(text.substr(0, text.find(" runs\n")), "myself #"));
    CHECK(contains(text.substr(text.find("other")), " is ready to run"));
  }
#endif
}
