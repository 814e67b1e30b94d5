// A function that waits as a program's main does, and what such a function
// has in its hands, for the library and the small version.

#pragma once

#include <memory>
#include <stdexcept>

#include "claims.hpp"
#include "naglfar/scheduler.hpp"

namespace helpers {

// Runs a function that waits. In the library it runs on the thread's own
// stack. In the small version only a coroutine can wait: there it runs in a
// coroutine that its scheduler does not count. Afterwards the coroutines that
// are left are unwound.
template <class Body>
void inMain([[maybe_unused]] naglfar::Scheduler& scheduler, Body body) {
#if CLAIMS(main_waits)
  body();
#else
  using naglfar::Coroutine;
  struct Over {};
  bool ended = false;
  naglfar::StackPool pool;
  Coroutine& main = Coroutine::make(pool, [&] {
    const std::unique_ptr<bool, void (*)(bool*)> atEnd(
        &ended, [](bool* it) { *it = true; });
    body();
    throw Over{};
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
  throw std::logic_error("main waits for ever");
#endif
}

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
