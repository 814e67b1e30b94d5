// A scheduler for one test, and a test case that waits.
//
// The body of a TEST_CASE_FIXTURE waits as a program's main does: see
// in_main.hpp.

#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include "claims.hpp"
#include "in_main.hpp"
#include "naglfar/scheduler.hpp"

namespace helpers {

// So long, and SIGALRM ends the test.
struct Bounded {
  explicit Bounded(unsigned seconds = 60) { ::alarm(seconds); }
  ~Bounded() { ::alarm(0); }
  Bounded(const Bounded&) = delete;
  Bounded& operator=(const Bounded&) = delete;
};

// A scheduler for one test. What leaves a coroutine fails the test.
struct Run : Bounded {
  explicit Run(unsigned seconds = 60) : Bounded(seconds) {}
  naglfar::Scheduler scheduler;
};

}  // namespace helpers

#if !CLAIMS(main_waits)
#define TEST_IN_MAIN(Test, Fixture, name)                         \
  namespace {                                                     \
  struct Test : Fixture {                                         \
    void runTest();                                               \
  };                                                              \
  }                                                               \
  TEST_CASE(name) {                                               \
    Test test;                                                    \
    helpers::inMain(test.scheduler, [&test] { test.runTest(); }); \
  }                                                               \
  void Test::runTest()
#undef TEST_CASE_FIXTURE
#define TEST_CASE_FIXTURE(Fixture, name) \
  TEST_IN_MAIN(DOCTEST_ANONYMOUS(InMain), Fixture, name)
#endif
