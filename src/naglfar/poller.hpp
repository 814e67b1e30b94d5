/// @file poller.hpp
/// The poller, which turns "the kernel says that this descriptor is ready"
/// into "append that job to the queue". It never runs a job itself.
///
/// Invariants:
/// - One direction of one descriptor has at most one waiter.
/// - Readiness is a hint: a waiter may be woken in vain. But no wake-up is
///   lost for a waiter whose last system call on that direction said EAGAIN,
///   nor for the first waiter after a descriptor was registered.
/// - A waiter and its poller may be destroyed in any order: each leaves the
///   other without a pointer to it.
///
/// Asks of the layers below: Job and JobQueue; of sys: Fd, and the calls of
/// epoll, kqueue or select, whichever the build chose.

#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "naglfar/job.hpp"
#include "naglfar/sys.hpp"

namespace naglfar {

/// @addtogroup poller
/// @{

// [waiter]
/// A direction of a descriptor.
enum class Interest { read, write };

class Poller;

/// A wait for one direction of one descriptor, on behalf of a job. It lives
/// where the waiting is done, on a stack or in a connection's object. When it
/// is destroyed, the wait is over.
class Waiter {
 public:
  /// @param job The job, appended to the queue when there is news.
  explicit Waiter(Job& job) : job_(job) {}
  ~Waiter() { unwatch(); }
  Waiter& operator=(Waiter&&) = delete;  // nor may it be copied

  /// @return True from Poller::watch() until the waiter is woken, or
  ///         unwatched, or the poller is destroyed.
  bool watching() const { return poller_ != nullptr; }
  /// Ends the wait. Does nothing if it was woken already.
  void unwatch() noexcept;

  /// Why the waiter was woken: an errno value, or 0 for readiness.
  int error = 0;
  /// Whether this wait is no reason for a program to go on, such as that for
  /// the pipe of signals (`unref` in libuv). To be set before watch().
  bool unref = false;

 private:
  friend class Poller;
  Job& job_;
  Poller* poller_ = nullptr;
  int fd_ = -1;
  Interest interest_ = Interest::read;
  unsigned generation_ = 0;
};
// [/waiter]

// [poller]
/// Watches descriptors. Which system call it uses is chosen at build time
/// (NAGLFAR_POLLER): epoll, kqueue or select.
class Poller {
 public:
  /// Whether the kernel tells its news again and again while no call acts on
  /// them (level triggered: select), or once (edge triggered).
  static const bool levelTriggered;

  /// @throws std::system_error If the kernel gives no epoll or kqueue.
  Poller() { open(); }
  ~Poller();

  /// Waits for one direction of a descriptor. The waiter is woken once; for
  /// more, watch again, and only after a system call has said EAGAIN.
  /// @param fd A nonblocking descriptor. From now on deregister() must be
  ///        called before it is closed or another file takes its place, by
  ///        dup2(2) for instance. Otherwise the poller takes the number's
  ///        next file for one that the kernel watches, and its waiters may
  ///        never be woken.
  /// @param interest The direction.
  /// @param waiter Is woken. It must not be watching already.
  /// @throws std::system_error EBUSY if another waiter waits there, and what
  ///         the kernel says to a descriptor that it cannot watch. kqueue
  ///         says it later: then it is the waiter's `error`. For a number
  ///         less than 0, and for a closed one far above those of before,
  ///         EBADF at once and without any memory.
  void watch(int fd, Interest interest, Waiter& waiter);

  /// Tells whether news about a descriptor may have come and gone, because
  /// it was watched before. If not, they are reported after the first
  /// watch().
  /// @param fd A descriptor.
  /// @return True if the kernel watches it already.
  bool registered(int fd) const {
    const auto index = static_cast<std::size_t>(fd);
    return !inherited_ && index < slots_.size() &&
           slots_[index].registered != 0;
  }

  /// @param fd A descriptor.
  /// @return How often it was deregistered. If that changes, the number
  ///         stands for another file now, or soon.
  unsigned generation(int fd) {
    return isFar(fd) && isClosed(fd) ? 0 : slot(fd).generation;
  }

  /// @param waiter A waiter that was watching.
  /// @return True if its descriptor was deregistered since then: the number
  ///         stands for another file now, or soon.
  bool stale(const Waiter& waiter) const {
    return slots_[static_cast<std::size_t>(waiter.fd_)].generation !=
           waiter.generation_;
  }

  /// Deregisters a descriptor that is about to be closed. Its waiters are
  /// woken with ECANCELED. While a duplicate of the descriptor lives, epoll
  /// goes on reporting events for its number (epoll(7), question 6): after
  /// this call they reach no waiter.
  /// @param fd A descriptor.
  /// @param ready Where the waiters' jobs go.
  void deregister(int fd, JobQueue& ready);

  /// Asks the kernel for news and appends the jobs of the waiters concerned.
  /// A signal ends the wait early, and so may news without a waiter.
  /// @param timeout How long to wait for news; 0 only looks, less than 0
  ///        waits for ever. Rounded up to what the system call can express;
  ///        a wait of an hour or more may end early.
  /// @param ready Where the jobs go.
  /// @return Whether the kernel may have more news: it had some, or a signal
  ///         came first. After false it has none.
  /// @throws std::system_error If the kernel fails the call.
  bool poll(sys::Duration timeout, JobQueue& ready);

  /// @return How many waiters there are.
  std::size_t watching() const { return watching_; }
  /// @return How many of them are a reason to go on: see Waiter::unref.
  std::size_t referenced() const { return watching_ - unreferenced_; }

  /// Lets go of the parent's epoll or kqueue in a child made by fork(2),
  /// which must not share the former and has not inherited the latter. The
  /// waiters stay: the next poll() makes a poller of the child's own and
  /// registers them. A waiter whose descriptor cannot be watched any more is
  /// woken, with the reason as its `error`; so is one that comes before that
  /// poll(). So a child that only calls exec(3) pays for no waiter.
  void reopen() noexcept;

 private:
  // [poller-private]
  // Each descriptor has a slot, found by its number. `registered` is what the
  // kernel watches for us: a bit for each Interest. `added` are those bits of
  // it that kqueue's next call tells the kernel. `generation` tells events of
  // a number's former life from those of its present one.
  struct Slot {
    Waiter* waiters[2] = {nullptr, nullptr};
    unsigned registered = 0;
    unsigned added = 0;
    unsigned generation = 0;  // how often it was deregistered
  };
  static unsigned bit(Interest interest) {
    return 1u << static_cast<unsigned>(interest);
  }

  friend class Waiter;
  bool isFar(int fd) const;
  static bool isClosed(int fd);
  Slot& slot(int fd);
  Waiter* remove(Waiter*& place) noexcept;
  void wake(Slot& slot, Interest interest, int error, JobQueue& ready);

  bool startAnew(JobQueue& ready);

  // What a backend adds besides poll(): poller/epoll.cpp, poller/kqueue.cpp
  // or poller/select.cpp. letGo() gives up the parent's kernel_ in a child;
  // open() makes kernel_; attach() makes the kernel watch at least this
  // direction; detach() prepares for the descriptor's close.
  void letGo() noexcept;
  void open();
  void attach(int fd, Interest interest, Slot& slot);
  void detach(int fd, Slot& slot);

  std::vector<Slot> slots_;
  bool inherited_ = false;  // whether a child has not polled since its fork
  std::size_t watching_ = 0;
  std::size_t unreferenced_ = 0;                 // of those
  sys::Fd kernel_;                               // the epoll or kqueue
  std::vector<std::pair<int, Interest>> added_;  // for kqueue's next call
  // [/poller-private]
};
// [/poller]

/// @}

}  // namespace naglfar
