// What all backends share: the table of waiters, by descriptor.
//
// Invariants:
// - watching_ is the number of waiters in slots_. unreferenced_ is the number
//   of those with `unref`.
// - A waiter stands in slots_ exactly while its poller_ is this poller.
// - While inherited_ is true, the backend is asked for nothing, and the bits
//   `registered` mean nothing.
//
// It asks the backend for letGo, open, attach and detach, and sys for
// localAddress.

#include "naglfar/poller.hpp"

#include <cassert>
#include <cerrno>
#include <new>

namespace naglfar {

// [poller-life]
Poller::~Poller() {
  for (Slot& slot : slots_)
    for (Waiter*& place : slot.waiters) remove(place);
}

void Poller::reopen() noexcept {
  inherited_ = true;
  letGo();
}

// The first poll() in a child. True if a waiter was woken, because its
// descriptor cannot be watched: it may be closed.
bool Poller::startAnew(JobQueue& ready) {
  open();
  inherited_ = false;
  bool woken = false;
  for (std::size_t fd = 0; fd < slots_.size(); ++fd) {
    Slot& slot = slots_[fd];
    slot.registered = slot.added = 0;
    for (const Interest interest : {Interest::read, Interest::write}) {
      if (slot.waiters[static_cast<int>(interest)] == nullptr) continue;
      try {
        attach(static_cast<int>(fd), interest, slot);
      } catch (const std::system_error& error) {
        wake(slot, interest, error.code().value(), ready);
        woken = true;
      } catch (const std::bad_alloc&) {
        wake(slot, interest, ENOMEM, ready);
        woken = true;
      }
    }
  }
  return woken;
}
// [/poller-life]

// [watch]
void Poller::watch(int fd, Interest interest, Waiter& waiter) {
  assert(!waiter.watching());
  if (fd < 0 || (isFar(fd) && isClosed(fd))) sys::fail(EBADF, "watch");
  Slot& slot = this->slot(fd);
  Waiter*& place = slot.waiters[static_cast<int>(interest)];
  if (place != nullptr)
    sys::fail(EBUSY, interest == Interest::read
                         ? "watch: another waiter waits to read from it"
                         : "watch: another waiter waits to write to it");
  if (!inherited_ && (slot.registered & bit(interest)) == 0)
    attach(fd, interest, slot);
  waiter.error = 0;
  waiter.poller_ = this;
  waiter.fd_ = fd;
  waiter.interest_ = interest;
  waiter.generation_ = slot.generation;
  place = &waiter;
  ++watching_;
  unreferenced_ += waiter.unref ? 1 : 0;
}

void Waiter::unwatch() noexcept {
  if (poller_ == nullptr) return;
  Poller::Slot& slot = poller_->slot(fd_);
  poller_->remove(slot.waiters[static_cast<int>(interest_)]);
}

// Takes the waiter of a place out, if there is one.
Waiter* Poller::remove(Waiter*& place) noexcept {
  Waiter* waiter = std::exchange(place, nullptr);
  if (waiter == nullptr) return nullptr;
  waiter->poller_ = nullptr;
  --watching_;
  unreferenced_ -= waiter->unref ? 1 : 0;
  return waiter;
}
// [/watch]

// [deregister]
void Poller::deregister(int fd, JobQueue& ready) {
  if (fd < 0 || static_cast<std::size_t>(fd) >= slots_.size()) return;
  Slot& slot = this->slot(fd);
  wake(slot, Interest::read, ECANCELED, ready);
  wake(slot, Interest::write, ECANCELED, ready);
  if (!inherited_ && slot.registered != 0) detach(fd, slot);
  slot.registered = 0;
  ++slot.generation;
}
// [/deregister]

// [wake]
// The kernel gives the lowest numbers that are free. A number that lies far
// behind the table may be a mistake, for which the table must not grow.
bool Poller::isFar(int fd) const {
  return static_cast<std::size_t>(fd) >= slots_.size() + 4096;
}

// True if no descriptor has this number, or none any more. getsockname(2)
// tells, and changes nothing, whether it is a socket or not.
bool Poller::isClosed(int fd) {
  sys::Address ignored;
  return sys::localAddress(fd, ignored) == -1 && errno == EBADF;
}

// The slot of a descriptor, made if it is not there yet.
Poller::Slot& Poller::slot(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= slots_.size()) slots_.resize(index + index / 2 + 64);
  return slots_[index];
}

void Poller::wake(Slot& slot, Interest interest, int error, JobQueue& ready) {
  Waiter* waiter = remove(slot.waiters[static_cast<int>(interest)]);
  if (waiter == nullptr) return;
  waiter->error = error;
  ready.append(waiter->job_);
}
// [/wake]

}  // namespace naglfar
