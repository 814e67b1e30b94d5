// The table of slots. wait() looks for a free slot from the beginning of the
// table; that is cheap beside the thread or the process of the request.
//
// Invariant: slots at `made` and above have never been used, so a table
// occupies only the pages of the slots that were needed, whatever its
// capacity is.
//
// It asks for peerIsThere, for mapShared and unmap, and for the calls of
// pthreads that lock and notify across processes.

#include "naglfar/mixins/shared_waiters.hpp"

#include <pthread.h>

#include <algorithm>
#include <cassert>
#include <mutex>
#include <new>

#include "naglfar/io.hpp"

namespace naglfar {

// [table]
// Each slot has a condition variable of its own: glibc lets a call that
// notifies wait for threads which were notified before, and so for ever if
// such a child was killed. The waiting request holds the slot's mutex
// `owner`: if its child is killed, the next look finds that out, without a
// system call. macOS has no robust mutexes: there the slot is lost.
struct SharedWaiters::Slot {
  static constexpr std::size_t free = 0;
  static constexpr std::size_t waiting = unlimited;
  // Makes the slot free if its child was killed.
  bool isWaiting() {
#ifndef __APPLE__
    if (state != free && pthread_mutex_trylock(&owner) != EBUSY) {
      state = free;
      initCondition();  // it counts the dead request as one that waits
      pthread_mutex_consistent(&owner);
      pthread_mutex_unlock(&owner);
    }
#endif
    return state == waiting;
  }
  // The slot is free and the table locked, so no other request has the mutex.
  // It is only tried, because a request that waits locks it before the table.
  void lockOwner() {
#ifndef __APPLE__
    if (pthread_mutex_trylock(&owner) == EOWNERDEAD)  // of a killed child
      pthread_mutex_consistent(&owner);
#endif
  }
  void unlockOwner() {
#ifndef __APPLE__
    pthread_mutex_unlock(&owner);
#endif
  }
  void initCondition();
  std::size_t state = free;  // or how many requests were notified with it
  pthread_cond_t notified{};
  pthread_mutex_t owner{};
};

struct alignas(64) SharedWaiters::Table {
  pthread_mutex_t mutex{};
  const std::size_t capacity;
  const bool endMeansGone;
  const sys::Duration lookEvery;
  std::size_t made = 0;

  // The slots stand behind the table.
  Slot* begin() { return reinterpret_cast<Slot*>(this + 1); }
  Slot* end() { return begin() + made; }
  std::size_t waiting();
  static std::size_t size(std::size_t capacity) {
    return sizeof(Table) + capacity * sizeof(Slot);
  }

  // std::lock_guard calls these two.
  void lock() { gotMutex(pthread_mutex_lock(&mutex)); }
  void unlock() { pthread_mutex_unlock(&mutex); }
  // Unlocks until the slot is notified or the time is over.
  void wait(Slot& slot, const std::timespec& until) {
    gotMutex(pthread_cond_timedwait(&slot.notified, &mutex, &until));
  }
  void gotMutex([[maybe_unused]] int error) {
#ifndef __APPLE__
    // A child was killed while it held the mutex. The table is valid.
    if (error == EOWNERDEAD) pthread_mutex_consistent(&mutex);
#endif
    assert(error == 0 || error == EOWNERDEAD || error == ETIMEDOUT);
  }
};
// [/table]

// [table-life]
static void initShared(pthread_mutex_t& mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
#ifndef __APPLE__
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
#endif
  pthread_mutex_init(&mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
}

void SharedWaiters::Slot::initCondition() {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&notified, &attributes);
  pthread_condattr_destroy(&attributes);
}

SharedWaiters::SharedWaiters(std::size_t capacity, bool endMeansGone,
                             sys::Duration lookEvery) {
  if (capacity > (SIZE_MAX - sizeof(Table)) / sizeof(Slot))
    sys::fail(ENOMEM, "mmap of waiters");
  void* memory =
      sys::check(sys::mapShared(Table::size(capacity)), "mmap of waiters");
  table_.reset(new (memory) Table{.capacity = capacity,
                                  .endMeansGone = endMeansGone,
                                  .lookEvery = lookEvery});
  initShared(table_->mutex);
}

void SharedWaiters::Unmap::operator()(Table* table) const {
  sys::unmap(table, Table::size(table->capacity));
}
// [/table-life]

// [shared-wait]
// The time on the clock of pthread_cond_timedwait(3). The longest wait is an
// hour, so that the sum does not overflow.
static std::timespec fromNow(sys::Duration duration) {
  const sys::Duration time =
      std::chrono::system_clock::now().time_since_epoch() +
      std::clamp<sys::Duration>(duration, {}, std::chrono::hours(1));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return {seconds.count(), (time - seconds).count()};
}

std::size_t SharedWaiters::wait(int connection, sys::Time deadline) {
  Table& table = *table_;
  const std::lock_guard lock(table);
  const auto freeSlot = [&table] {
    return std::find_if(table.begin(), table.end(),
                        [](const Slot& s) { return s.state == Slot::free; });
  };
  Slot* slot = freeSlot();
  if (slot == table.end() && table.made == table.capacity) {
    table.waiting();  // frees the slots of children that were killed
    slot = freeSlot();
  }
  if (slot == table.end()) {
    if (table.made == table.capacity)
      sys::fail(ENOSPC, "a slot for one more waiting request");
    (new (slot) Slot)->initCondition();
    initShared(slot->owner);
    ++table.made;
  }
  struct Occupied {
    explicit Occupied(Slot& which) : slot(which) {
      slot.lockOwner();
      slot.state = Slot::waiting;
    }
    ~Occupied() {
      slot.state = Slot::free;
      slot.unlockOwner();
    }
    Slot& slot;
  } const occupied(*slot);
  sys::Time tooLong = sys::Time::max();  // for a client that sends on
  while (slot->state == Slot::waiting) {
    // notifyAll() notifies; otherwise the wait ends when it is time to look.
    const sys::Duration left = deadline - std::min(deadline, sys::now());
    table.wait(*slot, fromNow(std::min(table.lookEvery, left)));
    if (slot->state != Slot::waiting) return slot->state;
    bool sends = false;
    if (!peerIsThere(connection, table.endMeansGone, &sends) ||
        sys::now() >= tooLong)
      sys::fail(ECONNRESET, "the client left while it waited");
    if (sends) tooLong = std::min(tooLong, sys::now() + unreadPatience);
    if (sys::now() >= deadline)
      sys::fail(ETIMEDOUT, "wait for a notification");
  }
  return slot->state;
}
// [/shared-wait]

// [shared-notify]
// The caller holds the mutex.
std::size_t SharedWaiters::Table::waiting() {
  return static_cast<std::size_t>(std::count_if(
      begin(), end(), [](Slot& slot) { return slot.isWaiting(); }));
}

std::size_t SharedWaiters::notifyAll() {
  const std::lock_guard lock(*table_);
  const std::size_t n = table_->waiting();
  for (Slot& slot : *table_) {
    if (slot.state != Slot::waiting) continue;
    slot.state = n;
    pthread_cond_signal(&slot.notified);
  }
  return n;
}

std::size_t SharedWaiters::size() const {
  const std::lock_guard lock(*table_);
  return table_->waiting();
}
// [/shared-notify]

}  // namespace naglfar
