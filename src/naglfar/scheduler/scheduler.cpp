// The loop, parking and waking, the poller's turn, and the deadlock report.
//
// Invariant: while a timer runs, or the poller has a waiter that is a reason
// to go on, pollerJob_ is queued (or running). So the queue is empty only if
// nothing can happen that matters.
//
// It asks Coroutine for suspend, the poller for watch and poll, and sys for
// the clock.

#include "naglfar/scheduler.hpp"

#include <pthread.h>

#include <cassert>
#include <ostream>
#include <sstream>

namespace naglfar {

// [scheduler-life]
Scheduler::Scheduler() {
  if (current_ != nullptr)
    throw std::logic_error("this thread has a Scheduler already");
  current_ = this;
  sys::beforeClose = [](int fd) { current_->deregister(fd); };
  sys::afterOpen = [](int fd) {
    if (current_->poller_.registered(fd)) current_->deregister(fd);
  };
  static const int once = pthread_atfork(nullptr, nullptr, [] {
    if (current_ != nullptr) current_->poller_.reopen();
  });
  (void)once;
}

// The owner of a coroutine that has destroyed its scheduler. After exit(3)
// the coroutine never goes on. If it does, there is no loop to go back to.
static struct Orphans final : Coroutine::Owner {
  void ended(Coroutine& coroutine,
             const std::exception_ptr& /*escaped*/) noexcept override {
    sys::log({"naglfar: ", coroutine.describe(),
              " has destroyed the scheduler that runs it"});
    std::abort();
  }
} orphans;

// Groups may outlive the scheduler. An exception of their coroutines that no
// call can be told of any more is at least printed.
Scheduler::~Scheduler() {
  cancel();
  if (escaped_) print(escaped_);
  while (TaskGroup* group = groups_.pop()) {
    while (const std::exception_ptr escaped = group->unclaimed())
      print(escaped);
    while (Coroutine* running = group->members_.pop())
      running->owner = &orphans;
    group->scheduler_ = nullptr;
  }
  sys::beforeClose = sys::afterOpen = nullptr;
  current_ = nullptr;
}

Scheduler& Scheduler::current() {
  if (current_ == nullptr)
    throw std::logic_error(
        "this thread has no Scheduler: make one before it waits or calls go");
  return *current_;
}
// [/scheduler-life]

// [run]
static constexpr const char* noJobCanRun =
    "deadlock: no job can run, and these wait for ever:\n";

// inline, because every turn runs through it.
inline void Scheduler::runOne(Job& job) {
  operations_ = 0;
  runsJob_ = true;
  try {
    job.run();
  } catch (...) {
    if (std::current_exception() == nullptr) throw;  // the thread ends
    fail(std::current_exception());  // of a job that is no coroutine
  }
  runsJob_ = false;
  if (escaped_) throwEscaped();
}

// The job that runs next, or null at the end. Before the end the poller looks
// at the waiters that are no reason to go on: a shutdown() may be under way.
// It looks until the kernel has no news, as some may concern no waiter.
Job* Scheduler::next() {
  while (ready_.empty() && poller_.watching() > 0 &&
         poller_.poll(sys::Duration{0}, ready_))
    continue;
  return ready_.pop();
}

void Scheduler::run() {
  if (Coroutine::current() != nullptr)
    throw std::logic_error("run: called in a coroutine, which run() runs");
  if (escaped_) throwEscaped();  // of a Task that was dropped meanwhile
  while (Job* job = next()) runOne(*job);
  for (TaskGroup* g = groups_.first(); g != nullptr; g = groups_.next(*g))
    if (!escaped_) escaped_ = g->unclaimed();
  if (escaped_) throwEscaped();
  const std::string waiting = describe();
  if (!waiting.empty()) throw Deadlock(noJobCanRun + waiting);
}
// [/run]

// [escaped]
void Scheduler::fail(const std::exception_ptr& escaped) noexcept {
  try {
    if (unhandled) return unhandled(escaped);
    if (!escaped_) escaped_ = escaped;
  } catch (...) {
    escaped_ = std::current_exception();
  }
}

void Scheduler::throwEscaped() {
  const std::exception_ptr escaped = std::exchange(escaped_, nullptr);
  cancel();
  escaped_ = nullptr;  // what coroutines threw when they were cancelled
  std::rethrow_exception(escaped);
}

// A coroutine that is cancelled may destroy groups, also the next one. So
// each time the search begins anew, behind those that were cancelled. It may
// also start coroutines in a group that was cancelled before.
void Scheduler::cancel() noexcept {
  for (std::size_t rounds = 0; !allCancelled(); ++rounds) {
    if (rounds == TaskGroup::mostStarted) TaskGroup::cancelWithoutEnd();
    List<TaskGroup> cancelled;
    while (TaskGroup* group = groups_.first()) {
      cancelled.append(*group);
      group->cancel();
    }
    groups_.append(cancelled);
  }
}

// Whether only coroutines are left that run, which are unwound later.
bool Scheduler::allCancelled() const {
  bool all = true;
  forEachCoroutine(
      [&all](const Coroutine& c) { all = all && c.cancelled(); });
  return all;
}

void Scheduler::print(const std::exception_ptr& escaped) {
  try {
    std::rethrow_exception(escaped);
  } catch (const std::exception& error) {
    sys::log({"naglfar: a coroutine ended by an exception: ", error.what()});
  } catch (...) {
    sys::log({"naglfar: a coroutine ended by an unknown exception"});
  }
}
// [/escaped]

// [park]
bool Scheduler::park(const char* waitsFor, int waitsOn, Deadline deadline) {
  const Timer timer(timers_, self(), deadline);
  startPolling();
  ++ledger.parks;
  Coroutine* coroutine = Coroutine::current();
  if (coroutine == nullptr) {
    runOthers(waitsFor);
  } else {
    coroutine->waitsFor = waitsFor;
    coroutine->waitsOn = waitsOn;
    Coroutine::suspend();
    coroutine->waitsFor = nullptr;
  }
  return !timer.expired();
}

// The thread's own stack has no loop to go back to. It is the loop itself,
// until its own turn comes.
void Scheduler::runOthers(const char* waitsFor) {
  for (Job* job = nullptr; job != &main_;) {
    job = next();
    if (job == nullptr)
      throw Deadlock(std::string(noJobCanRun) + "  main waits for " +
                     waitsFor + '\n' + describe());
    runOne(*job);
  }
}
// [/park]

// [yield]
Job& Scheduler::self() {
  Coroutine* coroutine = Coroutine::current();
  if (coroutine == nullptr && runsJob_)
    throw std::logic_error(
        "a job that is no coroutine cannot wait: let it start one by go");
  if (coroutine == nullptr) return main_;
  if (coroutine->owner == nullptr)
    throw std::logic_error(
        "a coroutine that belongs to no task group cannot wait: only its "
        "maker resumes it");
  return *coroutine;
}

void Scheduler::yield() {
  ready_.append(self());
  startPolling();
  if (Coroutine::current() != nullptr)
    Coroutine::suspend();
  else
    runOthers("its turn");
}

void Scheduler::spend(int fd) {
  if (!overspends()) return;
  Scheduler& scheduler = *current_;
  // A coroutine that is unwound makes its last operations in one go.
  const Coroutine* self = Coroutine::current();
  if (self == nullptr ? scheduler.runsJob_
                      : self->owner == nullptr || self->cancelled())
    return;
  const unsigned generation = fd < 0 ? 0 : scheduler.poller_.generation(fd);
  scheduler.yield();
  ++scheduler.operations_;  // the first one of the new turn
  if (fd >= 0 && scheduler.poller_.generation(fd) != generation)
    sys::fail(ECANCELED, "the descriptor was closed by another coroutine");
}
// [/yield]

// [wait]
void Scheduler::wait(int fd, Interest interest, Deadline deadline) {
  Waiter waiter{self()};
  watch(fd, interest, waiter);
  const bool reads = interest == Interest::read;
  const char* waitsFor =
      reads ? "a descriptor to read from" : "a descriptor to write to";
  const char* call = reads ? "wait to read" : "wait to write";
  const bool woken = park(waitsFor, fd, deadline);
  // The waiter may have been woken by news, and the descriptor closed before
  // this turn came: the number may be another file's by now.
  if (poller_.stale(waiter)) waiter.error = ECANCELED;
  if (waiter.error != 0) sys::fail(waiter.error, call);
  if (!woken) sys::fail(ETIMEDOUT, call);
}

void Scheduler::watch(int fd, Interest interest, Waiter& waiter) {
  poller_.watch(fd, interest, waiter);
  startPolling();
}
// [/wait]

// [poller-job]
// The poller's turn: while other jobs can run it only looks, else it waits
// for news or for the next timer.
void Scheduler::pollOnce() {
  if (!somethingToPollFor()) return;
  sys::Duration timeout;
  if (ready_.empty()) {
    const Deadline next = timers_.next();
    timeout = std::chrono::nanoseconds(-1);  // for ever
    if (next != never) timeout = next - std::min(next, sys::now());
  }
  if (poller_.watching() > 0 || timeout.count() > 0)
    poller_.poll(timeout, ready_);  // else timers only, and others can run
  if (timers_.next() != never) timers_.expire(sys::now(), ready_);
  startPolling();
}

// Waiters that are no reason to go on are looked at while other jobs run, but
// they alone keep no program running: without them this would be the end.
bool Scheduler::somethingToPollFor() const {
  return poller_.referenced() > 0 || timers_.next() != never ||
         (poller_.watching() > 0 && !ready_.empty());
}

void Scheduler::startPolling() {
  if (somethingToPollFor()) ready_.append(pollerJob_);
}
// [/poller-job]

// [dump]
void Scheduler::dump(std::ostream& out) const {
  std::size_t n = 0;
  forEachCoroutine([&n](const Coroutine&) { ++n; });
  out << n << " coroutines, " << poller_.watching()
      << " waits for descriptors\n"
      << describe();
}

void Scheduler::dump() const {
  std::stringstream lines;
  dump(lines);
  for (std::string line; std::getline(lines, line);) sys::log({line});
}

// A line for each coroutine.
std::string Scheduler::describe() const {
  std::ostringstream out;
  forEachCoroutine([&out](const Coroutine& coroutine) {
    out << "  " << coroutine.describe();
    if (&coroutine == Coroutine::current())
      out << " runs";
    else if (coroutine.waitsFor == nullptr || coroutine.queued())
      out << " is ready to run";
    else
      out << " waits for " << coroutine.waitsFor;
    if (coroutine.waitsFor != nullptr && coroutine.waitsOn != -1)
      out << ", descriptor " << coroutine.waitsOn;
    out << '\n';
  });
  return out.str();
}
// [/dump]

// [sleep]
void sleep(sys::Duration duration) {
  const Deadline deadline = after(duration);
  while (Scheduler::current().park("time to pass", -1, deadline)) continue;
}
// [/sleep]

// [wait-queue-members]
WaitQueue::Entry::Entry(WaitQueue& queue)
    : scheduler_(Scheduler::current()), job_(scheduler_.self()) {
  queue.entries_.append(*this);
}

void WaitQueue::Entry::wait(const char* waitsFor, Deadline deadline) {
  while (waiting())
    if (!scheduler_.park(waitsFor, -1, deadline) && waiting())
      sys::fail(ETIMEDOUT, (std::string("wait for ") + waitsFor).c_str());
}

void WaitQueue::Entry::notify() {
  unlink();
  // A destructor may call this after exit(3) has destroyed the scheduler.
  if (Scheduler::ofThread() == &scheduler_) scheduler_.wake(job_);
}
// [/wait-queue-members]

}  // namespace naglfar
