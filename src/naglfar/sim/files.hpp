// What the simulated kernel is made of: files, and what descriptors, epolls,
// pipes and sockets are. For the files of the simulation only.
//
// What is written is under way until it arrives, mostly at once:
//
//     write -> Stream: | read already | arrived, readable | under way |
//
// Inside, as in Linux, a call's result is a number, or -errno.
//
// Invariants:
// - What is sent on one stream arrives in the order in which it was sent: the
//   bytes, the end. A reset arrives before what is under way, and instead.
// - Each arrival, and each time that room comes back, is an edge in every
//   epoll that watches; what an event says holds when epoll_wait looks.

#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <iomanip>
#include <map>
#include <memory>
#include <ostream>
#include <queue>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "naglfar/sim.hpp"

namespace naglfar::sim {

// [sim-file]
using sys::Time;
struct Epoll;
struct File;

constexpr std::uint32_t anyNews =
    EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | EPOLLERR;

// That an epoll watches a file under a number: epoll(7), question 1.
struct Watch {
  Epoll* epoll;
  File* file;  // null once it is closed or the watch deleted
  int fd;
  epoll_event event;
  bool queued = false;
};

// What descriptors refer to: the "open file description" of open(2).
struct File : std::enable_shared_from_this<File> {
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  virtual ~File() = default;
  // What epoll reports now.
  virtual std::uint32_t ready() const { return 0; }
  virtual ssize_t read(char*, std::size_t, bool /*peek*/) { return -EINVAL; }
  virtual ssize_t write(const char*, std::size_t) { return -EINVAL; }
  // The last descriptor is closed.
  virtual void closed() {}

  std::vector<std::shared_ptr<Watch>> watches;
  int descriptors = 0;
  bool nonblocking = true;
};
using FilePointer = std::shared_ptr<File>;

struct Regular final : File {
  std::string content;
};
// [/sim-file]

// [sim-state]
struct Socket;

// What will happen: earliest first, and of one time in the order of making.
struct Delivery {
  Time at;
  std::uint64_t number;
  std::function<void()> happen;
  bool operator>(const Delivery& other) const {
    return std::tie(at, number) > std::tie(other.at, other.number);
  }
};

template <class T>
using Smallest = std::priority_queue<T, std::vector<T>, std::greater<>>;

struct Kernel::State {
  Faults faults;
  Time clock{std::chrono::hours(1)};
  std::vector<FilePointer> files{3};  // by descriptor
  Smallest<int> freeNumbers;
  std::size_t open = 0;
  std::map<std::uint16_t, Socket*> ports;
  std::uint16_t lastPort = 32767;
  Smallest<Delivery> agenda;
  std::uint64_t deliveries = 0;
  std::uint64_t faultsShown = 0;
  std::uint64_t calls = 0;
};

using State = Kernel::State;
inline Kernel* living = nullptr;
inline State& state() {
  return Kernel::current().state();
}
// [/sim-state]

// [sim-trace]
// Tells the trace, if there is one.
template <class... Parts>
void note(const Parts&... parts) {
  if (!living->trace) return;
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(
      state().clock.time_since_epoch() - std::chrono::hours(1));
  std::ostringstream line;
  line << std::setw(10) << micros.count() << " us  ";
  (line << ... << parts);
  living->trace(line.str());
}

// Whether to show a fault now; counts and notes it.
bool fault(double probability, const char* name);

// A mask of epoll's, to be printed.
struct Mask {
  std::uint32_t bits;
  friend std::ostream& operator<<(std::ostream& out, Mask mask) {
    for (const auto& [bit, name] : {std::pair{EPOLLIN, " IN"},
                                    {EPOLLOUT, " OUT"},
                                    {EPOLLRDHUP, " RDHUP"},
                                    {EPOLLHUP, " HUP"},
                                    {EPOLLERR, " ERR"}})
      if (mask.bits & bit) out << name;
    return out;
  }
};
// [/sim-trace]

// [sim-time]
void later(sys::Duration delay, std::function<void()> happen);
sys::Duration someTime();
// Lets happen what is due.
void happenDue();
// Everybody waits: on to whatever comes next, or to this time.
void pass(Time until);

// Waits for what `look` finds, until the time is over; less than 0 is for
// ever.
template <class Look>
int await(sys::Duration timeout, Look look) {
  const bool forEver = timeout.count() < 0;
  const Time deadline = forEver ? Time::max() : state().clock + timeout;
  if (state().calls > living->callLimit)
    throw Stuck("there were very many calls, and there is no end");
  for (;;) {
    const int found = look();
    if (found != 0 || state().clock >= deadline) return found;
    pass(deadline);
  }
}
// [/sim-time]

// [sim-descriptors]
// What a number stands for, or null.
FilePointer find(int fd);
// Gives a file the lowest number that is free: open(2).
int install(const FilePointer& file, sys::Mode mode);
// [/sim-descriptors]

// [sim-epoll]
struct Epoll final : File {
  std::deque<std::shared_ptr<Watch>> news;

  void queue(const std::shared_ptr<Watch>& watch) {
    if (!std::exchange(watch->queued, true)) news.push_back(watch);
  }
  std::uint32_t ready() const override { return news.empty() ? 0u : EPOLLIN; }
  void closed() override;
  int collect(epoll_event* events, int most);
};

// An edge, or what stands for one.
void raise(File& file, std::uint32_t what);
// [/sim-epoll]

// [sim-stream]
// One direction of a connection, or a pipe.
struct Stream {
  explicit Stream(std::size_t size, std::size_t enough)
      : capacity(size), roomWanted(enough) {}
  std::size_t readable() const { return arrived - taken; }
  std::size_t room() const { return capacity - (bytes.size() - taken); }
  bool writable() const { return room() >= roomWanted; }

  std::string bytes;
  std::size_t taken = 0;    // of the bytes, so many were read
  std::size_t arrived = 0;  // so many can or could be; the rest is under way
  std::size_t capacity;
  std::size_t roomWanted;  // for epoll to call it writable
  File* reader = nullptr;  // null once it is closed
  File* writer = nullptr;
  bool ended = false;  // nothing more will be written
  bool endArrived = false;
  bool cut = false;  // what is under way will not arrive
  Time lastArrival{};
};

// Reads, or only looks. Room that comes back is news for the writer.
ssize_t take(Stream& s, char* buffer, std::size_t n, bool peek);

struct Pipe final : File {
  static constexpr std::size_t atomic = 4096;  // PIPE_BUF: pipe(7)
  Pipe(std::shared_ptr<Stream> s, bool isWriter)
      : stream(std::move(s)), writes(isWriter) {
    (writes ? stream->writer : stream->reader) = this;
  }
  std::uint32_t ready() const override;
  ssize_t read(char* buffer, std::size_t n, bool peek) override;
  ssize_t write(const char* data, std::size_t n) override;
  void closed() override;

  std::shared_ptr<Stream> stream;
  bool writes;
};
// [/sim-stream]

// [sim-socket]
struct Socket final : File {
  enum class Phase { fresh, listening, connecting, connected, dead };

  std::uint32_t ready() const override;
  ssize_t read(char* buffer, std::size_t n, bool peek) override;
  ssize_t write(const char* data, std::size_t n) override;
  void closed() override;

  int connect(const sys::Address& address);
  void established(Socket& listener);
  void refused(int why);
  void broken();
  void end();
  Socket* peer() const { return static_cast<Socket*>(out->reader); }
  int takeError() { return -std::exchange(error, 0); }

  bool tcp = true;  // else one of a socketpair: unix(7)
  Phase phase = Phase::fresh;
  int error = 0;  // SO_ERROR
  bool connectTold = false;
  bool resetAtClose = false;
  sys::Address local;
  std::shared_ptr<Stream> in;
  std::shared_ptr<Stream> out;
  std::size_t backlog = 0;
  std::unique_ptr<std::deque<std::shared_ptr<Socket>>> pending;
};
// [/sim-socket]

}  // namespace naglfar::sim
