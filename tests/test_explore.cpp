// Tests of the exploration: that it makes all schedules and each once, that
// it finds planted bugs by their shortest schedules, and that small programs
// on the library hold. (All schedules of the larger ones: simulate
// --explore.)

#include <doctest/doctest.h>

#include <map>
#include <set>
#include <string>

#include "explore.hpp"

using namespace explore;
using naglfar::go;

// [explore-test-helpers]
namespace {

const Program& program(std::string_view name) {
  for (const Program& each : programs())
    if (each.name == name) return each;
  throw std::logic_error("there is no such program");
}

constexpr std::uint64_t enough = 10'000;

// Who ran, in which order, and how often each order came.
std::map<std::string, int> orders;

template <int jobs, int turns>
void recorded(Run& run) {
  std::string order;
  for (int job = 0; job < jobs; ++job)
    go([&order, job] {
      for (int turn = 1; turn < turns; ++turn) {
        order += static_cast<char>('a' + job);
        naglfar::yield();
      }
      order += static_cast<char>('a' + job);
    });
  run.all();
  ++orders[order];
}

Explored recordedOrders(void (*run)(Run&)) {
  orders.clear();
  return explore::explore({"recorded", run, false}, enough);
}

}  // namespace
// [/explore-test-helpers]

// [explore-search-tests]
TEST_SUITE("explore: the search") {
  TEST_CASE("makes each order once") {
    // 4! of four that run once; 6! / (2! 2! 2!) of three that run twice.
    CHECK(recordedOrders(recorded<4, 1>).schedules == 24);
    CHECK(orders.size() == 24);
    const Explored twice = recordedOrders(recorded<3, 2>);
    CHECK(twice.all);
    CHECK(twice.schedules == 90);
    CHECK(orders.size() == 90);
    for (const auto& [order, times] : orders) CHECK(times == 1);
    CHECK(twice.turns == 6);
    CHECK(orders.begin()->first == "aabbcc");
  }

  TEST_CASE("begins with the library's own order") {
    recordedOrders([](Run& run) {
      recorded<3, 2>(run);
      run.expect(false, "the first one fails");
    });
    CHECK(orders.size() == 1);
    CHECK(orders.begin()->first == "abcabc");
  }

  TEST_CASE("says so if there are more than it may run") {
    const Explored some =
        explore::explore({"recorded", recorded<4, 1>, false}, 10);
    CHECK(some.schedules == 10);
    CHECK_FALSE(some.all);
  }

  TEST_CASE("a list of choices makes the same run again") {
    const Program& waiters = program("waiters");
    std::string first;
    std::string second;
    const Choices choices{0, 1, 0, 1};
    runOnce(waiters, choices, [&](const std::string& s) { first += s; });
    runOnce(waiters, choices, [&](const std::string& s) { second += s; });
    CHECK(first.size() > 100);
    CHECK(first == second);
    CHECK(runOnce(waiters, {200}).failure.starts_with("there is no such"));
  }
}
// [/explore-search-tests]

// [explore-finds-tests]
namespace {

// The library's order alone shows none of them, whatever the kernel does.
void holdsInOrder(const Program& planted) {
  const auto faults = naglfar::sim::Faults::harmless(0.2);
  for (std::uint64_t seed = 1; seed <= 1000; ++seed)
    REQUIRE(runOnce(planted, {}, {}, faults, seed).failure == "");
}

}  // namespace

TEST_SUITE("explore: planted bugs") {
  TEST_CASE("`if` for `while`: found, and by which schedule") {
    const Program& planted = program("if-for-while");
    holdsInOrder(planted);
    const Explored found = explore::explore(planted, enough);
    REQUIRE(found.failure);
    CHECK(found.failure->failure == "woken, and there is no message");
    CHECK(found.differing == 1);
    CHECK(found.failure->choices() == Choices{0, 1});
    CHECK(found.failure->turns == 4);
    CHECK(runOnce(planted, {0, 1}).failure == found.failure->failure);
  }

  TEST_CASE("a wake-up lost between test and park: found") {
    const Program& planted = program("lost-wake-up");
    holdsInOrder(planted);
    const Explored found = explore::explore(planted, enough);
    REQUIRE(found.failure);
    CHECK(found.failure->failure.starts_with("no job can run"));
    CHECK(found.differing == 1);
    CHECK(found.failure->turns == 4);
  }
}
// [/explore-finds-tests]

// [explore-programs-test]
TEST_CASE("explore: programs on the library hold in their schedules") {
  int all = 0;
  for (const Program& each : programs()) {
    if (each.planted) continue;
    CAPTURE(each.name);
    const Explored result = explore::explore(each, enough);
    CHECK(result.schedules > 1);
    if (result.failure) FAIL_CHECK(result.failure->failure);
    all += result.all ? 1 : 0;
  }
#ifdef NAGLFAR_EPOLL  // select(2) always finds something
  CHECK(all == 12);   // the others have more
#endif
}
// [/explore-programs-test]
