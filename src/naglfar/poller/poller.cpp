// What all backends share: the table of who waits where.
//
// Invariant: watching_ is the number of non-null waiters in slots_.

#include "naglfar/poller.hpp"

namespace naglfar {

// [poller-life]
Poller::Poller() : backend_(makeBackend()) {}

Poller::~Poller() {
  freeBackend(backend_, false);
}

void Poller::reopen() {
  freeBackend(std::exchange(backend_, nullptr), true);
  backend_ = makeBackend();  // now that there is a descriptor for it
  for (std::size_t fd = 0; fd < slots_.size(); ++fd) {
    Slot& slot = slots_[fd];
    slot.registered = 0;
    for (const Interest interest : {Interest::read, Interest::write})
      if (slot.waiters[static_cast<int>(interest)] != nullptr)
        attach(static_cast<int>(fd), interest, slot);
  }
}
// [/poller-life]

// [watch]
void Poller::watch(int fd, Interest interest, Waiter& waiter) {
  assert(fd >= 0);
  const auto index = static_cast<std::size_t>(fd);
  if (index >= slots_.size()) slots_.resize(index + index / 2 + 64);
  Slot& slot = slots_[index];
  Waiter*& place = slot.waiters[static_cast<int>(interest)];
  if (place != nullptr)
    sys::fail(EBUSY, interest == Interest::read
                         ? "watch: somebody waits already to read from it"
                         : "watch: somebody waits already to write to it");
  if ((slot.registered & bit(interest)) == 0) attach(fd, interest, slot);
  waiter.error = 0;
  place = &waiter;
  ++watching_;
}

void Poller::unwatch(int fd, Interest interest, const Waiter& waiter) {
  Slot* slot = find(fd);
  if (slot == nullptr) return;
  Waiter*& place = slot->waiters[static_cast<int>(interest)];
  if (place != &waiter) return;
  place = nullptr;
  --watching_;
}
// [/watch]

// [forget]
void Poller::deregister(int fd, JobQueue& ready) {
  Slot* slot = find(fd);
  if (slot == nullptr) return;
  wake(fd, Interest::read, ECANCELED, ready);
  wake(fd, Interest::write, ECANCELED, ready);
  if (slot->registered != 0) detach(fd, *slot);
  slot->registered = 0;
  ++slot->generation;
}
// [/forget]

// [wake]
Poller::Slot* Poller::find(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  return fd >= 0 && index < slots_.size() ? &slots_[index] : nullptr;
}

void Poller::wake(int fd, Interest interest, int error, JobQueue& ready) {
  Slot* slot = find(fd);
  if (slot == nullptr) return;
  Waiter* waiter =
      std::exchange(slot->waiters[static_cast<int>(interest)], nullptr);
  if (waiter == nullptr) return;
  --watching_;
  waiter->error = error;
  ready.append(waiter->job);
}
// [/wake]

}  // namespace naglfar
