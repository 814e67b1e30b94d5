// The handler of SIGSEGV and SIGBUS, and the stack that it runs on.
//
// Invariants:
// - While `installed` is true, `before` has the actions that were set before
//   this handler.
// - The handler is installed at most once. A program that sets its own
//   handler afterwards may call this one from there, and a second
//   installation would call that one in turn, for ever.
//
// It asks Coroutine for reportOverflow, and sys for signalAction and
// signalStack.

#include "naglfar/coroutine/overflow.hpp"

#include <memory>
#include <mutex>

#include "naglfar/coroutine.hpp"

namespace naglfar {

// [signal-stack]
// The stack of the coroutine is used up, so the handler needs another. It is
// the thread's own, and goes with it; the kernel forgets the memory first.
static void provideSignalStack() {
  constexpr std::size_t size = 32 << 10;
  static thread_local const struct SignalStack {
    SignalStack() {
      stack_t present{};
      sys::signalStack(nullptr, &present);
      if ((present.ss_flags & SS_DISABLE) == 0) return;
      memory.reset(new char[size]);
      stack_t own{};
      own.ss_sp = memory.get();
      own.ss_size = size;
      sys::signalStack(&own, nullptr);
    }
    ~SignalStack() {
      stack_t present{};
      sys::signalStack(nullptr, &present);
      stack_t none{};
      none.ss_flags = SS_DISABLE;
      if (memory != nullptr && present.ss_sp == memory.get())
        sys::signalStack(&none, nullptr);
    }
    std::unique_ptr<char[]> memory;
  } stack;
}
// [/signal-stack]

// [overflow-life]
static constexpr int faults[] = {SIGSEGV, SIGBUS};
static std::mutex mutex;  // for the next three, but not in the handler
static int users = 0;
static bool installed = false;
static struct sigaction before[2];

OverflowReport::OverflowReport() {
  if (fiberHooksOn) return;
  provideSignalStack();
  const std::lock_guard lock(mutex);
  ++users;
  if (std::exchange(installed, true)) return;
  for (int i = 0; i < 2; ++i) {
    struct sigaction own {};
    own.sa_sigaction = handle;
    own.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sys::signalAction(faults[i], &own, &before[i]);
  }
}

OverflowReport::~OverflowReport() {
  if (fiberHooksOn) return;
  const std::lock_guard lock(mutex);
  if (--users > 0) return;
  struct sigaction present[2]{};
  for (int i = 0; i < 2; ++i)
    sys::signalAction(faults[i], nullptr, &present[i]);
  if (present[0].sa_sigaction != handle || present[1].sa_sigaction != handle)
    return;  // the program has set an action, and may have saved this one
  for (int i = 0; i < 2; ++i)
    sys::signalAction(faults[i], &before[i], nullptr);
  installed = false;
}
// [/overflow-life]

// [overflow-handle]
// Runs in the middle of anything: only what signal-safety(7) allows. The
// default action and SIG_IGN are the kernel's: a fault happens again on
// return, but a signal that a process has sent does not, so it is raised.
void OverflowReport::handle(int signal, siginfo_t* info, void* context) {
  if (info->si_code > 0) Coroutine::reportOverflow(info->si_addr);
  struct sigaction& previous = before[signal == faults[0] ? 0 : 1];
  const struct sigaction action = previous;
  if ((action.sa_flags & SA_RESETHAND) != 0) previous = {};
  if ((action.sa_flags & SA_SIGINFO) != 0)
    return action.sa_sigaction(signal, info, context);
  if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN)
    return action.sa_handler(signal);
  sys::signalAction(signal, &action, nullptr);
  std::raise(signal);
}
// [/overflow-handle]

}  // namespace naglfar
