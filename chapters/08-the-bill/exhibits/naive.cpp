// Exhibit: a coroutine for each connection, as one writes it the first time.
//
// It is correct, and it costs more than twice what it has to. The five
// habits that cost the most can be given up one after the other: `naive
// --steps 3` has given up the first three.
//
//     1  a mapping and a guard page of its own for each stack
//     2  to wait before each call, for the call might have to wait
//     3  to tell the kernel anew, at each wait, what is waited for
//     4  a buffer in the frame of each function that reads
//     5  to close after the response was sent, and not with it

#include <sys/epoll.h>

#include <array>
#include <deque>
#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "harness.hpp"
#include "naglfar/coroutine/stack_pool.hpp"
#include "naglfar/coroutine/switch.hpp"

using namespace naglfar;

static struct {
  bool stacksFromPool = false;
  bool tryFirst = false;
  bool registerOnce = false;
  bool sharedBuffer = false;
  bool oneSegment = false;
} better;

// [naive-stacks]
constexpr std::size_t pageSize = 4096;
static StackPool pool;

static char* takeStack() {
  if (better.stacksFromPool) return pool.acquire();
  const std::size_t size = pageSize + StackPool::stackSize;
  char* guard = static_cast<char*>(sys::check(sys::mapStacks(size), "mmap"));
  sys::check(sys::protect(guard, pageSize), "mprotect");
  return guard + pageSize;
}

static void giveStack(char* stack) {
  if (better.stacksFromPool) return pool.release(stack);
  sys::unmap(stack - pageSize, pageSize + StackPool::stackSize);
}
// [/naive-stacks]

// [naive-task]
struct Task {
  std::function<void()> body;
  char* stack = nullptr;
  Context context{};
  bool done = false;
};

static Context loopContext;
static Task* current;
static std::deque<Task*> ready;

static void suspend() {
  ++ledger.switches;
  switchContext(current->context, loopContext);
}

static void entry() {
  current->body();
  current->done = true;
  suspend();
}

static void go(std::function<void()> body) {
  Task* task = new Task{std::move(body)};
  task->stack = takeStack();
  makeContext(task->context, task->stack, StackPool::stackSize, entry);
  ready.push_back(task);
}

static void yield() {
  ready.push_back(current);
  suspend();
}
// [/naive-task]

// [naive-wait]
static int epoll;
struct Slot {
  Task* waiter = nullptr;
  unsigned wants = 0;
  bool registered = false;
};
static std::vector<Slot> slots;

static Slot& slotOf(int fd) {
  const auto index = static_cast<std::size_t>(fd);
  if (index >= slots.size()) slots.resize(2 * index + 64);
  return slots[index];
}

static void tellKernel(int fd, unsigned events) {
  Slot& slot = slotOf(fd);
  if (better.registerOnce && slot.registered) return;
  epoll_event event{};
  event.data.fd = fd;
  event.events = better.registerOnce
                     ? EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET
                     : events | EPOLLONESHOT;
  const int op = slot.registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  sys::check(sys::epollCtl(epoll, op, fd, &event), "epoll_ctl");
  slot.registered = true;
}

static void waitFor(int fd, unsigned events) {
  tellKernel(fd, events);
  ++ledger.parks;
  slotOf(fd).waiter = current;
  slotOf(fd).wants = events | EPOLLERR | EPOLLHUP;
  suspend();
}

template <class SystemCall>
static auto attempt(int fd, unsigned events, const char* name,
                    SystemCall call) {
  for (;;) {
    if (!better.tryFirst) waitFor(fd, events);
    const auto result = call();
    if (result != -1) return result;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) sys::fail(errno, name);
    if (better.tryFirst) waitFor(fd, events);
  }
}
// [/naive-wait]

// [naive-read]
static bool readInto(char* buffer, std::size_t size, int fd,
                     std::string& data) {
  const auto n = attempt(fd, EPOLLIN, "read",
                         [&] { return sys::read(fd, buffer, size); });
  data.append(buffer, static_cast<std::size_t>(n));
  return n > 0;
}

[[gnu::noinline]] static bool readWithOwnBuffer(int fd, std::string& data) {
  char buffer[8192];
  return readInto(buffer, sizeof buffer, fd, data);
}

// Legal because nobody else runs between the read and the append.
static bool readMore(int fd, std::string& data) {
  static std::array<char, 8192> buffer;
  return better.sharedBuffer
             ? readInto(buffer.data(), buffer.size(), fd, data)
             : readWithOwnBuffer(fd, data);
}
// [/naive-read]

// [naive-write]
static void closeNow(int fd) {
  slotOf(fd) = Slot{};
  sys::close(fd);
}

// The kernel may keep the last bytes back for what follows, and that is the
// end of the stream.
static void writeAndClose(int fd, std::string_view data) {
  const auto write = better.oneSegment ? sys::writeLast : sys::write;
  while (!data.empty())
    data.remove_prefix(
        static_cast<std::size_t>(attempt(fd, EPOLLOUT, "write", [&] {
          return write(fd, data.data(), data.size());
        })));
  closeNow(fd);
}

static void writeAll(int fd, std::string_view data) {
  while (!data.empty())
    data.remove_prefix(
        static_cast<std::size_t>(attempt(fd, EPOLLOUT, "write", [&] {
          return sys::write(fd, data.data(), data.size());
        })));
}
// [/naive-write]

// [naive-server]
struct Waiting {
  Task* task;
  std::size_t number = 0;
};
static std::vector<Waiting*> waiters;

static void serve(int fd) {
  std::string request;
  while (comet::pathOf(request).empty() && readMore(fd, request)) continue;
  const std::string_view path = comet::pathOf(request);
  std::size_t n = waiters.size();
  if (path == "/wait") {
    Waiting me{current};
    waiters.push_back(&me);
    ++ledger.parks;
    suspend();
    n = me.number;
  } else if (path == "/notify") {
    for (Waiting* waiter : waiters) {
      waiter->number = n;
      ready.push_back(waiter->task);
    }
    waiters.clear();
  }
  writeAndClose(fd, comet::respond(n));
}

static void acceptAll(int listener) {
  for (;;) {
    sys::Address client;
    const int fd = attempt(listener, EPOLLIN, "accept4", [&] {
      return sys::accept(listener, client, sys::Mode::nonblocking);
    });
    go([fd] { serve(fd); });
  }
}
// [/naive-server]

// [naive-clients]
static int connectTo(const sys::Address& address) {
  const int fd = sys::check(sys::socket(sys::Mode::nonblocking), "socket");
  if (sys::connect(fd, address) == -1 && errno != EINPROGRESS)
    sys::fail(errno, "connect");
  return fd;
}

static std::string request(int fd, std::string_view path) {
  writeAll(fd, comet::get(path));
  std::string response;
  while (readMore(fd, response)) continue;
  closeNow(fd);
  return response;
}

static void runClients(comet::Run& run) {
  const auto ask = [&](std::string_view path) {
    return comet::numberIn(request(connectTo(run.address()), path));
  };
  for (std::size_t i = 0; i < run.clients; ++i) {
    go([&run, fd = connectTo(run.address(i))] {
      run.answered(request(fd, "/wait"));
    });
    run.connected();
    yield();
  }
  for (std::size_t n = 0; n != run.clients; run.waiting(n)) n = ask("/");
  const std::size_t notified = ask("/notify");
  run.expect(notified == run.clients,
             "/notify told " + std::to_string(notified));
  while (ask("/") != 0 || run.stillWaiting()) continue;
}
// [/naive-clients]

// [naive-loop]
static void look(int timeoutMs) {
  std::array<epoll_event, 256> events;
  const int n = sys::epollWait(epoll, events.data(),
                               static_cast<int>(events.size()), timeoutMs);
  if (n == -1 && errno == EINTR) return;
  sys::check(n, "epoll_wait");
  for (const epoll_event* e = events.data(); e < events.data() + n; ++e) {
    Slot& slot = slotOf(e->data.fd);
    if (slot.waiter == nullptr || (e->events & slot.wants) == 0) continue;
    ready.push_back(std::exchange(slot.waiter, nullptr));
  }
}

static void runUntil(const bool& finished) {
  while (!finished) {
    for (std::size_t turn = ready.size(); turn > 0; --turn) {
      current = ready.front();
      ready.pop_front();
      ++ledger.switches;
      switchContext(loopContext, current->context);
      if (!current->done) continue;
      giveStack(current->stack);
      delete current;
    }
    if (!finished) look(ready.empty() ? -1 : 0);
  }
}
// [/naive-loop]

// [naive-main]
int main(int argc, char** argv) {
  if (argc > 2 && std::string_view(argv[1]) == "--steps") {
    const auto steps = comet::parseNumber("naive", "--steps", argv[2], 0, 5);
    better = {steps > 0, steps > 1, steps > 2, steps > 3, steps > 4};
    argv[2] = argv[0];
    argc -= 2;
    argv += 2;
  }
  comet::Run run("naive", argc, argv);
  try {
    const sys::Fd owner(sys::check(sys::epollCreate(), "epoll_create1"));
    epoll = owner.get();
    const sys::Fd listener = run.hasServer() ? run.takeListener() : sys::Fd();
    bool finished = false;
    if (run.hasServer()) go([&] { acceptAll(listener.get()); });
    go([&] {
      try {
        if (run.hasClients())
          runClients(run);
        else
          waitFor(run.clientsFinished(), EPOLLIN);
      } catch (const std::exception& error) {
        run.expect(false, error.what());
      }
      finished = true;
    });
    runUntil(finished);
  } catch (const std::exception& error) {
    run.expect(false, error.what());
  }
  return run.finish();
}
// [/naive-main]
