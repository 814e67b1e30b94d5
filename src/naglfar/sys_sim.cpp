// The simulated kernel: descriptors, pipes, sockets, epoll and a clock, with
// the semantics of Linux, behind the calls of sys.hpp.
//
// What is written is under way until it arrives, mostly at once:
//
//     write -> Stream: | read already | arrived, readable | under way |
//
// Inside, as in Linux, a call's result is a number, or -errno.
//
// Invariants:
// - What is sent on one stream arrives in the order in which it was sent: the
//   bytes, the end, a reset.
// - Each arrival, and each time that room comes back, is an edge in every
//   epoll that watches; what an event says holds when epoll_wait looks.
// - Only an empty agenda and a wait without a deadline are Stuck.

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <iomanip>
#include <map>
#include <queue>
#include <sstream>
#include <tuple>
#include <vector>

#include "naglfar/sim.hpp"

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
// [/sim-faults]

// [sim-file]
namespace {

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
  int number = -1;  // the latest, for the trace
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

}  // namespace

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

namespace {
using State = Kernel::State;
Kernel* living = nullptr;
State& state() {
  return Kernel::current().state();
}
// [/sim-state]

// [sim-trace]
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

bool fault(double probability, const char* name) {
  if (!living->random.chance(probability)) return false;
  ++state().faultsShown;
  note("fault: ", name);
  return true;
}

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
void later(sys::Duration delay, std::function<void()> happen) {
  State& s = state();
  s.agenda.push({s.clock + delay, ++s.deliveries, std::move(happen)});
}

// Up to 50 ms, and mostly short.
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

// Everybody waits: on to whatever comes next.
void pass(Time until) {
  State& s = state();
  if (!s.agenda.empty() && s.agenda.top().at <= until)
    s.clock = std::max(s.clock, s.agenda.top().at);
  else if (until != Time::max())
    s.clock = until;
  else
    throw Stuck(
        "everybody waits, and nothing is under way: a wake-up was "
        "lost");
  happenDue();
}

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

// [sim-epoll]
struct Epoll final : File {
  std::deque<std::shared_ptr<Watch>> news;

  void queue(const std::shared_ptr<Watch>& watch) {
    if (!std::exchange(watch->queued, true)) news.push_back(watch);
  }
  std::uint32_t ready() const override { return news.empty() ? 0u : EPOLLIN; }
  void closed() override {
    for (const FilePointer& file : state().files)
      if (file != nullptr)
        std::erase_if(file->watches, [this](const auto& watch) {
          return watch->epoll == this;
        });
  }

  int collect(epoll_event* events, int most);
};

// An edge, or what stands for one.
void raise(File& file, std::uint32_t what) {
  for (const auto& watch : file.watches)
    if (watch->event.events & what) {
      note("edge at ", watch->fd, ":", Mask{what});
      watch->epoll->queue(watch);
    }
}

int Epoll::collect(epoll_event* events, int most) {
  if (news.size() > 1 && fault(state().faults.reordered, "reordered"))
    for (std::size_t i = news.size() - 1; i > 0; --i)
      std::swap(news[i], news[living->random.below(i + 1)]);
  int n = 0;
  for (std::size_t left = news.size(); left > 0 && n < most; --left) {
    const std::shared_ptr<Watch> watch = std::move(news.front());
    news.pop_front();
    watch->queued = false;
    if (watch->file == nullptr) continue;
    const std::uint32_t mask = watch->file->ready() & watch->event.events;
    if (mask == 0) continue;
    events[n].events = mask;
    events[n++].data = watch->event.data;
    note("event at ", watch->fd, ":", Mask{mask});
    if ((watch->event.events & EPOLLET) == 0) queue(watch);
  }
  return n;
}
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

ssize_t take(Stream& s, char* buffer, std::size_t n, bool peek) {
  n = std::min(n, s.readable());
  std::memcpy(buffer, s.bytes.data() + s.taken, n);
  if (peek) return static_cast<ssize_t>(n);
  const bool hadRoom = s.writable();
  s.taken += n;
  if (s.taken == s.bytes.size()) {
    s.bytes = std::string();  // of a million idle ones, none keeps a buffer
    s.taken = s.arrived = 0;
  } else if (2 * s.taken > s.bytes.size()) {
    s.bytes.erase(0, s.taken);
    s.arrived -= std::exchange(s.taken, 0);
  }
  if (!hadRoom && s.writable() && s.writer != nullptr)
    raise(*s.writer, EPOLLOUT);
  return static_cast<ssize_t>(n);
}
// [/sim-stream]

// [sim-pipe]
struct Pipe final : File {
  static constexpr std::size_t atomic = 4096;  // PIPE_BUF: pipe(7)
  Pipe(std::shared_ptr<Stream> s, bool isWriter)
      : stream(std::move(s)), writes(isWriter) {
    (writes ? stream->writer : stream->reader) = this;
  }
  std::uint32_t ready() const override {
    const Stream& s = *stream;
    if (writes)
      return (s.writable() ? EPOLLOUT : 0u) |
             (s.reader == nullptr ? EPOLLERR : 0u);
    return (s.readable() > 0 ? EPOLLIN : 0u) |
           (s.writer == nullptr ? EPOLLHUP : 0u);
  }
  ssize_t read(char* buffer, std::size_t n, bool peek) override {
    if (peek) return -ENOTSOCK;
    if (writes) return -EBADF;
    if (n == 0 || stream->readable() > 0)
      return take(*stream, buffer, n, false);
    return stream->writer == nullptr ? 0 : -EAGAIN;
  }
  ssize_t write(const char* data, std::size_t n) override {
    Stream& s = *stream;
    if (!writes) return -EBADF;
    if (s.reader == nullptr) return -EPIPE;
    if (s.room() < std::min(n, atomic)) return n == 0 ? 0 : -EAGAIN;
    n = std::min(n, s.room());
    s.bytes.append(data, n);
    s.arrived = s.bytes.size();
    raise(*s.reader, EPOLLIN);
    return static_cast<ssize_t>(n);
  }
  void closed() override {
    (writes ? stream->writer : stream->reader) = nullptr;
    File* other = writes ? stream->reader : stream->writer;
    if (other != nullptr) raise(*other, anyNews);
  }

  std::shared_ptr<Stream> stream;
  bool writes;
};
// [/sim-pipe]

// [sim-socket]
struct Socket final : File {
  enum class Phase { fresh, listening, connecting, connected, dead };

  std::uint32_t ready() const override;
  ssize_t read(char* buffer, std::size_t n, bool peek) override;
  ssize_t write(const char* data, std::size_t n) override;
  void closed() override;

  ssize_t connect(const sys::Address& address);
  void established(Socket& listener);
  void refused(int why);
  void broken();
  void end();
  Socket* peer() const { return static_cast<Socket*>(out->reader); }
  ssize_t takeError() { return -std::exchange(error, 0); }

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

// tcp_poll() and unix_poll() in Linux.
std::uint32_t Socket::ready() const {
  if (phase == Phase::fresh) return EPOLLOUT | EPOLLHUP;
  if (phase == Phase::connecting) return 0;
  if (phase == Phase::listening) return pending->empty() ? 0u : EPOLLIN;
  std::uint32_t mask = error != 0 ? EPOLLERR : 0u;
  const bool dead = phase == Phase::dead;
  const bool ended = dead || in->endArrived;
  if (ended || in->readable() > 0) mask |= EPOLLIN;
  if (ended) mask |= EPOLLRDHUP;
  if (dead || (ended && out->ended)) mask |= EPOLLHUP;
  if (dead || out->ended || out->writable()) mask |= EPOLLOUT;
  return mask;
}
// [/sim-socket]

// [sim-deliver]
// Sends on what a socket has to say: in order, and mostly at once.
template <class Arrive>
void send(const Socket& from, Arrive arrive) {
  State& s = state();
  const std::shared_ptr<Stream>& stream = from.out;
  Time at = std::max(s.clock, stream->lastArrival);
  if (from.tcp && fault(s.faults.delayed, "delayed"))
    at = std::max(at, s.clock + someTime());
  stream->lastArrival = at;
  const auto unlessCut = [stream, arrive] {
    if (!stream->cut) arrive(*stream);
  };
  if (at <= s.clock) return unlessCut();
  later(at - s.clock, unlessCut);
}

// Bytes for somebody who has closed are answered with a reset: RFC 9293,
// section 3.5.2.
void bytesArrive(Stream& s, std::size_t n) {
  s.arrived += n;
  if (s.reader != nullptr) return raise(*s.reader, EPOLLIN);
  if (s.writer != nullptr) static_cast<Socket*>(s.writer)->broken();
}

void endArrives(Stream& s) {
  s.endArrived = true;
  if (s.reader != nullptr) raise(*s.reader, anyNews);
}

void resetArrives(Stream& s) {
  if (s.reader != nullptr) static_cast<Socket*>(s.reader)->broken();
}
// [/sim-deliver]

// [sim-socket-io]
ssize_t Socket::read(char* buffer, std::size_t n, bool peek) {
  if (n == 0) return 0;
  if (phase == Phase::fresh || phase == Phase::listening) return -ENOTCONN;
  if (phase == Phase::connecting) return -EAGAIN;
  if (in->readable() > 0) return take(*in, buffer, n, peek);
  if (tcp && in->endArrived) return 0;
  if (error != 0) return takeError();
  return phase == Phase::dead || in->endArrived ? 0 : -EAGAIN;
}

ssize_t Socket::write(const char* data, std::size_t n) {
  if (phase == Phase::connecting) return -EAGAIN;
  if (phase == Phase::fresh || phase == Phase::listening) return -EPIPE;
  if (phase == Phase::dead || out->ended)
    return tcp && error != 0 ? takeError() : -EPIPE;
  if (n == 0) return 0;
  n = std::min(n, out->room());
  if (n == 0) return -EAGAIN;
  out->bytes.append(data, n);
  send(*this, [n](Stream& stream) { bytesArrive(stream, n); });
  return static_cast<ssize_t>(n);
}

// Writes no more: FIN, or shutdown(2) with SHUT_WR.
void Socket::end() {
  if (std::exchange(out->ended, true)) return;
  send(*this, endArrives);
}

// A reset has arrived. What had arrived before can still be read.
void Socket::broken() {
  if (phase == Phase::dead) return;
  if (in->endArrived && out->endArrived) return;  // it was over already
  error = in->endArrived ? EPIPE : ECONNRESET;
  phase = Phase::dead;
  in->cut = out->cut = true;
  raise(*this, anyNews);
}
// [/sim-socket-io]

// [sim-socket-close]
void Socket::closed() {
  State& s = state();
  const auto port = s.ports.find(local.port());
  if (port != s.ports.end() && port->second == this) s.ports.erase(port);
  if (phase == Phase::listening)
    for (const auto& socket : *pending) {
      socket->resetAtClose = true;
      socket->closed();
    }
  if (in == nullptr) return;
  in->reader = nullptr;
  out->writer = nullptr;
  if (phase != Phase::connected) return;
  const bool unread = in->readable() > 0;
  if (tcp) {
    // To close without reading all loses bytes, and tells so.
    if (unread || resetAtClose)
      send(*this, resetArrives);
    else
      end();
  } else if (Socket* other = peer()) {
    other->phase = Phase::dead;
    other->error = unread ? ECONNRESET : 0;
    other->out->bytes.clear();
    other->out->taken = other->out->arrived = 0;
    raise(*other, anyNews);
  }
}
// [/sim-socket-close]

// [sim-connect]
void Socket::refused(int why) {
  phase = Phase::dead;
  error = why;
  in = out = std::make_shared<Stream>(0, 0);
  raise(*this, anyNews);
}

void Socket::established(Socket& listener) {
  constexpr std::size_t size = 64 << 10;
  const auto server = std::make_shared<Socket>();
  in = std::make_shared<Stream>(size, size / 3);
  out = std::make_shared<Stream>(size, size / 3);
  in->reader = out->writer = this;
  out->reader = in->writer = server.get();
  server->in = out;
  server->out = in;
  server->local = listener.local;
  phase = server->phase = Phase::connected;
  listener.pending->push_back(server);
  raise(listener, EPOLLIN);
  raise(*this, anyNews);
}

// The handshake. Where the backlog is full it is not answered, and tried
// again after 1, 2, 4, ... seconds.
void knock(const std::weak_ptr<File>& client, std::uint16_t port, int tries) {
  const FilePointer file = client.lock();
  if (file == nullptr || file->descriptors == 0) return;
  auto& socket = static_cast<Socket&>(*file);
  const auto found = state().ports.find(port);
  if (found == state().ports.end() ||
      found->second->phase != Socket::Phase::listening)
    return socket.refused(ECONNREFUSED);
  Socket& listener = *found->second;
  if (listener.pending->size() <= listener.backlog)
    return socket.established(listener);
  if (tries == 6) return socket.refused(ETIMEDOUT);
  later(std::chrono::seconds(1 << tries),
        [=] { knock(client, port, tries + 1); });
}

ssize_t Socket::connect(const sys::Address& address) {
  const Faults& faults = state().faults;
  switch (phase) {
    case Phase::listening:
      return -EISCONN;
    case Phase::connected:
      return std::exchange(connectTold, true) ? -EISCONN : 0;
    case Phase::dead:
      return error != 0 ? takeError() : -ECONNABORTED;
    case Phase::connecting:
      return nonblocking ? -EALREADY : -EAGAIN;
    case Phase::fresh:
      break;
  }
  phase = Phase::connecting;
  connectTold = false;
  state().lastPort = static_cast<std::uint16_t>(
      state().lastPort >= 60999 ? 32768 : state().lastPort + 1);
  if (local.port() == 0) local = sys::Address("localhost", state().lastPort);
  const std::weak_ptr<File> self = weak_from_this();
  if (fault(faults.connectTimedOut, "the connection times out"))
    later(std::chrono::seconds(127), [self] {
      if (const FilePointer file = self.lock())
        static_cast<Socket&>(*file).refused(ETIMEDOUT);
    });
  else if (fault(faults.connectRefused, "the connection is refused"))
    refused(ECONNREFUSED);
  else if (fault(faults.delayed, "delayed"))
    later(someTime(), [=] { knock(self, address.port(), 0); });
  else
    knock(self, address.port(), 0);
  return nonblocking ? -EINPROGRESS : connect(address);
}
// [/sim-connect]

// [sim-descriptors]
FilePointer find(int fd) {
  const auto& files = state().files;
  const auto index = static_cast<std::size_t>(fd);
  return fd >= 0 && index < files.size() ? files[index] : nullptr;
}

// Why no descriptor can be had now, or 0.
int noDescriptor() {
  State& s = state();
  if (s.open >= living->descriptorLimit) return EMFILE;
  if (!fault(s.faults.noDescriptors, "no descriptors")) return 0;
  return living->random.below(2) == 0 ? EMFILE : ENFILE;
}

// The lowest number that is free: open(2).
int install(const FilePointer& file, sys::Mode mode) {
  State& s = state();
  int fd = static_cast<int>(s.files.size());
  if (s.freeNumbers.empty()) {
    s.files.emplace_back();
  } else {
    fd = s.freeNumbers.top();
    s.freeNumbers.pop();
  }
  s.files[static_cast<std::size_t>(fd)] = file;
  ++s.open;
  ++file->descriptors;
  file->number = fd;
  if (file->descriptors == 1)
    file->nonblocking = mode == sys::Mode::nonblocking;
  return fd;
}

void removeDescriptor(int fd) {
  State& s = state();
  const FilePointer file = std::move(s.files[static_cast<std::size_t>(fd)]);
  s.freeNumbers.push(fd);
  --s.open;
  if (--file->descriptors > 0) return;  // its watches stay, too
  for (const auto& watch : file->watches) watch->file = nullptr;
  file->watches.clear();
  file->closed();
}
// [/sim-descriptors]

// [sim-call]
// What each call begins and ends with.
void enter(Call kind) {
  Kernel::current();
  count(kind);
  ++state().calls;
  state().clock += std::chrono::microseconds(1);
  happenDue();
}

template <class Result>
Result leave(Call kind, int fd, Result result) {
  if (result < 0)
    note(nameOf(kind), " ", fd, " = ", strerror(static_cast<int>(-result)));
  else
    note(nameOf(kind), " ", fd, " = ", result);
  if (result >= 0) return result;
  errno = static_cast<int>(-result);
  return -1;
}

// A call that may wait: on a blocking descriptor it does.
template <class Attempt>
ssize_t call(Call kind, int fd, Attempt attempt, bool mayWait = true) {
  enter(kind);
  const Faults& faults = state().faults;
  const FilePointer file = find(fd);
  if (file == nullptr) return leave(kind, fd, ssize_t{-EBADF});
  if (fault(faults.interrupted, "interrupted"))
    return leave(kind, fd, ssize_t{-EINTR});
  mayWait = mayWait && !file->nonblocking;
  if (!mayWait && kind != Call::connect &&
      fault(faults.againInVain, "EAGAIN in vain")) {
    later(someTime(), [weak = std::weak_ptr(file)] {
      if (const FilePointer again = weak.lock()) raise(*again, anyNews);
    });
    return leave(kind, fd, ssize_t{-EAGAIN});
  }
  ssize_t result = attempt(*file);
  while (result == -EAGAIN && mayWait) {
    pass(Time::max());
    result = attempt(*file);
  }
  return leave(kind, fd, result);
}

// The same for sockets only.
template <class Attempt>
ssize_t socketCall(Call kind, int fd, Attempt attempt) {
  return call(kind, fd, [&](File& file) -> ssize_t {
    auto* socket = dynamic_cast<Socket*>(&file);
    return socket == nullptr ? -ENOTSOCK : attempt(*socket);
  });
}

// How much of it is read or written, and whether the connection holds.
std::size_t transfer(File& file, std::size_t n) {
  const Faults& faults = state().faults;
  auto* socket = dynamic_cast<Socket*>(&file);
  if (socket != nullptr && socket->tcp &&
      socket->phase == Socket::Phase::connected &&
      fault(faults.reset, "the connection breaks")) {
    if (Socket* peer = socket->peer()) peer->broken();
    socket->broken();
  }
  return n > 1 && fault(faults.shortTransfer, "one byte") ? 1 : n;
}

}  // namespace
// [/sim-call]

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
// [/sim-kernel]

}  // namespace naglfar::sim

namespace naglfar::sys {

using namespace sim;

// [sim-socket-calls]
int socket(Mode mode) {
  enter(Call::socket);
  if (const int error = noDescriptor())
    return leave(Call::socket, -1, -error);
  if (fault(state().faults.noBuffers, "no buffers"))
    return leave(Call::socket, -1, -ENOBUFS);
  return leave(Call::socket, -1, install(std::make_shared<Socket>(), mode));
}

int bind(int fd, const Address& address) {
  enter(Call::bind);
  State& s = state();
  auto* socket = dynamic_cast<Socket*>(find(fd).get());
  if (socket == nullptr)
    return leave(Call::bind, fd, find(fd) == nullptr ? -EBADF : -ENOTSOCK);
  if (socket->local.port() != 0) return leave(Call::bind, fd, -EINVAL);
  std::uint16_t port = address.port();
  if (port == 0) {
    port = 32768;
    while (s.ports.count(port) > 0) ++port;
  }
  if (!s.ports.emplace(port, socket).second)
    return leave(Call::bind, fd, -EADDRINUSE);
  socket->local = address;
  socket->local.raw.sin_port = htons(port);
  return leave(Call::bind, fd, 0);
}

int listen(int fd, int backlog) {
  enter(Call::listen);
  auto* socket = dynamic_cast<Socket*>(find(fd).get());
  if (socket == nullptr)
    return leave(Call::listen, fd, find(fd) == nullptr ? -EBADF : -ENOTSOCK);
  if (socket->phase != Socket::Phase::fresh)
    return leave(Call::listen, fd, -EINVAL);
  socket->phase = Socket::Phase::listening;
  socket->backlog = static_cast<std::size_t>(std::max(backlog, 0));
  socket->pending = std::make_unique<std::deque<std::shared_ptr<Socket>>>();
  return leave(Call::listen, fd, 0);
}
// [/sim-socket-calls]

// [sim-accept]
int accept(int fd, Address& client, Mode mode) {
  const Faults& faults = state().faults;
  return static_cast<int>(
      socketCall(Call::accept, fd, [&](Socket& listener) -> ssize_t {
        if (listener.phase != Socket::Phase::listening) return -EINVAL;
        if (const int error = noDescriptor()) return -error;
        if (listener.pending->empty()) return -EAGAIN;
        if (fault(faults.noBuffers, "no buffers")) return -ENOBUFS;
        const std::shared_ptr<Socket> socket = listener.pending->front();
        listener.pending->pop_front();
        if (fault(faults.acceptAborted, "the connection is aborted")) {
          socket->resetAtClose = true;
          socket->closed();
          return -ECONNABORTED;
        }
        if (const Socket* peer = socket->peer()) client = peer->local;
        return install(socket, mode);
      }));
}

int connect(int fd, const Address& address) {
  return static_cast<int>(socketCall(Call::connect, fd, [&](Socket& socket) {
    return socket.connect(address);
  }));
}

int localAddress(int fd, Address& address) {
  enter(Call::getsockname);
  const auto* socket = dynamic_cast<Socket*>(find(fd).get());
  if (socket != nullptr) address = socket->local;
  return leave(Call::getsockname, fd, socket == nullptr ? -EBADF : 0);
}

int pendingError(int fd, int& error) {
  enter(Call::getsockopt);
  auto* socket = dynamic_cast<Socket*>(find(fd).get());
  if (socket != nullptr) error = static_cast<int>(-socket->takeError());
  return leave(Call::getsockopt, fd, socket == nullptr ? -EBADF : 0);
}

int reuseAddress(int fd) {
  enter(Call::setsockopt);
  return leave(Call::setsockopt, fd, find(fd) == nullptr ? -EBADF : 0);
}
// [/sim-accept]

// [sim-pairs]
namespace {

// Two descriptors, or none.
int installPair(Call kind, int (&ends)[2], const FilePointer& first,
                const FilePointer& second, Mode mode) {
  int error = noDescriptor();
  if (state().open + 2 > living->descriptorLimit) error = EMFILE;
  if (error != 0) return leave(kind, -1, -error);
  ends[0] = install(first, mode);
  ends[1] = install(second, mode);
  note(nameOf(kind), " ", ends[0], " ", ends[1]);
  return 0;
}

}  // namespace

int socketpair(int (&ends)[2], Mode mode) {
  enter(Call::socketpair);
  constexpr std::size_t size = 208 << 10;
  const auto first = std::make_shared<Socket>();
  const auto second = std::make_shared<Socket>();
  first->in = second->out = std::make_shared<Stream>(size, size * 3 / 4);
  second->in = first->out = std::make_shared<Stream>(size, size * 3 / 4);
  first->in->reader = first->out->writer = first.get();
  second->in->reader = second->out->writer = second.get();
  first->tcp = second->tcp = false;
  first->phase = second->phase = Socket::Phase::connected;
  return installPair(Call::socketpair, ends, first, second, mode);
}

int pipe(int (&ends)[2], Mode mode) {
  enter(Call::pipe);
  const auto stream = std::make_shared<Stream>(64 << 10, Pipe::atomic);
  const auto reader = std::make_shared<Pipe>(stream, false);
  const auto writer = std::make_shared<Pipe>(stream, true);
  return installPair(Call::pipe, ends, reader, writer, mode);
}

int dup(int fd) {
  enter(Call::dup);
  const FilePointer file = find(fd);
  if (file == nullptr) return leave(Call::dup, fd, -EBADF);
  if (const int error = noDescriptor()) return leave(Call::dup, fd, -error);
  return leave(Call::dup, fd, install(file, Mode::blocking));
}
// [/sim-pairs]

// [sim-descriptor-calls]
ssize_t read(int fd, char* buffer, std::size_t size) {
  return call(Call::read, fd, [&](File& file) {
    return file.read(buffer, transfer(file, size), false);
  });
}

ssize_t write(int fd, const char* data, std::size_t n) {
  if (fd >= 0 && fd <= 2) return ::write(fd, data, n);
  return call(Call::write, fd, [&](File& file) {
    return file.write(data, transfer(file, n));
  });
}

ssize_t peek(int fd) {
  char byte;
  const auto attempt = [&](File& file) { return file.read(&byte, 1, true); };
  return call(Call::recv, fd, attempt, false);
}

ssize_t sendfile(int fd, int file, off_t offset, std::size_t n) {
  return call(Call::sendfile, fd, [&](File& out) -> ssize_t {
    const FilePointer in = find(file);
    if (in == nullptr) return -EBADF;
    const auto* regular = dynamic_cast<Regular*>(in.get());
    if (regular == nullptr || offset < 0) return -EINVAL;
    const std::string& content = regular->content;
    const auto start = static_cast<std::size_t>(offset);
    n = start < content.size() ? std::min(n, content.size() - start) : 0;
    if (n == 0) return 0;
    return out.write(content.data() + start, transfer(out, n));
  });
}

int close(int fd) {
  enter(Call::close);
  if (find(fd) == nullptr) return leave(Call::close, fd, -EBADF);
  removeDescriptor(fd);
  const bool interrupted = fault(state().faults.interrupted, "interrupted");
  return leave(Call::close, fd, interrupted ? -EINTR : 0);
}
// [/sim-descriptor-calls]

// [sim-epoll-calls]
int epollCreate() {
  enter(Call::epollCreate);
  if (const int error = noDescriptor())
    return leave(Call::epollCreate, -1, -error);
  return leave(Call::epollCreate, -1,
               install(std::make_shared<Epoll>(), Mode::blocking));
}

int epollCtl(int epoll, int op, int fd, epoll_event* event) {
  enter(Call::epollCtl);
  const auto answer = [fd](int result) {
    return leave(Call::epollCtl, fd, result);
  };
  const FilePointer file = find(fd);
  if (file == nullptr || find(epoll) == nullptr) return answer(-EBADF);
  auto* set = dynamic_cast<Epoll*>(find(epoll).get());
  if (set == nullptr || set == file.get()) return answer(-EINVAL);
  if (dynamic_cast<Regular*>(file.get()) != nullptr) return answer(-EPERM);
  auto& watches = file->watches;
  auto found = std::ranges::find_if(watches, [&](const auto& watch) {
    return watch->epoll == set && watch->fd == fd;
  });
  if (op == EPOLL_CTL_ADD) {
    if (found != watches.end()) return answer(-EEXIST);
    watches.push_back(
        std::make_shared<Watch>(Watch{set, file.get(), fd, *event}));
    found = watches.end() - 1;
  } else if (found == watches.end()) {
    return answer(-ENOENT);
  } else if (op == EPOLL_CTL_DEL) {
    (*found)->file = nullptr;
    watches.erase(found);
    return answer(0);
  }
  // What is there already is news.
  epoll_event& wanted = (*found)->event = *event;
  wanted.events |= EPOLLERR | EPOLLHUP;
  if ((file->ready() & wanted.events) != 0) set->queue(*found);
  return answer(0);
}

int epollWait(int epoll, epoll_event* events, int n, int timeoutMs) {
  enter(Call::epollWait);
  const FilePointer file = find(epoll);
  auto* set = dynamic_cast<Epoll*>(file.get());
  if (set == nullptr)
    return leave(Call::epollWait, epoll, file == nullptr ? -EBADF : -EINVAL);
  if (fault(state().faults.interrupted, "interrupted"))
    return leave(Call::epollWait, epoll, -EINTR);
  if (n > 0 && fault(state().faults.readyInVain, "readiness in vain")) {
    const auto& files = state().files;
    const FilePointer& any = files[living->random.below(files.size())];
    if (any != nullptr && !any->watches.empty() &&
        any->watches[0]->epoll == set) {
      const epoll_event& watched = any->watches[0]->event;
      events[0] = {watched.events & (EPOLLIN | EPOLLOUT), watched.data};
      return leave(Call::epollWait, epoll, 1);
    }
  }
  return leave(Call::epollWait, epoll,
               await(std::chrono::milliseconds(timeoutMs),
                     [&] { return set->collect(events, n); }));
}
// [/sim-epoll-calls]

// [sim-select]
int select(int n, fd_set* readable, fd_set* writable, timeval* timeout) {
  enter(Call::select);
  if (fault(state().faults.interrupted, "interrupted"))
    return leave(Call::select, -1, -EINTR);
  using namespace std::chrono;
  const Duration wait =
      timeout == nullptr
          ? Duration(-1)
          : seconds(timeout->tv_sec) + microseconds(timeout->tv_usec);
  const std::pair<fd_set*, std::uint32_t> sets[] = {
      {readable, EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR},
      {writable, EPOLLOUT | EPOLLERR}};
  const auto forEach = [&](auto function) {
    for (const auto& [set, mask] : sets)
      for (int fd = 0; set != nullptr && fd < n; ++fd)
        if (FD_ISSET(fd, set)) function(fd, set, mask);
  };
  bool bad = false;
  forEach([&](int fd, auto, auto) { bad = bad || find(fd) == nullptr; });
  if (bad) return leave(Call::select, -1, -EBADF);
  const int found = await(wait, [&] {
    int ready = 0;
    forEach([&](int fd, auto, std::uint32_t mask) {
      ready += (find(fd)->ready() & mask) != 0 ? 1 : 0;
    });
    return ready;
  });
  forEach([&](int fd, fd_set* set, std::uint32_t mask) {
    if ((find(fd)->ready() & mask) == 0) FD_CLR(fd, set);
  });
  return leave(Call::select, -1, found);
}
// [/sim-select]

// Looking at the clock takes a little time, too: who does nothing else until
// a deadline gets there.
Time now() {
  return state().clock += std::chrono::nanoseconds(20);
}

}  // namespace naglfar::sys
