// The simulated kernel's faults, its clock, its agenda of future events, and
// the class Kernel.
//
// Invariant: a wait is Stuck only if it has no deadline and the agenda is
// empty, or if the program has made too many calls.
//
// It asks sim/files.hpp for files and sockets.

#include <algorithm>
#include <cerrno>

#include "naglfar/sim/files.hpp"

namespace naglfar::sim {

// [sim-faults]
Faults Faults::harmless(double probability) {
  Faults faults;
  for (double* each :
       {&faults.interrupted, &faults.againInVain, &faults.readyInVain,
        &faults.reordered, &faults.shortTransfer, &faults.delayed})
    *each = probability;
  return faults;
}

Faults Faults::all(double probability) {
  Faults faults = harmless(probability);
  for (double* each : {&faults.connectRefused, &faults.connectTimedOut,
                       &faults.acceptAborted, &faults.noDescriptors,
                       &faults.noBuffers, &faults.reset})
    *each = probability / 10;
  return faults;
}

bool fault(double probability, const char* name) {
  if (!living->random.chance(probability)) return false;
  ++state().faultsShown;
  note("fault: ", name);
  return true;
}
// [/sim-faults]

// [sim-agenda]
void later(sys::Duration delay, std::function<void()> happen) {
  State& s = state();
  s.agenda.push({s.clock + delay, ++s.deliveries, std::move(happen)});
}

sys::Duration someTime() {
  Random& random = living->random;
  return sys::Duration(
      random.below(std::uint64_t{50'000'000} >> random.below(16)));
}

void happenDue() {
  State& s = state();
  while (!s.agenda.empty() && s.agenda.top().at <= s.clock) {
    const std::function<void()> happen = s.agenda.top().happen;
    s.agenda.pop();
    happen();
  }
}

void pass(Time until) {
  State& s = state();
  if (!s.agenda.empty() && s.agenda.top().at <= until)
    s.clock = std::max(s.clock, s.agenda.top().at);
  else if (until != Time::max())
    s.clock = until;
  else
    throw Stuck(
        "the program waits, and no event is under way: a wake-up was lost");
  happenDue();
}
// [/sim-agenda]

// [sim-kernel]
Kernel::Kernel(std::uint64_t seed, const Faults& faults)
    : random(seed), state_(std::make_unique<State>()) {
  if (living != nullptr) throw std::logic_error("two simulated kernels");
  living = this;
  state_->faults = faults;
}

Kernel::~Kernel() {
  living = nullptr;
}

Kernel& Kernel::current() {
  if (living == nullptr)
    throw std::logic_error("there is no simulated kernel: make one first");
  return *living;
}

std::size_t Kernel::openDescriptors() const {
  return state_->open;
}
std::uint64_t Kernel::faultsShown() const {
  return state_->faultsShown;
}
bool Kernel::isOpen(int fd) const {
  return find(fd) != nullptr;
}
void Kernel::setFaults(const Faults& faults) {
  state_->faults = faults;
}

int Kernel::makeFile(std::string content) {
  const auto file = std::make_shared<Regular>();
  file->content = std::move(content);
  return install(file, sys::Mode::blocking);
}

int Kernel::shutdownWrite(int fd) {
  const FilePointer file = find(fd);
  auto* socket = dynamic_cast<Socket*>(file.get());
  note("shutdown ", fd);
  if (socket != nullptr && socket->phase == Socket::Phase::connected) {
    socket->end();
    // A socketpair tells the other end each time.
    if (!socket->tcp && socket->peer() != nullptr)
      raise(*socket->peer(), anyNews);
  }
  if (socket != nullptr) raise(*socket, anyNews);
  if (socket != nullptr && socket->phase == Socket::Phase::connected)
    return 0;
  errno = file == nullptr ? EBADF : socket == nullptr ? ENOTSOCK : ENOTCONN;
  return -1;
}

void Kernel::resetAtClose(int fd) {
  const FilePointer file = find(fd);
  dynamic_cast<Socket&>(*file).resetAtClose = true;
}

bool Kernel::hasNews() const {
  for (const FilePointer& file : state_->files) {
    const auto* epoll = dynamic_cast<const Epoll*>(file.get());
    if (epoll != nullptr && !epoll->news.empty()) return true;
  }
  return false;
}
void Kernel::wait(sys::Time until) {
  while (state_->clock < until) pass(until);
}
// [/sim-kernel]

}  // namespace naglfar::sim
