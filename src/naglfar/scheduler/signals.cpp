// The pipe between the signal handlers and the poller.
//
// Invariants: pipeForHandlers is the pipe's write end while a Signals object
// lives, and -1 otherwise. While its scheduler lives, the object waits for
// the pipe or is queued, except in a child.
//
// It asks the scheduler for watch and wake, and sys for read, write,
// signalAction and defaultSignal.

#include "naglfar/scheduler/signals.hpp"

#include <pthread.h>

#include <cerrno>
#include <csignal>

namespace naglfar {

// [signals-life]
static volatile std::sig_atomic_t pipeForHandlers = -1;

Signals::Signals() : scheduler_(Scheduler::current()) {
  if (only_ != nullptr)
    throw std::logic_error("this process has a Signals object already");
  static const int once = pthread_atfork(nullptr, nullptr, stop);
  (void)once;
  waiter_.unref = true;
  scheduler_.watch(pipe_.reader.get(), Interest::read, waiter_);
  pipeForHandlers = pipe_.writer.get();
  only_ = this;
}

Signals::~Signals() {
  stop();
  only_ = nullptr;
}

// Called in a child, too, because what comes out of the pipe is for the
// parent.
void Signals::stop() {
  if (only_ == nullptr) return;
  for (const auto& [signal, action] : only_->actions_)
    sys::defaultSignal(signal);
  pipeForHandlers = -1;
  only_->waiter_.unwatch();
}

void Signals::on(int signal, std::function<void()> action) {
  if (pipeForHandlers == -1)
    throw std::logic_error(
        "Signals::on: this process is a child made by fork(2), and its "
        "parent's signals are not its own: it makes a Signals object anew "
        "after it has destroyed this one");
  if (!waiter_.watching() && !queued())
    throw std::logic_error("Signals::on: its scheduler has ended");
  actions_[signal] = std::move(action);
  sys::check(sys::signalAction(signal, handle, SA_RESTART), "sigaction");
}
// [/signals-life]

// [signals-handle]
// Runs in the middle of anything: only what signal-safety(7) allows, and
// errno as it was. A full pipe has signals enough to wake the poller.
void Signals::handle(int signal, siginfo_t*, void*) {
  const int error = errno;
  const auto byte = static_cast<char>(signal);
  sys::write(pipeForHandlers, &byte, 1);
  errno = error;
}

// Each turn takes one signal, and the job queues itself before the action
// runs, so that an action that throws keeps no other action from running.
void Signals::run() {
  if (pipeForHandlers == -1) return;  // this is a child, forked when queued
  char byte;
  if (sys::read(pipe_.reader.get(), &byte, 1) != 1)
    return scheduler_.watch(pipe_.reader.get(), Interest::read, waiter_);
  scheduler_.wake(*this);
  const auto action = actions_.at(byte);  // which may replace itself
  action();
}
// [/signals-handle]

}  // namespace naglfar
