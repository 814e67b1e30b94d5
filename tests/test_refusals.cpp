// What is left when there is no memory: each allocation of a scenario is
// refused in turn (see refuse.hpp). No message, coroutine, waiter, count or
// descriptor is lost, nothing is told as done that was not, and all goes on
// when memory is back.

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "helpers.hpp"
#include "naglfar/channel.hpp"
#include "naglfar/scheduled_file.hpp"
#include "naglfar/scheduler.hpp"
#include "naglfar/scheduler/signals.hpp"
#include "refuse.hpp"

using namespace naglfar;
using namespace helpers;
using namespace std::chrono_literals;

namespace {

using Texts = std::vector<std::string>;

// Too long to stand in the string itself.
std::string text(int number) {
  return "message number " + std::to_string(number) + ", which is long";
}

Texts upTo(int n) {
  Texts all;
  for (int i = 0; i < n; ++i) all.push_back(text(i));
  return all;
}

std::size_t coroutines() {
  std::size_t n = 0;
  Scheduler::current().forEachCoroutine([&n](const Coroutine&) { ++n; });
  return n;
}

// Takes what is in a channel, where memory is not refused.
Texts rest(Channel<std::string>& channel) {
  Texts all;
  while (channel.size() > 0) all.push_back(channel.read());
  return all;
}

}  // namespace

TEST_SUITE("refusals: channel") {
  // For each limit: what a writer was told is written is read, once and in
  // order, and nothing else is.
  TEST_CASE("a write is done or not") {
    for (const std::size_t limit :
         {std::size_t{0}, std::size_t{1}, std::size_t{3}, unlimited}) {
      CAPTURE(limit);
      refuse::each([&](const refuse::Which& which) {
        Channel<std::string> channel(limit);
        Scheduler scheduler;
        Texts messages = upTo(20);
        Texts expected;
        Texts read;
        std::vector<std::size_t> written;
        written.reserve(messages.size());
        refuse::during(which, [&] {
          for (std::size_t i = 0; i < messages.size(); ++i)
            go([&, i] {
              try {
                channel.write(std::move(messages[i]));
                written.push_back(i);
              } catch (const std::bad_alloc&) {
              }
            });
          for (int i = 0; i < 5; ++i) yield();
        });
        // Memory is back: writers that wait are served, and no other.
        Task reader = go([&] {
          for (const std::string& message : channel) read.push_back(message);
        });
        for (int i = 0; i < 50; ++i) yield();
        CHECK(coroutines() == 1);
        channel.close();
        reader.join();
        std::sort(written.begin(), written.end());
        for (const std::size_t i : written)
          expected.push_back(text(static_cast<int>(i)));
        CHECK(read == expected);
      });
    }
  }

  TEST_CASE("a read that fails takes nothing") {
    using Read = void (*)(Channel<std::string>&, Texts&);
    const Read reads[] = {
        [](Channel<std::string>& c, Texts& got) { got.push_back(c.read()); },
        [](Channel<std::string>& c, Texts& got) {
          if (auto message = c.next()) got.push_back(std::move(*message));
        },
        [](Channel<std::string>& c, Texts& got) {
          for (std::string& message : c.readWaiting(true))
            got.push_back(std::move(message));
        },
        [](Channel<std::string>& c, Texts& got) {
          for (std::string& message : c) got.push_back(std::move(message));
        }};
    for (const Read& read : reads)
      for (const bool waits : {false, true}) {
        CAPTURE(&read - reads);
        CAPTURE(waits);
        refuse::each([&](const refuse::Which& which) {
          if (which.forGood) return;  // the writer would try for ever
          Channel<std::string> channel(4);
          Scheduler scheduler;
          Texts got;
          got.reserve(10);
          Task writer;
          const auto written = [&](int i) {
            try {
              channel.write(text(i));
              return true;
            } catch (const std::bad_alloc&) {
              return false;
            }
          };
          const auto write = [&] {
            writer = go([&] {
              for (int i = 0; i < 6; ++i) {
                while (!written(i)) yield();
              }
              channel.close();
            });
            for (int i = 0; i < 3; ++i) yield();
          };
          if (!waits) write();
          Task reader =
              go([&] { refuse::during(which, [&] { read(channel, got); }); });
          if (waits) {
            for (int i = 0; i < 3; ++i) yield();
            write();
          }
          reader.join();
          for (std::string& message : channel)
            got.push_back(std::move(message));
          writer.join();
          CHECK(got == upTo(6));
        });
      }
  }

  // To time out and to be cancelled throw, and so need memory.
  TEST_CASE("who gives up leaves the line") {
    refuse::each([](const refuse::Which& which) {
      Channel<std::string> channel(1);
      Scheduler scheduler;
      std::string first = text(0);
      std::string second = text(1);
      std::optional<std::string> got;
      refuse::during(which,
                     [&] { errorOf([&] { channel.next(after(0s)); }); });
      Task reader = go([&] { got = channel.next(); });
      yield();
      channel.write(std::move(first));
      reader.join();
      CHECK(got == text(0));
      channel.write(text(2));
      refuse::during(which, [&] {
        errorOf([&] { channel.write(std::move(second), after(0s)); });
      });
      CHECK(channel.size() == 1);
      CHECK(rest(channel) == Texts{text(2)});
    });
  }
}

TEST_SUITE("refusals: scheduler") {
  TEST_CASE("go makes a coroutine or none") {
    refuse::each([](const refuse::Which& which) {
      std::optional<Scheduler> scheduler;
      refuse::during(which, [&] { scheduler.emplace(); });
      if (!scheduler) return;  // nor is it the thread's
      REQUIRE(Scheduler::ofThread() == &*scheduler);
    });
    CHECK(Scheduler::ofThread() == nullptr);
    refuse::each([](const refuse::Which& which) {
      Scheduler scheduler;
      std::size_t made = 0;
      std::size_t ran = 0;
      const auto token = std::make_shared<int>(0);
      const bool done = refuse::during(which, [&] {
        for (int i = 0; i < 300; ++i) {
          go([&ran, token] { ++ran; });
          ++made;
        }
      });
      CHECK(coroutines() == made);
      CHECK(token.use_count() == static_cast<long>(made) + 1);
      CHECK((made == 300) == done);
      go([&ran] { ++ran; });
      scheduler.run();
      CHECK(ran == made + 1);
      CHECK(token.use_count() == 1);
    });
  }

  TEST_CASE("a wait for a time begins or not, and no timer is left") {
    refuse::each([](const refuse::Which& which) {
      Scheduler scheduler;
      std::size_t failed = 0;
      std::size_t slept = 0;
      std::vector<Task> tasks;
      for (int i = 0; i < 100; ++i)
        tasks.push_back(go([&] {
          try {
            naglfar::sleep(1us);
            ++slept;
          } catch (const std::bad_alloc&) {
            ++failed;
          }
        }));
      refuse::during(which, [&] { yield(); });
      scheduler.run();
      CHECK(failed + slept == tasks.size());
      naglfar::sleep(1us);
      CHECK_THROWS_AS(scheduler.park("nothing"), Deadlock);
    });
  }

  TEST_CASE("a join and a wait for a group end") {
    refuse::each([](const refuse::Which& which) {
      Scheduler scheduler;
      TaskGroup group;
      int ended = 0;
      Task thrower = go([] { throw std::runtime_error("from a task"); });
      for (int i = 0; i < 10; ++i)
        group.go([&] {
          yield();
          ++ended;
        });
      Task waiter = go([&] {
        refuse::during(which, [&] {
          group.wait();
          CHECK_THROWS_AS(thrower.join(), std::runtime_error);
        });
      });
      waiter.join();
      group.wait();
      CHECK(ended == 10);
      CHECK(coroutines() == 0);
      try {
        thrower.join();  // unless it was told before
      } catch (const std::runtime_error&) {
      }
      CHECK_NOTHROW(scheduler.run());
    });
  }

  TEST_CASE("a wait for a descriptor begins or not") {
    const int descriptors = openDescriptors();
    refuse::each([](const refuse::Which& which) {
      Scheduler scheduler;
      Sockets pair;
      std::string got;
      bool failed = false;
      Task reader = go([&] {
        try {
          got = goRead(pair.a.get(), 1);
        } catch (const std::bad_alloc&) {
          failed = true;
        }
      });
      refuse::during(which, [&] { yield(); });
      CHECK(scheduler.poller().watching() == (failed ? 0 : 1));
      goWrite(pair.b.get(), "x");
      reader.join();
      CHECK(got == (failed ? "" : "x"));
      if (failed) CHECK(goRead(pair.a.get(), 1) == "x");
    });
    CHECK(openDescriptors() == descriptors);
  }

  TEST_CASE("a signal has its action or what it did before") {
    refuse::each([](const refuse::Which& which) {
      std::signal(SIGUSR1, SIG_IGN);
      Scheduler scheduler;
      Signals signals;
      int seen = 0;
      const auto token = std::make_shared<int>(0);
      const bool done = refuse::during(which, [&] {
        signals.on(SIGUSR1, [&seen, token, big = std::string()] { ++seen; });
      });
      std::raise(SIGUSR1);
      for (int i = 0; i < 5; ++i) yield();
      CHECK(seen == (done ? 1 : 0));
      signals.on(SIGUSR1, [&seen] { seen += 10; });
      std::raise(SIGUSR1);
      for (int i = 0; i < 5; ++i) yield();
      CHECK(seen == (done ? 11 : 10));
      CHECK(token.use_count() == 1);
    });
    std::signal(SIGUSR1, SIG_DFL);
  }
}

TEST_SUITE("refusals: coroutine") {
  TEST_CASE("a coroutine is made or its stack is free") {
    const int allocations = refuse::each([](const refuse::Which& which) {
      StackPool pool;
      const auto token = std::make_shared<int>(0);
      std::vector<Coroutine*> made;
      made.reserve(300);
      refuse::during(which, [&] {
        for (int i = 0; i < 300; ++i) {
          std::string copied = text(i);  // refused here, too
          made.push_back(&Coroutine::make(pool, [token, copied] {}));
        }
      });
      CHECK(token.use_count() == static_cast<long>(made.size()) + 1);
      for (Coroutine* coroutine : made) coroutine->resume();
      CHECK(token.use_count() == 1);
      Coroutine::make(pool, [] {}).resume();
    });
    CHECK(allocations >= 300);
  }
}

// Where an implementation allocates nothing, the tests above refuse nothing.
// This one allocates in each of them.
TEST_SUITE("reference") {
  TEST_CASE("there are allocations to refuse") {
    const auto allocationsOf = [](auto work) {
      refuse::allocations = 0;
      refuse::during({100'000, false}, work);
      return refuse::allocations;
    };
    for (const std::size_t limit :
         {std::size_t{0}, std::size_t{1}, std::size_t{3}, unlimited}) {
      CAPTURE(limit);
      Channel<int> channel(limit);
      Scheduler scheduler;
      for (int i = 0; i < 20; ++i) go([&, i] { channel.write(i); });
      CHECK(allocationsOf([] { yield(); }) >= 1);
    }
    Sockets pair;
    Scheduler scheduler;
    CHECK(allocationsOf([] {
            for (int i = 0; i < 300; ++i) go([] { naglfar::sleep(1us); });
          }) >= 2);
    CHECK(allocationsOf([] { yield(); }) >= 2);  // timers
    go([&] { goRead(pair.a.get(), 1); });
    CHECK(allocationsOf([] { yield(); }) >= 1);
    Signals signals;
    CHECK(allocationsOf([&] {
            signals.on(SIGUSR1, [big = std::string()] { (void)big; });
          }) >= 2);
    goWrite(pair.b.get(), "x");
    scheduler.run();
  }
}
