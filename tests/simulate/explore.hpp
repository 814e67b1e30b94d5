// Explores the schedules of a small program, all of them if there are not too
// many: which job of the queue runs next, in which order the kernel tells its
// news, and whether a deadline passes while others could still run.
//
// A run is a list of choices. 0 is what the library does by itself: the head
// of the queue, the oldest news, no time. Each run goes on with 0 after the
// end of the list that it was given; and from what it has met come new lists:
// the same up to some later choice, and there each other alternative. So each
// schedule comes up once, and those that differ from the library's own in the
// fewest choices come first: of two failures the simpler one is found.
//
// Invariant: a program that is given the same choices does the same, which
// takes a kernel that can be chosen, too.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "naglfar/scheduler.hpp"
#include "naglfar/sim.hpp"

namespace explore {

using Choices = std::vector<std::uint8_t>;
using Tell = std::function<void(const std::string&)>;

// [explore-run]
// What was chosen, and of how many.
struct Choice {
  std::uint8_t taken;
  std::uint8_t of;
};

// One run of a program.
class Run {
 public:
  // With a function to tell, each step is told as it is made.
  Run(naglfar::sim::Kernel& kernel, naglfar::Scheduler& scheduler,
      const Choices& given, const Tell& tell);
  ~Run();

  // Runs what the program has started, until no coroutine is left. In place
  // of Scheduler::run(): here it is chosen which job runs next.
  void all();

  // A run ends where it fails, in a coroutine, too.
  struct Failed {};
  void expect(bool holds, const std::string& what) {
    if (!holds) fail(what);
  }
  const std::string& failure() const { return failure_; }
  const std::vector<Choice>& made() const { return made_; }
  std::size_t turns() const { return turns_; }

 private:
  [[noreturn]] void fail(const std::string& what);
  std::size_t choose(std::size_t of);
  bool findsSomething() const;
  naglfar::Job* next();
  void tellWhatWaits(const char* why);
  std::string nameOf(const naglfar::Job& job) const;
  void tellTurn(const naglfar::Job& job, bool late, const naglfar::Job& head);

  naglfar::sim::Kernel& kernel_;
  naglfar::Scheduler& scheduler_;
  const Choices& given_;
  const Tell& tell_;
  std::vector<Choice> made_;
  std::size_t turns_ = 0;  // how many jobs ran
  [[maybe_unused]] const naglfar::Job* last_ = nullptr;
  std::exception_ptr escaped_;  // has left a coroutine in this turn
  std::string failure_;
};
// [/explore-run]

// [explore-results]
struct Program {
  const char* name;
  void (*run)(Run&);
  bool planted;  // it has a bug, and fails
};
std::span<const Program> programs();  // explore_programs.cpp

// What came of one run.
struct Outcome {
  std::string failure;  // empty if all held
  std::vector<Choice> made;
  std::size_t turns = 0;

  // What repeats it.
  Choices choices() const;
};

// Runs it once. It may have faults, and then needs a seed.
Outcome runOnce(const Program& program, const Choices& given,
                const Tell& tell = {},
                const naglfar::sim::Faults& faults = {},
                std::uint64_t seed = 1);

struct Explored {
  std::uint64_t schedules = 0;
  bool all = false;                // none is left
  std::size_t turns = 0;           // of the longest
  std::size_t differing = 0;       // most choices that are not 0
  std::optional<Outcome> failure;  // the simplest, and of these the shortest
};

// Runs all schedules, but not more than `most`.
Explored explore(const Program& program, std::uint64_t most);
// [/explore-results]

}  // namespace explore
