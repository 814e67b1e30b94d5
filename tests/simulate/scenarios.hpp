// What happens in the simulated kernel: small programs on the library, whose
// every choice comes from a seed, and what must hold whatever they choose.
//
// Invariants that each run checks: nobody waits for ever; whoever is answered
// is answered rightly; bytes come in order, all of them or an error; nothing
// is done twice; at the end nobody is parked, and every descriptor is closed.

#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "naglfar/scheduler.hpp"
#include "naglfar/sim.hpp"

namespace simulate {

// [world]
// What a scenario runs in.
struct World {
  naglfar::sim::Kernel& kernel;
  naglfar::sim::Random dice;  // the scenario's own
  bool lossless;              // no fault breaks a connection
  std::string failure = {};   // the first thing that did not hold

  // A scenario ends where it fails, in a coroutine, too.
  struct Failed {};
  void expect(bool holds, const std::string& what) {
    if (holds) return;
    if (failure.empty()) failure = what;
    throw Failed{};
  }
  std::size_t roll(std::size_t least, std::size_t most) {
    return least + dice.below(most - least + 1);
  }
  bool coin() { return dice.below(2) == 0; }
  // Lets the others run, and mostly some time pass.
  void pause();
};
// [/world]

// [scenarios]
struct Scenario {
  const char* name;
  void (*run)(World&);
};
// Seed S runs number S modulo 8. The ninth runs by its name only, so that a
// seed which was written down stays the run that it was.
std::span<const Scenario> scenarios();

// What came of one seed.
struct Outcome {
  const char* scenario;
  std::string failure;  // empty if all held
  std::uint64_t faults;
  std::uint64_t calls;
};
using Trace = std::function<void(const std::string&)>;

// Runs a seed. With a trace, every call and every event is told to it.
Outcome run(std::uint64_t seed, const Trace& trace = {},
            const Scenario* scenario = nullptr);
// [/scenarios]

// The comet run with `n` patient clients and no faults. Prints what a client
// costs. Throws std::runtime_error if something does not hold.
void cometOf(std::size_t n);  // comet_large.cpp

// Bytes that tell by what they are where they belong.
std::string pattern(std::uint64_t seed, std::size_t start, std::size_t n);

void comet(World& world);  // scenario_comet.cpp
void echo(World& world);   // scenario_streams.cpp
void sendFiles(World& world);
void pipes(World& world);
void closings(World& world);
void chain(World& world);  // scenario_channels.cpp
void market(World& world);
void deadlines(World& world);
void turns(World& world);  // scenario_turns.cpp

}  // namespace simulate
