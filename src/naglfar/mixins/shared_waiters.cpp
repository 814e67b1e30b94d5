// The table of slots. channel() looks for a free slot from the beginning of
// the table; that is cheap beside the thread or the process of the request.
//
// Invariant: slots at `made` and above have never been used, so a table
// occupies only the pages of the slots that were needed, whatever its
// capacity is.

#include "naglfar/mixins/shared_waiters.hpp"

#include <pthread.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <ctime>
#include <new>

#include "naglfar/io.hpp"

namespace naglfar {

// [slot]
struct SharedWaiters::Slot {
  enum class State { free, open, listed, told };
  State state = State::free;
  std::size_t generation = 0;  // how many channels have had this slot
  int message = 0;
  pthread_cond_t told;
};

struct alignas(64) SharedWaiters::Table {
  pthread_mutex_t mutex;
  std::size_t capacity;
  bool endMeansGone;
  sys::Duration lookEvery;
  std::size_t made;
  std::size_t listed;

  // The slots stand behind the table.
  Slot* slots() { return reinterpret_cast<Slot*>(this + 1); }
  static std::size_t size(std::size_t capacity) {
    return sizeof(Table) + capacity * sizeof(Slot);
  }
};
// [/slot]

// [lock]
namespace {

class Lock {
 public:
  explicit Lock(pthread_mutex_t& mutex) : mutex_(mutex) {
    gotMutex(pthread_mutex_lock(&mutex_));
  }
  ~Lock() { pthread_mutex_unlock(&mutex_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

  // Releases the mutex until the condition is signalled or time is up.
  void wait(pthread_cond_t& condition, const std::timespec& until) const {
    gotMutex(pthread_cond_timedwait(&condition, &mutex_, &until));
  }

 private:
  void gotMutex(int error) const {
#ifndef __APPLE__
    // A child was killed while it held the mutex. A state changes in one
    // step, so each slot has a valid one. Only `listed` may be wrong, until
    // the next takeAll(): size() alone uses it.
    if (error == EOWNERDEAD) pthread_mutex_consistent(&mutex_);
#endif
    assert(error == 0 || error == EOWNERDEAD || error == ETIMEDOUT);
    (void)error;
  }

  pthread_mutex_t& mutex_;
};

void makeShared(pthread_mutex_t& mutex) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
#ifndef __APPLE__
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
#endif
  pthread_mutex_init(&mutex, &attributes);
  pthread_mutexattr_destroy(&attributes);
}

void makeShared(pthread_cond_t& condition) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&condition, &attributes);
  pthread_condattr_destroy(&attributes);
}

}  // namespace
// [/lock]

// [table-life]
SharedWaiters::SharedWaiters(std::size_t capacity, bool endMeansGone,
                             sys::Duration lookEvery) {
  assert(capacity > 0);
  if (capacity > (SIZE_MAX - sizeof(Table)) / sizeof(Slot))
    sys::fail(ENOMEM, "mmap of waiters");
  void* memory =
      sys::check(sys::mapShared(Table::size(capacity)), "mmap of waiters");
  table_ = new (memory) Table;
  table_->capacity = capacity;
  table_->endMeansGone = endMeansGone;
  table_->lookEvery = lookEvery;
  table_->made = table_->listed = 0;
  makeShared(table_->mutex);
}

SharedWaiters::~SharedWaiters() {
  sys::unmap(table_, Table::size(table_->capacity));
}

SharedWaiters::Channel SharedWaiters::channel(int connection) {
  const Lock lock(table_->mutex);
  Slot* slot = table_->slots();
  Slot* const end = slot + table_->made;
  while (slot != end && slot->state != Slot::State::free) ++slot;
  if (slot == end) {
    if (table_->made == table_->capacity)
      sys::fail(ENOSPC, "a channel for one more waiting request");
    new (slot) Slot;
    makeShared(slot->told);
    ++table_->made;
  }
  slot->state = Slot::State::open;
  return Channel(*table_, *slot, connection);
}

std::size_t SharedWaiters::size() const {
  const Lock lock(table_->mutex);
  return table_->listed;
}
// [/table-life]

// [place]
SharedWaiters::Place::Place(Table& table, Slot& slot)
    : table_(table), slot_(slot) {
  const Lock lock(table_.mutex);
  assert(slot_.state == Slot::State::open);
  slot_.state = Slot::State::listed;
  ++table_.listed;
}

SharedWaiters::Place::~Place() {
  const Lock lock(table_.mutex);
  if (slot_.state != Slot::State::listed) return;
  slot_.state = Slot::State::open;
  --table_.listed;
}

std::vector<SharedWaiters::Channel> SharedWaiters::takeAll() {
  const Lock lock(table_->mutex);
  std::vector<Channel> all;
  all.reserve(table_->made);  // `listed` may be wrong: see gotMutex()
  for (std::size_t i = 0; i < table_->made; ++i) {
    Slot& slot = table_->slots()[i];
    if (slot.state != Slot::State::listed) continue;
    slot.state = Slot::State::open;
    all.push_back(Channel(*table_, slot, -1));
  }
  table_->listed = 0;
  return all;
}
// [/place]

// [shared-channel]
SharedWaiters::Channel::Channel(Table& table, Slot& slot, int connection)
    : table_(&table),
      slot_(&slot),
      generation_(slot.generation),
      connection_(connection) {}

// True if this is a notifying request's end, and the waiting request still
// waits for its message.
bool SharedWaiters::Channel::taken() const {
  return connection_ == -1 && slot_->generation == generation_ &&
         slot_->state == Slot::State::open;
}

SharedWaiters::Channel::~Channel() {
  if (slot_ == nullptr) return;
  const Lock lock(table_->mutex);
  if (connection_ != -1) {
    // A notifying request that failed may have listed the slot again after
    // the place had left the list.
    if (slot_->state == Slot::State::listed) --table_->listed;
    ++slot_->generation;
    slot_->state = Slot::State::free;
  } else if (taken()) {  // without write(): the next request may notify it
    slot_->state = Slot::State::listed;
    ++table_->listed;
  }
}

void SharedWaiters::Channel::write(int message) {
  const Lock lock(table_->mutex);
  if (!taken()) return;  // the client has left, or was told
  slot_->message = message;
  slot_->state = Slot::State::told;
  pthread_cond_signal(&slot_->told);
}
// [/shared-channel]

// [shared-read]
namespace {

// The time on the clock of pthread_cond_timedwait(3). The longest wait is an
// hour, so that the sum does not overflow.
std::timespec fromNow(sys::Duration duration) {
  std::timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  duration = std::clamp<sys::Duration>(duration, {}, std::chrono::hours(1));
  const auto nanoseconds = time.tv_nsec + duration.count();
  time.tv_sec += nanoseconds / 1'000'000'000;
  time.tv_nsec = nanoseconds % 1'000'000'000;
  return time;
}

}  // namespace

int SharedWaiters::Channel::read() {
  const Lock lock(table_->mutex);
  while (slot_->state != Slot::State::told) {
    // write() signals; otherwise the wait ends when it is time to look.
    lock.wait(slot_->told, fromNow(table_->lookEvery));
    if (slot_->state != Slot::State::told &&
        !peerIsThere(connection_, table_->endMeansGone))
      sys::fail(ECONNRESET, "the client left while it waited");
  }
  return slot_->message;
}
// [/shared-read]

}  // namespace naglfar
