// The counts between the signal handlers and the job that runs the actions,
// and the pipe that wakes this job.
//
// Invariants:
// - A count that goes from 0 to 1 puts a byte into the pipe. The job watches
//   the pipe only after it has found all counts 0 and then the pipe empty. So
//   a signal that comes later makes the pipe readable.
// - pipeForHandlers is the pipe's write end while a Signals object lives, and
//   -1 otherwise, also in a child. While its scheduler lives, the object
//   waits for the pipe or is queued, except in a child.
//
// It asks the scheduler for watch and wake, and sys for read, write,
// signalAction and restoreSignal.

#include "naglfar/scheduler/signals.hpp"

#include <pthread.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <cerrno>

namespace naglfar {

// [signals-counts]
// What a handler may touch: signal-safety(7) allows atomics without a lock.
static std::array<std::atomic<unsigned>, 129> arrived;  // by number
static std::atomic<int> pipeForHandlers = -1;
static std::atomic<int> handling = 0;  // how many handlers run
static_assert(std::atomic<unsigned>::is_always_lock_free);
static_assert(std::atomic<int>::is_always_lock_free);
// [/signals-counts]

// [signals-life]
Signals::Signals() : scheduler_(Scheduler::current()) {
  if (only_ != nullptr)
    throw std::logic_error("this process has a Signals object already");
  static const int once = pthread_atfork(nullptr, nullptr, stopInChild);
  (void)once;
  waiter_.unref = true;
  scheduler_.watch(pipe_.reader.get(), Interest::read, waiter_);
  for (auto& count : arrived) count = 0;
  pipeForHandlers = pipe_.writer.get();
  only_ = this;
}

// A handler in another thread may be about to write into the pipe.
Signals::~Signals() {
  if (!stopped_) stop();
  while (handling > 0) sched_yield();
  only_ = nullptr;
}

void Signals::stop() {
  stopped_ = true;
  for (const auto& [signal, action] : actions_)
    sys::restoreSignal(signal, handle, action.former);
  pipeForHandlers = -1;
  waiter_.unwatch();
}

// The pipe is shared with the parent: what comes out is for the parent.
void Signals::stopInChild() {
  handling = 0;
  if (only_ != nullptr && !only_->stopped_) only_->stop();
}

void Signals::on(int signal, std::function<void()> action) {
  if (stopped_)
    throw std::logic_error(
        "Signals::on: this process is a child made by fork(2), and its "
        "parent's signals are not its own: it makes a Signals object anew "
        "after it has destroyed this one");
  if (!waiter_.watching() && !queued())
    throw std::logic_error("Signals::on: its scheduler has ended");
  if (Scheduler::ofThread() != &scheduler_)
    throw std::logic_error("Signals::on: another thread made the object");
  const auto [place, isNew] = actions_.try_emplace(signal);
  struct sigaction former {};
  if (sys::signalAction(signal, handle, SA_RESTART, &former) == -1) {
    const int error = errno;
    if (isNew) actions_.erase(place);
    sys::fail(error, "sigaction");
  }
  if (isNew) place->second.former = former;
  place->second.run = std::move(action);
}
// [/signals-life]

// [signals-handle]
// Runs in the middle of anything: only what signal-safety(7) allows, and
// errno as it was. If the pipe is full, it is readable anyhow.
void Signals::handle(int signal, siginfo_t*, void*) {
  const int error = errno;
  ++handling;
  const bool first = arrived[static_cast<std::size_t>(signal)]++ == 0;
  const int pipe = pipeForHandlers;
  if (first && pipe != -1) sys::write(pipe, "", 1);
  --handling;
  errno = error;
}

// A signal that has arrived, or 0. The signals take turns, so that many of
// one kind do not keep another waiting.
int Signals::nextArrived() {
  for (std::size_t n = 0; n < arrived.size(); ++n) {
    last_ = (last_ + 1) % arrived.size();
    if (arrived[last_] == 0) continue;
    --arrived[last_];
    return static_cast<int>(last_);
  }
  last_ = 0;
  return 0;
}

// Each turn runs one action, and the job queues itself before the action
// runs, so that an action that throws keeps no other action from running.
void Signals::run() {
  if (stopped_) return;  // this is a child, forked when queued
  if (const int signal = nextArrived()) {
    scheduler_.wake(*this);
    const auto action = actions_.at(signal).run;  // which may replace itself
    return action();
  }
  std::array<char, 64> bytes;
  if (sys::read(pipe_.reader.get(), bytes.data(), bytes.size()) == -1 &&
      errno != EINTR)
    return scheduler_.watch(pipe_.reader.get(), Interest::read, waiter_);
  scheduler_.wake(*this);
}
// [/signals-handle]

}  // namespace naglfar
