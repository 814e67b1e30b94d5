// The timer heap of this implementation: that it gives timers in the order of
// their deadlines, whichever are taken out, and that either may go first, the
// heap or a timer. What the scheduler promises about time is asked by
// test_scheduler.cpp.

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "naglfar/job.hpp"
#include "naglfar/scheduler/timer_heap.hpp"

using naglfar::Deadline;
using naglfar::Job;
using naglfar::JobQueue;
using naglfar::never;
using naglfar::Timer;
using naglfar::TimerHeap;
using namespace std::chrono_literals;

namespace {

// What a timer wakes.
struct Woken final : Job {
  void run() override {}
};

}  // namespace

TEST_SUITE("reference") {
  TEST_CASE("a deadline that never comes is in no heap") {
    TimerHeap heap;
    Woken job;
    const Timer timer(heap, job, never);
    CHECK(heap.next() == never);
  }

  // Where the heap stood, another stands by the time the timer goes.
  TEST_CASE("a timer may outlive its heap") {
    Woken job;
    std::optional<TimerHeap> heap(std::in_place);
    std::optional<Timer> outlives(std::in_place, *heap, job, Deadline{} + 1h);
    heap.reset();
    heap.emplace();
    const Timer stays(*heap, job, Deadline{} + 2h);
    outlives.reset();
    CHECK(heap->next() == Deadline{} + 2h);
  }

  TEST_CASE("the timer heap agrees with a sorted list") {
    using Seconds = std::chrono::seconds;
    for (unsigned seed = 1; seed <= 50; ++seed) {
      CAPTURE(seed);
      std::mt19937 random(seed);
      const auto below = [&random](unsigned n) {
        return std::uniform_int_distribution<unsigned>(0, n - 1)(random);
      };
      struct Entry {
        Woken job;
        Deadline at;
        std::unique_ptr<Timer> timer;
      };
      TimerHeap heap;
      JobQueue ready;
      std::vector<std::unique_ptr<Entry>> entries;
      // Deadlines repeat, so that equal ones are among them.
      const auto least = [&entries] {
        Deadline first = never;
        for (const auto& e : entries) first = std::min(first, e->at);
        return first;
      };
      Deadline now{};
      for (int step = 0; step < 300; ++step) {
        const unsigned what = below(10);
        if (what < 5) {
          auto entry = std::make_unique<Entry>();
          entry->at = now + Seconds(1 + below(40));
          entry->timer = std::make_unique<Timer>(heap, entry->job, entry->at);
          entries.push_back(std::move(entry));
        } else if (what < 8 && !entries.empty()) {
          const auto victim =
              entries.begin() + below(static_cast<unsigned>(entries.size()));
          (*victim)->timer.reset();
          entries.erase(victim);
        } else {
          now += Seconds(below(15));
          heap.expire(now, ready);
          std::vector<Deadline> expected;
          for (const auto& e : entries) {
            REQUIRE(e->timer->expired() == (e->at <= now));
            if (e->at <= now) expected.push_back(e->at);
          }
          std::sort(expected.begin(), expected.end());
          std::vector<Deadline> woken;
          while (Job* job = ready.pop())
            for (const auto& e : entries)
              if (&e->job == job) woken.push_back(e->at);
          REQUIRE(woken == expected);
          std::erase_if(entries,
                        [](const auto& e) { return e->timer->expired(); });
        }
        REQUIRE(heap.next() == least());
      }
    }
  }
}
