// The main function of all test programs, compiled once.
//
// doctest is content with a run of no test at all: a filter that matches
// nothing passes, and so does an empty file. Here both fail. A list of a part
// of the tests may be empty, such as that of a test suite.
//
// A test that ends the process before its time fails, too, though with exit
// status 0: so does a stack of makecontext(3) whose first function returns.

#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "listener.hpp"

namespace {

// Learns how many test cases the filters have let through, or of a list, how
// many there are; --help leaves it at -1.
struct Counter : TestListener {
  explicit Counter(const doctest::ContextOptions&) {}
  static inline int selected = -1;

  void test_run_end(const doctest::TestRunStats& stats) override {
    selected = static_cast<int>(stats.numTestCasesPassingFilters);
  }
  void report_query(const doctest::QueryData& query) override {
    selected = static_cast<int>(query.run_stats->numTestCases);
  }
};

REGISTER_LISTENER("counter", 1, Counter);

// The process of main() until its tests are over. Children of fork(2) end as
// they like.
pid_t testing = 0;

void refuseToEnd() {
  if (getpid() != testing) return;
  std::fputs("a test has ended the process\n", stderr);
  _exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  testing = getpid();
  std::atexit(refuseToEnd);
  doctest::Context context(argc, argv);
  const int result = context.run();
  testing = 0;
  if (Counter::selected != 0) return result;
  std::fprintf(stderr, "%s: no test was selected\n", argv[0]);
  return 1;
}
