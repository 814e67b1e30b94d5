// A scheduler for one test, and a test case that waits.
//
// The body of a test case waits as a program's main does. In the library that
// may be the thread's own stack. In the small version only a coroutine can
// wait: there the body runs in one, and TEST_CASE_FIXTURE is made anew.

#pragma once

#include <doctest/doctest.h>
#include <unistd.h>

#include <memory>

#include "claims.hpp"
#include "naglfar/scheduler.hpp"

namespace helpers {

// So long, and SIGALRM ends the test.
struct Bounded {
  explicit Bounded(unsigned seconds = 60) { ::alarm(seconds); }
  ~Bounded() { ::alarm(0); }
  Bounded(const Bounded&) = delete;
  Bounded& operator=(const Bounded&) = delete;

  template <class Body>
  void runBody(Body body) {
    body();
  }
};

// A scheduler for one test. What leaves a coroutine fails the test.
struct Run : Bounded {
  explicit Run(unsigned seconds = 60) : Bounded(seconds) {}
  naglfar::Scheduler scheduler;

#if !CLAIMS(main_waits)
  // Runs the body in a coroutine that its scheduler does not count.
  template <class Body>
  void runBody(Body body) {
    using naglfar::Coroutine;
    struct Over {};
    bool ended = false;
    naglfar::StackPool pool;
    Coroutine& main = Coroutine::make(pool, [&] {
      const std::unique_ptr<bool, void (*)(bool*)> atEnd(
          &ended, [](bool* it) { *it = true; });
      body();
      throw Over{};  // so that run() unwinds the coroutines that are left
    });
    scheduler.wake(main);
    try {
      scheduler.run();
    } catch (const Over&) {
    } catch (...) {
      if (!ended) Coroutine::destroy(main);
      throw;
    }
    if (ended) return;
    Coroutine::destroy(main);
    FAIL("the test waits for ever");
  }
#endif
};

// What go() gives, to cancel a coroutine that waits.
#if CLAIMS(groups)
using naglfar::Task;
#else
class Task {
 public:
  Task(naglfar::Coroutine& coroutine) : coroutine_(&coroutine) {}
  void cancel() { naglfar::Coroutine::destroy(*coroutine_); }

 private:
  naglfar::Coroutine* coroutine_;
};
#endif

}  // namespace helpers

#if !CLAIMS(main_waits)
#define TEST_BODY_IN_COROUTINE(Test, Fixture, name) \
  namespace {                                       \
  struct Test : Fixture {                           \
    void runTest();                                 \
  };                                                \
  }                                                 \
  TEST_CASE(name) {                                 \
    Test test;                                      \
    test.runBody([&test] { test.runTest(); });      \
  }                                                 \
  void Test::runTest()
#undef TEST_CASE_FIXTURE
#define TEST_CASE_FIXTURE(Fixture, name) \
  TEST_BODY_IN_COROUTINE(DOCTEST_ANONYMOUS(InCoroutine), Fixture, name)
#endif
