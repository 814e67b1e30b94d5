// The parts of the simulated kernel: files, epolls, pipes, sockets, the clock
// and the agenda. Only the files of the simulation include this header.
//
// Written bytes are under way until they arrive, which mostly is at once:
//
//     write -> Stream: | read already | arrived, readable | under way |
//
// Inside the simulation, as in Linux, the result of a call is a number or
// -errno.
//
// Invariants:
// - The bytes of a stream arrive in the order in which they were written, and
//   the end arrives last. A reset takes the place of all that is under way.
// - Each arrival, and each time that room comes back, is an edge in every
//   epoll that watches the file. An event is true when epoll_wait tells it.
//
// The header asks for sim.hpp, and for the epoll_event of <sys/epoll.h>.

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

// An epoll watches a file under a number: epoll(7), question 1.
struct Watch {
  Epoll* epoll;
  File* file;  // null once the file is closed or the watch deleted
  int fd;
  epoll_event event;
  bool queued = false;
};

// A descriptor refers to a File: the "open file description" of open(2).
struct File : std::enable_shared_from_this<File> {
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  virtual ~File() = default;
  // The events that epoll reports now.
  virtual std::uint32_t ready() const { return 0; }
  virtual ssize_t read(char*, std::size_t, bool /*peek*/) { return -EINVAL; }
  virtual ssize_t write(const char*, std::size_t) { return -EINVAL; }
  // Called when the last descriptor is closed.
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

// An event of the future. The agenda is ordered by time; events of the same
// time happen in the order in which they were made.
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
// Writes a line to the trace, if there is a trace.
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

// Decides whether to show a fault now. If so, counts it and writes it to the
// trace.
bool fault(double probability, const char* name);

// An event mask of epoll, which can be printed.
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
// Puts an event on the agenda.
void later(sys::Duration delay, std::function<void()> happen);
// A random delay of up to 50 ms, mostly a short one.
sys::Duration someTime();
// Makes the events happen that are due.
void happenDue();
// The program waits: moves the clock to the next event, or to `until` if that
// comes first.
void pass(Time until);

// Waits until `look` returns something other than 0, or until the time is
// over. A timeout below 0 has no end.
template <class Look>
int await(sys::Duration timeout, Look look) {
  const bool forEver = timeout.count() < 0;
  const Time deadline = forEver ? Time::max() : state().clock + timeout;
  if (state().calls > living->callLimit)
    throw Stuck("the program has made more calls than callLimit, and waits");
  for (;;) {
    const int found = look();
    if (found != 0 || state().clock >= deadline) return found;
    pass(deadline);
  }
}
// [/sim-time]

// [sim-descriptors]
// The file of a descriptor, or null.
FilePointer find(int fd);
// Gives a file the lowest free number as a descriptor: open(2).
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

// Raises an edge in each epoll that watches the file for one of these events.
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
  std::size_t taken = 0;    // how many of the bytes were read
  std::size_t arrived = 0;  // how many arrived; the others are under way
  std::size_t capacity;
  std::size_t roomWanted;  // with this room epoll reports the stream writable
  File* reader = nullptr;  // null once that end is closed
  File* writer = nullptr;  // null once that end is closed
  bool ended = false;      // the writer writes no more
  bool endArrived = false;
  bool cut = false;  // the bytes under way do not arrive
  Time lastArrival{};
};

// Reads, or with `peek` only looks. If room comes back, the writer's file
// gets an edge.
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

  bool tcp = true;  // otherwise an end of a socketpair: unix(7)
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
