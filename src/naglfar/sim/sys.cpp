// The calls of sys.hpp, made to the simulated kernel.
//
// Invariant: each counts, takes time, lets happen what is due, and shows its
// faults before it does anything. A call that failed has done nothing, but
// for close(2), which has closed, and accept(2) of a connection that is gone.

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

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
  return fd;
}

namespace {

// Why no descriptor can be had now, or 0.
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
  if (--file->descriptors > 0) return;  // its watches stay, too
  for (const auto& watch : file->watches) watch->file = nullptr;
  file->watches.clear();
  file->closed();
}

}  // namespace
// [/sim-numbers]

// [sim-call]
namespace {

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
  if (!mayWait && kind != Call::connect && kind != Call::poll &&
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

static int notASocket(int fd) {
  return find(fd) == nullptr ? -EBADF : -ENOTSOCK;
}

int bind(int fd, const Address& address) {
  enter(Call::bind);
  State& s = state();
  auto* socket = dynamic_cast<Socket*>(find(fd).get());
  if (socket == nullptr) return leave(Call::bind, fd, notASocket(fd));
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
  if (socket == nullptr) return leave(Call::listen, fd, notASocket(fd));
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
  if (socket == nullptr) return leave(Call::getsockname, fd, notASocket(fd));
  address = socket->local;
  return leave(Call::getsockname, fd, 0);
}

int pendingError(int fd, int& error) {
  enter(Call::getsockopt);
  auto* socket = dynamic_cast<Socket*>(find(fd).get());
  if (socket == nullptr) return leave(Call::getsockopt, fd, notASocket(fd));
  error = static_cast<int>(-socket->takeError());
  return leave(Call::getsockopt, fd, 0);
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

ssize_t writeLast(int fd, const char* data, std::size_t n) {
  return socketCall(Call::send, fd, [&](Socket& socket) {
    return socket.write(data, transfer(socket, n));
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

int ended(int fd, Ended& what) {
  const auto attempt = [&](File& file) -> ssize_t {
    const std::uint32_t ready = file.ready();
    what = (ready & (EPOLLHUP | EPOLLERR)) != 0 ? Ended::both
           : (ready & EPOLLRDHUP) != 0          ? Ended::input
                                                : Ended::nothing;
    return what != Ended::nothing;
  };
  return static_cast<int>(call(Call::poll, fd, attempt, false));
}

// It never waits, and so it is neither interrupted nor told to try again.
int endWriting(int fd) {
  enter(Call::shutdown);
  return Kernel::current().shutdownWrite(fd);
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
  auto found =
      std::find_if(watches.begin(), watches.end(), [&](const auto& watch) {
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

// Those of its bits that poll(2) has, epoll(7) has, too.
int poll(int fd, short events, int timeoutMs) {
  enter(Call::poll);
  if (fault(state().faults.interrupted, "interrupted"))
    return leave(Call::poll, fd, -EINTR);
  const FilePointer file = find(fd);
  const auto mask = static_cast<std::uint32_t>(events) | EPOLLERR | EPOLLHUP;
  return leave(Call::poll, fd,
               await(std::chrono::milliseconds(timeoutMs), [&] {
                 return file == nullptr || (file->ready() & mask) != 0;
               }));
}
// [/sim-select]

// Looking at the clock takes a little time, too: who does nothing else until
// a deadline gets there.
Time now() {
  return state().clock += std::chrono::nanoseconds(20);
}

}  // namespace naglfar::sys
