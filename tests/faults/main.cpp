// The main function of a test program that is run with faults: seed after
// seed, each in a process of its own, until one fails.
//
//   test_io_faults 0.2 1..20 [options of doctest]
//
// FAULTS is which kinds of faults it has: faults::Kinds.

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>

#include "../listener.hpp"
#include "faults.hpp"

// [faults-report]
namespace {

// What the child of a seed tells its parent, in memory that they share.
struct Told {
  std::uint64_t faults;
  unsigned tests;
};
Told* told = nullptr;

struct Teller : TestListener {
  explicit Teller(const doctest::ContextOptions&) {}
  void test_run_end(const doctest::TestRunStats& stats) override {
    told->faults += faults::shown();
    told->tests = stats.numTestCasesPassingFilters;
    faults::begin(0, 0, faults::Kinds::transparent);
  }
  void test_case_start(const doctest::TestCaseData& test) override {
    std::printf("%s\n", test.m_name);
    std::fflush(stdout);
  }
};
REGISTER_LISTENER("teller", 1, Teller);

}  // namespace
// [/faults-report]

// [faults-main]
int main(int argc, char** argv) {
  double probability = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  if (argc < 3 || std::sscanf(argv[1], "%lf", &probability) != 1 ||
      std::sscanf(argv[2], "%lu..%lu", &first, &last) != 2) {
    std::cerr << "usage: " << argv[0] << " PROBABILITY A..B [options]\n";
    return 2;
  }
  told =
      static_cast<Told*>(::mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    std::FILE* output = std::tmpfile();
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(::fileno(output), STDOUT_FILENO);
      ::dup2(::fileno(output), STDERR_FILENO);
      doctest::Context context(argc - 2, argv + 2);
      faults::begin(probability, seed, faults::Kinds::FAULTS);
      const int result = context.run();
      std::cout.flush();
      ::_exit(result);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    if (status != 0 || told->tests == 0) {
      std::rewind(output);
      for (int c = std::fgetc(output); c != EOF; c = std::fgetc(output))
        std::putchar(c);
      std::printf("seed %lu: failed, status %d\n", seed, status);
      return 1;
    }
    std::fclose(output);
  }
  std::printf("%lu seeds, %u tests with each, %lu faults: all held\n",
              last - first + 1, told->tests, told->faults);
}
// [/faults-main]
