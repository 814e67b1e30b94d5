/// @file poller.hpp
/// Jobs, the queue of jobs, and the poller that turns readiness into jobs.
///
/// Whatever can run is a Job in a FIFO JobQueue. The poller turns "the kernel
/// says that this descriptor moved" into "append that job to the queue". It
/// never runs anybody's code itself.
///
/// Invariants:
/// - A job stands in a queue at most once.
/// - One direction of one descriptor has at most one waiter.
/// - Readiness is a hint: a waiter may wake in vain, but no wake-up is lost
///   for a waiter whose last system call on that direction said EAGAIN.
///
/// Asks of sys: epoll, kqueue or select, whichever the build chose.

#pragma once

#include <cassert>
#include <cstddef>
#include <vector>

#include "naglfar/sys.hpp"

namespace naglfar {

/// @addtogroup poller
/// @{

// [job]
class JobQueue;

/// Something that can run. It links itself into a queue, so that waking
/// somebody never allocates; when it ends, it leaves the queue.
class Job {
 public:
  Job() = default;
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  /// Runs until it has nothing to do for now.
  virtual void run() = 0;

  /// @return True while it stands in a queue.
  bool queued() const { return queue_ != nullptr; }

 protected:
  ~Job();

 private:
  friend class JobQueue;
  JobQueue* queue_ = nullptr;
  Job* next_ = nullptr;
  Job* previous_ = nullptr;
};
// [/job]

// [job-queue]
/// What runs next: first in, first out.
class JobQueue {
 public:
  /// Puts a job at the tail. A job that stands in a queue already stays where
  /// it is: to be woken twice is to be woken.
  /// @param job Leaves the queue when it is popped or destroyed.
  void append(Job& job) {
    if (job.queued()) return;
    job.queue_ = this;
    job.previous_ = tail_;
    (tail_ != nullptr ? tail_->next_ : head_) = &job;
    tail_ = &job;
  }

  /// Takes the job at the head out.
  /// @return That job, or null if there is none.
  Job* pop() {
    Job* job = head_;
    if (job != nullptr) remove(*job);
    return job;
  }

  /// @return True if nobody can run.
  bool empty() const { return head_ == nullptr; }

 private:
  friend class Job;
  void remove(Job& job) {
    (job.previous_ != nullptr ? job.previous_->next_ : head_) = job.next_;
    (job.next_ != nullptr ? job.next_->previous_ : tail_) = job.previous_;
    job.queue_ = nullptr;
    job.next_ = nullptr;
  }

  Job* head_ = nullptr;
  Job* tail_ = nullptr;
};

inline Job::~Job() {
  if (queue_ != nullptr) queue_->remove(*this);
}
// [/job-queue]

// [waiter]
/// A direction of a descriptor.
enum class Interest { read, write };

/// Who waits for one direction of one descriptor. It lives where the waiting
/// is done, on a stack or in a connection's object, and must stay there until
/// it was woken or the poller was told to `unwatch`.
struct Waiter {
  Job& job;       ///< Appended to the queue when there is news.
  int error = 0;  ///< Why it was woken if not by readiness: an errno value.
};
// [/waiter]

// [poller]
/// Watches descriptors. Which system call it uses is chosen at build time
/// (NAGLFAR_POLLER): epoll, kqueue or select.
class Poller {
 public:
  /// Whether the kernel tells its news again and again while nobody acts on
  /// them (level triggered: select), or once (edge triggered).
  static const bool levelTriggered;

  /// @throws std::system_error If the kernel gives no epoll or kqueue.
  Poller();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  /// Waits for one direction of a descriptor. The waiter is woken once; for
  /// more, watch again, and only after a system call has said EAGAIN.
  /// @param fd A nonblocking descriptor.
  /// @param interest The direction.
  /// @param waiter Who is woken.
  /// @throws std::system_error EBUSY if somebody waits there already, and
  ///         what the kernel says to a descriptor that it cannot watch.
  void watch(int fd, Interest interest, Waiter& waiter);

  /// Stops waiting. Does nothing if this waiter was woken already.
  /// @param fd A descriptor.
  /// @param interest The direction.
  /// @param waiter Who waited.
  void unwatch(int fd, Interest interest, const Waiter& waiter);

  /// Tells whether news about a descriptor may have come and gone, because
  /// somebody watched it before. If not, the first watch() reports them.
  /// @param fd A descriptor.
  /// @return True if the kernel watches it already.
  bool registered(int fd) const {
    const auto index = static_cast<std::size_t>(fd);
    return index < slots_.size() && slots_[index].registered != 0;
  }

  /// @param fd A descriptor that somebody has watched.
  /// @return How often it was forgotten. If that changes, the number stands
  ///         for another file now, or soon.
  unsigned generation(int fd) const {
    return slots_[static_cast<std::size_t>(fd)].generation;
  }

  /// Forgets a descriptor that is about to be closed. Whoever waits there is
  /// woken with ECANCELED. While a duplicate of the descriptor lives, epoll
  /// goes on reporting events for its number (epoll(7), question 6): after
  /// this call they concern nobody.
  /// @param fd A descriptor.
  /// @param ready Where the waiters' jobs go.
  void deregister(int fd, JobQueue& ready);

  /// Asks the kernel for news and appends the jobs of those concerned. A
  /// signal ends the wait early, and so may news that concerns nobody.
  /// @param timeout How long to wait for news; 0 only looks, less than 0
  ///        waits for ever. Rounded up to what the system call can express.
  /// @param ready Where the jobs go.
  /// @throws std::system_error If the kernel fails the call.
  void poll(sys::Duration timeout, JobQueue& ready);

  /// @return How many waiters there are.
  std::size_t watching() const { return watching_; }

  /// Starts anew in a child made by fork(2), which must not share its
  /// parent's epoll and has not inherited its kqueue. The waiters stay.
  void reopen();

 private:
  // [poller-private]
  // One for each descriptor, found by its number. `registered` is what the
  // kernel watches for us: a bit for each Interest. `generation` tells events
  // of a number's former life from those of its present one.
  struct Slot {
    Waiter* waiters[2] = {nullptr, nullptr};
    unsigned registered = 0;
    unsigned generation = 0;  // how often the descriptor was forgotten
  };
  static unsigned bit(Interest interest) {
    return 1u << static_cast<unsigned>(interest);
  }

  Slot* find(int fd);
  void wake(int fd, Interest interest, int error, JobQueue& ready);

  // What a backend adds besides poll(): poller_epoll.cpp, poller_kqueue.cpp
  // or poller_select.cpp. attach() makes the kernel watch at least this
  // direction; detach() prepares for the descriptor's close.
  struct Backend;
  void attach(int fd, Interest interest, Slot& slot);
  void detach(int fd, Slot& slot);
  static Backend* makeBackend();
  static void freeBackend(Backend* backend, bool inherited);

  std::vector<Slot> slots_;
  std::size_t watching_ = 0;
  Backend* backend_;
  // [/poller-private]
};
// [/poller]

/// @}

}  // namespace naglfar
