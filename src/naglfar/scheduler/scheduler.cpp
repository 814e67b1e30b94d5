// The loop, parking and waking, the poller's turn, and the deadlock report.
//
// Invariant: while a timer runs, or the poller watches for more than what is
// in the background, pollerJob_ is queued (or running), so that the queue is
// empty only if nothing can happen that matters.

#include "naglfar/scheduler.hpp"

#include <pthread.h>

#include <cassert>
#include <csignal>
#include <iostream>
#include <sstream>

namespace naglfar {

// [unhandled]
namespace {

void printUnhandled(std::exception_ptr escaped) {
  try {
    std::rethrow_exception(escaped);
  } catch (const std::exception& error) {
    std::cerr << "naglfar: a coroutine ended by an exception: "
              << error.what() << '\n';
  } catch (...) {
    std::cerr << "naglfar: a coroutine ended by an unknown exception\n";
  }
}

}  // namespace
// [/unhandled]

// [scheduler-life]
Scheduler::Scheduler() {
  if (current_ != nullptr)
    throw std::logic_error("this thread has a Scheduler already");
  current_ = this;
  unhandled = printUnhandled;
  sys::beforeClose = [](int fd) { current_->deregister(fd); };
  sys::ignoreSignal(SIGPIPE);
  static const int once = pthread_atfork(nullptr, nullptr, inChild);
  (void)once;
}

Scheduler::~Scheduler() {
  assert(Coroutine::current() == nullptr);
  while (Coroutine* coroutine = Coroutine::first())
    Coroutine::destroy(*coroutine);
  sys::beforeClose = nullptr;
  current_ = nullptr;
}

Scheduler& Scheduler::current() {
  if (current_ == nullptr)
    throw std::logic_error(
        "this thread has no Scheduler: make one before it waits or calls go");
  return *current_;
}

void Scheduler::inChild() {
  if (current_ != nullptr) current_->poller_.reopen();
}
// [/scheduler-life]

// [run]
static constexpr const char* nobodyCanRun =
    "deadlock: nobody can run, and these wait for ever:\n";

// inline, for it is in the way of each switch.
inline void Scheduler::runOne(Job& job) {
  try {
    job.run();
  } catch (...) {
    // A coroutine's own, by which it has ended, or that of a signal's action.
    unhandled(std::current_exception());
  }
}

void Scheduler::run() {
  assert(Coroutine::current() == nullptr);
  while (Job* job = ready_.pop()) runOne(*job);
  const std::string waiting = parked();
  if (!waiting.empty()) throw Deadlock(nobodyCanRun + waiting);
}
// [/run]

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

// Main has nobody to go back to: it is the loop, until its own turn comes.
void Scheduler::runOthers(const char* waitsFor) {
  main_.woken = false;
  while (!main_.woken) {
    Job* job = ready_.pop();
    if (job == nullptr)
      throw Deadlock(std::string(nobodyCanRun) + "  main waits for " +
                     waitsFor + '\n' + parked());
    runOne(*job);
  }
}
// [/park]

// [yield]
Job& Scheduler::self() {
  if (Coroutine* coroutine = Coroutine::current()) return *coroutine;
  return main_;
}

void Scheduler::yield() {
  ready_.append(self());
  startPolling();
  if (Coroutine::current() != nullptr)
    Coroutine::suspend();
  else
    runOthers("its turn");
}

// A server that learns of connections a turn late has to hold those of two
// turns: 2 * 3 = 6, which a backlog of 5 just holds, Python's default.
void Scheduler::yieldNowAndThen() {
  if (++turnsKept_ % 3 == 0) yield();
}
// [/yield]

// [wait]
void Scheduler::wait(int fd, Interest interest, Deadline deadline) {
  Waiter waiter{self()};
  watch(fd, interest, waiter);
  struct Cleanup {
    ~Cleanup() { poller.unwatch(fd, interest, waiter); }
    Poller& poller;
    int fd;
    Interest interest;
    Waiter& waiter;
  } cleanup{poller_, fd, interest, waiter};

  const bool reads = interest == Interest::read;
  const char* waitsFor =
      reads ? "a descriptor to read from" : "a descriptor to write to";
  const char* call = reads ? "wait to read" : "wait to write";
  const unsigned generation = poller_.generation(fd);
  const bool woken = park(waitsFor, fd, deadline);
  // Woken by news, and closed before its turn came: the number may be
  // somebody else's by now.
  if (poller_.generation(fd) != generation) waiter.error = ECANCELED;
  if (waiter.error != 0) sys::fail(waiter.error, call);
  if (!woken) sys::fail(ETIMEDOUT, call);
}

void Scheduler::watch(int fd, Interest interest, Waiter& waiter) {
  poller_.watch(fd, interest, waiter);
  startPolling();
}
// [/wait]

// [poller-job]
// The poller's turn: only look while others can run, else wait for news or
// for the next timer.
void Scheduler::pollOnce() {
  if (!somethingToPollFor()) return;
  sys::Duration timeout{0};
  if (ready_.empty()) {
    const Deadline next = timers_.next();
    timeout =
        next == never ? sys::Duration{-1} : next - std::min(next, sys::now());
  }
  if (poller_.watching() > 0 || timeout.count() > 0)
    poller_.poll(timeout, ready_);  // else timers only, and others can run
  if (!timers_.empty()) timers_.expire(sys::now(), ready_);
  startPolling();
}

// The descriptors in the background are looked at while others run, but they
// alone keep nobody waiting: without them this would be the end.
bool Scheduler::somethingToPollFor() const {
  return poller_.watching() > background_ || !timers_.empty() ||
         (background_ > 0 && !ready_.empty());
}

void Scheduler::startPolling() {
  if (somethingToPollFor()) ready_.append(pollerJob_);
}
// [/poller-job]

// [dump]
namespace {

void describe(std::ostream& out, const Coroutine& coroutine) {
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
}

}  // namespace

void Scheduler::dump(std::ostream& out) const {
  std::size_t n = 0;
  for (Coroutine* c = Coroutine::first(); c != nullptr; c = c->next()) ++n;
  out << n << " coroutines, " << poller_.watching()
      << " waits for descriptors\n";
  for (Coroutine* c = Coroutine::first(); c != nullptr; c = c->next())
    describe(out, *c);
}

std::string Scheduler::parked() const {
  std::ostringstream out;
  for (Coroutine* c = Coroutine::first(); c != nullptr; c = c->next())
    describe(out, *c);
  return out.str();
}
// [/dump]

// [sleep]
void sleep(sys::Duration duration) {
  const Deadline deadline = after(duration);
  while (Scheduler::current().park("time to pass", -1, deadline)) continue;
}
// [/sleep]

// [wait-line-members]
WaitQueue::Entry::Entry(WaitQueue& line)
    : line_(&line), job_(Scheduler::current().self()), previous_(line.last_) {
  (previous_ != nullptr ? previous_->next_ : line.first_) = this;
  line.last_ = this;
}

void WaitQueue::Entry::leave() {
  if (line_ == nullptr) return;
  (previous_ != nullptr ? previous_->next_ : line_->first_) = next_;
  (next_ != nullptr ? next_->previous_ : line_->last_) = previous_;
  line_ = nullptr;
}

void WaitQueue::Entry::notify() {
  leave();
  Scheduler::current().wake(job_);
}

void WaitQueue::notifyAll() {
  while (first_ != nullptr) first_->notify();
}
// [/wait-line-members]

}  // namespace naglfar
