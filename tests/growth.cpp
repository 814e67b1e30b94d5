// Every operation over many coroutines, waiters or descriptors costs as much
// for each of them, however many there are.
//
// The library is compiled into this program with -finstrument-functions, so
// that each call of a function counts as a step, also of a function that is
// inlined. Twice as many may cost twice the steps and a little, for a sum of
// n log n. What is quadratic costs four times the steps.

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "helpers.hpp"
#include "naglfar/channel.hpp"
#include "naglfar/http.hpp"

static std::uint64_t steps = 0;

extern "C" {
[[gnu::no_instrument_function]] void __cyg_profile_func_enter(void*, void*) {
  ++steps;
}
[[gnu::no_instrument_function]] void __cyg_profile_func_exit(void*, void*) {}
}

namespace {

using namespace naglfar;
using namespace std::chrono_literals;

// Measures between start() and its end.
class Steps {
 public:
  void start() { begin_ = steps; }
  void stop() { taken_ = steps - begin_; }
  std::uint64_t taken() const { return taken_; }

 private:
  std::uint64_t begin_ = 0;
  std::uint64_t taken_ = 0;
};

using Operation = std::function<void(std::size_t n, Steps&)>;

void checkGrowth(const Operation& operation, std::size_t n = 10'000) {
  std::vector<std::uint64_t> taken;
  for (const std::size_t many : {n, 2 * n}) {
    const helpers::Bounded bounded;
    Steps counted;
    operation(many, counted);
    taken.push_back(counted.taken());
  }
  CAPTURE(taken[0]);
  CAPTURE(taken[1]);
  CHECK(taken[0] >= n / 2);  // or this has measured nothing
  CHECK(static_cast<double>(taken[1]) < 2.5 * static_cast<double>(taken[0]));
}

// How many descriptors a test may have, of which the larger run has all.
std::size_t descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
  return std::min<std::size_t>(limit.rlim_cur - 50, 20'000);
}

}  // namespace

TEST_CASE("to start and to end coroutines") {
  checkGrowth([](std::size_t n, Steps& counted) {
    Scheduler scheduler;
    counted.start();
    for (std::size_t i = 0; i < n; ++i) go([] { yield(); });
    scheduler.run();
    counted.stop();
  });
}

TEST_CASE("to cancel a group beside as many others") {
  checkGrowth([](std::size_t n, Steps& counted) {
    Scheduler scheduler;
    Channel<int> channel;
    TaskGroup group;
    for (std::size_t i = 0; i < n; ++i) {
      go([&] { channel.next(); });
      group.go([&] { channel.next(); });
    }
    yield();
    counted.start();
    group.cancel();
    counted.stop();
  });
}

TEST_CASE("to end a scheduler with groups and coroutines") {
  checkGrowth([](std::size_t n, Steps& counted) {
    std::optional<Scheduler> scheduler(std::in_place);
    Channel<int> channel;
    std::deque<TaskGroup> groups(n);
    for (TaskGroup& group : groups) group.go([&] { channel.next(); });
    yield();
    counted.start();
    scheduler.reset();
    groups.clear();
    counted.stop();
  });
}

TEST_CASE("to join tasks and to wait for a group") {
  checkGrowth([](std::size_t n, Steps& counted) {
    Scheduler scheduler;
    TaskGroup group;
    std::vector<Task> tasks;
    counted.start();
    for (std::size_t i = 0; i < n; ++i) {
      tasks.push_back(go([] { yield(); }));
      group.go([] { yield(); });
    }
    group.wait();
    for (Task& task : tasks) task.join();
    counted.stop();
  });
}

// The members end in one turn each, so that each end could wake all.
TEST_CASE("to wait for one group, or join one task, in many places") {
  const auto operation = [](std::size_t n, Steps& counted) {
    Scheduler scheduler;
    Channel<int> turns(0);
    TaskGroup group;
    Task task = go([&] { group.wait(); });
    for (std::size_t i = 0; i < n; ++i) {
      group.go([&] { turns.read(); });
      go([&] { group.wait(); });
      go([&] { task.join(); });
    }
    yield();
    counted.start();
    for (std::size_t i = 0; i < n; ++i) {
      turns.write(1);
      yield();
    }
    scheduler.run();
    counted.stop();
  };
  checkGrowth(operation, 1'000);
}

TEST_CASE("to let time pass in many places") {
  checkGrowth([](std::size_t n, Steps& counted) {
    Scheduler scheduler;
    counted.start();
    for (std::size_t i = 0; i < n; ++i)
      go([i] { sleep(std::chrono::microseconds(i * 7919 % 1000)); });
    scheduler.run();
    counted.stop();
  });
}

TEST_CASE("to end waits with deadlines before their time") {
  checkGrowth([](std::size_t n, Steps& counted) {
    Scheduler scheduler;
    Channel<int> channel;
    for (std::size_t i = 0; i < n; ++i)
      go([&channel, i] {
        channel.next(after(1h + std::chrono::seconds(i * 7919 % 1000)));
      });
    yield();
    counted.start();
    channel.close();
    scheduler.run();
    counted.stop();
  });
}

TEST_CASE("to hand messages to many readers") {
  checkGrowth([](std::size_t n, Steps& counted) {
    Scheduler scheduler;
    Channel<int> channel;
    for (std::size_t i = 0; i < n; ++i) go([&] { channel.read(); });
    yield();
    counted.start();
    for (std::size_t i = 0; i < n; ++i) channel.write(1);
    scheduler.run();
    counted.stop();
  });
}

TEST_CASE("to let many writers in at a limit") {
  checkGrowth([](std::size_t n, Steps& counted) {
    Scheduler scheduler;
    Channel<int> channel(1);
    for (std::size_t i = 0; i < n; ++i) go([&] { channel.write(1); });
    yield();
    counted.start();
    for (std::size_t i = 0; i < n; ++i) channel.read();
    scheduler.run();
    counted.stop();
  });
}

TEST_CASE("to queue messages that no coroutine reads yet") {
  checkGrowth([](std::size_t n, Steps& counted) {
    Scheduler scheduler;
    Channel<int> channel;
    counted.start();
    for (std::size_t i = 0; i < n; ++i) channel.write(1);
    for (std::size_t i = 0; i < n; ++i) channel.read();
    counted.stop();
  });
}

TEST_CASE("to list coroutines and what they wait for") {
  checkGrowth([](std::size_t n, Steps& counted) {
    Scheduler scheduler;
    Channel<int> channel;
    for (std::size_t i = 0; i < n; ++i) go([&] { channel.next(); });
    yield();
    std::ostringstream out;
    counted.start();
    scheduler.dump(out);
    CHECK_THROWS_AS(scheduler.run(), Deadlock);
    counted.stop();
  });
}

// select(2) looks at all descriptors in each call.
TEST_CASE("to watch and to forget descriptors") {
  if (Poller::levelTriggered) return;
  checkGrowth(
      [](std::size_t n, Steps& counted) {
        const helpers::Sockets sockets;
        std::vector<sys::Fd> files;
        for (std::size_t i = 0; i < n; ++i)
          files.emplace_back(sys::dup(sockets.a.get()));
        Scheduler scheduler;
        for (const sys::Fd& file : files)
          go([fd = file.get()] {
            CHECK(helpers::errorOf([fd] { goWait(fd, Interest::read); }) ==
                  ECANCELED);
          });
        counted.start();
        yield();  // all have begun to wait, and the poller was not asked yet
        for (sys::Fd& file : files) goClose(file.release());
        scheduler.run();
        counted.stop();
      },
      descriptors() / 2);
}

TEST_CASE("to wake waiters of descriptors and to begin anew") {
  if (Poller::levelTriggered) return;
  checkGrowth(
      [](std::size_t n, Steps& counted) {
        const helpers::Sockets sockets;
        std::vector<sys::Fd> files;
        for (std::size_t i = 0; i < n; ++i)
          files.emplace_back(sys::dup(sockets.a.get()));
        struct Nothing final : Job {
          void run() override {}
        } nothing;
        std::deque<Waiter> waiters;
        JobQueue ready;
        counted.start();
        {
          Poller poller;
          for (const sys::Fd& file : files)
            poller.watch(file.get(), Interest::write,
                         waiters.emplace_back(nothing));
          poller.reopen();
          while (poller.watching() > 0) poller.poll(sys::Duration(-1), ready);
        }
        counted.stop();
      },
      descriptors() / 2);
}

TEST_CASE("to read lines") {
  checkGrowth([](std::size_t n, Steps& counted) {
    Scheduler scheduler;
    helpers::Sockets sockets;
    go([&] {
      goWrite(sockets.b.get(), std::string(2 * n, '\n'));
      sockets.b = sys::Fd();
    });
    ScheduledFile file(std::move(sockets.a));
    counted.start();
    while (!file.readline().empty()) continue;
    counted.stop();
  });
}

TEST_CASE("to read a line that comes byte by byte") {
  checkGrowth([](std::size_t n, Steps& counted) {
    Scheduler scheduler;
    helpers::Sockets sockets;
    go([&] {
      for (std::size_t i = 0; i < n; ++i) {
        goWrite(sockets.b.get(), i + 1 == n ? "\n" : "x");
        yield();
      }
    });
    ScheduledFile file(std::move(sockets.a));
    counted.start();
    file.readline();
    counted.stop();
  });
}
