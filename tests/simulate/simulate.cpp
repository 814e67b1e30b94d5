// simulate: runs the library in the simulated kernel, seed after seed, and
// stops at the first one where something does not hold.

#include "claims.hpp"
#include "explore.hpp"
#include "scenarios.hpp"

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <filesystem>
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
  bool explore = false;       // schedules, instead of seeds
  const explore::Program* program = nullptr;
  std::uint64_t most = 2'000'000;
  std::optional<explore::Choices> choices = {};
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

const explore::Program* findProgram(std::string_view name) {
  for (const explore::Program& program : explore::programs())
    if (program.name == name) return &program;
  usageError("there is no program `" + std::string(name) + "'");
}

// "0,2,1".
explore::Choices parseChoices(std::string_view text) {
  explore::Choices choices;
  for (std::size_t comma = 0; comma != text.npos;) {
    comma = text.find(',');
    choices.push_back(
        static_cast<std::uint8_t>(parseNumber(text.substr(0, comma))));
    text.remove_prefix(std::min(comma, text.size() - 1) + 1);
  }
  return choices;
}
// [/simulate-arguments]

// [simulate-help]
void printHelp() {
  std::cout
      << "usage: simulate [--seeds A..B | --seed S] [--scenario NAME] "
         "[--trace]\n       simulate --explore [PROGRAM] [--most N]\n"
         "       simulate --explore PROGRAM --choices LIST [--trace]\n"
         "       simulate --comet N\n\n"
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
  std::cout
      << "\n  --trace          print the last steps of each run: every "
         "call, fault and event\n"
         "  --explore        run all schedules of small programs, and of "
         "those that have\n                   a bug if they are named."
         " One of:";
  for (const explore::Program& program : explore::programs())
    std::cout << ' ' << program.name;
  std::cout << "\n  --most N         no more than so many of each program "
               "(2000000 by default)\n"
               "  --choices LIST   run the schedule with these choices\n"
               "  --comet N        make the comet run with N clients, and "
               "print what each costs\n"
               "  --help           print this\n";
}
// [/simulate-help]

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
    } else if (option == "--explore") {
      arguments.explore = true;
      if (i + 1 < argc && argv[i + 1][0] != '-')
        arguments.program = findProgram(value());
    } else if (option == "--most") {
      arguments.most = parseNumber(value());
    } else if (option == "--choices") {
      arguments.choices = parseChoices(value());
    } else if (option == "--trace") {
      arguments.trace = true;
    } else {
      usageError("there is no option `" + std::string(option) + "'");
    }
  }
  if (arguments.choices && arguments.program == nullptr)
    usageError("--choices needs --explore and a program");
  return arguments;
}
// [/simulate-parse]

// [simulate-explore]
// Shows one schedule: who ran, and with `calls` what it asked of the kernel.
void show(const explore::Program& program, const explore::Choices& choices,
          bool calls) {
  const explore::Outcome outcome =
      explore::runOnce(program, choices, [&](const std::string& step) {
        // What the kernel tells begins with a time in microseconds.
        if (calls || step.find(" us  ") == step.npos)
          std::cout << step << '\n';
      });
  std::cout << (outcome.failure.empty() ? "all held" : outcome.failure)
            << '\n';
}

// True if all held.
bool exploreOne(const std::string& myself, const explore::Program& program,
                std::uint64_t most) {
  const explore::Explored found = explore::explore(program, most);
  if (!found.failure) {
    std::printf("%-14s %s%llu schedules, of at most %zu turns\n",
                program.name, found.all ? "all " : "the first ",
                static_cast<unsigned long long>(found.schedules),
                found.turns);
    return true;
  }
  std::cout << program.name << ": fails, after " << found.schedules
            << " schedules; the library's own order, but for "
            << found.differing << " of its choices:\n";
  explore::Choices choices = found.failure->choices();
  if (choices.empty()) choices.push_back(0);
  show(program, choices, false);
  std::cout << "to see more: " << myself << " --explore " << program.name
            << " --trace --choices ";
  for (std::size_t i = 0; i < choices.size(); ++i)
    std::cout << (i == 0 ? "" : ",") << int{choices[i]};
  std::cout << '\n';
  return false;
}

int exploreAll(const std::string& myself, const Arguments& arguments) {
  if (arguments.choices) {
    show(*arguments.program, *arguments.choices, arguments.trace);
    return 0;
  }
  bool good = true;
  for (const explore::Program& program : explore::programs())
    if (arguments.program == nullptr ? !program.planted
                                     : arguments.program == &program)
      good = exploreOne(myself, program, arguments.most) && good;
  return good ? 0 : 1;
}

}  // namespace
// [/simulate-explore]

// [simulate-main]
int main(int argc, char** argv) try {
  const Arguments arguments = parse(argc, argv);
  const std::string myself = std::filesystem::path(argv[0]).filename();
  if (arguments.clients > 0) {
#if CLAIMS(departures)
    simulate::cometOf(arguments.clients);
    return 0;
#else
    usageError("--comet is for the library");
#endif
  }
  if (arguments.explore) return exploreAll(myself, arguments);
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
                << "): " << outcome.failure << "\nto see how: " << myself;
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
