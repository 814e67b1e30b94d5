// Coroutines resumed by hand: no scheduler here, and no poller that runs.
//
// What must end the process, such as a stack that overflows, happens in a
// child, and the test looks at what the child left behind.

#include <dlfcn.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cfenv>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "claims.hpp"
#include "in_child.hpp"
#include "naglfar/coroutine.hpp"
#include "naglfar/coroutine/fiber_hooks.hpp"
#include "naglfar/sys.hpp"
#include "naglfar/sys/ledger.hpp"

#ifdef __linux__
#include <sys/syscall.h>
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#ifndef RUNNING_ON_VALGRIND
#define RUNNING_ON_VALGRIND 0
#endif

namespace sys = naglfar::sys;
using helpers::Fate;
using naglfar::Call;
using naglfar::Coroutine;
using naglfar::fiberHooksOn;
using naglfar::Ledger;
using naglfar::StackPool;
using naglfar::Unwind;

namespace {

using Log = std::vector<std::string>;

// The coroutines of this thread's test, in the order of making.
thread_local naglfar::List<Coroutine> made;

// A pool, and the coroutines of a test, none of which outlives it.
struct Stage {
  StackPool pool;

  Stage& operator=(Stage&&) = delete;  // nor may it be copied
  ~Stage() {
    while (Coroutine* left = made.first()) Coroutine::destroy(*left);
  }

  template <class Body>
  Coroutine& make(Body&& body) {
    Coroutine& coroutine = Coroutine::make(pool, std::forward<Body>(body));
    made.append(coroutine);
    return coroutine;
  }
};

// What the ledger has counted since this was made.
struct Since {
  Ledger start = naglfar::ledger;
  std::uint64_t operator()(Call call) const {
    return naglfar::ledger[call] - start[call];
  }
  std::uint64_t switches() const {
    return naglfar::ledger.switches - start.switches;
  }
};

std::size_t coroutines() {
  std::size_t n = 0;
  for (Coroutine* c = made.first(); c != nullptr; c = made.next(*c)) ++n;
  return n;
}

// Says in the log that a scope has ended.
struct Leaves {
  Log& log;
  std::string what;
  Leaves(Log& to, std::string text) : log(to), what(std::move(text)) {}
  Leaves& operator=(Leaves&&) = delete;  // nor may it be copied
  ~Leaves() { log.push_back(what); }
};

// Runs a function in a child, in a thread of its own: handlers and alternate
// stacks are as fresh there as in a program that has just started. The child
// ends with the status that the function returns.
template <class Function>
Fate inChild(Function function) {
  return helpers::inChild([&] {
    int status = 99;
    std::thread([&] { status = function(); }).join();
    _exit(status);
  });
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Stands on as many stack frames as it is told, of half a page each, so that
// none of them steps over a guard page.
[[gnu::noinline]] int recurse(int depth) {
  volatile char frame[2048];
  frame[0] = static_cast<char>(depth);
  if (depth == 0) return frame[0];
  const int below = recurse(depth - 1);
  return below + (frame[0] != static_cast<char>(depth) ? 1 : 0);
}

#if defined(__linux__) && CLAIMS(slabs)
// What the kernel says, where a test needs another answer than it has.
bool kernelWithoutGuards = false;
bool noMoreMappings = false;
bool kernelWithoutMapStack = false;
#endif

}  // namespace

#if defined(__linux__) && CLAIMS(slabs)
// These stand before the C library's, so that a test can take away what this
// kernel can do.
extern "C" int madvise(void* memory, std::size_t n, int advice) noexcept {
  constexpr int guardInstall = 102;
  if (advice == guardInstall && kernelWithoutGuards) {
    errno = EINVAL;
    return -1;
  }
  return static_cast<int>(syscall(SYS_madvise, memory, n, advice));
}

// process_madvise(2) is made through syscall(2).
extern "C" long syscall(long number, ...) noexcept {
  if (number == SYS_process_madvise && kernelWithoutGuards) {
    errno = EINVAL;
    return -1;
  }
  using Syscall = long (*)(long, long, long, long, long, long, long);
  // Without an initialiser: libc++abi guards a static that has one, and calls
  // syscall(2) to do so.
  static Syscall real;
  if (real == nullptr)
    real = reinterpret_cast<Syscall>(dlsym(RTLD_NEXT, "syscall"));
  long values[6];
  va_list list;
  va_start(list, number);
  for (long& value : values) value = va_arg(list, long);
  va_end(list);
  return real(number, values[0], values[1], values[2], values[3], values[4],
              values[5]);
}

#if !NAGLFAR_SANITIZED
extern "C" int mprotect(void* memory, std::size_t n, int how) noexcept {
  if (how == PROT_NONE && noMoreMappings) {
    errno = ENOMEM;
    return -1;
  }
  return static_cast<int>(syscall(SYS_mprotect, memory, n, how));
}

// Before Linux 6.7 MAP_STACK means nothing.
extern "C" void* mmap(void* memory, std::size_t n, int how, int flags, int fd,
                      off_t offset) noexcept {
  if (kernelWithoutMapStack) flags &= ~MAP_STACK;
  return reinterpret_cast<void*>(
      syscall(SYS_mmap, memory, n, how, flags, fd, offset));
}
#endif
#endif

// --- to stop and to go on ---

TEST_CASE("a coroutine runs when it is resumed and stops when it suspends") {
  Log log;
  Stage stage;
  const Since since;
  Coroutine& a = stage.make([&] {
    log.push_back("a1");
    Coroutine::suspend();
    log.push_back("a2");
    Coroutine::suspend();
    log.push_back("a3");
  });
  CHECK(log.empty());
  Coroutine& b = stage.make([&] {
    log.push_back("b1");
    Coroutine::suspend();
    log.push_back("b2");
  });
  CHECK(since.switches() == 0);
  a.resume();
  b.resume();
  log.push_back("main");
  b.resume();
  a.resume();
  CHECK(coroutines() == 1);
  a.resume();
  CHECK(log == Log{"a1", "b1", "main", "b2", "a2", "a3"});
  CHECK(coroutines() == 0);
  CHECK(since.switches() == 2 * 5);
  CHECK(naglfar::ledger.coroutines - since.start.coroutines == 2);
}

TEST_CASE("local variables are what they were after a suspension") {
  Stage stage;
  long sum = 0;
  Coroutine& adder = stage.make([&sum] {
    std::array<int, 1000> numbers;
    for (int i = 0; i < 1000; ++i) {
      numbers[static_cast<std::size_t>(i)] = i;
      if (i % 100 == 0) Coroutine::suspend();
    }
    for (const int n : numbers) sum += n;
  });
  Coroutine& other = stage.make([] {
    for (int i = 0; i < 10; ++i) {
      recurse(20);
      Coroutine::suspend();
    }
  });
  for (int i = 0; i < 10; ++i) {
    adder.resume();
    other.resume();
  }
  adder.resume();
  CHECK(sum == 999 * 1000 / 2);
}

TEST_CASE("current is the coroutine that runs and null on the thread's own") {
  Stage stage;
  CHECK(Coroutine::current() == nullptr);
  Coroutine* seen = nullptr;
  Coroutine& c = stage.make([&] {
    seen = Coroutine::current();
    Coroutine::suspend();
  });
  c.resume();
  CHECK(seen == &c);
  CHECK(Coroutine::current() == nullptr);
}

TEST_CASE("as a job a coroutine runs by being resumed") {
  Stage stage;
  int runs = 0;
  Coroutine& c = stage.make([&] { ++runs; });
  naglfar::JobQueue queue;
  queue.append(c);
  queue.pop()->run();
  CHECK(runs == 1);
  CHECK(queue.pop() == nullptr);
}

TEST_CASE("a closure that can only be moved is moved and then destroyed") {
  Stage stage;
  struct Token {
    explicit Token(int& n) : alive(n) { ++alive; }
    Token(const Token&) = delete;
    Token& operator=(const Token&) = delete;
    ~Token() { --alive; }
    int& alive;
  };
  int alive = 0;
  bool arrived = false;
  Coroutine& c =
      stage.make([&arrived, token = std::make_unique<Token>(alive)] {
        Coroutine::suspend();
        arrived = token != nullptr;
      });
  CHECK(alive == 1);
  c.resume();
  CHECK(alive == 1);
  c.resume();
  CHECK(arrived);
  CHECK(alive == 0);
}

TEST_CASE("the body is called as an rvalue so it may move its captures out") {
  Stage stage;
  struct Once {
    std::unique_ptr<int> value;
    int& out;
    void operator()() && { out = *std::exchange(value, nullptr); }
  };
  int out = 0;
  stage.make(Once{std::make_unique<int>(7), out}).resume();
  CHECK(out == 7);
}

TEST_CASE("a closure whose copy throws costs no stack") {
  Stage stage;
  struct Thrower {
    Thrower() = default;
    Thrower(const Thrower&) { throw std::runtime_error("copy"); }
    Thrower& operator=(const Thrower&) = delete;
    ~Thrower() = default;
    void operator()() const {}
  };
  const Thrower thrower;
  CHECK_THROWS_WITH(stage.make(thrower), "copy");
  CHECK(coroutines() == 0);
  char* first = stage.pool.acquire();
  stage.pool.release(first);
  CHECK_THROWS_WITH(stage.make(thrower), "copy");
  CHECK(stage.pool.acquire() == first);
  stage.pool.release(first);
}

namespace {
template <std::size_t alignment>
struct alignas(alignment) Aligned {
  char payload[alignment + 8] = {};
  std::uintptr_t& address;
  void operator()() const {
    address = reinterpret_cast<std::uintptr_t>(this);
  }
};
}  // namespace

TEST_CASE("a closure stands where its alignment asks for") {
  Stage stage;
  std::uintptr_t address = 1;
  stage.make(Aligned<16>{{}, address}).resume();
  CHECK(address % 16 == 0);
  address = 1;
  stage.make(Aligned<64>{{}, address}).resume();
  CHECK(address % 64 == 0);
  address = 1;
  stage.make(Aligned<512>{{}, address}).resume();
  CHECK(address % 512 == 0);
}

TEST_CASE("the first frame stands on an aligned stack") {
  Stage stage;
  // Closures of different sizes put the first frame at different places.
  const auto misaligned = [&stage](auto closure) {
    std::uintptr_t rest = 1;
    stage
        .make([&rest, closure] {
          (void)closure;
          alignas(16) volatile char place[16] = {};
          long double number = 1.5L;
          volatile long double* where = &number;
          *where = *where + static_cast<long double>(place[0]);
          rest = reinterpret_cast<std::uintptr_t>(where) % 16;
        })
        .resume();
    return rest;
  };
  CHECK(misaligned(std::array<char, 1>{}) == 0);
  CHECK(misaligned(std::array<char, 17>{}) == 0);
  CHECK(misaligned(std::array<char, 72>{}) == 0);
  CHECK(misaligned(std::array<char, 200>{}) == 0);
}

TEST_CASE("a coroutine resumes a coroutine and gets control back") {
  Log log;
  Stage stage;
  std::vector<Coroutine*> current;
  Coroutine& inner = stage.make([&] {
    log.push_back("inner1");
    current.push_back(Coroutine::current());
    Coroutine::suspend();
    log.push_back("inner2");
  });
  Coroutine& outer = stage.make([&] {
    log.push_back("outer1");
    inner.resume();
    current.push_back(Coroutine::current());
    log.push_back("outer2");
    Coroutine::suspend();
    inner.resume();
    log.push_back("outer3");
  });
  outer.resume();
  CHECK(Coroutine::current() == nullptr);
  log.push_back("main");
  outer.resume();
  CHECK(log == Log{"outer1", "inner1", "outer2", "main", "inner2", "outer3"});
  CHECK(current == std::vector<Coroutine*>{&inner, &outer});
  CHECK(coroutines() == 0);
}

TEST_CASE("a coroutine suspends to whoever resumed it last") {
  Log log;
  Stage stage;
  Coroutine& c = stage.make([&] {
    for (;;) {
      log.push_back("c");
      Coroutine::suspend();
    }
  });
  c.resume();
  log.push_back("main");
  stage
      .make([&] {
        c.resume();
        log.push_back("other");
      })
      .resume();
  c.resume();
  log.push_back("main");
  CHECK(log == Log{"c", "main", "c", "other", "c", "main"});
}

TEST_CASE("the rounding mode belongs to the coroutine that has set it") {
  if (RUNNING_ON_VALGRIND) return;  // it computes in one mode only
  Stage stage;
  const int before = std::fegetround();
  const auto third = [] {
    volatile double one = 1.0;
    return one / 3.0;
  };
  const double nearest = third();
  bool same = false;
  Coroutine& c = stage.make([&] {
    std::fesetround(FE_UPWARD);
    const double upward = third();
    Coroutine::suspend();
    same = std::fegetround() == FE_UPWARD && third() == upward;
    if (!(upward > nearest)) same = false;
  });
  c.resume();
  CHECK(std::fegetround() == before);
  CHECK(third() == nearest);
  std::fesetround(FE_TOWARDZERO);
  c.resume();
  const int after = std::fegetround();
  std::fesetround(before);
  CHECK(after == FE_TOWARDZERO);
  CHECK(same);
}

// --- exceptions ---

TEST_CASE("an exception that leaves the body comes out of resume") {
  Log log;
  Stage stage;
  Coroutine& c = stage.make([&] {
    const Leaves scope(log, "unwound");
    Coroutine::suspend();
    throw std::runtime_error("from the body");
  });
  c.resume();
  CHECK_THROWS_WITH_AS(c.resume(), "from the body", std::runtime_error);
  CHECK(log == Log{"unwound"});
  CHECK(coroutines() == 0);

  Coroutine& number = stage.make([] { throw 42; });
  CHECK_THROWS_AS(number.resume(), int);
  CHECK(coroutines() == 0);
}

TEST_CASE("an exception passes from a coroutine to the one that resumed it") {
  Stage stage;
  std::string caught;
  stage
      .make([&] {
        try {
          stage.make([] { throw std::runtime_error("inner"); }).resume();
        } catch (const std::runtime_error& error) {
          Coroutine::suspend();
          caught = error.what();
        }
      })
      .resume();
  CHECK(coroutines() == 1);
  made.first()->resume();
  CHECK(caught == "inner");
}

TEST_CASE("each coroutine rethrows the exception that it has caught itself") {
  Log rethrown;
  Stage stage;
  const auto body = [&rethrown](const char* text) {
    return [&rethrown, text] {
      try {
        try {
          throw std::runtime_error(text);
        } catch (...) {
          Coroutine::suspend();
          throw;
        }
      } catch (const std::runtime_error& error) {
        rethrown.push_back(error.what());
      }
    };
  };
  Coroutine& a = stage.make(body("a"));
  Coroutine& b = stage.make(body("b"));
  a.resume();
  b.resume();
  CHECK(std::current_exception() == nullptr);
  a.resume();
  b.resume();
  CHECK(rethrown == Log{"a", "b"});
}

TEST_CASE("a coroutine does not see the exception that its resumer handles") {
  Stage stage;
  bool handling = true;
  Coroutine& c = stage.make([&] {
    handling = std::current_exception() != nullptr;
    try {
      throw std::runtime_error("inner");
    } catch (const std::runtime_error&) {
      Coroutine::suspend();
    }
  });
  std::string rethrown;
  try {
    try {
      throw std::runtime_error("outer");
    } catch (const std::runtime_error&) {
      c.resume();
      throw;
    }
  } catch (const std::runtime_error& error) {
    rethrown = error.what();
  }
  CHECK_FALSE(handling);
  CHECK(rethrown == "outer");
  c.resume();
}

namespace {
struct SuspendsAtTheEnd {
  std::vector<int>& seen;
  SuspendsAtTheEnd(const SuspendsAtTheEnd&) = delete;
  SuspendsAtTheEnd& operator=(const SuspendsAtTheEnd&) = delete;
  explicit SuspendsAtTheEnd(std::vector<int>& to) : seen(to) {}
  ~SuspendsAtTheEnd() {
    seen.push_back(std::uncaught_exceptions());
    Coroutine::suspend();
    seen.push_back(std::uncaught_exceptions());
  }
};
}  // namespace

TEST_CASE("the exceptions in flight are counted for each coroutine") {
  std::vector<int> seen;
  Stage stage;
  Coroutine& c = stage.make([&] {
    try {
      const SuspendsAtTheEnd scope(seen);
      throw std::runtime_error("in flight");
    } catch (const std::runtime_error&) {
      seen.push_back(std::uncaught_exceptions());
    }
  });
  c.resume();  // it stops in the middle of unwinding
  CHECK(std::uncaught_exceptions() == 0);
  stage.make([&] { seen.push_back(std::uncaught_exceptions()); }).resume();
  c.resume();
  CHECK(seen == std::vector<int>{1, 0, 1, 0});
  CHECK(std::uncaught_exceptions() == 0);
}

TEST_CASE("a destructor may resume a coroutine while an exception flies") {
  Stage stage;
  int inside = -1;
  struct Resumes {
    Stage& on;
    int& seen;
    Resumes(const Resumes&) = delete;
    Resumes& operator=(const Resumes&) = delete;
    Resumes(Stage& where, int& to) : on(where), seen(to) {}
    ~Resumes() {
      on.make([this] {
          seen = std::uncaught_exceptions();
          try {
            throw std::logic_error("caught inside");
          } catch (const std::logic_error&) {
          }
        }).resume();
    }
  };
  const auto flies = [&] {
    const Resumes scope(stage, inside);
    throw std::runtime_error("flies on");
  };
  CHECK_THROWS_WITH_AS(flies(), "flies on", std::runtime_error);
  CHECK(inside == 0);
}

// --- the end, before its time ---

TEST_CASE("destroy runs the destructors on the stack from the inside out") {
  Log log;
  Stage stage;
  Coroutine& c = stage.make([&log, token = std::make_shared<int>(1)] {
    const Leaves outer(log, "outer");
    [&log] {
      const Leaves inner(log, "inner");
      Coroutine::suspend();
      log.push_back("never");
    }();
    log.push_back("never");
  });
  c.resume();
  Coroutine::destroy(c);
  CHECK(log == Log{"inner", "outer"});
  CHECK(coroutines() == 0);
}

TEST_CASE("who catches std::exception does not stop an unwinding") {
  Log log;
  Stage stage;
  Coroutine& c = stage.make([&] {
    const Leaves scope(log, "left");
    try {
      Coroutine::suspend();
    } catch (const std::exception&) {
      log.push_back("swallowed");
    }
    log.push_back("went on");
  });
  c.resume();
  Coroutine::destroy(c);
  CHECK(log == Log{"left"});
}

TEST_CASE("who catches everything and suspends again is unwound again") {
  Log log;
  Stage stage;
  Coroutine& c = stage.make([&] {
    const Leaves scope(log, "left");
    try {
      Coroutine::suspend();
    } catch (...) {
      log.push_back("caught");
    }
    Coroutine::suspend();
    log.push_back("went on");
  });
  c.resume();
  Coroutine::destroy(c);
  CHECK(log == Log{"caught", "left"});
  CHECK(coroutines() == 0);
}

TEST_CASE("what an unwinding throws is heard by nobody") {
  Stage stage;
  Coroutine& c = stage.make([] {
    try {
      Coroutine::suspend();
    } catch (const Unwind&) {
      throw std::runtime_error("instead");
    }
  });
  c.resume();
  CHECK_NOTHROW(Coroutine::destroy(c));
  CHECK(coroutines() == 0);
}

TEST_CASE("a coroutine that never ran is destroyed with its closure") {
  Stage stage;
  const auto token = std::make_shared<int>(1);
  bool ran = false;
  const Since since;
  Coroutine& c = stage.make([token, &ran] { ran = true; });
  CHECK(token.use_count() == 2);
  Coroutine::destroy(c);
  CHECK(token.use_count() == 1);
  CHECK_FALSE(ran);
#if CLAIMS(fresh)
  CHECK(since.switches() == 0);
#endif
  CHECK(coroutines() == 0);
}

TEST_CASE("a coroutine that is destroyed leaves the queue it stood in") {
  Stage stage;
  naglfar::JobQueue queue;
  Coroutine& a = stage.make([] { Coroutine::suspend(); });
  Coroutine& b = stage.make([] { Coroutine::suspend(); });
  a.resume();
  queue.append(a);
  queue.append(b);
  Coroutine::destroy(a);
  CHECK(queue.pop() == &b);
  queue.append(b);
  Coroutine::destroy(b);
  CHECK(queue.empty());
}

TEST_CASE("one coroutine destroys another") {
  Log log;
  Stage stage;
  Coroutine& victim = stage.make([&] {
    const Leaves scope(log, "victim");
    Coroutine::suspend();
  });
  victim.resume();
  stage
      .make([&] {
        Coroutine::destroy(victim);
        log.push_back("done");
        CHECK(Coroutine::current() != nullptr);
      })
      .resume();
  CHECK(log == Log{"victim", "done"});
}

#if CLAIMS(owner)
namespace {

// Writes down what it is told.
struct Told final : Coroutine::Owner {
  Log log;
  void ended(Coroutine& coroutine,
             const std::exception_ptr& escaped) noexcept override {
    log.push_back(coroutine.describe().substr(0, 1) +
                  (escaped ? " threw" : " ended"));
  }
};

}  // namespace

TEST_CASE("an owner is told of each end and of the exception") {
  Told told;
  Stage stage;
  const auto make = [&](const char* name, auto body) -> Coroutine& {
    Coroutine& c = stage.make(body);
    c.name = name;
    c.owner = &told;
    return c;
  };
  make("a", [] {}).resume();
  CHECK_NOTHROW(
      make("b", [] { throw std::runtime_error("for it"); }).resume());
  Coroutine& suspended = make("c", [] { Coroutine::suspend(); });
  suspended.resume();
  Coroutine& fresh = make("d", [] {});
  Coroutine::destroy(suspended);
  Coroutine::destroy(fresh);
  CHECK(told.log == Log{"a ended", "b threw", "c ended", "d ended"});
  CHECK(coroutines() == 0);
}
#endif

#if CLAIMS(self_cancel)
TEST_CASE("a coroutine that cancels itself is unwound where it suspends") {
  Log log;
  Stage stage;
  Coroutine* self = nullptr;
  Coroutine& c = stage.make([&] {
    const Leaves scope(log, "unwound");
    Coroutine::destroy(*self);
    Coroutine::destroy(*self);  // twice is as good as once
    CHECK(self->cancelled());
    log.push_back("goes on");
    Coroutine::suspend();
    log.push_back("never");
  });
  self = &c;
  c.resume();
  CHECK(log == Log{"goes on", "unwound"});
  CHECK(coroutines() == 0);
}

TEST_CASE("a coroutine that is unwound may cancel the one that cancels it") {
  Log log;
  Stage stage;
  Coroutine* outer = nullptr;
  struct Cancels {
    Coroutine*& other;
    ~Cancels() { Coroutine::destroy(*other); }
  };
  Coroutine& inner = stage.make([&] {
    const Leaves scope(log, "inner");
    const Cancels cancels{outer};
    Coroutine::suspend();
  });
  inner.resume();
  Coroutine& c = stage.make([&] {
    const Leaves scope(log, "outer");
    Coroutine::destroy(inner);
    log.push_back("between");
    Coroutine::suspend();
    log.push_back("never");
  });
  outer = &c;
  c.resume();
  CHECK(log == Log{"inner", "between", "outer"});
  CHECK(coroutines() == 0);
}
#endif

// --- the end of the thread ---

// pthread_exit(3) and pthread_cancel(3) unwind, where the C++ library does
// it.
#if defined(__GLIBCXX__) && defined(__GLIBC__)
namespace {

// Runs a function in a thread. Gives the thread's result.
template <class Function>
void* resultOf(Function function) {
  pthread_t thread{};
  const auto start = [](void* place) -> void* {
    (*static_cast<Function*>(place))();
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, nullptr, start, &function) == 0);
  void* result = nullptr;
  REQUIRE(pthread_join(thread, &result) == 0);
  return result;
}

}  // namespace

#if CLAIMS(thread_end)
TEST_CASE("a coroutine that ends its thread unwinds every stack on the way") {
  if (fiberHooksOn || RUNNING_ON_VALGRIND) return;
  for (const bool handling : {false, true})
    for (const bool nested : {false, true}) {
      Log log;
      int value = 0;
      const auto ends = [&] {
        const Leaves scope(log, "coroutine");
        if (!handling) pthread_exit(&value);
        try {
          throw std::runtime_error("handled meanwhile");
        } catch (const std::runtime_error&) {
          pthread_exit(&value);
        }
      };
      void* const result = resultOf([&] {
        const Leaves scope(log, "thread");
        const auto token = std::make_shared<int>(1);
        {
          Stage stage;
          const Leaves before(log, "stage");
          Coroutine& inner = stage.make([ends, token] { ends(); });
          if (!nested) inner.resume();
          stage
              .make([&] {
                const Leaves outer(log, "outer");
                inner.resume();
              })
              .resume();
        }
      });
      CHECK(result == &value);
      CHECK(log == (nested ? Log{"coroutine", "outer", "stage", "thread"}
                           : Log{"coroutine", "stage", "thread"}));
    }
}

TEST_CASE("a thread that is cancelled in a coroutine unwinds its own stack") {
  if (fiberHooksOn || RUNNING_ON_VALGRIND) return;
  Log log;
  void* const result = resultOf([&log] {
    const Leaves scope(log, "thread");
    Stage stage;
    Coroutine& other = stage.make([&log] {
      const Leaves inside(log, "other");
      Coroutine::suspend();
    });
    other.resume();
    stage
        .make([&log] {
          const Leaves inside(log, "coroutine");
          pthread_cancel(pthread_self());
          pthread_testcancel();
        })
        .resume();
  });
  CHECK(result == PTHREAD_CANCELED);
  CHECK(log == Log{"coroutine", "other", "thread"});
}
#endif

TEST_CASE("a descriptor is closed in a thread that is being cancelled") {
  if (fiberHooksOn || RUNNING_ON_VALGRIND) return;
  int number = -1;
  void* const result = resultOf([&number] {
    {
      const sys::Pipe pipe;
      number = pipe.reader.get();
      pthread_cancel(pthread_self());
    }
    pthread_testcancel();
  });
  CHECK(result == PTHREAD_CANCELED);
  CHECK(::fcntl(number, F_GETFD) == -1);
}
#endif

// --- the names ---

#if CLAIMS(numbers)
TEST_CASE("describe gives the name and a number that no other has") {
  Stage stage;
  Coroutine& a = stage.make([] {});
  Coroutine& b = stage.make([] {});
  CHECK(a.describe() != b.describe());
  a.name = b.name = "reader";
  CHECK(contains(a.describe(), "reader"));
  CHECK(contains(b.describe(), "reader"));
  CHECK(a.describe() != b.describe());
}
#endif

TEST_CASE("each thread has its own coroutines") {
  Stage stage;
  Coroutine& mine = stage.make([] {});
  Log log;
  std::thread([&log] {
    Stage theirs;
    log.push_back(std::to_string(coroutines()));
    Coroutine& c = theirs.make([&log] {
      log.push_back("first");
      Coroutine::suspend();
      log.push_back("second");
    });
    c.resume();
    log.push_back(std::to_string(coroutines()));
    c.resume();
  }).join();
  CHECK(log == Log{"0", "first", "1", "second"});
  CHECK(made.first() == &mine);
  CHECK(coroutines() == 1);
}

// --- stacks ---

TEST_CASE("a pool hands out what it got back last and maps no more for it") {
  StackPool pool;
  const Since since;
  char* a = pool.acquire();
  char* b = pool.acquire();
  CHECK(a != b);
  const auto mapped = since(Call::mmap);
#if CLAIMS(slabs)
  CHECK(mapped == 1);
#endif
  pool.release(a);
  pool.release(b);
  CHECK(pool.acquire() == b);
  CHECK(pool.acquire() == a);
  CHECK(since(Call::mmap) == mapped);
  pool.release(a);
  pool.release(b);
}

TEST_CASE("no stack reaches into another one or its guard") {
  StackPool pool;
  std::vector<char*> stacks(16);
  for (char*& stack : stacks) stack = pool.acquire();
  std::sort(stacks.begin(), stacks.end());
  for (std::size_t i = 1; i < stacks.size(); ++i)
    CHECK(std::size_t(stacks[i] - stacks[i - 1]) > StackPool::stackSize);
  for (char* stack : stacks) pool.release(stack);
}

TEST_CASE("to give a stack back needs no memory") {
  StackPool pool;
  std::vector<char*> stacks(2000);  // slabs enough for their list to grow
  for (char*& stack : stacks) stack = pool.acquire();
  const std::uint64_t before = naglfar::ledger.allocations;
  REQUIRE(before > 0);  // they are counted
  for (char* stack : stacks) pool.release(stack);
  CHECK(naglfar::ledger.allocations == before);
}

TEST_CASE("a pool returns its slabs when it goes") {
  const Since since;
  {
    StackPool pool;
    std::vector<char*> stacks;
    while (since(Call::mmap) < 3 && stacks.size() < 5000)
      stacks.push_back(pool.acquire());
    for (char* stack : stacks) pool.release(stack);
    CHECK(since(Call::mmap) > 0);
    CHECK(since(Call::munmap) == 0);
  }
  CHECK(since(Call::munmap) == since(Call::mmap));
}

TEST_CASE("1000 coroutines one after the other need one stack") {
  Stage stage;
  const Since since;
  const void* place = nullptr;
  int others = 0;
  for (int i = 0; i < 1000; ++i) {
    const void* here = nullptr;
    Coroutine& c = stage.make([&here] {
      Coroutine::suspend();
      here = Coroutine::current();
    });
    c.resume();
    if (i % 10 == 9)
      Coroutine::destroy(c);  // whichever way it ends
    else
      c.resume();
    if (here != nullptr && std::exchange(place, here) != here) ++others;
  }
  CHECK(others == 1);  // the first
  CHECK(since(Call::mmap) == 1);
  CHECK(since(Call::mprotect) + since(Call::madvise) < 100);  // not each time
}

// The last thing that a coroutine does on its stack is to destroy its
// closure, and what that does is anybody's.
TEST_CASE("what a closure's end makes has a stack of its own") {
  Log log;
  Stage stage;
  Coroutine* child = nullptr;
  std::shared_ptr<int> last(new int(0), [&](const int* number) {
    delete number;
    child = &stage.make([&log] {
      log.push_back("made");
      Coroutine::suspend();
      log.push_back("ends");
    });
  });
  stage.make([&log, last = std::move(last)] { log.push_back("first"); })
      .resume();
  REQUIRE(child != nullptr);
  CHECK(coroutines() == 1);
  child->resume();
  CHECK(coroutines() == 1);
  child->resume();
  CHECK(log == Log{"first", "made", "ends"});
  CHECK(coroutines() == 0);
}

TEST_CASE("what a coroutine has captured is destroyed on its own stack") {
  Stage stage;
  std::vector<Coroutine*> seen;
  const auto make = [&] {
    std::shared_ptr<int> token(new int(0), [&seen](const int* number) {
      delete number;
      seen.push_back(Coroutine::current());
    });
    return &stage.make([token = std::move(token)] { Coroutine::suspend(); });
  };
  Coroutine* const ends = make();
  Coroutine* const destroyed = make();
  ends->resume();
  destroyed->resume();
  CHECK(seen.empty());
  ends->resume();
  Coroutine::destroy(*destroyed);
  CHECK(seen == std::vector<Coroutine*>{ends, destroyed});
}

TEST_CASE(
    "what the end of a closure that never ran makes has its own stack") {
  Log log;
  Stage stage;
  Coroutine* child = nullptr;
  std::shared_ptr<int> last(new int(0), [&](const int* number) {
    delete number;
    child = &stage.make([&log] { log.push_back("child"); });
  });
  Coroutine& c = stage.make([last = std::move(last)] {});
  const auto place = reinterpret_cast<std::intptr_t>(&c);
  Coroutine::destroy(c);
  REQUIRE(child != nullptr);
  CHECK(std::abs(reinterpret_cast<std::intptr_t>(child) - place) >
        static_cast<std::intptr_t>(StackPool::stackSize / 2));
  CHECK(coroutines() == 1);
  child->resume();
  CHECK(log == Log{"child"});
}

TEST_CASE("a stack used again takes a larger closure") {
  // What sanitizers and valgrind remember of the former frames must not
  // concern the new closure, which stands where they were.
  Stage stage;
  std::size_t sum = 0;
  for (int round = 0; round < 2; ++round) {
    stage.make([&sum] { sum += static_cast<std::size_t>(recurse(3)); })
        .resume();
    Coroutine& thrower =
        stage.make([] { throw std::runtime_error("thrown"); });
    CHECK_THROWS(thrower.resume());
    Coroutine& parked = stage.make([] { Coroutine::suspend(); });
    parked.resume();
    Coroutine::destroy(parked);
    std::array<unsigned char, 4000> large;
    large.fill(1);
    stage
        .make([&sum, large] {
          for (const unsigned char byte : large) sum += byte;
        })
        .resume();
  }
  CHECK(sum == 8000);
}

TEST_CASE("a stack is deep enough for what its size promises") {
  Stage stage;
  // Half a page each and a little more; a quarter of the stack is left free.
  const int depth = static_cast<int>(StackPool::stackSize / 2048 / 2);
  int result = -1;
  stage.make([&] { result = recurse(depth); }).resume();
  CHECK(result == 0);
}

namespace {

#if CLAIMS(overflow)
// A coroutine that recurses without end, in a pool of its own.
int overflow(const char* name) {
  StackPool pool;
  Coroutine& c = Coroutine::make(pool, [] {
    volatile int depth = 1 << 30;
    recurse(depth);
  });
  c.name = name;
  c.resume();
  return 0;
}
#endif

void checkOverflow(const Fate& fate, [[maybe_unused]] const char* name) {
  INFO(fate.said);
  if (fiberHooksOn) {  // sanitizers say it in their own words
    CHECK_FALSE((WIFEXITED(fate.status) && WEXITSTATUS(fate.status) == 0));
    return;
  }
  REQUIRE(WIFSIGNALED(fate.status));
  const int signal = WTERMSIG(fate.status);
  CHECK((signal == SIGSEGV || signal == SIGBUS));
#if CLAIMS(overflow)
  CHECK(contains(fate.said, "stack overflow"));
  CHECK(contains(fate.said, name));
#endif
}

}  // namespace

#if CLAIMS(overflow)
TEST_CASE("a stack that overflows is reported with the coroutine's name") {
  if (RUNNING_ON_VALGRIND) return;
  checkOverflow(inChild([] { return overflow("digger"); }), "digger");
}

TEST_CASE("the report of an overflow waits for no reader") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  const Fate fate = inChild([] {
    int ends[2];
    if (sys::pipe(ends, sys::Mode::nonblocking) != 0) return 1;
    const std::string page(4096, '.');
    while (sys::write(ends[1], page.data(), page.size()) != -1) continue;
    fcntl(ends[1], F_SETFL, 0);
    dup2(ends[1], STDERR_FILENO);
    alarm(10);  // for the writer that waits
    return overflow("digger");
  });
  REQUIRE(WIFSIGNALED(fate.status));
  CHECK(WTERMSIG(fate.status) != SIGALRM);
}
#endif

#if CLAIMS(wide_guards)
namespace {

// One frame that is larger than a stack, touched first at its far end.
[[gnu::noinline]] int largeFrame() {
  volatile char large[70 << 10];
  large[0] = 1;
  return large[0];
}

}  // namespace

TEST_CASE("a frame larger than the guard page does not step over it") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  const Fate fate = inChild([] {
    StackPool pool;
    char* below = pool.acquire();  // not the lowest stack of its slab
    Coroutine& c = Coroutine::make(pool, [] { largeFrame(); });
    c.name = "wide";
    c.resume();
    pool.release(below);
    return 0;
  });
  checkOverflow(fate, "wide");
}

// The C library and most others are built without stack probes: a large frame
// is touched where it is used first, a call at its lowest end.
TEST_CASE("a frame of 128 KiB without probes does not step over the guard") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  for (std::size_t frame = 1; frame <= 128 << 10; frame += page - 1) {
    const Fate fate = inChild([frame] {
      StackPool pool;
      char* neighbour = pool.acquire();
      char* low = pool.acquire();
      pool.release(low);
      Coroutine& c = Coroutine::make(pool, [low, frame] {
        volatile char* lowest = low - frame;
        *lowest = 1;
      });
      c.name = "wide";
      c.resume();
      pool.release(neighbour);
      return 0;
    });
    checkOverflow(fate, "wide");
  }
}

namespace {

// Uses the stack but for `left` bytes of it, and calls a function of the C
// library that has large frames.
[[gnu::noinline]] int search(const regex_t& expression, const char* end) {
  const volatile char here = 0;
  const auto used = static_cast<std::size_t>(&here - end);
  volatile char* pad = static_cast<char*>(__builtin_alloca(used));
  for (std::size_t i = used; i > 512; i -= 512) pad[i - 1] = 1;
  return regexec(&expression, "hello world 1234 ab", 0, nullptr, 0) +
         pad[0] * 0;
}

}  // namespace

TEST_CASE("the C library does not step over the guard") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  std::size_t reported = 0;
  for (std::size_t left = 256; left < 16 << 10; left += 256) {
    const Fate fate = inChild([left] {
      StackPool pool;
      regex_t expression;
      regcomp(&expression, "[a-f]+[0-9]|hello *world.*b$",
              REG_EXTENDED | REG_NOSUB);
      Coroutine& neighbour = Coroutine::make(pool, [] {
        char mine[12000];
        std::memset(mine, 'A', sizeof mine);
        Coroutine::suspend();
        if (std::count(mine, mine + sizeof mine, 'A') != sizeof mine)
          std::fputs("changed", stderr);
      });
      neighbour.resume();
      char* low = pool.acquire();
      pool.release(low);
      Coroutine& c =
          Coroutine::make(pool, [&] { search(expression, low + left); });
      c.name = "searcher";
      c.resume();
      neighbour.resume();
      regfree(&expression);
      return 0;
    });
    CHECK_FALSE(contains(fate.said, "changed"));
    if (fate.status == 0) continue;
    checkOverflow(fate, "searcher");
    ++reported;
  }
  CHECK(reported > 0);  // or this test has asked nothing
}
#endif

TEST_CASE("a stack that overflows does not reach its neighbour") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  const Fate fate = inChild([] {
    StackPool pool;
    std::array<Coroutine*, 3> all;
    for (Coroutine*& c : all)
      c = &Coroutine::make(pool, [] { Coroutine::suspend(); });
    all[0]->resume();
    Coroutine& c = Coroutine::make(pool, [] { recurse(1 << 30); });
    c.name = "fourth";
    c.resume();
    return 0;
  });
  checkOverflow(fate, "fourth");
}

TEST_CASE("a stack that overflows a little does not reach its neighbour") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  const Fate fate = inChild([] {
    StackPool pool;
    // A quarter of a stack more than there is. The stack at the highest
    // address has neighbours below.
    static const int depth =
        static_cast<int>(StackPool::stackSize / 2048 / 4 * 5);
    Coroutine* highest = nullptr;
    for (int i = 0; i < 3; ++i)
      highest =
          std::max(highest, &Coroutine::make(pool, [] { recurse(depth); }),
                   std::less<>());
    highest->name = "highest";
    highest->resume();
    return 0;
  });
  checkOverflow(fate, "highest");
}

TEST_CASE("a fault that is no overflow is not reported as one") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  const Fate fate = inChild([] {
    StackPool pool;
    Coroutine::make(pool, [] {
      volatile int* volatile nowhere = nullptr;
      *nowhere = 1;
    }).resume();
    return 0;
  });
  CHECK(WIFSIGNALED(fate.status));
  CHECK_FALSE(contains(fate.said, "stack overflow"));
}

TEST_CASE("a fault that somebody sends ends the process") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  const Fate fate = inChild([] {
    StackPool pool;
    Coroutine::make(pool, [] {}).resume();
    ::raise(SIGSEGV);
    return 0;
  });
  CHECK(WIFSIGNALED(fate.status));
}

#if CLAIMS(overflow)
namespace {

// What a program does about faults before it makes a coroutine.
void plain(int) {
  _exit(40);
}
void withInfo(int, siginfo_t* info, void* context) {
  _exit(info != nullptr && context != nullptr ? 40 : 41);
}

struct sigaction actionOf(int signal) {
  struct sigaction action {};
  ::sigaction(signal, nullptr, &action);
  return action;
}

void setAction(int signal, void (*handler)(int), int flags = 0) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ::sigaction(signal, &action, nullptr);
}

void setAction(int signal, void (*handler)(int, siginfo_t*, void*),
               int flags = 0) {
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = flags | SA_SIGINFO;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

// Every action that a program may have set, and every kind of signal.
TEST_CASE("the program's own action follows the report of an overflow") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  enum class Before { defaults, ignored, handler, information, once };
  enum class Fault { overflow, fault, sent };
  for (const Before before :
       {Before::defaults, Before::ignored, Before::handler,
        Before::information, Before::once})
    for (const Fault kind : {Fault::overflow, Fault::fault, Fault::sent}) {
      CAPTURE(static_cast<int>(before));
      CAPTURE(static_cast<int>(kind));
      const Fate fate = inChild([before, kind] {
        for (const int signal : {SIGSEGV, SIGBUS}) {
          if (before == Before::ignored) setAction(signal, SIG_IGN);
          if (before == Before::handler) setAction(signal, plain);
          if (before == Before::information) setAction(signal, withInfo);
          if (before == Before::once)
            setAction(signal, withInfo, static_cast<int>(SA_RESETHAND));
        }
        StackPool pool;
        Coroutine& c = Coroutine::make(pool, [kind] {
          volatile int* volatile nowhere = nullptr;
          if (kind == Fault::overflow) recurse(1 << 30);
          if (kind == Fault::fault) *nowhere = 1;
          ::raise(SIGSEGV);
        });
        c.name = "digger";
        c.resume();
        return 0;
      });
      INFO(fate.said);
      CHECK(contains(fate.said, "stack overflow: digger") ==
            (kind == Fault::overflow));
      if (before == Before::defaults ||
          (before == Before::ignored && kind != Fault::sent))
        CHECK(WIFSIGNALED(fate.status));
      else if (before == Before::ignored)
        CHECK(fate.status == 0);
      else
        CHECK((WIFEXITED(fate.status) && WEXITSTATUS(fate.status) == 40));
    }
}

TEST_CASE("a handler that repairs what has faulted is called each time") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  static volatile int repaired = 0;
  static void* page = nullptr;
  static const auto size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const Fate fate = inChild([] {
    page =
        ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (const int signal : {SIGSEGV, SIGBUS})
      setAction(signal, [](int) {
        repaired = repaired + 1;
        ::mprotect(page, size, PROT_READ | PROT_WRITE);
      });
    StackPool pool;
    Coroutine::make(pool, [] {
      for (int i = 0; i < 3; ++i) {
        *static_cast<volatile char*>(page) = 1;
        ::mprotect(page, size, PROT_READ);
      }
    }).resume();
    return repaired == 3 ? 0 : 1;
  });
  CHECK(fate.status == 0);
}

TEST_CASE("the actions of faults are given back with the last pool") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  const Fate fate = inChild([] {
    for (const int signal : {SIGSEGV, SIGBUS}) setAction(signal, plain);
    const auto mine = [] {
      return actionOf(SIGSEGV).sa_handler == plain &&
             actionOf(SIGBUS).sa_handler == plain;
    };
    {
      StackPool first;
      Coroutine::make(first, [] {}).resume();
      std::thread([] {
        StackPool second;
        Coroutine::make(second, [] {}).resume();
      }).join();
      if (mine()) return 1;
    }
    if (!mine()) return 2;
    // An action that the program sets meanwhile stays, and is not called by
    // the handler that it has replaced.
    {
      StackPool pool;
      Coroutine::make(pool, [] {}).resume();
      for (const int signal : {SIGSEGV, SIGBUS}) setAction(signal, withInfo);
    }
    if (actionOf(SIGSEGV).sa_sigaction != withInfo) return 3;
    StackPool pool;
    Coroutine::make(pool, [] {}).resume();
    return actionOf(SIGSEGV).sa_sigaction == withInfo ? 0 : 4;
  });
  CHECK(WIFEXITED(fate.status));
  CHECK(WEXITSTATUS(fate.status) == 0);
}

TEST_CASE("a thread that has an alternate stack keeps it") {
  if (fiberHooksOn) return;
  bool kept = false;
  std::thread([&kept] {
    const std::unique_ptr<char[]> memory(new char[64 << 10]);
    stack_t own{};
    own.ss_sp = memory.get();
    own.ss_size = 64 << 10;
    ::sigaltstack(&own, nullptr);
    {
      StackPool pool;
      Coroutine::make(pool, [] {}).resume();
    }
    stack_t now{};
    ::sigaltstack(nullptr, &now);
    kept = now.ss_sp == own.ss_sp && now.ss_size == own.ss_size;
    now.ss_flags = SS_DISABLE;
    ::sigaltstack(&now, nullptr);
  }).join();
  CHECK(kept);
}

// The stack that signals run on is a thread's own, and goes with it.
TEST_CASE("no signal runs on what a thread has left behind") {
  if (fiberHooksOn) return;
  static std::atomic<bool> on;
  struct Last {
    ~Last() {
      stack_t now{};
      ::sigaltstack(nullptr, &now);
      on = (now.ss_flags & SS_DISABLE) == 0;
    }
  };
  on = true;
  std::thread([] {
    static thread_local const Last last;
    (void)last;
    StackPool pool;
    Coroutine::make(pool, [] {}).resume();
  }).join();
  CHECK_FALSE(on);
}
#endif

#ifdef __linux__
#if CLAIMS(slabs)
TEST_CASE("where the kernel has no guards mprotect makes them") {
  if (RUNNING_ON_VALGRIND) return;
  const Fate asked = inChild([] {
    kernelWithoutGuards = true;
    if (std::string(StackPool::guardMethod()) != "mprotect") return 1;
    const Since since;
    StackPool pool;
    pool.release(pool.acquire());
    if (since(Call::mprotect) == 0) return 2;
    return overflow("runner");
  });
  checkOverflow(asked, "runner");

  // The first guard is refused, by a kernel that was not asked before.
  const Fate fate = inChild([] {
    kernelWithoutGuards = true;
    return overflow("walker");
  });
  checkOverflow(fate, "walker");
}

TEST_CASE("the error for a guard that cannot be had names the limit") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  const Fate fate = inChild([] {
    kernelWithoutGuards = true;
    noMoreMappings = true;
    StackPool pool;
    try {
      pool.acquire();
      return 1;
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::not_enough_memory) return 2;
      if (!contains(error.what(), "vm.max_map_count")) return 3;
    }
    noMoreMappings = false;  // and it is no reason to give up for ever
    pool.release(pool.acquire());
    return 0;
  });
  CHECK(fate.status == 0);
}
#endif

TEST_CASE("the error for a slab that cannot be had is ENOMEM") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  const Fate fate = inChild([] {
    StackPool pool;
    char* volatile some = new char[1 << 16];  // so that this thread has a
    delete[] some;  // heap, which the error is made on
    const rlimit little{1 << 20, RLIM_INFINITY};
    rlimit before{};
    getrlimit(RLIMIT_AS, &before);
    setrlimit(RLIMIT_AS, &little);
    int result = 1;
    try {
      pool.acquire();
    } catch (const std::system_error& error) {
      result = error.code() == std::errc::not_enough_memory &&
                       contains(error.what(), "ulimit -v")
                   ? 0
                   : 2;
    }
    setrlimit(RLIMIT_AS, &before);
    pool.release(pool.acquire());
    return result;
  });
  CHECK(fate.status == 0);
}

namespace {

// How many pages of a coroutine's stack are in memory.
std::size_t pagesInMemory(const Coroutine& c) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto above = reinterpret_cast<std::uintptr_t>(&c) + sizeof c;
  const std::uintptr_t high = (above + page - 1) / page * page;
  const std::uintptr_t low = high - StackPool::stackSize;
  std::vector<unsigned char> present(StackPool::stackSize / page);
  REQUIRE(mincore(reinterpret_cast<void*>(low), StackPool::stackSize,
                  present.data()) == 0);
  return static_cast<std::size_t>(
      std::count_if(present.begin(), present.end(),
                    [](unsigned char flags) { return (flags & 1) != 0; }));
}

}  // namespace

TEST_CASE("a sleeping coroutine costs one page or two") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  Stage stage;
  std::vector<Coroutine*> all;
  for (int i = 0; i < 100; ++i)
    all.push_back(&stage.make([] { Coroutine::suspend(); }));
  for (Coroutine* c : all) c->resume();
  std::size_t most = 0;
  for (const Coroutine* c : all) most = std::max(most, pagesInMemory(*c));
  CHECK(most >= 1);
  CHECK(most <= 2);
}

#if CLAIMS(slabs)
namespace {

// Touches as much of a stack as a deep coroutine does.
[[gnu::noinline]] void useDeeply() {
  volatile char frame[48 << 10];
  for (std::size_t i = 0; i < sizeof frame; i += 1024) frame[i] = 1;
}

// How many pages of some stacks are in memory.
std::size_t pagesInMemory(const std::vector<char*>& stacks) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  std::vector<unsigned char> present(StackPool::stackSize / page);
  std::size_t n = 0;
  for (char* stack : stacks) {
    REQUIRE(mincore(stack, StackPool::stackSize, present.data()) == 0);
    for (const unsigned char flags : present) n += flags & 1;
  }
  return n;
}

}  // namespace

TEST_CASE("after a burst the free stacks beyond the reserve have no pages") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  static constexpr std::size_t n = 1000;
  static const std::size_t deep =
      (48 << 10) / static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  for (const bool listTaken : {true, false}) {
    const Fate fate = inChild([listTaken] {
      kernelWithoutGuards = !listTaken;  // nor does it take a list
      Stage stage;
      std::vector<char*> stacks;
      std::vector<Coroutine*> all;
      for (std::size_t i = 0; i < n; ++i) {
        stacks.push_back(stage.pool.acquire());
        stage.pool.release(stacks.back());
        all.push_back(&stage.make([] {
          useDeeply();
          Coroutine::suspend();
        }));
        all.back()->resume();
      }
      if (pagesInMemory(stacks) < n * deep) return 1;
      // Some stay, here and there, and pin no page but their own.
      for (std::size_t i = 0; i < n; ++i)
        if (i % 50 != 0) Coroutine::destroy(*all[i]);
      const std::size_t kept = 2 * StackPool::reserve + n / 50;
      if (pagesInMemory(stacks) > kept * (deep + 4)) return 2;
      if (pagesInMemory(stacks) < StackPool::reserve * deep) return 3;
      return 0;
    });
    CHECK(WIFEXITED(fate.status));
    CHECK(WEXITSTATUS(fate.status) == 0);
  }
}

TEST_CASE("a stack whose pages were given back has its guard") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  const Fate fate = inChild([] {
    StackPool pool;
    std::vector<char*> stacks(3 * StackPool::reserve);
    for (char*& stack : stacks) stack = pool.acquire();
    for (char* stack : stacks) pool.release(stack);
    for (char*& stack : stacks) stack = pool.acquire();
    pool.release(stacks.back());  // the first of those that were given back
    Coroutine& c = Coroutine::make(pool, [] { recurse(1 << 30); });
    c.name = "again";
    c.resume();
    return 0;
  });
  checkOverflow(fate, "again");
}

TEST_CASE("a load that goes up and down a little gives no pages back") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  Stage stage;
  std::vector<Coroutine*> all;
  const auto grow = [&](std::size_t n) {
    while (all.size() < n)
      all.push_back(&stage.make([] { Coroutine::suspend(); }));
  };
  const auto shrink = [&](std::size_t n) {
    for (; all.size() > n; all.pop_back()) Coroutine::destroy(*all.back());
  };
  grow(1000);
  shrink(500);
  const Since since;
  for (int i = 0; i < 20; ++i) {
    grow(500 + StackPool::reserve);
    shrink(500);
  }
  CHECK(since(Call::process_madvise) == 0);
  CHECK(since(Call::madvise) == 0);
}

TEST_CASE("the pages given back of a burst cost a call for many stacks") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  const std::size_t n = 20 * StackPool::reserve;
  Stage stage;
  for (std::size_t i = 0; i < n; ++i) stage.make([] {});
  const Since since;
  while (Coroutine* c = made.first()) Coroutine::destroy(*c);
  CHECK(since(Call::process_madvise) <= n / StackPool::reserve);
}

TEST_CASE("stacks have no huge pages on a kernel before Linux 6.7 either") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  for (const bool old : {false, true}) {
    const Fate fate = inChild([old] {
      kernelWithoutGuards = kernelWithoutMapStack = old;
      StackPool pool;
      char* stack = pool.acquire();
      const auto place = reinterpret_cast<std::uintptr_t>(stack);
      std::ifstream smaps("/proc/self/smaps");
      std::string line;
      int result = 1;
      for (bool here = false; std::getline(smaps, line);) {
        std::size_t low = 0;
        std::size_t high = 0;
        if (std::sscanf(line.c_str(), "%zx-%zx ", &low, &high) == 2)
          here = low <= place && place < high;
        if (here && line.rfind("VmFlags:", 0) == 0 && contains(line, " nh"))
          result = 0;
      }
      pool.release(stack);
      return result;
    });
    CHECK(fate.status == 0);
  }
}

namespace {
std::size_t mappings() {
  std::ifstream maps("/proc/self/maps");
  std::string line;
  std::size_t n = 0;
  while (std::getline(maps, line)) ++n;
  return n;
}
}  // namespace

TEST_CASE("100000 coroutines live at once") {
  if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
  if (std::string(StackPool::guardMethod()) == "mprotect") {
    MESSAGE("skipped: guards by mprotect need 200,000 mappings");
    return;
  }
  constexpr std::size_t n = 100'000;
  Stage stage;
  const std::size_t mappingsBefore = mappings();
  std::size_t arrived = 0;
  std::size_t left = 0;
  {
    const Since since;
    for (std::size_t i = 0; i < n; ++i)
      stage
          .make([&] {
            ++arrived;
            Coroutine::suspend();
            ++left;
          })
          .resume();
    CHECK(since(Call::mmap) * 32 <= n);  // slabs hold many
    CHECK(since.switches() == 2 * n);
  }
  CHECK(arrived == n);
  CHECK(coroutines() == n);
  CHECK(mappings() - mappingsBefore < 100);
  const Since since;
  while (Coroutine* c = made.first()) c->resume();
  CHECK(left == n);
  for (int i = 0; i < 1000; ++i) stage.make([] { Coroutine::suspend(); });
  CHECK(since(Call::mmap) == 0);
}
#endif
#endif

// --- counts and words of this implementation ---

TEST_SUITE("reference") {
#if !CLAIMS(self_cancel)
  TEST_CASE("a coroutine that destroys itself ends the program at once") {
    for (const bool hasSuspended : {false, true}) {
      CAPTURE(hasSuspended);
      const Fate fate = inChild([hasSuspended] {
        StackPool pool;
        Coroutine* self = nullptr;
        self = &Coroutine::make(pool, [&] {
          if (hasSuspended) Coroutine::suspend();
          Coroutine::destroy(*self);
          _exit(0);
        });
        self->resume();
        self->resume();
        return 0;
      });
      REQUIRE(WIFSIGNALED(fate.status));
      CHECK(WTERMSIG(fate.status) == SIGABRT);
    }
  }
#endif

  TEST_CASE("a coroutine that is unwound suspends without a switch") {
    Stage stage;
    Coroutine& c = stage.make([] {
      try {
        Coroutine::suspend();
      } catch (...) {
      }
      Coroutine::suspend();
    });
    c.resume();
    const Since since;
    Coroutine::destroy(c);
    CHECK(since.switches() == 2);
  }

#if CLAIMS(numbers)
  TEST_CASE("describe numbers coroutines in the order of their making") {
    Stage stage;
    Coroutine& a = stage.make([] {});
    Coroutine& b = stage.make([] {});
    b.name = "reader";
    const std::string text = a.describe();
    const auto number = std::stoul(text.substr(text.find('#') + 1));
    CHECK(text == "coroutine #" + std::to_string(number));
    CHECK(b.describe() == "reader #" + std::to_string(number + 1));
  }
#endif

#if CLAIMS(overflow)
  TEST_CASE("an overflow is reported in these words") {
    if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
    const Fate fate = inChild([] { return overflow("digger"); });
    INFO(fate.said);
    CHECK(contains(fate.said, "stack overflow: digger #"));
    CHECK(contains(fate.said, std::to_string(StackPool::stackSize)));
  }
#endif

#ifdef __linux__
#if CLAIMS(slabs)
  TEST_CASE("guards by mprotect cost a call for each stack") {
    if (RUNNING_ON_VALGRIND) return;
    for (const bool asked : {true, false}) {
      const Fate counts = inChild([asked] {
        kernelWithoutGuards = true;
        if (asked) StackPool::guardMethod();
        const Since since;
        StackPool pool;
        char* a = pool.acquire();
        char* b = pool.acquire();
        pool.release(a);
        pool.release(b);
        if (since(Call::mprotect) != 2) return 1;
        // To ask for guards once is enough. Another call keeps pages small.
        return since(Call::madvise) <= (asked ? 1 : 2) ? 0 : 2;
      });
      CHECK(WIFEXITED(counts.status));
      CHECK(WEXITSTATUS(counts.status) == 0);
    }
  }

  TEST_CASE("a slab's guards are made by one call, or each by its own") {
    if (RUNNING_ON_VALGRIND || fiberHooksOn) return;
    if (std::string(StackPool::guardMethod()) == "mprotect") return;
    StackPool pool;
    std::vector<char*> stacks(1000);
    const Since since;
    for (char*& stack : stacks) stack = pool.acquire();
    // In the second case with a word on huge pages.
    const auto slabs = since(Call::mmap);
    const auto lists = since(Call::process_madvise);
    const auto calls = since(Call::madvise);
    CHECK(((lists == slabs && calls == 0) || calls == stacks.size() + slabs));
    for (char* stack : stacks) pool.release(stack);
  }
#endif
#endif
}
