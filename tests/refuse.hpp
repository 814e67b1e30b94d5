// Refuses memory: the first allocation of a scenario, then in another run the
// second, and so on, until a run needs no more. SQLite is tested so.
//
// A file that includes this one replaces operator new for its program, so one
// file of a program does. A scenario is a function that is called once for
// each run. It builds what it needs, does the work whose allocations are
// refused inside a Refusal, and checks what is left:
//
//     refuse::each([](const refuse::Which& which) {
//       Channel<std::string> channel;
//       const bool done = refuse::during(which, [&] { channel.write(text);
//       }); CHECK(channel.size() == (done ? 1 : 0));
//     });
//
// Invariant: only allocations inside during() are counted or refused, and
// only those of its thread.

#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <new>

namespace refuse {

// Which allocations are refused: the nth alone, or the nth and all later.
struct Which {
  int nth;
  bool forGood;
};

inline thread_local bool counting = false;
inline thread_local int allocations = 0;
inline thread_local bool refused = false;
inline thread_local Which now{};

// Runs a function with allocations refused. Returns false if std::bad_alloc
// came out of it.
template <class Work>
bool during(const Which& which, Work work) {
  struct Scope {
    Scope() { counting = true; }
    ~Scope() { counting = false; }
  };
  now = which;
  try {
    const Scope scope;
    work();
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// Runs a scenario until no allocation of it is refused any more: each time
// with the next allocation refused, alone and with all later. Returns how
// many allocations there are.
template <class Scenario>
int each(Scenario scenario) {
  int most = 0;
  for (const bool forGood : {false, true})
    for (int nth = 1;; ++nth) {
      allocations = 0;
      refused = false;
      CAPTURE(nth);
      CAPTURE(forGood);
      scenario(Which{nth, forGood});
      if (!refused) break;
      most = nth;
      REQUIRE(nth < 100'000);
    }
  return most;
}

}  // namespace refuse

void* operator new(std::size_t size) {
  using namespace refuse;
  if (counting && ++allocations >= now.nth &&
      (now.forGood || allocations == now.nth)) {
    refused = true;
    throw std::bad_alloc();
  }
  if (void* memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
