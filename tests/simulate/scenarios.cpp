// One seed: the kernel and its faults, the scheduler, the scenario, and what
// must hold at the end.

#include "scenarios.hpp"

#include "in_main.hpp"

#include <sstream>

namespace simulate {

using namespace naglfar;

// [helpers]
void World::pause() {
  if (dice.below(3) == 0) return yield();
  naglfar::sleep(
      sys::Duration(dice.below(std::uint64_t{20'000'000} >> dice.below(12))));
}

std::string pattern(std::uint64_t seed, std::size_t start, std::size_t n) {
  std::string bytes(n, '\0');
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t place = (seed + 1) * 0x9e3779b97f4a7c15 + start + i;
    bytes[i] = static_cast<char>(place * 0xbf58476d1ce4e5b9 >> 56);
  }
  return bytes;
}

std::span<const Scenario> scenarios() {
  static constexpr Scenario all[] = {
    {"comet", comet},
    {"echo", echo},
#if CLAIMS(all_of_io)
    {"sendfile", sendFiles},
#endif
    {"pipes", pipes},
    {"close", closings},
    {"chain", chain},
    {"market", market},
    {"deadlines", deadlines},
#if CLAIMS(budgets)
    {"turns", turns},
#endif
  };
  return all;
}
// [/helpers]

// [one-seed]
namespace {

// A third of the runs has no faults, a third only harmless ones. Each fault
// has a probability of its own, and is missing in half of the runs, for one
// may hide what another shows: readiness in vain wakes those whose wake-up
// was lost.
sim::Faults chooseFaults(World& world) {
  constexpr double probabilities[] = {0.005, 0.02, 0.1, 0.4};
  const std::size_t kind = world.dice.below(3);
  world.lossless = kind < 2;
  if (kind == 0) return {};
  using F = sim::Faults;
  F faults = kind == 1 ? F::harmless(1) : F::all(1);
  for (double F::*each :
       {&F::interrupted, &F::againInVain, &F::readyInVain, &F::reordered,
        &F::shortTransfer, &F::delayed, &F::connectRefused,
        &F::connectTimedOut, &F::acceptAborted, &F::noDescriptors,
        &F::noBuffers, &F::reset})
    faults.*each *= world.coin() ? probabilities[world.dice.below(4)] : 0;
  return faults;
}

std::string runScenario(World& world, const Scenario& scenario) {
  Scheduler scheduler;
  std::ostringstream left;  // before the others are cancelled
#if CLAIMS(unhandled)
  scheduler.unhandled = [&](std::exception_ptr escaped) {
    if (left.str().empty()) scheduler.dump(left);
    std::rethrow_exception(escaped);
  };
#endif
  world.kernel.setFaults(chooseFaults(world));
  try {
    helpers::inMain(scheduler, [&] {
      scenario.run(world);
      scheduler.run();
    });
  } catch (const World::Failed&) {
    return world.failure;
  } catch (const sim::Stuck& stuck) {
    return std::string(stuck.what()) + "\n" + left.str();
  } catch (const std::exception& error) {
    return error.what();
  }
  return world.failure;
}

}  // namespace

Outcome run(std::uint64_t seed, const Trace& trace,
            const Scenario* scenario) {
  constexpr std::size_t known = CLAIMS(budgets) ? 8 : 7;
  if (scenario == nullptr) scenario = &scenarios()[seed % known];
  sim::Random dice(seed);
  sim::Kernel kernel(dice.next());
  kernel.trace = trace;
  kernel.callLimit = 3'000'000;
  World world{kernel, sim::Random(dice.next()), true};
  const std::uint64_t before = ledger.systemCalls();
  std::string failure = runScenario(world, *scenario);
  if (failure.empty() && kernel.openDescriptors() != 0)
    failure = std::to_string(kernel.openDescriptors()) +
              " descriptors are left open";
  return {scenario->name, failure, kernel.faultsShown(),
          ledger.systemCalls() - before};
}
// [/one-seed]

}  // namespace simulate
