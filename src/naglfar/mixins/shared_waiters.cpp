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
#include <mutex>
#include <new>

#include "naglfar/io.hpp"

namespace naglfar {

// [table]
struct alignas(64) SharedWaiters::Table {
  pthread_mutex_t mutex{};
  const std::size_t capacity;
  const bool endMeansGone;
  const sys::Duration lookEvery;
  std::size_t made = 0;
  std::size_t listed = 0;

  // The slots stand behind the table.
  Slot* slots() { return reinterpret_cast<Slot*>(this + 1); }
  static std::size_t size(std::size_t capacity);

  // std::lock_guard calls these two.
  void lock() { gotMutex(pthread_mutex_lock(&mutex)); }
  void unlock() { pthread_mutex_unlock(&mutex); }
  // Unlocks until the condition is signalled or the time is over.
  void wait(pthread_cond_t& condition, const std::timespec& until) {
    gotMutex(pthread_cond_timedwait(&condition, &mutex, &until));
  }
  void gotMutex(int error) {
#ifndef __APPLE__
    // A child was killed while it held the mutex. A state changes in one
    // step, so each slot has a valid one. Only `listed` may be wrong, until
    // the next takeAll(): size() alone uses it.
    if (error == EOWNERDEAD) pthread_mutex_consistent(&mutex);
#endif
    assert(error == 0 || error == EOWNERDEAD || error == ETIMEDOUT);
    (void)error;
  }
};
// [/table]

// [slot]
struct SharedWaiters::Slot {
  enum class State { free, open, listed, told };
  Table& table;
  State state = State::free;
  std::size_t generation = 0;  // how many channels have had this slot
  int message = 0;
  pthread_cond_t told{};

  void become(State next) {
    if (state == State::listed) --table.listed;
    if (next == State::listed) ++table.listed;
    state = next;
  }
};

std::size_t SharedWaiters::Table::size(std::size_t capacity) {
  return sizeof(Table) + capacity * sizeof(Slot);
}
// [/slot]

// [make-shared]
namespace {

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
// [/make-shared]

// [table-life]
SharedWaiters::SharedWaiters(std::size_t capacity, bool endMeansGone,
                             sys::Duration lookEvery) {
  assert(capacity > 0);
  if (capacity > (SIZE_MAX - sizeof(Table)) / sizeof(Slot))
    sys::fail(ENOMEM, "mmap of waiters");
  void* memory =
      sys::check(sys::mapShared(Table::size(capacity)), "mmap of waiters");
  table_.reset(new (memory) Table{.capacity = capacity,
                                  .endMeansGone = endMeansGone,
                                  .lookEvery = lookEvery});
  makeShared(table_->mutex);
}

void SharedWaiters::Unmap::operator()(Table* table) const {
  sys::unmap(table, Table::size(table->capacity));
}

SharedWaiters::Channel SharedWaiters::channel(int connection) {
  const std::lock_guard lock(*table_);
  Slot* slot = table_->slots();
  Slot* const end = slot + table_->made;
  while (slot != end && slot->state != Slot::State::free) ++slot;
  if (slot == end) {
    if (table_->made == table_->capacity)
      sys::fail(ENOSPC, "a channel for one more waiting request");
    new (slot) Slot{*table_};
    makeShared(slot->told);
    ++table_->made;
  }
  slot->become(Slot::State::open);
  return Channel(*slot, connection);
}

std::size_t SharedWaiters::size() const {
  const std::lock_guard lock(*table_);
  return table_->listed;
}
// [/table-life]

// [place]
SharedWaiters::Place::Place(Slot& slot) : slot_(slot) {
  const std::lock_guard lock(slot_.table);
  assert(slot_.state == Slot::State::open);
  slot_.become(Slot::State::listed);
}

SharedWaiters::Place::~Place() {
  const std::lock_guard lock(slot_.table);
  if (slot_.state == Slot::State::listed) slot_.become(Slot::State::open);
}

std::vector<SharedWaiters::Channel> SharedWaiters::takeAll() {
  const std::lock_guard lock(*table_);
  std::vector<Channel> all;
  all.reserve(table_->made);  // `listed` may be wrong: see gotMutex()
  for (std::size_t i = 0; i < table_->made; ++i) {
    Slot& slot = table_->slots()[i];
    if (slot.state != Slot::State::listed) continue;
    slot.become(Slot::State::open);
    all.push_back(Channel(slot, -1));
  }
  table_->listed = 0;
  return all;
}
// [/place]

// [shared-channel]
SharedWaiters::Channel::Channel(Slot& slot, int connection)
    : slot_(&slot), generation_(slot.generation), connection_(connection) {}

// True if this is a notifying request's end, and the waiting request still
// waits for its message.
bool SharedWaiters::Channel::taken() const {
  return connection_ == -1 && slot_->generation == generation_ &&
         slot_->state == Slot::State::open;
}

SharedWaiters::Channel::~Channel() {
  if (slot_ == nullptr) return;
  const std::lock_guard lock(slot_->table);
  if (connection_ != -1) {
    ++slot_->generation;
    slot_->become(Slot::State::free);
  } else if (taken()) {  // without write(): the next request may notify it
    slot_->become(Slot::State::listed);
  }
}

void SharedWaiters::Channel::write(int message) {
  const std::lock_guard lock(slot_->table);
  if (!taken()) return;  // the client has left, or was told
  slot_->message = message;
  slot_->become(Slot::State::told);
  pthread_cond_signal(&slot_->told);
}
// [/shared-channel]

// [shared-read]
namespace {

// The time on the clock of pthread_cond_timedwait(3). The longest wait is an
// hour, so that the sum does not overflow.
std::timespec fromNow(sys::Duration duration) {
  const sys::Duration time =
      std::chrono::system_clock::now().time_since_epoch() +
      std::clamp<sys::Duration>(duration, {}, std::chrono::hours(1));
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  return {seconds.count(), (time - seconds).count()};
}

}  // namespace

int SharedWaiters::Channel::read() {
  Table& table = slot_->table;
  const std::lock_guard lock(table);
  while (slot_->state != Slot::State::told) {
    // write() signals; otherwise the wait ends when it is time to look.
    table.wait(slot_->told, fromNow(table.lookEvery));
    if (slot_->state != Slot::State::told &&
        !peerIsThere(connection_, table.endMeansGone))
      sys::fail(ECONNRESET, "the client left while it waited");
  }
  return slot_->message;
}
// [/shared-read]

}  // namespace naglfar
