// The functions of sys.hpp on descriptors and time, made by the simulated
// kernel. A program that links this file has no use for sys/kernel.cpp.
//
// Invariants:
// - A call first counts, takes time, and lets happen what is due. Then it
//   shows its faults, and only then it does its work.
// - A call that fails changes nothing. The exceptions are close(2), which
//   closes in any case, and accept(2) of a connection that is aborted.
//
// It asks the other files of the simulation for files, time and faults.

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <span>

#include "naglfar/sim/files.hpp"

namespace naglfar::sim {

// [sim-numbers]
FilePointer find(int fd) {
  const auto& files = state().files;
  const auto index = static_cast<std::size_t>(fd);
  return fd >= 0 && index < files.size() ? files[index] : nullptr;
}

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
  if (file->descriptors == 1)
    file->nonblocking = mode == sys::Mode::nonblocking;
  if (sys::afterOpen != nullptr) sys::afterOpen(fd);
  return fd;
}

namespace {

// The error of a call that wants a new descriptor and gets none, or 0.
int noDescriptor() {
  State& s = state();
  if (s.open >= living->descriptorLimit) return EMFILE;
  if (!fault(s.faults.noDescriptors, "no descriptors")) return 0;
  return living->random.below(2) == 0 ? EMFILE : ENFILE;
}

void removeDescriptor(int fd) {
  State& s = state();
  const FilePointer file = std::move(s.files[static_cast<std::size_t>(fd)]);
  s.freeNumbers.push(fd);
  --s.open;
  if (--file->descriptors > 0) return;  // the watches stay
  for (const auto& watch : file->watches) watch->file = nullptr;
  file->watches.clear();
  file->closed();
}

}  // namespace
// [/sim-numbers]

// [sim-call]
namespace {

// Begins each call.
void enter(Call kind) {
  Kernel::current();
  count(kind);
  ++state().calls;
  state().clock += std::chrono::microseconds(1);
  happenDue();
}

// Ends each call: tells the trace, and makes -1 and errno of an error.
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

// A call that does what `attempt` does.
template <class Attempt>
auto call(Call kind, int fd, Attempt attempt) {
  enter(kind);
  return leave(kind, fd, attempt());
}

// The same for a call on a descriptor.
template <class Attempt>
auto fileCall(Call kind, int fd, Attempt attempt) {
  return call(kind, fd, [&] {
    const FilePointer file = find(fd);
    return file == nullptr ? -EBADF : attempt(*file);
  });
}

// The same for a call that may wait. On a blocking descriptor it waits; on
// others it shows EAGAIN in vain, except for connect(2) and poll(2).
template <class Attempt>
auto waitingCall(Call kind, int fd, Attempt attempt, bool mayWait = true) {
  return fileCall(kind, fd, [&](File& file) {
    using Result = decltype(attempt(file));
    const Faults& faults = state().faults;
    if (fault(faults.interrupted, "interrupted")) return Result{-EINTR};
    mayWait = mayWait && !file.nonblocking;
    if (!mayWait && kind != Call::connect && kind != Call::poll &&
        fault(faults.againInVain, "EAGAIN in vain")) {
      later(someTime(), [weak = file.weak_from_this()] {
        if (const FilePointer again = weak.lock()) raise(*again, anyNews);
      });
      return Result{-EAGAIN};
    }
    Result result = attempt(file);
    while (result == -EAGAIN && mayWait) {
      pass(Time::max());
      result = attempt(file);
    }
    return result;
  });
}

// Makes an attempt on any file of an attempt on a socket.
template <class Attempt>
auto onSocket(Attempt attempt) {
  return [attempt](File& file) {
    auto* socket = dynamic_cast<Socket*>(&file);
    return socket == nullptr ? -ENOTSOCK : attempt(*socket);
  };
}

// Says how many of `n` bytes a call transfers, and may break the connection.
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

}  // namespace naglfar::sim

namespace naglfar::sys {

using namespace sim;

// [sim-socket-calls]
int socket(Mode mode) {
  return call(Call::socket, -1, [&] {
    if (const int error = noDescriptor()) return -error;
    if (fault(state().faults.noBuffers, "no buffers")) return -ENOBUFS;
    return install(std::make_shared<Socket>(), mode);
  });
}

int bind(int fd, const Address& address) {
  return fileCall(Call::bind, fd, onSocket([&](Socket& socket) {
                    auto& ports = state().ports;
                    if (socket.local.port() != 0) return -EINVAL;
                    std::uint16_t port = address.port();
                    if (port == 0) {
                      port = 32768;
                      while (ports.count(port) > 0) ++port;
                    }
                    if (!ports.emplace(port, &socket).second)
                      return -EADDRINUSE;
                    socket.local = address;
                    socket.local.raw.sin_port = htons(port);
                    return 0;
                  }));
}

int listen(int fd, int backlog) {
  return fileCall(
      Call::listen, fd, onSocket([&](Socket& socket) {
        if (socket.phase != Socket::Phase::fresh) return -EINVAL;
        socket.phase = Socket::Phase::listening;
        socket.backlog = static_cast<std::size_t>(std::max(backlog, 0));
        socket.pending =
            std::make_unique<std::deque<std::shared_ptr<Socket>>>();
        return 0;
      }));
}
// [/sim-socket-calls]

// [sim-accept]
int accept(int fd, Address& client, Mode mode) {
  return waitingCall(
      Call::accept4, fd, onSocket([&](Socket& listener) {
        const Faults& faults = state().faults;
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
  return waitingCall(Call::connect, fd, onSocket([&](Socket& socket) {
                       return socket.connect(address);
                     }));
}

int localAddress(int fd, Address& address) {
  return fileCall(Call::getsockname, fd, onSocket([&](const Socket& socket) {
                    address = socket.local;
                    return 0;
                  }));
}

int pendingError(int fd, int& error) {
  return fileCall(Call::getsockopt, fd, onSocket([&](Socket& socket) {
                    error = -socket.takeError();
                    return 0;
                  }));
}

int reuseAddress(int fd) {
  return fileCall(Call::setsockopt, fd, [](File&) { return 0; });
}

// The simulated kernel keeps nothing back, and its peers do not vanish.
int sendAtOnce(int fd) {
  return fileCall(Call::setsockopt, fd, [](File&) { return 0; });
}
int probePeer(int fd, int, int, int) {
  return fileCall(Call::setsockopt, fd, [](File&) { return 0; });
}
// [/sim-accept]

// [sim-pairs]
namespace {

// Gives both files a descriptor, or none.
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
  const auto stream = std::make_shared<Stream>(64 << 10, sim::Pipe::atomic);
  const auto reader = std::make_shared<sim::Pipe>(stream, false);
  const auto writer = std::make_shared<sim::Pipe>(stream, true);
  return installPair(Call::pipe, ends, reader, writer, mode);
}

int dup(int fd) {
  return fileCall(Call::dup, fd, [](File& file) {
    if (const int error = noDescriptor()) return -error;
    return install(file.shared_from_this(), Mode::blocking);
  });
}
// [/sim-pairs]

// [sim-descriptor-calls]
ssize_t read(int fd, char* buffer, std::size_t size) {
  return waitingCall(Call::read, fd, [&](File& file) {
    return file.read(buffer, transfer(file, size), false);
  });
}

ssize_t write(int fd, const char* data, std::size_t n) {
  if (fd >= 0 && fd <= 2) return ::write(fd, data, n);
  return waitingCall(Call::write, fd, [&](File& file) {
    return file.write(data, transfer(file, n));
  });
}

ssize_t writeLast(int fd, const char* data, std::size_t n) {
  return waitingCall(Call::send, fd, [&](File& file) {
    return file.write(data, transfer(file, n));
  });
}

ssize_t peek(int fd, std::size_t n) {
  static thread_local char bytes[16384];
  n = std::min(n, sizeof bytes);
  const auto attempt = [&](File& file) { return file.read(bytes, n, true); };
  return waitingCall(Call::recv, fd, attempt, false);
}

ssize_t sendfile(int fd, int file, off_t offset, std::size_t n) {
  return waitingCall(Call::sendfile, fd, [&](File& out) -> ssize_t {
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

int ended(int fd, Ended& what) {
  const auto attempt = [&](File& file) {
    const std::uint32_t ready = file.ready();
    what = (ready & (EPOLLHUP | EPOLLERR)) != 0 ? Ended::both
           : (ready & EPOLLRDHUP) != 0          ? Ended::input
                                                : Ended::nothing;
    return what == Ended::nothing && (ready & EPOLLIN) == 0 ? 0 : 1;
  };
  return waitingCall(Call::poll, fd, attempt, false);
}

int endWriting(int fd) {
  enter(Call::shutdown);
  return Kernel::current().shutdownWrite(fd);
}

int close(int fd) {
  return fileCall(Call::close, fd, [&](File&) {
    removeDescriptor(fd);
    return fault(state().faults.interrupted, "interrupted") ? -EINTR : 0;
  });
}
// [/sim-descriptor-calls]

// [sim-epoll-calls]
int epollCreate() {
  return call(Call::epoll_create1, -1, [] {
    if (const int error = noDescriptor()) return -error;
    return install(std::make_shared<Epoll>(), Mode::blocking);
  });
}

int epollCtl(int epoll, int op, int fd, epoll_event* event) {
  return fileCall(Call::epoll_ctl, fd, [&](File& file) {
    if (find(epoll) == nullptr) return -EBADF;
    auto* set = dynamic_cast<Epoll*>(find(epoll).get());
    if (set == nullptr || set == &file) return -EINVAL;
    if (dynamic_cast<Regular*>(&file) != nullptr) return -EPERM;
    auto& watches = file.watches;
    auto found =
        std::find_if(watches.begin(), watches.end(), [&](const auto& watch) {
          return watch->epoll == set && watch->fd == fd;
        });
    if (op == EPOLL_CTL_ADD) {
      if (found != watches.end()) return -EEXIST;
      watches.push_back(
          std::make_shared<Watch>(Watch{set, &file, fd, *event}));
      found = watches.end() - 1;
    } else if (found == watches.end()) {
      return -ENOENT;
    } else if (op == EPOLL_CTL_DEL) {
      (*found)->file = nullptr;
      watches.erase(found);
      return 0;
    }
    // If the file is ready already, that is an event at once.
    epoll_event& wanted = (*found)->event = *event;
    wanted.events |= EPOLLERR | EPOLLHUP;
    if ((file.ready() & wanted.events) != 0) set->queue(*found);
    return 0;
  });
}

int epollWait(int epoll, epoll_event* events, int n, int timeoutMs) {
  return fileCall(Call::epoll_wait, epoll, [&](File& file) {
    auto* set = dynamic_cast<Epoll*>(&file);
    if (set == nullptr) return -EINVAL;
    if (fault(state().faults.interrupted, "interrupted")) return -EINTR;
    if (n > 0 && fault(state().faults.readyInVain, "readiness in vain")) {
      const auto& files = state().files;
      const FilePointer& any = files[living->random.below(files.size())];
      if (any != nullptr && !any->watches.empty() &&
          any->watches[0]->epoll == set) {
        const epoll_event& watched = any->watches[0]->event;
        events[0] = {watched.events & (EPOLLIN | EPOLLOUT), watched.data};
        return 1;
      }
    }
    return await(std::chrono::milliseconds(timeoutMs),
                 [&] { return set->collect(events, n); });
  });
}
// [/sim-epoll-calls]

// [sim-select]
int select(int n, fd_set* readable, fd_set* writable, timeval* timeout) {
  using namespace std::chrono;
  const std::pair<fd_set*, std::uint32_t> sets[] = {
      {readable, EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR},
      {writable, EPOLLOUT | EPOLLERR}};
  const auto forEach = [&](auto function) {
    for (const auto& [set, mask] : sets)
      for (int fd = 0; set != nullptr && fd < n; ++fd)
        if (FD_ISSET(fd, set)) function(fd, set, mask);
  };
  return call(Call::select, -1, [&] {
    if (fault(state().faults.interrupted, "interrupted")) return -EINTR;
    bool bad = false;
    forEach([&](int fd, auto, auto) { bad = bad || find(fd) == nullptr; });
    if (bad) return -EBADF;
    const Duration wait =
        timeout == nullptr
            ? Duration(-1)
            : seconds(timeout->tv_sec) + microseconds(timeout->tv_usec);
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
    return found;
  });
}

// The bits of poll(2) are those of epoll(7).
int poll(pollfd* entries, std::size_t n, int timeoutMs) {
  return call(Call::poll, -1, [&]() -> int {
    if (fault(state().faults.interrupted, "interrupted")) return -EINTR;
    const auto look = [](const pollfd& entry) -> std::uint32_t {
      if (entry.fd < 0) return 0;
      const FilePointer file = find(entry.fd);
      if (file == nullptr) return POLLNVAL;
      const auto wanted = static_cast<std::uint32_t>(entry.events);
      return file->ready() & (wanted | EPOLLERR | EPOLLHUP);
    };
    return await(std::chrono::milliseconds(timeoutMs), [&] {
      int ready = 0;
      for (pollfd& entry : std::span(entries, n)) {
        entry.revents = static_cast<short>(look(entry));
        ready += entry.revents != 0 ? 1 : 0;
      }
      return ready;
    });
  });
}
// [/sim-select]

// A look at the clock takes a little time, so that a loop which does nothing
// but look at the clock reaches its deadline.
Time now() {
  return state().clock += std::chrono::nanoseconds(20);
}

std::time_t date() {
  using std::chrono::seconds;
  return std::chrono::duration_cast<seconds>(now().time_since_epoch())
      .count();
}

}  // namespace naglfar::sys
