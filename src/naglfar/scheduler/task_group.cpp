// How coroutines begin, end and are cancelled together; and the way of an
// exception from the coroutine that it has left to the call that throws it.
//
// Invariant: the Task and the TaskGroup of a coroutine are told of its end
// before the coroutine's stack goes back to its pool.
//
// It asks Coroutine for destroy, WaitQueue, and the scheduler for park, wake
// and fail.

#include "naglfar/scheduler/task_group.hpp"

#include <cerrno>
#include <stdexcept>

#include "naglfar/scheduler.hpp"

namespace naglfar {

// [task-life]
Task& Task::operator=(Task&& other) noexcept {
  if (this == &other) return *this;
  handOver();
  name.coroutine_ = std::exchange(other.name.coroutine_, nullptr);
  if (!done()) name.coroutine_->task = this;
  escaped_ = std::exchange(other.escaped_, nullptr);
  group_ = other.group_;
  if (other.linked()) group_->unjoined_.append(*this);
  other.unlink();
  while (Call* call = other.calls_.pop()) {
    call->task = this;
    calls_.append(*call);
  }
  joining_.append(other.joining_);
  return *this;
}

Task::~Task() {
  handOver();
}

// The coroutine has no handle any more, so no call can join it: its exception
// goes to the group.
void Task::handOver() noexcept {
  while (Call* call = calls_.pop()) call->told = done();
  joining_.notifyAll();
  if (!done()) name.coroutine_->task = nullptr;
  if (linked()) group_->fail(escaped_);
  unlink();
}
// [/task-life]

// [join]
void Task::join(Deadline deadline) {
  if (!done() && name.coroutine_ == Coroutine::current())
    sys::fail(EDEADLK, "join: a coroutine cannot wait for its own end");
  if (done()) return rethrow();
  Call call;
  call.task = this;
  calls_.append(call);
  // TaskGroup::ended() notifies, and handOver().
  WaitQueue::Entry(joining_).wait("a task to end", deadline);
  if (!call.told) sys::fail(ECANCELED, "join: the handle was destroyed");
  if (call.linked()) call.task->rethrow();
}

void Task::rethrow() {
  unlink();
  if (escaped_) std::rethrow_exception(std::exchange(escaped_, nullptr));
}

void Task::cancel() noexcept {
  if (!done()) Coroutine::destroy(*name.coroutine_);
}
// [/join]

// [task-group-life]
TaskGroup::TaskGroup() : TaskGroup(Scheduler::current()) {}

TaskGroup::TaskGroup(Scheduler& scheduler) : scheduler_(&scheduler) {
  scheduler.groups_.append(*this);
}

TaskGroup::~TaskGroup() {
  if (scheduler_ == nullptr) return;
  cancel();
  TaskGroup& outermost = scheduler_->tasks_;
  waitingForOne_.notifyAll();
  memberWaits_.notifyAll();
  waiting_.notifyAll();
  if (this == &outermost) return;
  // Only those that run are left: the caller, and those that have resumed it.
  while (Coroutine* coroutine = members_.first()) {
    coroutine->owner = &outermost;
    outermost.members_.append(*coroutine);
    ++outermost.size_;
  }
  while (const std::exception_ptr escaped = unclaimed())
    outermost.fail(escaped);
}

StackPool& TaskGroup::stacks() {
  if (scheduler_ == nullptr)
    throw std::logic_error("go: the scheduler of this task group has ended");
  return scheduler_->stacks_;
}

Task TaskGroup::start(Coroutine& coroutine) noexcept {
  coroutine.owner = this;
  members_.append(coroutine);
  ++size_;
  scheduler_->wake(coroutine);
  Task task;
  task.name.coroutine_ = &coroutine;
  coroutine.task = &task;
  return task;  // and if it moves, it tells the coroutine
}
// [/task-group-life]

// [task-group-wait]
bool TaskGroup::waitOne(Deadline deadline) {
  const WaitQueue::Entry entry(waitingForOne_);
  // ended() notifies. The callers bear a wake-up in vain.
  return Scheduler::current().park("a task to end", -1, deadline);
}

void TaskGroup::wait(Deadline deadline) {
  const Coroutine* self = Coroutine::current();
  const bool member = self != nullptr && self->owner == this;
  Alive alive;
  alive_.append(alive);
  while (size_ > (member ? 1 : 0)) {  // notified at this very size
    WaitQueue::Entry(member ? memberWaits_ : waiting_)
        .wait("a task group to end", deadline);
    if (!alive.linked()) return;
  }
  if (escaped_) std::rethrow_exception(std::exchange(escaped_, nullptr));
}

// A coroutine that runs cannot be unwound here, and stays. A coroutine that
// ends leaves either list, and a coroutine that is made meanwhile is
// cancelled by the same loop.
void TaskGroup::cancel() noexcept {
  List<Coroutine> running;
  std::size_t left = size_ + mostStarted;
  while (Coroutine* coroutine = members_.first()) {
    if (left-- == 0) cancelWithoutEnd();
    running.append(*coroutine);
    Coroutine::destroy(*coroutine);
  }
  members_.append(running);
}

void TaskGroup::cancelWithoutEnd() {
  sys::log(
      {"naglfar: cancel: each coroutine that is cancelled starts another, "
       "without end"});
  std::terminate();
}
// [/task-group-wait]

// [task-group-ended]
// Called on another stack than the coroutine's.
void TaskGroup::ended(Coroutine& coroutine,
                      const std::exception_ptr& escaped) noexcept {
  static_cast<List<Coroutine>::Link&>(coroutine).unlink();
  --size_;
  if (Task* task = coroutine.task) {
    task->name.coroutine_ = nullptr;
    task->escaped_ = escaped;
    task->group_ = this;
    if (escaped) unjoined_.append(*task);
    task->joining_.notifyAll();
  } else if (escaped) {
    fail(escaped);
  }
  waitingForOne_.notifyAll();
  if (size_ == 1) memberWaits_.notifyAll();
  if (size_ == 0) waiting_.notifyAll();
}

void TaskGroup::fail(const std::exception_ptr& escaped) noexcept {
  if (this == &scheduler_->tasks_) return scheduler_->fail(escaped);
  if (!escaped_) escaped_ = escaped;
  cancel();
}

// An exception that no call was told of yet, or null.
std::exception_ptr TaskGroup::unclaimed() noexcept {
  if (escaped_) return std::exchange(escaped_, nullptr);
  Task* task = unjoined_.pop();
  return task != nullptr ? std::exchange(task->escaped_, nullptr) : nullptr;
}
// [/task-group-ended]

}  // namespace naglfar
