// Task groups and handles: who owns a coroutine, how it is waited for and
// cancelled, and where the exception goes that leaves it. At the end, all
// orders in which a scheduler and what registers with it can be destroyed.

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "helpers.hpp"
#include "naglfar/http.hpp"
#include "naglfar/scheduler.hpp"
#include "naglfar/scheduler/signals.hpp"
#include "naglfar/server/waiters.hpp"

using namespace naglfar;
using namespace helpers;
using namespace std::chrono_literals;

namespace {

using Log = std::vector<std::string>;

// Says in the log that a scope has ended.
struct Leaves {
  Log& log;
  std::string what;
  Leaves(Log& to, std::string text) : log(to), what(std::move(text)) {}
  Leaves(const Leaves&) = delete;
  Leaves& operator=(const Leaves&) = delete;
  ~Leaves() { log.push_back(what); }
};

// Waits for ever, and says in the log that it was unwound.
void waitForEver(Log& log, const char* name) {
  const Leaves scope(log, name);
  for (;;) Scheduler::current().park("nothing");
}

void throwIt(const char* what) {
  throw std::runtime_error(what);
}

std::size_t coroutines() {
  std::size_t n = 0;
  Scheduler::current().forEachCoroutine([&n](const Coroutine&) { ++n; });
  return n;
}

// What is cancelled in its destructor.
struct CancelsAtEnd {
  TaskGroup& group;
  ~CancelsAtEnd() { group.cancel(); }
};

}  // namespace

// --- the handle ---

TEST_CASE_FIXTURE(Run, "a handle says when its coroutine is done") {
  Task task = go([] { yield(); });
  CHECK_FALSE(task.done());
  yield();
  CHECK_FALSE(task.done());
  scheduler.run();
  CHECK(task.done());
  CHECK(Task().done());
}

TEST_CASE_FIXTURE(Run, "a handle of a coroutine that ended is no other's") {
  Log log;
  Task first = go([] {});
  yield();
  // On the same stack, as a rule.
  Task second = go(waitForEver, std::ref(log), "second");
  yield();
  first.cancel();
  first.name = "first";
  CHECK(log.empty());
  CHECK_FALSE(second.done());
  CHECK(static_cast<const char*>(second.name) == nullptr);
  CHECK_NOTHROW(first.join());
  second.cancel();
  CHECK(log == Log{"second"});
}

TEST_CASE_FIXTURE(Run, "a handle that is ignored changes nothing") {
  bool ran = false;
  go([&] {
    yield();
    ran = true;
  });
  scheduler.run();
  CHECK(ran);
}

TEST_CASE_FIXTURE(Run, "a handle names its coroutine, also once moved") {
  Task task = go([&] { scheduler.park("it"); });
  Task moved = std::move(task);
  moved.name = "mine";
  CHECK(std::string(moved.name) == "mine");
  CHECK(task.done());
  yield();
  CHECK_THROWS_WITH_AS(scheduler.run(), doctest::Contains("mine"), Deadlock);
  moved.cancel();
  CHECK(moved.done());
  scheduler.run();
}

TEST_CASE_FIXTURE(Run, "join waits for the end, and once") {
  Log log;
  go([&] {
    Task task = go([&] {
      yield();
      log.push_back("task");
    });
    const Since since;
    task.join();
    CHECK(since.parks() == 1);
    task.join();
    log.push_back("joined");
  });
  scheduler.run();
  CHECK(log == Log{"task", "joined"});
}

TEST_CASE_FIXTURE(Run, "several coroutines may join one task") {
  int joined = 0;
  Task task = go([] { yield(); });
  for (int i = 0; i < 3; ++i)
    go([&] {
      task.join();
      ++joined;
    });
  scheduler.run();
  CHECK(joined == 3);
}

TEST_CASE_FIXTURE(Run, "join gives up at its deadline and the task goes on") {
  Log log;
  Task task = go(waitForEver, std::ref(log), "task");
  CHECK_THROWS_WITH_AS(task.join(after(1ms)),
                       doctest::Contains("task to end"), std::system_error);
  CHECK_FALSE(task.done());
  CHECK(log.empty());
  task.cancel();
}

TEST_CASE_FIXTURE(Run, "a coroutine that joins itself is an error") {
  Task task;
  std::error_code error;
  task = go([&] {
    try {
      task.join();
    } catch (const std::system_error& thrown) {
      error = thrown.code();
    }
  });
  scheduler.run();
  CHECK(error == std::errc::resource_deadlock_would_occur);
}

TEST_CASE_FIXTURE(Run, "join hands over the exception, to the first") {
  Task early = go(throwIt, "early");
  yield();  // it ends before it is joined
  CHECK(early.done());
  CHECK_THROWS_WITH(early.join(), "early");
  CHECK_NOTHROW(early.join());
  Task late = go([] {
    yield();
    throwIt("late");
  });
  CHECK_THROWS_WITH(late.join(), "late");
  scheduler.run();
}

TEST_CASE_FIXTURE(Run, "an exception moves with the handle") {
  Task task = go(throwIt, "moved");
  yield();
  Task moved = std::move(task);
  CHECK_NOTHROW(task.join());
  CHECK_THROWS_WITH(moved.join(), "moved");
  scheduler.run();
}

TEST_CASE_FIXTURE(Run, "an exception that was not joined leaves run") {
  {
    const Task task = go(throwIt, "dropped");
    yield();
  }
  CHECK_THROWS_WITH(scheduler.run(), "dropped");
  const Task kept = go(throwIt, "kept");
  CHECK_THROWS_WITH(scheduler.run(), "kept");
  CHECK_NOTHROW(scheduler.run());
}

TEST_CASE_FIXTURE(
    Run,
    "an exception that nothing joins leaves the call in which main waits") {
  bool cancelled = false;
  struct Leaves {
    ~Leaves() { flag = true; }
    bool& flag;
  };
  for (const bool forEver : {true, false}) {
    cancelled = false;
    go([&] {
      const Leaves leaves{cancelled};
      scheduler.park("the end");
    });
    go(throwIt, "escaped");
    const auto wait = [&] { forEver ? (void)scheduler.park("x") : yield(); };
    CHECK_THROWS_WITH(wait(), "escaped");
    CHECK(cancelled);
  }
  CHECK_NOTHROW(scheduler.run());
}

TEST_CASE_FIXTURE(Run, "a handle that is assigned to hands over first") {
  Task task = go(throwIt, "replaced");
  yield();
  bool ran = false;
  task = go([&] { ran = true; });
  CHECK_THROWS_WITH(scheduler.run(), "replaced");
  CHECK_FALSE(ran);  // it was cancelled with the others
}

TEST_CASE_FIXTURE(Run, "a joiner that is cancelled leaves the exception") {
  Task task = go([] {
    yield();
    throwIt("still there");
  });
  Task joiner = go([&] { task.join(); });
  while (!task.done()) yield();
  joiner.cancel();  // just as it was to be resumed
  CHECK_THROWS_WITH(task.join(), "still there");
  scheduler.run();
}

TEST_CASE_FIXTURE(Run, "a handle may move while coroutines join it") {
  std::vector<Task> tasks;
  tasks.push_back(go([] {
    for (int i = 0; i < 5; ++i) yield();
    throwIt("told to the first");
  }));
  Log log;
  for (int i = 0; i < 3; ++i)
    go([&] {
      try {
        tasks.front().join();
        log.push_back("joined");
      } catch (const std::runtime_error& error) {
        log.push_back(error.what());
      }
    });
  yield();
  for (int i = 0; i < 10; ++i) tasks.emplace_back();  // which moves the first
  while (!tasks.front().done()) yield();
  tasks.reserve(100);  // it moves once more: all were notified, none has run
  scheduler.run();
  CHECK(log == Log{"told to the first", "joined", "joined"});
}

TEST_CASE_FIXTURE(Run, "a handle may be destroyed while coroutines join it") {
  for (const bool assigned : {false, true}) {
    CAPTURE(assigned);
    bool ended = false;
    std::optional<Task> task = go([&] {
      for (int i = 0; i < 5; ++i) yield();
      ended = true;
    });
    std::vector<int> errors;
    for (int i = 0; i < 3; ++i)
      go([&] { errors.push_back(errorOf([&] { task->join(); })); });
    Task cancelled = go([&] { task->join(); });
    Task late = go([&] { task->join(after(1h)); });
    yield();
    if (assigned)
      *task = Task();
    else
      task.reset();
    cancelled.cancel();
    CHECK(errorOf([&] { late.join(); }) == ECANCELED);
    CHECK(errors == std::vector(3, ECANCELED));
    CHECK_FALSE(ended);  // it has lost its handle and nothing else
    scheduler.run();
    CHECK(ended);
  }
}

TEST_CASE_FIXTURE(Run, "a join that was told of the end needs no handle") {
  std::optional<Task> task = go([] {
    yield();
    throwIt("of no call");
  });
  int joined = 0;
  for (int i = 0; i < 3; ++i)
    go([&] {
      task->join();
      ++joined;
    });
  while (!task->done()) yield();
  task.reset();  // the coroutines were woken, and have not run yet
  CHECK_THROWS_WITH(scheduler.run(), "of no call");
  task = go([] { yield(); });
  for (int i = 0; i < 3; ++i)
    go([&] {
      task->join();
      ++joined;
    });
  while (!task->done()) yield();
  task.reset();
  scheduler.run();
  CHECK(joined == 3);
}

TEST_CASE_FIXTURE(Run, "to make a coroutine and forget it allocates nothing" *
                           doctest::test_suite("reference")) {
  for (int i = 0; i < 10; ++i) go([] {});  // stacks, and the queue
  scheduler.run();
  const Since since;
  for (int i = 0; i < 10; ++i) go([] { yield(); });
  scheduler.run();
  CHECK(since.allocations() == 0);
}

// --- cancellation ---

TEST_CASE_FIXTURE(Run, "cancel unwinds where the coroutine waits") {
  Log log;
  Task parked = go(waitForEver, std::ref(log), "parked");
  Task ready = go([&] {
    const Leaves scope(log, "ready");
    for (;;) yield();
  });
  Task fresh = go([&] { log.push_back("started"); });
  fresh.cancel();
  yield();
  parked.cancel();
  ready.cancel();
  parked.cancel();
  CHECK(log == Log{"parked", "ready"});
  CHECK(coroutines() == 0);
  scheduler.run();
}

TEST_CASE_FIXTURE(Run, "a coroutine that was just woken is cancelled too") {
  Log log;
  WaitQueue queue;
  Task task = go([&] {
    const Leaves scope(log, "unwound");
    const WaitQueue::Entry entry(queue);
    while (entry.waiting()) scheduler.park("a call");
    log.push_back("went on");
  });
  yield();
  queue.notifyAll();
  task.cancel();
  scheduler.run();
  CHECK(log == Log{"unwound"});
}

TEST_CASE_FIXTURE(Run,
                  "a coroutine that cancels itself goes to its next wait") {
  Log log;
  Task task;
  task = go([&] {
    const Leaves scope(log, "unwound");
    task.cancel();
    task.cancel();
    log.push_back("goes on");
    yield();
    log.push_back("never");
  });
  scheduler.run();
  CHECK(log == Log{"goes on", "unwound"});
  CHECK(task.done());
}

TEST_CASE_FIXTURE(Run, "each call that waits is a point of cancellation") {
  int ends[2];
  sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
  const sys::Fd reader(ends[0]);
  const sys::Fd writer(ends[1]);
  Channel<int> empty;
  Channel<int> full(1);
  full.write(1);
  Log ignored;
  TaskGroup endless;
  Task other = endless.go(waitForEver, std::ref(ignored), "other");
  const std::vector<std::function<void()>> calls = {
      [&] { scheduler.park("it"); }, [&] { yield(); },
      [&] { naglfar::sleep(1h); },   [&] { goRead(reader.get(), 1); },
      [&] { empty.read(); },         [&] { empty.wait(); },
      [&] { full.write(2); },        [&] { other.join(); },
      [&] { endless.wait(); },       [&] { endless.waitOne(); },
  };
  for (std::size_t i = 0; i < calls.size(); ++i) {
    CAPTURE(i);
    Log log;
    Task task = go([&] {
      const Leaves scope(log, "unwound");
      calls[i]();
      log.push_back("went on");
    });
    go([&] { task.cancel(); });
    yield();
    CHECK(log == Log{"unwound"});
  }
  CHECK(full.size() == 1);
}

// --- groups ---

TEST_CASE_FIXTURE(Run, "a group waits until all have ended") {
  Log log;
  TaskGroup group;
  for (const char* name : {"a", "b", "c"})
    group.go([&log, name] {
      yield();
      log.push_back(name);
    });
  CHECK(group.size() == 3);
  group.wait();
  CHECK(log == Log{"a", "b", "c"});
  CHECK(group.size() == 0);
  CHECK_NOTHROW(group.wait());
}

TEST_CASE_FIXTURE(Run, "a member that waits for its group waits for others") {
  Log log;
  TaskGroup group;
  group.go([&] {
    group.wait();
    log.push_back("waited");
  });
  group.go([&] {
    yield();
    log.push_back("other");
  });
  scheduler.run();
  CHECK(log == Log{"other", "waited"});
}

// A group of n that m coroutines wait for: the end of a member that is not
// the last wakes none of them.
TEST_CASE_FIXTURE(Run, "a wait for a group is one park") {
  constexpr std::uint64_t members = 20;
  constexpr std::uint64_t waiting = 10;
  TaskGroup group;
  for (std::uint64_t i = 0; i < members; ++i)
    group.go([i] {
      for (std::uint64_t n = 0; n <= i; ++n) yield();
    });
  std::uint64_t ended = 0;
  for (std::uint64_t i = 0; i < waiting; ++i)
    go([&] {
      group.wait();
      ++ended;
    });
  group.go([&] {  // a member, which waits for the others
    group.wait();
    CHECK(group.size() == 1);
    CHECK(ended == 0);
  });
  const Since since;
  scheduler.run();
  CHECK(ended == waiting);
  CHECK(since.parks() == waiting + 1);
}

TEST_CASE_FIXTURE(Run, "waitOne ends at each end of a member") {
  TaskGroup group;
  for (int i = 1; i <= 5; ++i)
    group.go([i] {
      for (int n = 0; n < 3 * i; ++n) yield();
    });
  std::vector<std::size_t> sizes;
  while (group.size() > 0) {
    CHECK(group.waitOne(after(1h)));
    sizes.push_back(group.size());
  }
  CHECK(sizes == std::vector<std::size_t>{4, 3, 2, 1, 0});
}

TEST_CASE_FIXTURE(Run, "wait for a group gives up at its deadline") {
  Log log;
  TaskGroup group;
  group.go(waitForEver, std::ref(log), "member");
  try {
    group.wait(after(1ms));
    FAIL("no time-out");
  } catch (const std::system_error& error) {
    CHECK(error.code() == std::errc::timed_out);
  }
  CHECK(group.size() == 1);
  CHECK(group.waitOne(after(1ms)) == false);
  group.cancel();
  CHECK(log == Log{"member"});
}

TEST_CASE_FIXTURE(Run, "cancel ends all of a group and no others, in order") {
  Log log;
  TaskGroup group;
  Task other = go(waitForEver, std::ref(log), "other");
  for (const char* name : {"a", "b", "c"})
    group.go(waitForEver, std::ref(log), name);
  group.go([&] { log.push_back("started"); }).cancel();
  yield();
  group.cancel();
  CHECK(log == Log{"a", "b", "c"});
  group.cancel();
  CHECK(group.size() == 0);
  CHECK_FALSE(other.done());
  other.cancel();
  // The group can be used again.
  bool ran = false;
  group.go([&] { ran = true; });
  group.wait();
  CHECK(ran);
}

TEST_CASE_FIXTURE(Run, "a member may cancel its group") {
  Log log;
  TaskGroup group;
  group.go(waitForEver, std::ref(log), "first");
  group.go([&] {
    const Leaves scope(log, "itself");
    group.cancel();
    group.cancel();
    log.push_back("goes on");
    yield();
    log.push_back("never");
  });
  group.go(waitForEver, std::ref(log), "never started");
  scheduler.run();
  CHECK(log == Log{"first", "goes on", "itself"});
}

TEST_CASE_FIXTURE(Run, "a member that is unwound may cancel its group") {
  Log log;
  TaskGroup group;
  for (const char* name : {"a", "b", "c"})
    group.go([&, name] {
      const Leaves scope(log, name);
      const CancelsAtEnd cancels{group};
      scheduler.park("nothing");
    });
  yield();
  group.cancel();
  CHECK(log == Log{"c", "b", "a"});
  CHECK(group.size() == 0);
}

TEST_CASE_FIXTURE(Run, "no member runs once its group is destroyed") {
  Log log;
  {
    TaskGroup group;
    group.go(waitForEver, std::ref(log), "parked");
    yield();
    group.go(waitForEver, std::ref(log), "never started");
  }
  scheduler.run();
  CHECK(log == Log{"parked"});
}

TEST_CASE_FIXTURE(Run, "a member may destroy its group") {
  Log log;
  auto group = std::make_unique<TaskGroup>();
  group->go(waitForEver, std::ref(log), "other");
  group->go([&] {
    const Leaves scope(log, "itself");
    group.reset();
    log.push_back("goes on");
    yield();
    log.push_back("never");
  });
  scheduler.run();
  CHECK(log == Log{"other", "goes on", "itself"});
}

TEST_CASE_FIXTURE(Run, "what an unwinding adds to the group ends with it") {
  int ran = 0;
  TaskGroup group;
  struct Starter {
    TaskGroup& group;
    int& ran;
    ~Starter() {
      group.go([&r = ran] { ++r; });
    }
  };
  group.go([&] {
    const Starter starter{group, ran};
    scheduler.park("nothing");
  });
  yield();
  group.cancel();
  CHECK(group.size() == 0);
  scheduler.run();
  CHECK(ran == 0);
}

TEST_CASE_FIXTURE(Run, "an exception cancels the others and leaves wait") {
  Log log;
  TaskGroup group;
  group.go(waitForEver, std::ref(log), "first");
  group.go(throwIt, "out");
  group.go(waitForEver, std::ref(log), "third");
  CHECK_THROWS_WITH(group.wait(), "out");
  CHECK(log == Log{"first"});
  CHECK_NOTHROW(group.wait());
  scheduler.run();
}

TEST_CASE_FIXTURE(Run, "an exception that a handle has is not the group's") {
  TaskGroup group;
  Task task = group.go(throwIt, "joined");
  CHECK_NOTHROW(group.wait());
  CHECK_THROWS_WITH(task.join(), "joined");
  scheduler.run();
}

TEST_CASE_FIXTURE(Run, "what a group was not asked for leaves run") {
  SUBCASE("while it lives") {
    TaskGroup group;
    group.go(throwIt, "not asked for");
    CHECK_THROWS_WITH(scheduler.run(), "not asked for");
  }
  SUBCASE("when it is destroyed") {
    {
      TaskGroup group;
      group.go(throwIt, "not asked for");
      yield();
    }
    CHECK_THROWS_WITH(scheduler.run(), "not asked for");
  }
  SUBCASE("when it is destroyed before a handle that nothing joins") {
    Task task;
    {
      TaskGroup group;
      task = group.go(throwIt, "not asked for");
      yield();
    }
    CHECK_NOTHROW(task.join());  // it is on its way
    CHECK_THROWS_WITH(scheduler.run(), "not asked for");
  }
  CHECK_NOTHROW(scheduler.run());
}

TEST_CASE_FIXTURE(Run, "groups nest: the inner one ends with its coroutine") {
  Log log;
  TaskGroup outer;
  outer.go([&] {
    TaskGroup inner;
    inner.go(waitForEver, std::ref(log), "inner");
    const Leaves scope(log, "outer");
    inner.wait();
  });
  yield();
  yield();
  outer.cancel();
  CHECK(log == Log{"outer", "inner"});
  CHECK(coroutines() == 0);
}

TEST_CASE("a group without a scheduler is an error that says so") {
  CHECK_THROWS_AS(TaskGroup{}, std::logic_error);
  std::optional<TaskGroup> group;
  {
    Scheduler scheduler;
    group.emplace();
  }
  CHECK(group->scheduler() == nullptr);
  CHECK_THROWS_WITH_AS(group->go([] {}), doctest::Contains("has ended"),
                       std::logic_error);
  CHECK_NOTHROW(group->cancel());
  CHECK_NOTHROW(group->wait());
}

TEST_CASE("to end or to cancel one of many takes no search") {
  // To add, to end and to cancel each is O(1): with twice as many there is
  // twice the work, and a test with so many would not end if it were not.
  Scheduler scheduler;
  TaskGroup group;
  constexpr std::size_t many = 10000;
  std::vector<Task> tasks;
  tasks.reserve(many);
  for (std::size_t i = 0; i < many; ++i)
    tasks.push_back(group.go([&] { scheduler.park("nothing"); }));
  yield();
  const Since since;
  for (std::size_t i = 0; i < many; i += 2) tasks[many - 1 - i].cancel();
  CHECK(since.switches() == many);  // there and back
  group.cancel();
  CHECK(since.switches() == 2 * many);
  CHECK(group.size() == 0);
}

// --- nobody's but its maker's ---

TEST_CASE("a generator beside a scheduler is its maker's alone") {
  StackPool pool;
  int value = 0;
  Coroutine& generator = Coroutine::make(pool, [&] {
    for (;;) {
      ++value;
      Coroutine::suspend();
    }
  });
  generator.resume();
  {
    Scheduler scheduler;
    go([] { yield(); });
    CHECK_NOTHROW(scheduler.run());  // no deadlock
    CHECK(coroutines() == 0);
  }
  generator.resume();
  CHECK(value == 2);
  Coroutine::destroy(generator);
}

TEST_CASE_FIXTURE(Run, "a generator cannot wait, and is told so") {
  StackPool pool;
  go([&] {
    Coroutine& generator = Coroutine::make(pool, [&] { yield(); });
    CHECK_THROWS_AS(generator.resume(), std::logic_error);
  });
  scheduler.run();
}

// --- all orders of destruction ---

namespace {

using Server = ScheduledMixIn<HTTPServer>;

struct Handler : BaseHTTPRequestHandler {
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
  void do_GET() override { rfile.read(1); }
  void log_message(std::string_view) override {}
};

// One of everything that registers with a scheduler, and coroutines that wait
// in each.
struct Everything {
  std::optional<Scheduler> scheduler{std::in_place};
  std::optional<Signals> signals{std::in_place};
  std::optional<Server> server{std::in_place, sys::Address("127.0.0.1", 0),
                               handlerFor<Handler>};
  std::optional<TaskGroup> group{std::in_place};
  std::optional<Channel<int>> channel{std::in_place};
  std::optional<ScheduledFile> file;
  std::optional<HangupWatch> watch;
  sys::Fd peer;
  sys::Fd watched;
  sys::Fd client;
  int ended = 0;

  Everything() {
    int ends[2];
    sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
    peer = sys::Fd(ends[1]);
    file.emplace(sys::Fd(ends[0]));
    watched = sys::Fd(sys::check(sys::dup(peer.get()), "dup"));
    watch.emplace(watched.get(), [] {});
    signals->on(SIGUSR2, [] {});
    client =
        sys::Fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
    go([this] {
      const Ends scope{*this};
      server->serve_forever();
    });
    group->go([this] {
      const Ends scope{*this};
      channel->read();
    });
    group->go([this] {
      const Ends scope{*this};
      file->read();
    });
    goConnect(client.get(), server->server_address);
    for (int i = 0; i < 10; ++i) yield();
    // More than the kernel takes: the rest leaves in the background.
    file->autoflush = true;
    file->bufferSize = std::size_t{64} << 20;
    file->write(std::string(std::size_t{1} << 20, 'x'));
  }
  struct Ends {
    Everything& all;
    ~Ends() { ++all.ended; }
  };

  void destroy(int which) {
    switch (which) {
      case 0:
        return scheduler.reset();
      case 1:
        return signals.reset();
      case 2:
        return server.reset();
      case 3:
        return group.reset();
      case 4:
        return channel.reset(), watch.reset();
      default:
        return file.reset();
    }
  }
};

}  // namespace

TEST_CASE("any order of destruction is legal") {
  const Bounded bounded(300);
  std::vector<int> order = {0, 1, 2, 3, 4, 5};
  const int descriptors = openDescriptors();
  int orders = 0;
  do {
    CAPTURE(order);
    Everything all;
    for (const int which : order) all.destroy(which);
    REQUIRE(all.ended == 3);
    ++orders;
  } while (std::next_permutation(order.begin(), order.end()));
  CHECK(orders == 720);
  CHECK(openDescriptors() == descriptors);
}

TEST_CASE("after the scheduler has ended calls fail with a clear error") {
  std::optional<Scheduler> scheduler(std::in_place);
  Signals signals;
  Server server(sys::Address("127.0.0.1", 0), handlerFor<Handler>);
  Channel<int> channel;
  TaskGroup group;
  Task task = go([] {});
  scheduler.reset();
  CHECK(task.done());
  CHECK_NOTHROW(task.join());
  CHECK_THROWS_AS(signals.on(SIGUSR2, [] {}), std::logic_error);
  CHECK_THROWS_AS(server.serve_forever(), std::logic_error);
  CHECK_THROWS_AS(channel.read(), std::logic_error);
  CHECK_THROWS_AS(group.go([] {}), std::logic_error);
  CHECK_NOTHROW(server.shutdown());
  CHECK_NOTHROW(server.server_close());
}

TEST_CASE_FIXTURE(Run, "signals speak to the scheduler they were made with") {
  int told = 0;
  Signals signals;
  signals.on(SIGUSR2, [&] { ++told; });
  std::raise(SIGUSR2);
  for (int turn = 0; turn < 100 && told == 0; ++turn) yield();
  CHECK(told == 1);
}

// --- servers ---

TEST_CASE_FIXTURE(Run, "a handler may call server_close") {
  struct Quits : BaseHTTPRequestHandler {
    using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
    void do_GET() override {
      send_response(200);
      end_headers();
      wfile.write("bye");
      if (path == "/quit") server.server_close();
    }
    void log_message(std::string_view) override {}
  };
  Server server(sys::Address("127.0.0.1", 0), handlerFor<Quits>);
  server.gracePeriod = 1ms;
  go([&] { server.serve_forever(); });
  ScheduledFile idle = ScheduledFile::connectTcp(server.server_address);
  ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
  client.write("GET /quit HTTP/1.0\r\n\r\n");
  CHECK(client.read().ends_with("\r\n\r\nbye"));
  CHECK(idle.read() == "");  // its request was cancelled
  scheduler.run();
}

// --- a group that goes, and cancelling that does not end ---

TEST_CASE_FIXTURE(Run, "a group may be destroyed while it is waited for") {
  for (const bool endsItself : {false, true})
    for (const bool one : {false, true}) {
      CAPTURE(endsItself);
      CAPTURE(one);
      auto group = std::make_unique<TaskGroup>();
      Log log;
      if (endsItself)
        group->go([&] {
          yield();
          yield();
          group.reset();
          log.push_back("ended");
        });
      else
        group->go(waitForEver, std::ref(log), "ended");
      go([&log, one, g = group.get()] {
        one ? void(g->waitOne()) : g->wait();
        log.push_back("waited");
      });
      yield();
      if (!endsItself) group.reset();
      scheduler.run();
      CHECK(log == Log{"ended", "waited"});
    }
}

namespace {

// When it is cancelled, it starts another in a group, so many times.
struct Restarts {
  TaskGroup* group;
  TaskGroup* next;
  std::shared_ptr<int> left;
  Restarts(TaskGroup* a, TaskGroup* b, std::shared_ptr<int> n)
      : group(a), next(b), left(std::move(n)) {}
  Restarts(Restarts&&) = default;
  Restarts& operator=(Restarts&&) = delete;
  ~Restarts() {
    if (left == nullptr || (*left)-- <= 0) return;
    group->go([again = Restarts(next, group, left)] { (void)again; });
  }
};

}  // namespace

TEST_CASE_FIXTURE(Run,
                  "what is started in a group cancelled before goes, too") {
  TaskGroup first;
  TaskGroup second;
  const auto left = std::make_shared<int>(1000);
  second.go([restarts = Restarts(&first, &second, left)] { (void)restarts; });
  scheduler.cancel();
  CHECK(*left <= 0);
  CHECK(coroutines() == 0);
}

TEST_CASE("cancelling that has no end is said") {
  const pid_t child = sys::fork();
  if (child == 0) {
    ::close(STDERR_FILENO);
    std::set_terminate([] { _exit(42); });
    Scheduler scheduler;
    TaskGroup group;
    group.go([restarts = Restarts(&group, &group,
                                  std::make_shared<int>(1'000'000'000))] {
      (void)restarts;
    });
    group.cancel();
    _exit(0);
  }
  int status = 0;
  REQUIRE(sys::waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 42);
}
