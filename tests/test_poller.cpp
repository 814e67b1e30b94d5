// One contract for all backends of the poller: this file is compiled against
// each and asks of each the same. What only one of them does comes last, in
// sections of its own.
//
// Nothing here sleeps. Where a test has to see that nothing happens, it
// counts how many polls fit into a few milliseconds: few if each one waits as
// it was told, thousands if one returns at once, again and again.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "claims.hpp"
#include "kernel_under_test.hpp"
#include "naglfar/poller.hpp"
#include "naglfar/sys.hpp"
#include "naglfar/sys/ledger.hpp"
#include "refuse.hpp"

namespace sys = naglfar::sys;
using naglfar::Call;
using naglfar::Interest;
using naglfar::JobQueue;
using naglfar::Poller;
using naglfar::Waiter;
using namespace std::chrono_literals;

// [test-helpers]
namespace {

// Somebody who waits, and counts how often it was woken.
struct Sleeper final : naglfar::Job {
  void run() override { ++woken; }
  int woken = 0;
  Waiter waiter{*this};
};

// A poller, its queue, and bounded ways to turn it.
struct Loop {
  Poller poller;
  JobQueue ready;

  // Whether so many waiters wait, where the poller counts them.
  bool watches([[maybe_unused]] std::size_t n) const {
#if CLAIMS(count)
    return poller.watching() == n;
#else
    return true;
#endif
  }
  void watch(int fd, Interest interest, Sleeper& sleeper) {
    poller.watch(fd, interest, sleeper.waiter);
  }
  static void unwatch(Sleeper& sleeper) {
    sleeper.waiter.unwatch();
  }
  void run() {
    while (naglfar::Job* job = ready.pop()) job->run();
  }
  void poll(sys::Duration timeout = 0ms) {
    poller.poll(timeout, ready);
    run();
  }
  void deregister(int fd) {
    poller.deregister(fd, ready);
    run();
  }
  // Until the sleeper was woken that often; false after five seconds.
  bool waitFor(const Sleeper& sleeper, int times = 1) {
    const sys::Time end = sys::now() + 5s;
    while (sleeper.woken < times && sys::now() < end) poll(end - sys::now());
    return sleeper.woken == times;
  }
  // How many polls it takes until this time is over.
  int pollsWithin(sys::Duration time) {
    const sys::Time end = sys::now() + time;
    int polls = 0;
    for (sys::Time now = sys::now(); now < end; now = sys::now(), ++polls)
      poll(end - now);
    return polls;
  }
};

// How many polls may return early because of news that came before.
constexpr int few = 3;
// [/test-helpers]

// [test-descriptors]
struct Pair {
  explicit Pair(bool asPipe = false) {
    int ends[2];
    sys::check(asPipe ? sys::pipe(ends, sys::Mode::nonblocking)
                      : sys::socketpair(ends, sys::Mode::nonblocking),
               "pair");
    ours = sys::Fd(ends[0]);
    peer = sys::Fd(ends[1]);
  }
  int fd() const { return ours.get(); }
  sys::Fd ours;  // of a pipe, the end to read from
  sys::Fd peer;
};

void close(sys::Fd& fd) {
  fd = sys::Fd();
}

void send(const sys::Fd& to, std::size_t n = 1) {
  const std::string bytes(n, 'x');
  REQUIRE(sys::write(to.get(), bytes.data(), n) == static_cast<ssize_t>(n));
}

// Reads until the descriptor has no more. True if that was EAGAIN, false if
// it was the end or an error.
bool drain(int fd) {
  char buffer[4096];
  ssize_t n = 0;
  while ((n = sys::read(fd, buffer, sizeof buffer)) > 0) {
  }
  return n == -1 && errno == EAGAIN;
}

// Writes until the descriptor takes no more. True if that was EAGAIN.
bool fill(int fd) {
  const std::string bytes(4096, 'x');
  ssize_t n = 0;
  while ((n = sys::write(fd, bytes.data(), bytes.size())) > 0) {
  }
  return n == -1 && errno == EAGAIN;
}

// [/test-descriptors]

// [test-tcp]
struct Listener {
  Listener() : fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket")) {
    sys::check(sys::bind(fd.get(), sys::Address("localhost", 0)), "bind");
    sys::check(sys::localAddress(fd.get(), address), "getsockname");
    sys::check(sys::listen(fd.get(), 16), "listen");
  }
  sys::Fd connect() const {
    sys::Fd client(sys::check(sys::socket(sys::Mode::blocking), "socket"));
    sys::check(sys::connect(client.get(), address), "connect");
    return client;
  }
  sys::Fd accept() const {
    sys::Address client;
    return sys::Fd(sys::accept(fd.get(), client, sys::Mode::nonblocking));
  }
  sys::Fd fd;
  sys::Address address;
};

// Closes a connection so that the peer gets a reset instead of an end.
void reset(sys::Fd& fd) {
  kernel::resetAtClose(fd.get());
  close(fd);
}

int pollCalls() {
  const naglfar::Ledger& counts = naglfar::ledger;
  return static_cast<int>(counts[Call::epoll_wait] + counts[Call::kevent] +
                          counts[Call::select]);
}
// [/test-tcp]

// [test-errors]
// Watches a descriptor that does not exist. Some backends know at once, some
// with the next poll: either way the one who waits learns the same.
int errorOfWatching(Loop& loop, int fd) {
  Sleeper sleeper;
  try {
    loop.watch(fd, Interest::read, sleeper);
  } catch (const std::system_error& error) {
    return error.code().value();
  }
  loop.poll();
  loop.unwatch(sleeper);
  return sleeper.woken == 1 ? sleeper.waiter.error : 0;
}

// A test with many descriptors needs more than some systems give.
bool raiseDescriptorLimit(rlim_t need) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == -1) return false;
  if (limit.rlim_cur >= need) return true;
  limit.rlim_cur = std::min(limit.rlim_max, need);
  return ::setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == need;
}

// Runs it in a forked child; returns whether it returned true there.
template <class Function>
bool inChild(Function function) {
  const pid_t child = sys::check(sys::fork(), "fork");
  if (child == 0) {
    bool good = false;
    try {
      good = function();
    } catch (...) {
    }
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  sys::check(sys::waitpid(child, &status, 0), "waitpid");
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// [/test-errors]

// [test-interrupter]
// A timer that only interrupts, so that no wait lasts for ever. Should that
// not end a wait, it writes a byte in the end.
struct Interrupter {
  static inline volatile std::sig_atomic_t signals = 0;
  static inline volatile int rescue = -1;

  static void onAlarm(int, siginfo_t*, void*) {
    const int saved = errno;
    signals = signals + 1;
    if (signals == 400 && rescue != -1) [[maybe_unused]]
      const auto sent = ::write(rescue, "!", 1);
    errno = saved;
  }
  explicit Interrupter(int rescueFd, int seconds = 0, int micros = 2000) {
    signals = 0;
    rescue = rescueFd;
    sys::check(sys::signalAction(SIGALRM, onAlarm, 0), "sigaction");
    itimerval every{};
    every.it_interval.tv_sec = every.it_value.tv_sec = seconds;
    every.it_interval.tv_usec = every.it_value.tv_usec = micros;
    ::setitimer(ITIMER_REAL, &every, nullptr);
  }
  ~Interrupter() {
    const itimerval off{};
    ::setitimer(ITIMER_REAL, &off, nullptr);
    rescue = -1;
    std::signal(SIGALRM, SIG_IGN);
  }
};

}  // namespace
// [/test-interrupter]

// [queue-tests]
TEST_SUITE("poller: queue") {
  TEST_CASE("jobs leave a queue in the order in which they came") {
    JobQueue queue;
    Sleeper jobs[3];
    CHECK(queue.empty());
    CHECK(queue.pop() == nullptr);
    for (Sleeper& job : jobs) queue.append(job);
    for (Sleeper& job : jobs) {
      CHECK(job.queued());
      CHECK(queue.pop() == &job);
      CHECK_FALSE(job.queued());
    }
    CHECK(queue.empty());
    queue.append(jobs[1]);
    CHECK(queue.pop() == &jobs[1]);
    CHECK(queue.pop() == nullptr);
  }

  TEST_CASE("a job stands in a queue at most once and keeps its place") {
    JobQueue queue;
    Sleeper first;
    Sleeper second;
    queue.append(first);
    queue.append(second);
    queue.append(first);
    CHECK(queue.pop() == &first);
    CHECK(queue.pop() == &second);
    CHECK(queue.pop() == nullptr);
  }

  TEST_CASE("a job that ends leaves the queue wherever it stands") {
    for (int gone = 0; gone < 3; ++gone) {
      CAPTURE(gone);
      JobQueue queue;
      std::deque<std::unique_ptr<Sleeper>> jobs;
      for (int i = 0; i < 3; ++i) jobs.push_back(std::make_unique<Sleeper>());
      for (const auto& job : jobs) queue.append(*job);
      jobs.erase(jobs.begin() + gone);
      Sleeper last;
      queue.append(last);
      CHECK(queue.pop() == jobs[0].get());
      CHECK(queue.pop() == jobs[1].get());
      CHECK(queue.pop() == &last);
      CHECK(queue.empty());
    }
  }
}
// [/queue-tests]

// [list-tests]
namespace {
struct Item : naglfar::List<Item>::Link {};
using Items = naglfar::List<Item>;
}  // namespace

TEST_SUITE("poller: lists") {
  TEST_CASE("an object that is appended leaves the list that it stood in") {
    Items from;
    Items to;
    Item moves;
    Item stays;
    from.append(moves);
    from.append(stays);
    to.append(moves);
    CHECK(from.first() == &stays);
    CHECK(from.next(stays) == nullptr);
    CHECK(to.first() == &moves);
    CHECK(to.next(moves) == nullptr);
  }

  TEST_CASE("a list that is appended brings its objects in their order") {
    Items from;
    Items to;
    Item items[4];
    to.append(items[0]);
    for (int i = 1; i < 4; ++i) from.append(items[i]);
    to.append(from);
    CHECK(from.empty());
    for (Item& item : items) CHECK(to.pop() == &item);
    CHECK(to.pop() == nullptr);
  }

  TEST_CASE("a list that is destroyed leaves its objects unlinked") {
    Item items[2];
    {
      Items list;
      for (Item& item : items) list.append(item);
      CHECK(items[0].linked());
    }
    for (Item& item : items) CHECK_FALSE(item.linked());
    Items next;
    next.append(items[1]);
    CHECK(next.pop() == &items[1]);
  }
}
// [/list-tests]

// [wake-tests]
TEST_SUITE("poller: waking") {
  TEST_CASE("a reader wakes when there is data and not before") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    CHECK(reader.woken == 0);
    send(pair.peer);
    loop.poll();
    CHECK(reader.woken == 1);
    CHECK(reader.waiter.error == 0);
  }

  TEST_CASE("a waiter is woken once for each time that it watched") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    for (int round = 1; round <= 3; ++round) {
      loop.watch(pair.fd(), Interest::read, reader);
      for (int i = 0; i < 3; ++i) {
        send(pair.peer);
        loop.poll();
      }
      CHECK(reader.woken == round);
      CHECK(loop.watches(0));
      CHECK(drain(pair.fd()));
    }
  }

  TEST_CASE("a reader wakes at the end of the stream") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    close(pair.peer);
    loop.poll();
    CHECK(reader.woken == 1);
    CHECK(reader.waiter.error == 0);
    CHECK_FALSE(drain(pair.fd()));
    CHECK(loop.pollsWithin(20ms) <= few);
  }

  TEST_CASE("a reader wakes when the peer only stops writing") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    kernel::stopWriting(pair.peer.get());
    loop.poll();
    CHECK(reader.woken == 1);
  }

  TEST_CASE("data before the end is not lost") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    send(pair.peer, 100);
    close(pair.peer);
    loop.poll();
    CHECK(reader.woken == 1);
    char buffer[200];
    CHECK(sys::read(pair.fd(), buffer, sizeof buffer) == 100);
    CHECK(sys::read(pair.fd(), buffer, sizeof buffer) == 0);
  }

  TEST_CASE("a writer wakes when the buffer drains and not before") {
    Loop loop;
    Pair pair;
    Sleeper writer;
    REQUIRE(fill(pair.fd()));
    loop.watch(pair.fd(), Interest::write, writer);
    loop.poll();
    CHECK(writer.woken == 0);
    CHECK(drain(pair.peer.get()));
    loop.poll();
    CHECK(writer.woken == 1);
    REQUIRE(fill(pair.fd()));
    loop.watch(pair.fd(), Interest::write, writer);
    loop.poll();
    CHECK(writer.woken == 1);
    CHECK(drain(pair.peer.get()));
    loop.poll();
    CHECK(writer.woken == 2);
  }

  TEST_CASE("a writer wakes when the reader leaves") {
    Loop loop;
    Pair pair(true);
    Sleeper writer;
    REQUIRE(fill(pair.peer.get()));
    loop.watch(pair.peer.get(), Interest::write, writer);
    loop.poll();
    CHECK(writer.woken == 0);
    close(pair.ours);
    loop.poll();
    CHECK(writer.woken == 1);
    CHECK_FALSE(fill(pair.peer.get()));
    CHECK(errno == EPIPE);
    CHECK(loop.pollsWithin(20ms) <= few);
  }

  TEST_CASE("the two directions wake apart") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    Sleeper writer;
    REQUIRE(fill(pair.fd()));
    loop.watch(pair.fd(), Interest::read, reader);
    loop.watch(pair.fd(), Interest::write, writer);
    CHECK(loop.watches(2));
    loop.poll();
    send(pair.peer);
    loop.poll();
    CHECK(reader.woken == 1);
    CHECK(writer.woken == 0);
    CHECK(drain(pair.peer.get()));
    loop.poll();
    CHECK(reader.woken == 1);
    CHECK(writer.woken == 1);
  }

  TEST_CASE("a waiter that waits for input sleeps through news of room") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    REQUIRE(fill(pair.fd()));
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    CHECK(drain(pair.peer.get()));
    loop.poll();
    CHECK(reader.woken == 0);
    send(pair.peer);
    loop.poll();
    CHECK(reader.woken == 1);
  }

  TEST_CASE("both directions wake in one poll") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    Sleeper writer;
    REQUIRE(fill(pair.fd()));
    loop.watch(pair.fd(), Interest::read, reader);
    loop.watch(pair.fd(), Interest::write, writer);
    loop.poll();
    send(pair.peer);
    CHECK(drain(pair.peer.get()));
    loop.poll();
    CHECK(reader.woken == 1);
    CHECK(writer.woken == 1);
  }

  TEST_CASE("one job that waits in two places runs once") {
    Loop loop;
    Pair first;
    Pair second;
    Sleeper sleeper;
    Waiter other{sleeper};
    loop.watch(first.fd(), Interest::read, sleeper);
    loop.poller.watch(second.fd(), Interest::read, other);
    send(first.peer);
    send(second.peer);
    loop.poll();
    CHECK(sleeper.woken == 1);
    CHECK(loop.watches(0));
  }
}
// [/wake-tests]

// [network-tests]
TEST_SUITE("poller: network") {
  TEST_CASE("a listener wakes for a connection") {
    Loop loop;
    Listener listener;
    Sleeper acceptor;
    CHECK_FALSE(listener.accept());
    loop.watch(listener.fd.get(), Interest::read, acceptor);
    loop.poll();
    CHECK(acceptor.woken == 0);
    const sys::Fd first = listener.connect();
    const sys::Fd second = listener.connect();
    REQUIRE(loop.waitFor(acceptor));
    CHECK(listener.accept());  // one wake-up may stand for many
    CHECK(listener.accept());
    CHECK_FALSE(listener.accept());
    loop.watch(listener.fd.get(), Interest::read, acceptor);
    loop.poll();
    CHECK(acceptor.woken == 1);
    const sys::Fd third = listener.connect();
    CHECK(loop.waitFor(acceptor, 2));
  }

  TEST_CASE("a reset wakes both directions and the loop does not spin") {
    Loop loop;
    Listener listener;
    sys::Fd client = listener.connect();
    const sys::Fd ours = listener.accept();
    REQUIRE(ours);
    Sleeper reader;
    Sleeper writer;
    REQUIRE(fill(ours.get()));
    loop.watch(ours.get(), Interest::read, reader);
    loop.watch(ours.get(), Interest::write, writer);
    reset(client);
    CHECK(loop.waitFor(reader));
    CHECK(loop.waitFor(writer));
    CHECK(reader.waiter.error == 0);  // the next system call tells
    char byte;
    CHECK(sys::read(ours.get(), &byte, 1) == -1);
    CHECK(errno == ECONNRESET);
    CHECK(loop.pollsWithin(20ms) <= few);
  }

  TEST_CASE("a connection that is refused wakes the writer") {
    Loop loop;
    Listener listener;
    const sys::Address address = listener.address;
    close(listener.fd);
    sys::Fd client(sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
    int error = 0;
    if (sys::connect(client.get(), address) == -1) error = errno;
    if (error == EINPROGRESS) {  // some kernels know at once
      Sleeper writer;
      loop.watch(client.get(), Interest::write, writer);
      CHECK(loop.waitFor(writer));
      CHECK(sys::pendingError(client.get(), error) == 0);
    }
    CHECK(error == ECONNREFUSED);
  }

  TEST_CASE("a connection that is made wakes the writer") {
    Loop loop;
    Listener listener;
    sys::Fd client(sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
    if (sys::connect(client.get(), listener.address) == -1) {
      REQUIRE(errno == EINPROGRESS);
      Sleeper writer;
      loop.watch(client.get(), Interest::write, writer);
      CHECK(loop.waitFor(writer));
    }
    int error = -1;
    CHECK(sys::pendingError(client.get(), error) == 0);
    CHECK(error == 0);
  }
}
// [/network-tests]

// [edge-tests]
TEST_SUITE("poller: nothing is lost") {
  TEST_CASE("data between EAGAIN and the first watch") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    CHECK(drain(pair.fd()));
    send(pair.peer);
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    CHECK(reader.woken == 1);
  }

  TEST_CASE("data between EAGAIN and a later watch") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    send(pair.peer);
    loop.poll();
    CHECK(drain(pair.fd()));
    send(pair.peer);
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    CHECK(reader.woken == 2);
  }

  TEST_CASE("data that came while nobody waited and was left unread") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    send(pair.peer);
    loop.poll();
    send(pair.peer);
    loop.poll();  // the kernel's word for the second byte goes to nobody
    CHECK(drain(pair.fd()));
    send(pair.peer);  // as many bytes as there were
    send(pair.peer);
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    CHECK(reader.woken == 2);
  }

  TEST_CASE("the second direction is watched later and is ready already") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    Sleeper writer;
    REQUIRE(fill(pair.fd()));
    loop.watch(pair.fd(), Interest::write, writer);
    loop.poll();
    CHECK(drain(pair.fd()));
    send(pair.peer);
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    CHECK(reader.woken == 1);
    CHECK(writer.woken == 0);
  }

  TEST_CASE("more ready descriptors than one call can report") {
    REQUIRE(raiseDescriptorLimit(700));
    constexpr int n = 600;
    Loop loop;
    Pair pair;
    std::vector<sys::Fd> copies;
    std::vector<Sleeper> readers(n);
    for (Sleeper& reader : readers) {
      copies.emplace_back(sys::check(sys::dup(pair.fd()), "dup"));
      loop.watch(copies.back().get(), Interest::read, reader);
    }
    CHECK(loop.watches(n));
    loop.poll();
    send(pair.peer);
    for (int i = 0; i < 5; ++i) loop.poll();
    CHECK(loop.watches(0));
    CHECK(
        std::all_of(readers.begin(), readers.end(),
                    [](const Sleeper& reader) { return reader.woken == 1; }));
    for (const sys::Fd& copy : copies) loop.deregister(copy.get());
  }

  TEST_CASE("to forget one descriptor takes no news from another") {
    Loop loop;
    Pair first;
    Pair second;
    Sleeper canceled;
    Sleeper reader;
    loop.watch(first.fd(), Interest::read, canceled);
    loop.watch(second.fd(), Interest::read, reader);
    loop.poll();
    send(second.peer);
    loop.deregister(first.fd());
    loop.poll();
    CHECK(canceled.woken == 1);
    CHECK(reader.woken == 1);
  }
}
// [/edge-tests]

// [table-tests]
TEST_SUITE("poller: who waits where") {
  TEST_CASE("defect 6: a second waiter is refused and the first is served") {
    for (const Interest interest : {Interest::read, Interest::write}) {
      Loop loop;
      Pair pair;
      Sleeper first;
      Sleeper second;
      REQUIRE(fill(pair.fd()));
      loop.watch(pair.fd(), interest, first);
      try {
        loop.watch(pair.fd(), interest, second);
        FAIL("the second was let in");
      } catch (const std::system_error& error) {
        CHECK(error.code() == std::errc::device_or_resource_busy);
      }
      CHECK(loop.watches(1));
      send(pair.peer);
      CHECK(drain(pair.peer.get()));
      loop.poll();
      CHECK(first.woken == 1);
      CHECK(second.woken == 0);
    }
  }

  TEST_CASE("who stopped waiting is not woken") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    loop.unwatch(reader);
    CHECK(loop.watches(0));
    send(pair.peer);
    CHECK(loop.pollsWithin(10ms) <= few);
    CHECK(reader.woken == 0);
    CHECK(drain(pair.fd()));
    loop.watch(pair.fd(), Interest::read, reader);
    send(pair.peer);
    loop.poll();
    CHECK(reader.woken == 1);
  }

  // sys::Fd forgets in its destructor, where nothing may be thrown.
  TEST_CASE("to forget a descriptor needs no memory") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    CHECK(refuse::during({0, true}, [&] {
      for (const int fd : {100'000, pair.fd()}) loop.deregister(fd);
    }));
    CHECK(reader.woken == 1);
  }

  TEST_CASE("to stop or forget where nobody waits does nothing") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    for (const int fd : {-1, pair.peer.get(), 100'000}) loop.deregister(fd);
    Sleeper stranger;
    loop.unwatch(stranger);
    CHECK(loop.watches(1));
    CHECK(reader.woken == 0);
    send(pair.peer);
    loop.poll();
    CHECK(reader.woken == 1);
    loop.unwatch(reader);
    CHECK(loop.watches(0));
  }

#if CLAIMS(count)
  TEST_CASE("the number of waiters is exact") {
    Loop loop;
    Pair first;
    Pair second;
    Sleeper sleepers[4];
    CHECK(loop.poller.watching() == 0);
    REQUIRE(fill(first.fd()));
    loop.watch(first.fd(), Interest::read, sleepers[0]);
    loop.watch(first.fd(), Interest::write, sleepers[1]);
    loop.watch(second.fd(), Interest::read, sleepers[2]);
    CHECK(loop.poller.watching() == 3);
    CHECK_THROWS(loop.watch(second.fd(), Interest::read, sleepers[3]));
    CHECK(loop.poller.watching() == 3);
    loop.unwatch(sleepers[1]);
    loop.unwatch(sleepers[1]);
    CHECK(loop.poller.watching() == 2);
    send(second.peer);
    loop.poll();
    CHECK(loop.poller.watching() == 1);
    loop.deregister(first.fd());
    CHECK(loop.poller.watching() == 0);
  }
#endif

  TEST_CASE("a waiter that was woken removes no other from its place") {
    Loop loop;
    Pair pair;
    Sleeper first;
    Sleeper second;
    loop.watch(pair.fd(), Interest::read, first);
    send(pair.peer);
    loop.poll();
    REQUIRE(first.woken == 1);
    REQUIRE(drain(pair.fd()));
    loop.watch(pair.fd(), Interest::read, second);
    CHECK_FALSE(first.waiter.watching());
    loop.unwatch(first);
    CHECK(second.waiter.watching());
    CHECK(loop.watches(1));
    send(pair.peer);
    loop.poll();
    CHECK(second.woken == 1);
  }

#if CLAIMS(unref)
  TEST_CASE("a waiter that is no reason to go on is counted apart") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    Sleeper background;
    background.waiter.unref = true;
    REQUIRE(fill(pair.fd()));
    for (int round = 0; round < 2; ++round) {
      loop.watch(pair.fd(), Interest::write, background);
      CHECK(loop.poller.watching() == 1);
      CHECK(loop.poller.referenced() == 0);
      loop.watch(pair.fd(), Interest::read, reader);
      CHECK(loop.poller.watching() == 2);
      CHECK(loop.poller.referenced() == 1);
      loop.unwatch(background);
      CHECK(loop.poller.watching() == 1);
      CHECK(loop.poller.referenced() == 1);
      loop.unwatch(reader);
      CHECK(loop.poller.referenced() == 0);
    }
    loop.watch(pair.fd(), Interest::write, background);
    CHECK(drain(pair.peer.get()));
    loop.poll();
    REQUIRE(background.woken == 1);
    CHECK(loop.poller.watching() == 0);
    CHECK(loop.poller.referenced() == 0);
  }
#endif
}
// [/table-tests]

// [end-tests]
TEST_SUITE("poller: the end") {
  TEST_CASE("a waiter that is destroyed waits no more") {
    Loop loop;
    Pair pair;
    {
      Sleeper gone;
      loop.watch(pair.fd(), Interest::read, gone);
      REQUIRE(loop.watches(1));
    }
    CHECK(loop.watches(0));
    Sleeper next;
    REQUIRE_NOTHROW(loop.watch(pair.fd(), Interest::read, next));
    send(pair.peer);
    loop.poll();
    CHECK(next.woken == 1);
  }

  TEST_CASE("a waiter may outlive its poller") {
    Pair pair;
    Sleeper reader;
    Sleeper writer;
    REQUIRE(fill(pair.fd()));
    {
      Loop loop;
      loop.watch(pair.fd(), Interest::read, reader);
      loop.watch(pair.fd(), Interest::write, writer);
    }
    REQUIRE_FALSE(reader.waiter.watching());
    REQUIRE_FALSE(writer.waiter.watching());
    reader.waiter.unwatch();
    Loop next;
    next.watch(pair.fd(), Interest::read, reader);
    send(pair.peer);
    next.poll();
    CHECK(reader.woken == 1);
    CHECK(writer.woken == 0);
  }
}
// [/end-tests]

// [forget-tests]
TEST_SUITE("poller: forgetting") {
  TEST_CASE(
      "defect 5: both waiters of a forgotten descriptor wake canceled") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    Sleeper writer;
    REQUIRE(fill(pair.fd()));
    loop.watch(pair.fd(), Interest::read, reader);
    loop.watch(pair.fd(), Interest::write, writer);
    SUBCASE("before the kernel heard of it") {}
    SUBCASE("after") {
      loop.poll();
    }
    loop.deregister(pair.fd());
    CHECK(reader.woken == 1);
    CHECK(writer.woken == 1);
    CHECK(reader.waiter.error == ECANCELED);
    CHECK(writer.waiter.error == ECANCELED);
    CHECK(loop.watches(0));
    close(pair.ours);
    close(pair.peer);
    CHECK(loop.pollsWithin(10ms) <= few);
    CHECK(reader.woken == 1);
    CHECK(writer.woken == 1);
  }

#if CLAIMS(tags)
  TEST_CASE("defect 7: a duplicate that lives on sends no events") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    const int number = pair.fd();
    loop.watch(number, Interest::read, reader);
    loop.poll();
    const sys::Fd copy(sys::check(sys::dup(number), "dup"));
    loop.deregister(number);
    close(pair.ours);
    CHECK(reader.waiter.error == ECANCELED);
    send(pair.peer);
    CHECK(loop.pollsWithin(20ms) <= few);

    // Nor do they wake whoever has the number next.
    const Pair next;
    REQUIRE(next.fd() == number);
    Sleeper heir;
    loop.watch(number, Interest::read, heir);
    send(pair.peer);
    CHECK(loop.pollsWithin(20ms) <= few);
    CHECK(heir.woken == 0);
    CHECK(reader.woken == 1);
    send(next.peer);
    loop.poll();
    CHECK(heir.woken == 1);
    CHECK(heir.waiter.error == 0);
  }
#endif

  TEST_CASE("a number that comes again is watched anew") {
    Loop loop;
    int number = -1;
    for (int round = 0; round < 10; ++round) {
      CAPTURE(round);
      Pair pair;
      if (number == -1) number = pair.fd();
      REQUIRE(pair.fd() == number);
      Sleeper reader;
      loop.watch(number, Interest::read, reader);
      if (round % 2 == 0) loop.poll();
      CHECK(reader.woken == 0);
      send(pair.peer);
      loop.poll();
      CHECK(reader.woken == 1);
      CHECK(reader.waiter.error == 0);
      if (round % 3 == 0) {
        CHECK(drain(number));
        loop.watch(number, Interest::read, reader);
      }
      loop.deregister(number);
    }
  }

#if CLAIMS(tags)
  // The duplicate's events carry the generation of the first life. However
  // many lives the number has had since, they are not of its present one.
  TEST_CASE("a duplicate of the first life reaches none of 300 later ones") {
    Loop loop;
    Pair pair;
    const int number = pair.fd();
    Sleeper first;
    loop.watch(number, Interest::read, first);
    loop.poll();
    const sys::Fd duplicate(sys::dup(number));
    loop.deregister(number);
    close(pair.ours);
    const Pair next;
    REQUIRE(next.fd() == number);
    for (int life = 1; life <= 300; ++life) {
      CAPTURE(life);
      Sleeper heir;
      loop.watch(number, Interest::read, heir);
      loop.poll();  // kqueue and select learn of it here
      send(pair.peer);
      loop.poll();
      REQUIRE(heir.woken == 0);
      REQUIRE(drain(duplicate.get()));
      loop.deregister(number);
      REQUIRE(heir.waiter.error == ECANCELED);
    }
  }
#endif

  TEST_CASE("news that nobody fetched dies with its descriptor") {
    Loop loop;
    Sleeper first;
    Sleeper second;
    int number = -1;
    {
      Pair pair;
      number = pair.fd();
      loop.watch(number, Interest::read, first);
      loop.poll();
      send(pair.peer);
      loop.deregister(number);
      CHECK(first.waiter.error == ECANCELED);
    }
    Pair next;
    REQUIRE(next.fd() == number);
    loop.watch(number, Interest::read, second);
    CHECK(loop.pollsWithin(10ms) <= few);
    CHECK(first.woken == 1);
    CHECK(second.woken == 0);
  }

#if CLAIMS(stays_open)
  TEST_CASE("a forgotten descriptor that stays open can be watched again") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    loop.deregister(pair.fd());
    send(pair.peer);
    loop.poll();
    CHECK(reader.woken == 1);
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    CHECK(reader.woken == 2);
    CHECK(reader.waiter.error == 0);
  }
#endif
}
// [/forget-tests]

// [defect-tests]
TEST_SUITE("poller: defects of the original") {
  TEST_CASE(
      "defect 2: a hang-up without data wakes the reader and is quiet") {
    Loop loop;
    Pair pipe(true);
    Sleeper reader;
    loop.watch(pipe.fd(), Interest::read, reader);
    loop.poll();
    close(pipe.peer);
    loop.poll();
    CHECK(reader.woken == 1);
    char byte;
    CHECK(sys::read(pipe.fd(), &byte, 1) == 0);
    CHECK(loop.pollsWithin(20ms) <= few);
  }

  TEST_CASE("defect 3: the reset of one who no longer waits is quiet") {
    Loop loop;
    Listener listener;
    sys::Fd client = listener.connect();
    const sys::Fd ours = listener.accept();
    REQUIRE(ours);
    Sleeper reader;
    loop.watch(ours.get(), Interest::read, reader);
    loop.poll();
    loop.unwatch(reader);
    reset(client);
    CHECK(loop.pollsWithin(30ms) <= few);
    CHECK(reader.woken == 0);
  }

  TEST_CASE("defect 16: a large descriptor works or is refused clearly") {
    if (!raiseDescriptorLimit(FD_SETSIZE + 100)) {
      MESSAGE("skipped: the hard limit of descriptors is too low");
      return;
    }
    Loop loop;
    Pair small;
    Pair pair;
    const sys::Fd large(::fcntl(pair.fd(), F_DUPFD, FD_SETSIZE + 10));
    REQUIRE(large);
    Sleeper first;
    Sleeper second;
    bool refused = false;
    try {
      loop.watch(large.get(), Interest::read, first);
    } catch (const std::system_error& error) {
      refused = true;
      CHECK(error.code() == std::errc::invalid_argument);
      const std::string message = error.what();
      CHECK(message.find("FD_SETSIZE") != std::string::npos);
      CHECK(message.find("epoll or kqueue") != std::string::npos);
    }
#ifdef NAGLFAR_SELECT
    CHECK(refused);
#else
    CHECK_FALSE(refused);
#endif
    CHECK(loop.watches(refused ? 0 : 1));
    loop.watch(small.fd(), Interest::read, second);
    send(small.peer);
    send(pair.peer);
    loop.poll();
    CHECK(first.woken == (refused ? 0 : 1));
    CHECK(second.woken == 1);
    loop.deregister(large.get());
  }

  TEST_CASE(
      "defect 23: a descriptor that is not open is told to its waiter") {
    Loop loop;
    Pair good;
    Sleeper reader;
    loop.watch(good.fd(), Interest::read, reader);
    int number = -1;
    {
      const Pair gone;
      number = gone.fd();
    }
    CHECK(errorOfWatching(loop, number) == EBADF);
    CHECK(errorOfWatching(loop, number) == EBADF);
    CHECK(loop.watches(1));
    CHECK(reader.woken == 0);
    send(good.peer);
    loop.poll();
    CHECK(reader.woken == 1);

    // The number is watched as any other once it means something.
    Pair next;
    REQUIRE(next.fd() == number);
    Sleeper heir;
    loop.watch(number, Interest::read, heir);
    send(next.peer);
    loop.poll();
    CHECK(heir.woken == 1);
    CHECK(heir.waiter.error == 0);
  }

  // Some backends throw, and others wake the waiter with the error.
  TEST_CASE("a watch that fails leaves no waiter behind") {
    Loop loop;
    Sleeper reader;
    int number = -1;
    {
      const Pair gone;
      number = gone.fd();
    }
    try {
      loop.watch(number, Interest::read, reader);
    } catch (const std::system_error& error) {
      CHECK(error.code().value() == EBADF);
    }
    loop.poll();
    CHECK_FALSE(reader.waiter.watching());
    CHECK(loop.watches(0));
  }

  TEST_CASE("defect 23: a watched descriptor that was closed ends nothing") {
    Loop loop;
    Pair good;
    Sleeper reader;
    Sleeper stray;
    loop.watch(good.fd(), Interest::read, reader);
    Pair bad;
    const int number = bad.fd();
    loop.watch(number, Interest::read, stray);
    SUBCASE("before the kernel heard of it") {}
    SUBCASE("after") {
      loop.poll();
    }
    close(bad.ours);
    for (int i = 0; i < 3; ++i) loop.poll();
    send(good.peer);
    loop.poll();
    CHECK(reader.woken == 1);
    loop.deregister(number);  // epoll says nothing of its own
    CHECK(stray.woken == 1);
    CHECK((stray.waiter.error == EBADF || stray.waiter.error == ECANCELED));
    CHECK(loop.watches(0));
  }

  TEST_CASE("defect 23: room for the errors of 600 changes") {
    REQUIRE(raiseDescriptorLimit(700));
    Loop loop;
    std::deque<Sleeper> readers;
    int thrown = 0;
    for (int fd = 0; fd < 700 && readers.size() < 600; ++fd) {
      if (kernel::isOpen(fd)) continue;
      try {
        loop.watch(fd, Interest::read, readers.emplace_back());
      } catch (const std::system_error& error) {
        thrown += error.code().value() == EBADF ? 1 : 0;
      }
    }
    loop.poll();
    const auto told = std::count_if(
        readers.begin(), readers.end(), [](const Sleeper& reader) {
          return reader.woken == 1 && reader.waiter.error == EBADF;
        });
    CHECK(readers.size() == 600);
    CHECK(thrown + told == 600);
    CHECK(loop.watches(0));
  }
}
// [/defect-tests]

// [timeout-tests]
TEST_SUITE("poller: time") {
  TEST_CASE("a timeout is rounded up and never spins to its deadline") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    for (const sys::Duration time :
         {sys::Duration(1ns), sys::Duration(300us), sys::Duration(1ms),
          sys::Duration(1500us), sys::Duration(7ms)}) {
      CAPTURE(time.count());
      CHECK(loop.pollsWithin(time) <= 2);
    }
    CHECK(reader.woken == 0);
  }

  TEST_CASE("a poll without a timeout only looks") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    const int before = pollCalls();
    const sys::Time start = sys::now();
    for (int i = 0; i < 100; ++i) loop.poll(0ns);
    CHECK(sys::now() - start < 1s);
    CHECK(pollCalls() - before == 100);
  }

  TEST_CASE("news ends the longest wait") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    const Interrupter watchdog(-1, 5, 0);
    for (const sys::Duration time :
         {sys::Duration(-1), sys::Duration::min(), sys::Duration::max(),
          sys::Duration(std::chrono::hours(24 * 365 * 100))}) {
      CAPTURE(time.count());
      reader.woken = 0;
      send(pair.peer);
      loop.watch(pair.fd(), Interest::read, reader);
      loop.poll(time);
      CHECK(reader.woken == 1);
      CHECK(drain(pair.fd()));
      loop.unwatch(reader);
    }
    CHECK(Interrupter::signals == 0);
  }
}
// [/timeout-tests]

// [signal-tests]
TEST_SUITE("poller: signals") {
#ifndef NAGLFAR_SIMULATED  // it has no signals
  // Cut to 32 bits, each of these times is short or none.
  TEST_CASE("a time of more than 32 bits is not cut short") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    constexpr long long range = 1LL << 32;
    for (const sys::Duration time :
         {sys::Duration(std::chrono::milliseconds(range)),
          sys::Duration(std::chrono::milliseconds(range + 1)),
          sys::Duration(std::chrono::milliseconds(5 * range)),
          sys::Duration(std::chrono::milliseconds(range / 2)),
          sys::Duration(std::chrono::seconds(range)),
          sys::Duration(std::chrono::seconds(range + 1))}) {
      CAPTURE(time.count());
      const Interrupter interrupter(-1, 0, 50'000);
      loop.poll(time);
      CHECK(Interrupter::signals > 0);  // only a signal has ended the wait
    }
    CHECK(reader.woken == 0);
  }

  TEST_CASE("a time of less than 0 is for ever") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    for (const sys::Duration time :
         {sys::Duration(-1ns), sys::Duration(-1ms), sys::Duration::min()}) {
      CAPTURE(time.count());
      const Interrupter interrupter(-1, 0, 50'000);
      loop.poll(time);
      CHECK(Interrupter::signals > 0);
    }
    CHECK(reader.woken == 0);
  }
#endif

  TEST_CASE("defect 19: a signal ends a wait and nothing else") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    {
      const Interrupter interrupter(pair.peer.get());
      for (int i = 0; i < few && Interrupter::signals == 0; ++i)
        loop.poll(-1ns);
      CHECK(Interrupter::signals >= 1);
      CHECK(Interrupter::signals < 100);
      int polls = 0;
      for (; Interrupter::signals < 10 && polls < 1000; ++polls)
        loop.poll(1s);
      CHECK(polls <= Interrupter::signals + few);
    }
    CHECK(reader.woken == 0);
    CHECK(loop.watches(1));
    send(pair.peer);
    loop.poll();
    CHECK(reader.woken == 1);
    CHECK(reader.waiter.error == 0);
  }
}
// [/signal-tests]

// [fork-tests]
#if CLAIMS(fork)
TEST_SUITE("poller: fork") {
  TEST_CASE("defect 24: a child works and its parent's events stay") {
    Loop loop;
    Pair pair;
    Pair other;
    Sleeper reader;
    Sleeper second;
    loop.watch(pair.fd(), Interest::read, reader);
    loop.watch(other.fd(), Interest::read, second);
    loop.poll();
    CHECK(inChild([&] {
      loop.poller.reopen();
      if (loop.poller.watching() != 2) return false;
      loop.poll();
      if (reader.woken != 0) return false;
      send(pair.peer);
      loop.poll();
      if (reader.woken != 1 || !drain(pair.fd())) return false;
      Pair own;
      Sleeper third;
      loop.watch(own.fd(), Interest::read, third);
      send(own.peer);
      loop.poll();
      if (third.woken != 1) return false;
      loop.deregister(pair.fd());
      send(other.peer);  // to be seen by both, and left for the parent
      loop.poll();
      loop.deregister(other.fd());
      return second.woken == 1 && second.waiter.error == 0;
    }));
    CHECK(loop.poller.watching() == 2);
    loop.poll();  // may wake the reader, too: its byte went to the child
    CHECK(second.woken == 1);
    CHECK(second.waiter.error == 0);
    if (reader.woken == 1) {
      reader.woken = 0;
      loop.watch(pair.fd(), Interest::read, reader);
    }
    send(pair.peer);
    loop.poll();
    CHECK(reader.woken == 1);
    CHECK(reader.waiter.error == 0);
  }

  TEST_CASE("a child watches for the writers and readers of its parent") {
    for (const bool reads : {false, true})
      for (const bool writes : {false, true}) {
        CAPTURE(reads);
        CAPTURE(writes);
        Loop loop;
        Pair pair;
        REQUIRE(fill(pair.fd()));
        Sleeper reader;
        Sleeper writer;
        if (reads) loop.watch(pair.fd(), Interest::read, reader);
        if (writes) loop.watch(pair.fd(), Interest::write, writer);
        loop.poll();
        CHECK(inChild([&] {
          loop.poller.reopen();
          loop.poll();
          if (reader.woken + writer.woken > 0) return false;
          if (!drain(pair.peer.get())) return false;
          send(pair.peer);
          return (!reads || loop.waitFor(reader)) &&
                 (!writes || loop.waitFor(writer));
        }));
      }
  }

#ifndef NAGLFAR_KQUEUE  // a child has no kqueue of its parent's: kqueue(2)
  TEST_CASE("a child reopens it though no descriptor is left") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    CHECK(inChild([&] {
      const rlimit few{256, 256};
      ::setrlimit(RLIMIT_NOFILE, &few);
      while (::dup(pair.fd()) != -1) continue;
      loop.poller.reopen();
      send(pair.peer);
      loop.poll();
      return reader.woken == 1;
    }));
  }
#endif

  // A program that calls exec(3) has closed what the child does not need.
  TEST_CASE("a child that does not poll pays for no waiter") {
    Loop loop;
    std::vector<Pair> pairs(100);
    std::vector<Sleeper> sleepers(pairs.size());
    for (std::size_t i = 0; i < pairs.size(); ++i)
      loop.watch(pairs[i].fd(), Interest::read, sleepers[i]);
    loop.poll();
    CHECK(inChild([&] {
      const naglfar::Ledger before = naglfar::ledger;
      loop.poller.reopen();
      const bool cheap =
          naglfar::ledger.systemCalls() - before.systemCalls() <= 1;
      for (Pair& pair : pairs) loop.deregister(pair.fd());
      return cheap &&
             naglfar::ledger[naglfar::Call::epoll_ctl] ==
                 before[naglfar::Call::epoll_ctl] &&
             naglfar::ledger[naglfar::Call::kevent] ==
                 before[naglfar::Call::kevent];
    }));
  }

  TEST_CASE("a waiter whose descriptor is gone is told so in the child") {
    Loop loop;
    Pair pair;
    Pair other;
    Sleeper gone;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, gone);
    loop.watch(other.fd(), Interest::read, reader);
    loop.poll();
    CHECK(inChild([&] {
      sys::close(pair.fd());  // behind the poller's back
      loop.poller.reopen();
      loop.poll();
      if (gone.woken != 1 || gone.waiter.error != EBADF) return false;
      send(other.peer);
      loop.poll();
      return reader.woken == 1 && reader.waiter.error == 0;
    }));
  }

  TEST_CASE("defect 24: a child that reopens closes none of its own files") {
    Loop loop;
    Pair pair;
    Sleeper reader;
    loop.watch(pair.fd(), Interest::read, reader);
    loop.poll();
    CHECK(inChild([&] {
      // A kqueue is not inherited: its number is free now, and is taken.
      std::vector<sys::Fd> files;
      for (int i = 0; i < 10; ++i) files.emplace_back(sys::dup(pair.fd()));
      loop.poller.reopen();
      send(pair.peer);
      loop.poll();
      return reader.woken == 1 &&
             std::all_of(files.begin(), files.end(), [](const sys::Fd& fd) {
               return sys::peek(fd.get()) == 1;
             });
    }));
  }
}
#endif
// [/fork-tests]

// [property-model]
// Random walks through everything that a program may do, beside a model that
// is too simple to be wrong: after a poll, whoever waited where poll(2) says
// "ready" was woken, and nobody else was, but for a few in vain.
namespace {

class Walk {
 public:
  explicit Walk(unsigned seed) : random_(seed) {
    for (int i = 0; i < pairs; ++i) open(2 * i);
  }

  // Returns what went wrong, or nothing.
  std::string step() {
    const int end = pick(2 * pairs);
    switch (pick(12)) {
      case 0:
      case 1:
        return watch(end, Interest::read);
      case 2:
      case 3:
        return watch(end, Interest::write);
      case 4:
        unwatch(end, pick(2) == 0 ? Interest::read : Interest::write);
        return "";
      case 5:
        return pick(4) == 0 ? replace(end & ~1) : "";
      case 6:
        write(end);
        return "";
      case 7:
        read(end);
        return "";
      case 8:
        drain(ends_[end].fd.get());
        return "";
      case 9:
        return pick(6) == 0 ? stopWriting(end) : "";
      case 10:
        haunt();
        return "";
      default:
        return poll();
    }
  }

  int woken = 0;
  int inVain = 0;
  // [/property-model]

  // [property-steps]
 private:
  static constexpr int pairs = 4;
  struct End {
    sys::Fd fd;
    std::unique_ptr<Sleeper> sleepers[2];  // who waits, or null
  };

  int pick(int n) { return static_cast<int>(random_() % unsigned(n)); }

  void open(int first) {
    Pair pair;
    ends_[first].fd = std::move(pair.ours);
    ends_[first + 1].fd = std::move(pair.peer);
    for (int i = first; i < first + 2; ++i)
      kernel::smallBuffer(ends_[i].fd.get());
  }

  // As a program does: after an EAGAIN, and perhaps with news in between.
  std::string watch(int end, Interest interest) {
    auto& sleeper = ends_[end].sleepers[static_cast<int>(interest)];
    const int fd = ends_[end].fd.get();
    if (sleeper != nullptr) try {
        Sleeper other;
        loop_.watch(fd, interest, other);
        return "a second waiter was let in";
      } catch (const std::system_error& error) {
        return error.code().value() == EBUSY ? count() : error.what();
      }
    if (!(interest == Interest::read ? drain(fd) : fill(fd))) return "";
    if (pick(3) == 0) write(end ^ 1);
    if (pick(3) == 0) read(end ^ 1);
    sleeper = std::make_unique<Sleeper>();
    loop_.watch(fd, interest, *sleeper);
    return count();
  }

  void unwatch(int end, Interest interest) {
    auto& sleeper = ends_[end].sleepers[static_cast<int>(interest)];
    if (sleeper != nullptr) loop_.unwatch(*sleeper);
    sleeper = nullptr;
  }

  void write(int end) {
    const std::string bytes(static_cast<std::size_t>(1 + pick(3000)), 'x');
    [[maybe_unused]] const auto n =
        sys::write(ends_[end].fd.get(), bytes.data(), bytes.size());
  }

  void read(int end) {
    char bytes[3000];
    [[maybe_unused]] const auto n = sys::read(
        ends_[end].fd.get(), bytes, static_cast<std::size_t>(1 + pick(3000)));
  }

  std::string stopWriting(int end) {
    if (ends_[end].sleepers[1] == nullptr)
      kernel::stopWriting(ends_[end].fd.get());
    return "";
  }
  // [/property-steps]

  // [property-close]
  // Forgets and closes both ends and opens new ones, which get the same
  // numbers. Sometimes duplicates of the old ones stay behind.
  std::string replace(int first) {
    const bool leaveGhosts = ghosts_.size() < 20 && pick(2) == 0;
    for (int i = first; i < first + 2; ++i) {
      const int fd = ends_[i].fd.get();
      loop_.deregister(fd);
      for (auto& sleeper : ends_[i].sleepers) {
        if (sleeper == nullptr) continue;
        if (sleeper->woken != 1 || sleeper->waiter.error != ECANCELED)
          return "a waiter was not canceled once";
        sleeper = nullptr;
      }
      if (leaveGhosts) ghosts_.emplace_back(sys::dup(fd));
    }
    for (int i = first; i < first + 2; ++i) close(ends_[i].fd);
    open(first);
    return count();
  }

  // Something happens to descriptors that nobody here knows any more.
  void haunt() {
    if (ghosts_.empty()) return;
    const auto at = static_cast<std::size_t>(pick(int(ghosts_.size())));
    [[maybe_unused]] const auto n = sys::write(ghosts_[at].get(), "boo", 3);
    if (pick(4) == 0) drain(ghosts_[at ^ 1].get());
    if (pick(20) == 0) ghosts_.clear();
  }
  // [/property-close]

  // [property-check]
  std::string count() const {
    std::size_t waiting = 0;
    for (const End& end : ends_)
      for (const auto& sleeper : end.sleepers) waiting += sleeper != nullptr;
    return loop_.watches(waiting) ? "" : "watching() is wrong";
  }

  std::string poll() {
    loop_.poll();
    for (End& end : ends_)
      for (int direction = 0; direction < 2; ++direction) {
        auto& sleeper = end.sleepers[direction];
        if (sleeper == nullptr) continue;
        const bool ready = kernel::isReady(
            end.fd.get(), direction == 0 ? Interest::read : Interest::write);
        if (ready && sleeper->woken == 0) return "a wake-up was lost";
        if (sleeper->woken > 1) return "woken twice";
        if (sleeper->waiter.error != 0) return "woken with an error";
        if (sleeper->woken == 0) continue;
        ++woken;
        inVain += !ready;
        sleeper = nullptr;
      }
    return count();
  }

  std::mt19937 random_;
  End ends_[2 * pairs];
  std::vector<sys::Fd> ghosts_;
  Loop loop_;
};

}  // namespace

TEST_CASE("defect 21: random walks agree with a simple model") {
  int woken = 0;
  int inVain = 0;
  for (unsigned seed = 1; seed <= 300; ++seed) {
    Walk walk(seed);
    for (int step = 0; step < 300; ++step) {
      const std::string trouble = walk.step();
      REQUIRE_MESSAGE(trouble.empty(), trouble, " (seed ", seed, ", step ",
                      step, ")");
    }
    woken += walk.woken;
    inVain += walk.inVain;
  }
  CHECK(woken > 1000);
  CHECK(inVain * 10 <= woken);
}
// [/property-check]

// What only one backend does: which system calls it makes, and when.
// [ledger-of-epoll]
#ifdef NAGLFAR_EPOLL
TEST_CASE("epoll: one epoll_ctl in the life of a descriptor") {
  Loop loop;
  Pair pair;
  Sleeper reader;
  Sleeper writer;
  const naglfar::Ledger before = naglfar::ledger;
  const auto made = [&](Call call) {
    return naglfar::ledger[call] - before[call];
  };
  loop.watch(pair.fd(), Interest::read, reader);
  loop.watch(pair.fd(), Interest::write, writer);
  loop.unwatch(writer);
  for (int i = 1; i <= 3; ++i) {
    send(pair.peer);
    loop.poll();
    REQUIRE(reader.woken == i);
    REQUIRE(drain(pair.fd()));
    loop.watch(pair.fd(), Interest::read, reader);
  }
  CHECK(made(Call::epoll_ctl) == 1);
  CHECK(made(Call::epoll_wait) == 3);
  loop.deregister(pair.fd());
  CHECK(made(Call::epoll_ctl) == 1);  // close does the rest
}
#endif
// [/ledger-of-epoll]

// [ledger-of-kqueue]
#ifdef NAGLFAR_KQUEUE
#if CLAIMS(late_changes)
TEST_CASE("kqueue: to watch costs no call of its own" *
          doctest::test_suite("reference")) {
  Loop loop;
  Pair pair;
  Sleeper reader;
  Sleeper writer;
  const naglfar::Ledger before = naglfar::ledger;
  const auto calls = [&] {
    return naglfar::ledger[Call::kevent] - before[Call::kevent];
  };
  REQUIRE(fill(pair.fd()));
  loop.watch(pair.fd(), Interest::read, reader);
  loop.watch(pair.fd(), Interest::write, writer);
  CHECK(calls() == 0);
  loop.poll();
  CHECK(calls() == 1);
  loop.deregister(pair.fd());  // both filters in one call
  loop.deregister(pair.fd());
  CHECK(calls() == 2);
  loop.watch(pair.fd(), Interest::read, reader);
  loop.deregister(pair.fd());  // the kernel never heard of it
  CHECK(calls() == 2);
  close(pair.ours);
  loop.pollsWithin(10ms);  // nor hears of it now: it has nothing to answer
  CHECK(calls() == 3);
}
#endif
#endif
// [/ledger-of-kqueue]

// [ledger-of-select]
#ifdef NAGLFAR_SELECT
TEST_CASE("select: a new descriptor is looked at once and closed ones found" *
          doctest::test_suite("reference")) {
  Loop loop;
  Pair pair;
  Sleeper reader;
  Sleeper stray;
  const naglfar::Ledger before = naglfar::ledger;
  loop.watch(pair.fd(), Interest::read, reader);
  loop.unwatch(reader);
  loop.watch(pair.fd(), Interest::read, reader);
  // One look at whether the descriptor is open, and none at the second watch.
  CHECK(naglfar::ledger.systemCalls() == before.systemCalls() + 1);
  CHECK(naglfar::ledger[Call::getsockname] == before[Call::getsockname] + 1);
  loop.poll();
  CHECK(naglfar::ledger[Call::select] - before[Call::select] == 1);
  Pair bad;
  loop.watch(bad.fd(), Interest::write, stray);
  close(bad.ours);
  loop.poll();
  CHECK(stray.woken == 1);
  CHECK(stray.waiter.error == EBADF);
  CHECK(reader.woken == 0);
  CHECK(loop.watches(1));
}
#endif
// [/ledger-of-select]

// The fake kqueue itself: that it is as unfriendly as the manual pages say.
#ifdef NAGLFAR_FAKE_KQUEUE
#include <sys/event.h>

// [fake-kqueue-helpers]
namespace {

using Event = struct kevent;

Event change(int fd, short filter, int flags, void* user = nullptr) {
  Event event{};
  EV_SET(&event, static_cast<std::uintptr_t>(fd), filter,
         static_cast<unsigned short>(flags), 0, 0, user);
  return event;
}

struct Queue {
  sys::Fd kq{sys::check(::kqueue(), "kqueue")};
  std::vector<Event> events;

  // Applies the changes; returns the number of entries, or -1.
  int operator()(const std::vector<Event>& changes, std::size_t room = 16) {
    events.assign(room, Event{});
    const timespec none{};
    const int n = ::kevent(kq.get(), changes.data(), int(changes.size()),
                           events.data(), int(room), &none);
    events.resize(static_cast<std::size_t>(std::max(n, 0)));
    return n;
  }
};

}  // namespace
// [/fake-kqueue-helpers]

// [fake-kqueue-tests]
TEST_SUITE("fake kqueue") {
  TEST_CASE("a second EV_ADD changes the first and makes no second entry") {
    Queue queue;
    Pair pair;
    int first = 0;
    int second = 0;
    send(pair.peer, 5);
    CHECK(queue({change(pair.fd(), EVFILT_READ, EV_ADD, &first),
                 change(pair.fd(), EVFILT_READ, EV_ADD, &second)}) == 1);
    CHECK(queue.events[0].udata == &second);
    CHECK(queue.events[0].data == 5);
    CHECK(queue({}) == 1);  // level triggered
  }

  TEST_CASE("EV_CLEAR tells a change once") {
    Queue queue;
    Pair pair;
    send(pair.peer);
    CHECK(queue({change(pair.fd(), EVFILT_READ, EV_ADD | EV_CLEAR)}) == 1);
    CHECK(queue({}) == 0);
    send(pair.peer);
    CHECK(queue({}) == 1);
    CHECK(queue.events[0].data == 2);
    CHECK(drain(pair.fd()));
    send(pair.peer, 2);  // as many as were there
    CHECK(queue({}) == 1);
    send(pair.peer);
    CHECK(drain(pair.fd()));
    CHECK(queue({}) == 0);  // the filter runs again at retrieval
  }

  TEST_CASE("news in one direction says nothing of the other") {
    Queue queue;
    Pair pair;
    CHECK(queue({change(pair.fd(), EVFILT_READ, EV_ADD | EV_CLEAR),
                 change(pair.fd(), EVFILT_WRITE, EV_ADD | EV_CLEAR)}) == 1);
    CHECK(queue.events[0].filter == EVFILT_WRITE);
    CHECK(queue.events[0].data > 0);
    send(pair.peer);
    CHECK(queue({}) == 1);
    CHECK(queue.events[0].filter == EVFILT_READ);
  }

  TEST_CASE("EV_ONESHOT and EV_DISABLE and EV_ENABLE") {
    Queue queue;
    Pair pair;
    send(pair.peer);
    CHECK(queue({change(pair.fd(), EVFILT_READ, EV_ADD | EV_ONESHOT)}) == 1);
    CHECK(queue({}) == 0);
    CHECK(queue({change(pair.fd(), EVFILT_READ, EV_DELETE)}) == 1);
    CHECK(queue.events[0].data == ENOENT);
    CHECK(queue({change(pair.fd(), EVFILT_READ, EV_ADD | EV_DISABLE)}) == 0);
    CHECK(queue({change(pair.fd(), EVFILT_READ, EV_ENABLE)}) == 1);
    CHECK(queue({change(pair.fd(), EVFILT_READ, EV_DISABLE)}) == 0);
    CHECK(queue({change(pair.fd(), EVFILT_READ, EV_ADD)}) == 1);
  }

  TEST_CASE("errors are entries while there is room") {
    Queue queue;
    Pair pair;
    const int bad = [] { return Pair().fd(); }();
    send(pair.peer);
    const auto add = change(pair.fd(), EVFILT_READ, EV_ADD | EV_CLEAR);
    CHECK(queue({change(bad, EVFILT_READ, EV_ADD), add,
                 change(pair.fd(), EVFILT_WRITE, EV_DELETE),
                 change(pair.fd(), -99, EV_ADD)}) == 3);
    for (const Event& event : queue.events)
      CHECK((event.flags & EV_ERROR) != 0);
    CHECK(queue.events[0].data == EBADF);
    CHECK(queue.events[0].ident == static_cast<std::uintptr_t>(bad));
    CHECK(queue.events[1].data == ENOENT);
    CHECK(queue.events[2].data == EINVAL);
    CHECK(queue({}) == 1);  // the good change was applied

    CHECK(queue({change(bad, EVFILT_READ, EV_ADD), add}, 0) == -1);
    CHECK(errno == EBADF);
    CHECK(::kevent(bad, nullptr, 0, nullptr, 0, nullptr) == -1);
    CHECK(errno == EBADF);
  }

  TEST_CASE("EV_RECEIPT answers each change and leaves the news") {
    Queue queue;
    Pair pair;
    send(pair.peer);
    CHECK(queue({change(pair.fd(), EVFILT_READ,
                        EV_ADD | EV_CLEAR | EV_RECEIPT)}) == 1);
    CHECK((queue.events[0].flags & EV_ERROR) != 0);
    CHECK(queue.events[0].data == 0);
    CHECK(queue({}) == 1);
    CHECK((queue.events[0].flags & EV_ERROR) == 0);
  }

  TEST_CASE("EV_EOF comes with data left") {
    Queue queue;
    for (const bool asPipe : {false, true}) {
      Pair pair(asPipe);
      queue({change(pair.fd(), EVFILT_READ, EV_ADD | EV_CLEAR)});
      send(pair.peer, 7);
      close(pair.peer);
      CHECK(queue({}) == 1);
      CHECK((queue.events[0].flags & EV_EOF) != 0);
      CHECK(queue.events[0].data == 7);
      CHECK(queue.events[0].fflags == 0);
      CHECK_FALSE(drain(pair.fd()));
    }
  }

  TEST_CASE("EV_EOF has an error of the socket in fflags") {
    Queue queue;
    Listener listener;
    sys::Fd client = listener.connect();
    const sys::Fd ours = listener.accept();
    queue({change(ours.get(), EVFILT_READ, EV_ADD | EV_CLEAR)});
    reset(client);
    CHECK(queue({}) == 1);
    CHECK((queue.events[0].flags & EV_EOF) != 0);
    CHECK(queue.events[0].fflags != 0);
    char byte;
    CHECK(sys::read(ours.get(), &byte, 1) == -1);
    CHECK(errno == ECONNRESET);
  }

  TEST_CASE("the data of a listener is the number of connections") {
    Queue queue;
    Listener listener;
    queue({change(listener.fd.get(), EVFILT_READ, EV_ADD | EV_CLEAR)});
    const sys::Fd first = listener.connect();
    const sys::Fd second = listener.connect();
    CHECK(queue({}) == 1);
    CHECK(queue.events[0].data == 2);
  }

  TEST_CASE("a filter ends with its descriptor though a duplicate lives") {
    Queue queue;
    Pair pair;
    const sys::Fd copy(sys::dup(pair.fd()));
    const int number = pair.fd();
    CHECK(queue({change(number, EVFILT_READ, EV_ADD)}) == 0);
    close(pair.ours);
    send(pair.peer);
    CHECK(queue({}) == 0);
    CHECK(queue({change(number, EVFILT_READ, EV_DELETE)}) == 1);
    CHECK(queue.events[0].data == EBADF);
    pair.ours = sys::Fd(sys::dup(copy.get()));
    REQUIRE(pair.fd() == number);
    CHECK(queue({change(number, EVFILT_READ, EV_DELETE)}) == 1);
    CHECK(queue.events[0].data == ENOENT);
  }

  TEST_CASE("a child of fork has no kqueue and its parent keeps it") {
    Queue queue;
    Pair pair;
    CHECK(queue({change(pair.fd(), EVFILT_READ, EV_ADD)}) == 0);
    CHECK(inChild([&] {
      return !kernel::isOpen(queue.kq.get()) && queue({}) == -1 &&
             errno == EBADF;
    }));
    send(pair.peer);
    CHECK(queue({}) == 1);
  }

  TEST_CASE("timeouts and room") {
    Queue queue;
    Pair pair;
    Event event{};
    const Event add = change(pair.fd(), EVFILT_READ, EV_ADD | EV_CLEAR);
    const timespec wrong{0, 1'000'000'000};
    CHECK(::kevent(queue.kq.get(), &add, 1, &event, 1, &wrong) == -1);
    CHECK(errno == EINVAL);
    // Without room it returns at once, whatever the timeout.
    CHECK(::kevent(queue.kq.get(), &add, 1, nullptr, 0, nullptr) == 0);
    const timespec wait{0, 3'000'000};
    const sys::Time start = sys::now();
    CHECK(::kevent(queue.kq.get(), nullptr, 0, &event, 1, &wait) == 0);
    CHECK(sys::now() - start >= 3ms);
    send(pair.peer);
    CHECK(::kevent(queue.kq.get(), nullptr, 0, &event, 1, nullptr) == 1);
  }

  TEST_CASE("after EINTR the changes are applied") {
    Queue queue;
    Pair pair;
    Event event{};
    const Event add = change(pair.fd(), EVFILT_READ, EV_ADD | EV_CLEAR);
    {
      const Interrupter interrupter(pair.peer.get());
      CHECK(::kevent(queue.kq.get(), &add, 1, &event, 1, nullptr) == -1);
      CHECK(errno == EINTR);
    }
    send(pair.peer);
    CHECK(queue({}) == 1);
  }

  TEST_CASE("a kqueue that is closed leaves no descriptor behind") {
    const auto numbers = [] {
      const Pair pair;
      return std::pair(pair.fd(), pair.peer.get());
    };
    const auto before = numbers();
    { Queue queue; }
    CHECK((numbers() == before));
  }
}
// [/fake-kqueue-tests]
#endif
