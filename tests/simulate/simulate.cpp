// simulate: runs the library in the simulated kernel, seed after seed, and
// stops at the first one where something does not hold.

#include "scenarios.hpp"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <string_view>

using namespace naglfar;

// [simulate-arguments]
namespace {

struct Arguments {
  std::uint64_t first = 1;
  std::uint64_t last = 20'000;
  const simulate::Scenario* scenario = nullptr;
  bool trace = false;
  std::uint64_t clients = 0;  // of a large run, instead of seeds
};

[[noreturn]] void usageError(const std::string& what) {
  std::cerr << "simulate: " << what << "; see simulate --help\n";
  std::exit(2);
}

std::uint64_t parseNumber(std::string_view text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec != std::errc() || parsed.ptr != end)
    usageError("that is no whole number: `" + std::string(text) + "'");
  return number;
}

const simulate::Scenario* findScenario(std::string_view name) {
  for (const simulate::Scenario& scenario : simulate::scenarios())
    if (scenario.name == name) return &scenario;
  usageError("there is no scenario `" + std::string(name) + "'");
}

void printHelp() {
  std::cout
      << "usage: simulate [--seeds A..B | --seed S] [--scenario NAME] "
         "[--trace]\n       simulate --comet N\n\n"
         "Runs small programs on the library in a simulated kernel. All that "
         "happens\nin a run, faults included, comes from its seed. Stops at "
         "the first seed where\nsomething does not hold, and exits with "
         "status 1.\n\n"
         "  --seeds A..B     run these seeds (1..20000 by default)\n"
         "  --seed S         run this one\n"
         "  --scenario NAME  run this scenario with each seed; by default a "
         "seed\n                   has its own. One of:";
  for (const simulate::Scenario& scenario : simulate::scenarios())
    std::cout << ' ' << scenario.name;
  std::cout << "\n  --trace          print the last steps of each run: every "
               "call, fault and event\n"
               "  --comet N        make the comet run with N clients, and "
               "print what each costs\n"
               "  --help           print this\n";
}
// [/simulate-arguments]

// [simulate-parse]
Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    const auto value = [&]() -> std::string_view {
      if (++i == argc) usageError(std::string(option) + " needs a value");
      return argv[i];
    };
    if (option == "--help") {
      printHelp();
      std::exit(0);
    } else if (option == "--seeds") {
      const std::string_view range = value();
      const std::size_t dots = range.find("..");
      if (dots == std::string_view::npos)
        usageError("seeds are A..B, not `" + std::string(range) + "'");
      arguments.first = parseNumber(range.substr(0, dots));
      arguments.last = parseNumber(range.substr(dots + 2));
      if (arguments.first > arguments.last)
        usageError("there are no seeds in `" + std::string(range) + "'");
    } else if (option == "--seed") {
      arguments.first = arguments.last = parseNumber(value());
    } else if (option == "--scenario") {
      arguments.scenario = findScenario(value());
    } else if (option == "--comet") {
      arguments.clients = parseNumber(value());
      if (arguments.clients == 0) usageError("at least one client is needed");
    } else if (option == "--trace") {
      arguments.trace = true;
    } else {
      usageError("there is no option `" + std::string(option) + "'");
    }
  }
  return arguments;
}

}  // namespace
// [/simulate-parse]

// [simulate-main]
int main(int argc, char** argv) try {
  const Arguments arguments = parse(argc, argv);
  if (arguments.clients > 0) {
    simulate::cometOf(arguments.clients);
    return 0;
  }
  const auto start = std::chrono::steady_clock::now();
  std::uint64_t faults = 0;
  std::uint64_t calls = 0;
  for (std::uint64_t seed = arguments.first;; ++seed) {
    constexpr std::size_t lastSteps = 300;
    std::deque<std::string> steps;
    simulate::Trace trace;
    if (arguments.trace)
      trace = [&](const std::string& step) {
        steps.push_back(step);
        if (steps.size() > lastSteps) steps.pop_front();
      };
    const simulate::Outcome outcome =
        simulate::run(seed, trace, arguments.scenario);
    for (const std::string& step : steps) std::cout << step << '\n';
    faults += outcome.faults;
    calls += outcome.calls;
    if (!outcome.failure.empty()) {
      std::cout << "seed " << seed << " (" << outcome.scenario
                << "): " << outcome.failure << "\nto see how: simulate";
      if (arguments.scenario != nullptr)
        std::cout << " --scenario " << outcome.scenario;
      std::cout << " --seed " << seed << " --trace\n";
      return 1;
    }
    if (seed == arguments.last) break;
  }
  const std::chrono::duration<double> took =
      std::chrono::steady_clock::now() - start;
  std::printf(
      "all held: %llu seeds, %llu calls, %llu faults, %.1f s\n",
      static_cast<unsigned long long>(arguments.last - arguments.first + 1),
      static_cast<unsigned long long>(calls),
      static_cast<unsigned long long>(faults), took.count());
} catch (const std::exception& error) {
  std::cerr << "simulate: " << error.what() << '\n';
  return 1;
}
// [/simulate-main]
