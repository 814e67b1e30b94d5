// kqueue(2) and kevent(2) on Linux, small, for tests: an imitation of what
// the manual pages of FreeBSD and macOS say, above all where that is
// unfriendly.
//
// Whether a descriptor has moved since somebody last looked is known to the
// kernel alone. So each fake kqueue has two epolls inside, one for each
// filter, which only tell "this one may have moved". What a filter then says
// comes from poll(2) and from ioctl(2), looked up at the moment of delivery:
// "The filter is also run when the user attempts to retrieve the kevent".
//
// What it does not do:
// - Filters other than EVFILT_READ and EVFILT_WRITE, NOTE_LOWAT, EV_DISPATCH.
// - Plain files, which a kqueue watches; here EV_ADD fails with EPERM.
// - `fflags` with the true error of a socket. Linux tells an error once, and
//   that once belongs to the program under test: here it is always EIO.
// - Filters removed by dup2(2). Only close(2) is seen, by standing in for it.
// - Order: entries come by number of descriptor, not by time.

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

namespace {

// [fake-memory]
// A kernel has memory of its own: a test that refuses memory to the program
// replaces operator new, and not this.
template <class T>
struct KernelMemory {
  using value_type = T;
  KernelMemory() = default;
  template <class U>
  KernelMemory(const KernelMemory<U>&) {}
  T* allocate(std::size_t n) {
    if (void* memory = std::malloc(n * sizeof(T)))
      return static_cast<T*>(memory);
    std::abort();
  }
  void deallocate(T* memory, std::size_t) { std::free(memory); }
  bool operator==(const KernelMemory&) const { return true; }
};
template <class Key, class Value>
using KernelMap = std::map<Key, Value, std::less<Key>,
                           KernelMemory<std::pair<const Key, Value>>>;
// [/fake-memory]

// [fake-state]
// One filter on one descriptor. The pair is the key: a second EV_ADD finds
// the first.
using Key = std::pair<int, short>;

struct Filter {
  unsigned short flags = 0;  // EV_CLEAR, EV_ONESHOT
  void* udata = nullptr;
  bool enabled = true;
  bool active = true;  // may be ready: to be looked at
};

// The kqueue's own number is that of its first epoll.
struct Queue {
  int edges[2] = {-1, -1};
  KernelMap<Key, Filter> filters;

  int edgesOf(short filter) const { return edges[filter == EVFILT_WRITE]; }
};

// Never destroyed, for close(2) may be called until the very end.
KernelMap<int, Queue>& queues = *new KernelMap<int, Queue>;
std::mutex& mutex = *new std::mutex;

int kernelClose(int fd) {
  return static_cast<int>(::syscall(SYS_close, fd));
}
// [/fake-state]

// [fake-close]
void remove(Queue& queue, int fd, short filter) {
  if (queue.filters.erase({fd, filter}) != 0)
    ::epoll_ctl(queue.edgesOf(filter), EPOLL_CTL_DEL, fd, nullptr);
}

// "Calling close() on a file descriptor will remove any kevents that
// reference the descriptor."
void beforeClose(int fd) {
  const std::lock_guard lock(mutex);
  for (auto& [number, queue] : queues) {
    remove(queue, fd, EVFILT_READ);
    remove(queue, fd, EVFILT_WRITE);
  }
  if (const auto found = queues.find(fd); found != queues.end()) {
    kernelClose(found->second.edges[1]);
    queues.erase(found);
  }
}

// "The queue is not inherited by a child created with fork(2)": its number is
// free there.
void afterFork() {
  for (auto& [number, queue] : queues)
    for (const int fd : queue.edges) kernelClose(fd);
  queues.clear();
  mutex.unlock();
}
// [/fake-close]

// [fake-add]
int add(Queue& queue, int fd, const struct kevent& change) {
  if (::fcntl(fd, F_GETFD) == -1) return EBADF;
  const auto found = queue.filters.find({fd, change.filter});
  if (found != queue.filters.end()) {  // changed, not doubled
    found->second.udata = change.udata;
    found->second.enabled = (change.flags & EV_DISABLE) == 0;
    found->second.active = true;
    return 0;
  }
  epoll_event event{};
  event.events = EPOLLET;
  event.events |=
      change.filter == EVFILT_READ ? EPOLLIN | EPOLLRDHUP : EPOLLOUT;
  event.data.fd = fd;
  if (::epoll_ctl(queue.edgesOf(change.filter), EPOLL_CTL_ADD, fd, &event) ==
      -1)
    return errno;
  Filter& filter = queue.filters[{fd, change.filter}];
  filter.flags = change.flags & (EV_CLEAR | EV_ONESHOT);
  filter.udata = change.udata;
  filter.enabled = (change.flags & EV_DISABLE) == 0;
  return 0;
}
// [/fake-add]

// [fake-changes]
// Applies one change; returns 0 or an errno value.
int apply(Queue& queue, const struct kevent& change) {
  const int fd = static_cast<int>(change.ident);
  if (change.filter != EVFILT_READ && change.filter != EVFILT_WRITE)
    return EINVAL;
  if ((change.flags & EV_ADD) != 0) return add(queue, fd, change);
  const auto found = queue.filters.find({fd, change.filter});
  if (found == queue.filters.end())
    return ::fcntl(fd, F_GETFD) == -1 ? EBADF : ENOENT;
  if ((change.flags & EV_DELETE) != 0)
    remove(queue, fd, change.filter);
  else if ((change.flags & EV_DISABLE) != 0)
    found->second.enabled = false;
  else if ((change.flags & EV_ENABLE) != 0)
    found->second.enabled = true;
  return 0;
}
// [/fake-changes]

// [fake-data]
// The number that comes along in `data`: a hint, at least 0.
std::int64_t dataOf(int fd, short filter) {
  int value = 0;
  socklen_t size = sizeof value;
  if (filter == EVFILT_WRITE) {  // room in the send buffer
    int queued = 0;
    if (::getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, &size) == -1)
      return PIPE_BUF;
    ::ioctl(fd, SIOCOUTQ, &queued);
    return std::max(value - queued, 1);
  }
  const bool socket =
      ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &value, &size) == 0;
  if (socket && value != 0) {  // a listener: connections that wait
    tcp_info info{};
    size = sizeof info;
    ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    return std::max<std::int64_t>(info.tcpi_unacked, 1);
  }
  ::ioctl(fd, FIONREAD, &value);
  return value;
}
// [/fake-data]

// [fake-filters]
// Runs a filter. Fills the entry in and returns true if there is news.
bool ready(int fd, short filter, const Filter& state, struct kevent& entry) {
  const bool reading = filter == EVFILT_READ;
  pollfd look{};
  look.fd = fd;
  look.events = static_cast<short>(reading ? POLLIN | POLLRDHUP : POLLOUT);
  ::poll(&look, 1, 0);
  if (look.revents == 0 || (look.revents & POLLNVAL) != 0) return false;
  const int gone =
      reading ? POLLRDHUP | POLLHUP | POLLERR : POLLHUP | POLLERR;
  const bool error = (look.revents & POLLERR) != 0;
  const bool end = (look.revents & gone) != 0;
  EV_SET(&entry, static_cast<std::uintptr_t>(fd), filter, state.flags,
         end && error ? EIO : 0, dataOf(fd, filter), state.udata);
  if (end) entry.flags |= EV_EOF;
  return true;
}
// [/fake-filters]

// [fake-collect]
// Puts what there is into the list; returns how many.
int collect(Queue& queue, struct kevent* events, int room) {
  epoll_event moved[64];
  for (const short filter : {EVFILT_READ, EVFILT_WRITE})
    for (int n; (n = ::epoll_wait(queue.edgesOf(filter), moved, 64, 0)) > 0;)
      for (int i = 0; i < n; ++i) {
        const int fd = moved[i].data.fd;  // a copy: the struct is packed
        const auto found = queue.filters.find({fd, filter});
        if (found != queue.filters.end()) found->second.active = true;
      }
  int count = 0;
  for (auto next = queue.filters.begin();
       next != queue.filters.end() && count < room;) {
    const auto [fd, filter] = next->first;
    Filter& state = (next++)->second;
    if (!state.active || !state.enabled) continue;
    state.active = ready(fd, filter, state, events[count]);
    if (!state.active) continue;
    ++count;
    if ((state.flags & EV_ONESHOT) != 0)
      remove(queue, fd, filter);
    else if ((state.flags & EV_CLEAR) != 0)
      state.active = false;
  }
  return count;
}
// [/fake-collect]

using Clock = std::chrono::steady_clock;

// [fake-waiting]
// Waits until an epoll inside stirs or the time is over; false after a
// signal.
bool stir(const int (&edges)[2], const Clock::time_point* deadline) {
  pollfd look[2] = {{edges[0], POLLIN, 0}, {edges[1], POLLIN, 0}};
  timespec left{};
  if (deadline != nullptr) {
    const auto rest = std::max<Clock::duration>(*deadline - Clock::now(),
                                                Clock::duration::zero());
    const auto whole = std::chrono::floor<std::chrono::seconds>(rest);
    left.tv_sec = static_cast<time_t>(whole.count());
    left.tv_nsec = static_cast<long>((rest - whole).count());
  }
  return ::ppoll(look, 2, deadline != nullptr ? &left : nullptr, nullptr) !=
         -1;
}
// [/fake-waiting]

// [fake-answers]
// Applies all changes. Answers take room in the list; one that failed and
// finds none ends the call at once, with the later changes undone.
int applyAll(Queue& queue, const struct kevent* changes, int changeCount,
             struct kevent* events, int room) {
  int answers = 0;
  for (int i = 0; i < changeCount; ++i) {
    const struct kevent change = changes[i];  // the two lists may be one
    const int error = apply(queue, change);
    if (error == 0 && (change.flags & EV_RECEIPT) == 0) continue;
    if (answers < room) {
      events[answers] = change;
      events[answers].flags |= EV_ERROR;
      events[answers++].data = error;
    } else if (error != 0) {
      errno = error;
      return -1;
    }
  }
  return answers;
}
// [/fake-answers]

}  // namespace

// [fake-calls]
extern "C" int kqueue() {
  [[maybe_unused]] static const int hooked = ::pthread_atfork(
      [] { mutex.lock(); }, [] { mutex.unlock(); }, afterFork);
  const std::lock_guard lock(mutex);
  Queue queue;
  for (int& fd : queue.edges)
    if ((fd = ::epoll_create1(EPOLL_CLOEXEC)) == -1) {
      if (queue.edges[0] != -1) kernelClose(queue.edges[0]);
      return -1;
    }
  const int number = queue.edges[0];
  queues[number] = std::move(queue);
  return number;
}
// [/fake-calls]

// [fake-kevent-call]
extern "C" int kevent(int kq, const struct kevent* changes, int changeCount,
                      struct kevent* events, int room,
                      const timespec* timeout) {
  Clock::time_point deadline = Clock::now();
  if (timeout != nullptr) {
    if (timeout->tv_sec < 0 || timeout->tv_sec > 100'000'000 ||  // as macOS
        timeout->tv_nsec < 0 || timeout->tv_nsec >= 1'000'000'000)
      return errno = EINVAL, -1;
    deadline += std::chrono::seconds(timeout->tv_sec) +
                std::chrono::nanoseconds(timeout->tv_nsec);
  }
  std::unique_lock lock(mutex);
  for (bool first = true;; first = false) {
    const auto found = queues.find(kq);
    if (found == queues.end()) return errno = EBADF, -1;
    Queue& queue = found->second;
    if (first) {
      const int n = applyAll(queue, changes, changeCount, events, room);
      if (n != 0 || room == 0) return n;
    }
    if (const int n = collect(queue, events, room)) return n;
    if (timeout != nullptr && Clock::now() >= deadline) return 0;
    const int edges[2] = {queue.edges[0], queue.edges[1]};
    lock.unlock();
    if (!stir(edges, timeout != nullptr ? &deadline : nullptr)) return -1;
    lock.lock();
  }
}
// [/fake-kevent-call]

// [fake-close-call]
// Stands in for the C library's, to see which descriptors go.
extern "C" int close(int fd) {
  beforeClose(fd);
  return kernelClose(fd);
}
// [/fake-close-call]
