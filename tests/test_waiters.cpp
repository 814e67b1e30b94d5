// Tests of the waiting requests: nobody is told twice or not at all, and who
// has left is not waited for. First for one thread, then for many, then for
// processes.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "comet_handler.hpp"
#include "helpers.hpp"
#include "naglfar/mixins/shared_waiters.hpp"
#include "naglfar/server/waiters.hpp"

using namespace naglfar;
using namespace helpers;

// [test-helpers]
namespace {

// The two ends of a client's connection.
struct Client {
  Client() {
    int ends[2];
    sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
    connection = sys::Fd(ends[0]);
    other = sys::Fd(ends[1]);
  }
  void leave() {
    if (other) goClose(other.release());
  }
  int fd() const { return connection.get(); }
  sys::Fd connection;
  sys::Fd other;
};

}  // namespace
// [/test-helpers]

// [waiters-tests]
namespace {

// Requests that wait, each in a coroutine, with a client each.
struct Requests {
  explicit Requests(std::size_t n) : clients(n), told(n), errors(n) {
    for (std::size_t i = 0; i < n; ++i)
      tasks.go([this, i] {
        errors[i] = errorOf([&] {
          told[i] = waiters.wait(clients[i].fd());
          order.push_back(i);
        });
      });
    yield();
  }
  std::vector<Client> clients;
  std::vector<std::size_t> told;  // what wait() has returned, or 0
  std::vector<int> errors;
  std::vector<std::size_t> order;  // in which wait() has returned
  Waiters waiters;
  TaskGroup tasks;
};

}  // namespace

TEST_SUITE("waiters: in one thread") {
  TEST_CASE_FIXTURE(Run,
                    "they are notified in the order in which they came") {
    Requests requests(5);
    CHECK(requests.waiters.size() == 5);
    CHECK(requests.waiters.notifyAll() == 5);
    CHECK(requests.waiters.size() == 0);
    scheduler.run();
    CHECK(requests.told == std::vector<std::size_t>(5, 5));
    CHECK(requests.order == std::vector<std::size_t>{0, 1, 2, 3, 4});
  }

  TEST_CASE_FIXTURE(Run,
                    "a request that comes later waits for the next one") {
    Requests early(1);
    CHECK(early.waiters.notifyAll() == 1);
    Client client;
    std::size_t told = 0;
    go([&] { told = early.waiters.wait(client.fd()); });
    yield();
    CHECK(early.told[0] == 1);
    CHECK(told == 0);
    CHECK(early.waiters.size() == 1);
    CHECK(early.waiters.notifyAll() == 1);
    CHECK(early.waiters.notifyAll() == 0);
    yield();
    CHECK(told == 1);
  }

  // As a stream of events does.
  TEST_CASE_FIXTURE(Run, "a request that was notified may wait again") {
    Waiters waiters;
    Client client;
    int rounds = 0;
    const Task stream = go([&] {
      for (; rounds < 3; ++rounds) CHECK(waiters.wait(client.fd()) == 1);
    });
    for (int round = 0; round < 3; ++round) {
      while (waiters.size() != 1) yield();
      CHECK(waiters.notifyAll() == 1);
    }
    scheduler.run();
    CHECK(rounds == 3);
  }

  TEST_CASE_FIXTURE(Run, "a request that is cancelled waits no more") {
    Requests requests(3);
    SUBCASE("while it waits") {
      requests.tasks.cancel();
      CHECK(requests.waiters.size() == 0);
      CHECK(requests.waiters.notifyAll() == 0);
    }
    SUBCASE("after it was notified") {
      CHECK(requests.waiters.notifyAll() == 3);
      requests.tasks.cancel();
      CHECK(requests.waiters.size() == 0);
    }
    CHECK(requests.order.empty());
  }

  TEST_CASE_FIXTURE(Run, "defect 4: a client that leaves is noticed") {
    Requests requests(1);
    CHECK(requests.waiters.size() == 1);
    requests.clients[0].leave();
    scheduler.run();
    CHECK(requests.errors[0] == ECONNRESET);
    CHECK(requests.waiters.size() == 0);
  }

  TEST_CASE_FIXTURE(Run, "a request gives up at its deadline") {
    Waiters waiters;
    Client client;
    for (const bool notices : {false, true}) {
      waiters.noticeDepartures = notices;
      const Deadline soon = after(std::chrono::milliseconds(2));
      CHECK(errorOf([&] { waiters.wait(client.fd(), soon); }) == ETIMEDOUT);
      CHECK(sys::now() >= soon);
      CHECK(errorOf([&] { waiters.wait(client.fd(), Deadline::min()); }) ==
            ETIMEDOUT);
      CHECK(waiters.size() == 0);
    }
  }

  // Once the list is gone, neither a departure nor a deadline may look at it.
  TEST_CASE_FIXTURE(Run, "requests do not wait for a list that is gone") {
    for (const bool leaves : {false, true})
      for (const bool notices : {false, true}) {
        auto waiters = std::make_unique<Waiters>();
        waiters->noticeDepartures = notices;
        Client client;
        int error = 0;
        go([&, list = waiters.get()] {
          error = errorOf([&] { list->wait(client.fd()); });
        });
        yield();
        waiters.reset();
        if (leaves) client.leave();
        scheduler.run();
        CHECK(error == ECANCELED);
      }
  }

  TEST_CASE_FIXTURE(Run, "a closed descriptor is no client that waits") {
    Waiters waiters;
    Client client;
    int error = 0;
    const int fd = client.fd();
    go([&] { error = errorOf([&] { waiters.wait(fd); }); });
    yield();
    goClose(client.connection.release());
    scheduler.run();
    CHECK(error == ECONNRESET);
  }

  TEST_CASE_FIXTURE(Run, "without noticeDepartures no client is watched") {
    Waiters waiters;
    waiters.noticeDepartures = false;
    Client client;
    std::size_t told = 0;
    const Ledger before = ledger;
    go([&] { told = waiters.wait(client.fd()); });
    yield();
    client.leave();
    yield();
    CHECK(waiters.size() == 1);
    for (const Call call : {Call::epoll_ctl, Call::kevent, Call::select})
      CHECK(ledger[call] == before[call]);
    CHECK(waiters.notifyAll() == 1);
    scheduler.run();
    CHECK(told == 1);
  }

  // The server has noticed that the client has left, and the request stands
  // in the queue of jobs behind the notifying coroutine.
  TEST_CASE_FIXTURE(Run, "a client that has left is not counted") {
    Requests requests(2);
    requests.clients[0].leave();
    while (requests.waiters.size() != 1) yield();
    CHECK(requests.waiters.notifyAll() == 1);
    scheduler.run();
    CHECK(requests.errors == std::vector<int>{ECONNRESET, 0});
    CHECK(requests.told == std::vector<std::size_t>{0, 1});
  }

  TEST_CASE_FIXTURE(Run, "a client that leaves after it was notified") {
    Requests requests(1);
    SUBCASE("when its request has not had its turn") {}
    SUBCASE("and the job that notices it stands in the queue before") {
      requests.clients[0].leave();
      yield();
      REQUIRE(requests.waiters.size() == 1);
    }
    CHECK(requests.waiters.notifyAll() == 1);
    requests.clients[0].leave();
    scheduler.run();
    CHECK(requests.waiters.size() == 0);
    CHECK(requests.errors[0] == 0);
    CHECK(requests.told[0] == 1);
  }
}
// [/waiters-tests]

// [departure-tests]
namespace {

std::string get(const sys::Address& address, const std::string& path) {
  ScheduledFile client = ScheduledFile::connectTcp(address);
  client.write("GET " + path + " HTTP/1.0\r\n\r\n");
  client.readUntil("\r\n\r\n").join();
  return client.read();
}

void resetOnClose(int fd) {
  const linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

// Does not print the departures.
class QuietServer : public comet::CometServer<Waiters> {
 public:
  using CometServer::CometServer;

 protected:
  void handle_error(const sys::Address&, const std::exception&) override {}
};

struct Serving {
  Serving() {
    go([this] {
      server.serve_forever();
      ended = true;
    });
  }
  ~Serving() {
    server.shutdown();
    while (!ended) yield();
  }
  ScheduledMixIn<QuietServer> server{
      sys::Address("localhost", 0),
      handlerFor<comet::QuietCometHandler<Waiters>>};
  sys::Address address = server.server_address;
  bool ended = false;
};

// Asks until the server has the answer.
void await(const sys::Address& address, const std::string& answer) {
  while (get(address, "/") != answer) continue;
}

}  // namespace

TEST_SUITE("waiters: clients that leave") {
  TEST_CASE_FIXTURE(Run, "defect 4: 5 of them leave nothing behind") {
    Serving serving;
    await(serving.address, "0");
    const int baseline = openDescriptors();
    std::vector<ScheduledFile> clients;
    for (int i = 0; i < 5; ++i) {
      clients.push_back(ScheduledFile::connectTcp(serving.address));
      clients.back().write("GET /wait HTTP/1.0\r\n\r\n");
    }
    await(serving.address, "5");
    SUBCASE("by closing") {}
    SUBCASE("by a reset") {
      for (ScheduledFile& client : clients) resetOnClose(client.fileno());
    }
    clients.clear();
    await(serving.address, "0");
    while (openDescriptors() != baseline) yield();
    CHECK(get(serving.address, "/notify") == "0");
  }

  // From a byte to more than the kernel takes, which hides the end.
  TEST_CASE_FIXTURE(Run, "a client that leaves is noticed behind any bytes") {
    Serving serving;
    for (const std::size_t n : {1, 1000, 16383, 16384, 100000, 20 << 20}) {
      CAPTURE(n);
      await(serving.address, "0");
      std::optional<ScheduledFile> client(
          ScheduledFile::connectTcp(serving.address));
      client->write("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
      await(serving.address, "1");
      client->bufferSize = n;  // what the kernel does not take is lost
      client->write(std::string(n, 'x'));
      client.reset();
      await(serving.address, "0");
    }
  }

#ifdef TCP_REPAIR
  // A client in repair mode closes without a word, as if its cable was cut.
  TEST_CASE_FIXTURE(Run, "a client that vanishes is found by a probe") {
    Serving serving;
    const std::chrono::seconds second(1);
    serving.server.probeClients(second, second, 1);
    std::optional<ScheduledFile> client(
        ScheduledFile::connectTcp(serving.address));
    client->write("GET /wait HTTP/1.0\r\n\r\n");
    await(serving.address, "1");
    const int on = 1;
    if (::setsockopt(client->fileno(), IPPROTO_TCP, TCP_REPAIR, &on,
                     sizeof on) == -1)
      return;  // it needs a privilege
    client.reset();
    await(serving.address, "0");
  }
#endif

  TEST_CASE_FIXTURE(Run, "those who stay are told") {
    Serving serving;
    std::vector<ScheduledFile> clients;
    for (int i = 0; i < 6; ++i) {
      clients.push_back(ScheduledFile::connectTcp(serving.address));
      clients.back().write("GET /wait HTTP/1.0\r\n\r\n");
    }
    await(serving.address, "6");
    for (const std::size_t i : {0u, 3u, 5u}) clients[i].close();
    await(serving.address, "3");
    CHECK(get(serving.address, "/notify") == "3");
    for (const std::size_t i : {1u, 2u, 4u})
      CHECK(clients[i].read().ends_with("\r\n\r\n3"));
    await(serving.address, "0");
  }

  // The server waits for the request; then request and end come at once.
  TEST_CASE_FIXTURE(Run, "who asks and leaves in one breath is noticed") {
    Serving serving;
    for (int i = 0; i < 5; ++i) {
      ScheduledFile client = ScheduledFile::connectTcp(serving.address);
      for (int turn = 0; turn < 10; ++turn) yield();
      client.write("GET /wait HTTP/1.0\r\n\r\n");
      client.close();
      for (int turn = 0; turn < 10; ++turn) yield();
    }
    await(serving.address, "0");
  }
}
// [/departure-tests]

// [shared-waiters-tests]
namespace {

// Requests that wait, each in a thread, with a client each. Made when all of
// them wait.
struct Threads {
  Threads(SharedWaiters& waiters, std::size_t n)
      : clients(n), told(n), errors(n) {
    for (std::size_t i = 0; i < n; ++i)
      threads.emplace_back([this, &waiters, i] {
        errors[i] = errorOf([&] { told[i] = waiters.wait(clients[i].fd()); });
      });
    while (waiters.size() != n) sched_yield();
  }
  void join() {
    for (std::thread& thread : threads) thread.join();
  }
  std::vector<Client> clients;
  std::vector<std::size_t> told;  // what wait() has returned, or 0
  std::vector<int> errors;
  std::vector<std::thread> threads;
};

volatile std::sig_atomic_t closedByTimer = -1;

// Closes a descriptor, once this process has spent so many microseconds of
// processor time, in system calls and outside.
struct ClosedAfter {
  ClosedAfter(int fd, suseconds_t microseconds) {
    closedByTimer = fd;
    std::signal(SIGPROF, [](int) { ::close(closedByTimer); });
    start(microseconds);
  }
  ~ClosedAfter() {
    start(0);
    std::signal(SIGPROF, SIG_DFL);
  }
  ClosedAfter(const ClosedAfter&) = delete;
  ClosedAfter& operator=(const ClosedAfter&) = delete;

 private:
  static void start(suseconds_t microseconds) {
    const itimerval once{{0, 0}, {0, microseconds}};
    ::setitimer(ITIMER_PROF, &once, nullptr);
  }
};

}  // namespace

TEST_SUITE("waiters: shared") {
  TEST_CASE_FIXTURE(Bounded, "all that wait are notified in one step") {
    SharedWaiters waiters(3);
    CHECK(waiters.size() == 0);
    for (int round = 0; round < 5; ++round) {
      Threads requests(waiters, 3);
      CHECK(waiters.notifyAll() == 3);
      CHECK(waiters.size() == 0);
      CHECK(waiters.notifyAll() == 0);
      requests.join();
      CHECK(requests.told == std::vector<std::size_t>(3, 3));
    }
    CHECK(waiters.size() == 0);
  }

  TEST_CASE_FIXTURE(Bounded, "more than the capacity is an error") {
    SharedWaiters waiters(2);
    Client client;
    for (int round = 0; round < 2; ++round) {
      Threads requests(waiters, 2);
      CHECK(errorOf([&] { waiters.wait(client.fd()); }) == ENOSPC);
      CHECK(errorOf([&] { waiters.wait(client.fd()); }) == ENOSPC);
      CHECK(waiters.notifyAll() == 2);
      requests.join();
    }
  }

  TEST_CASE_FIXTURE(Bounded, "a capacity that no memory has is an error") {
    CHECK(errorOf([] { SharedWaiters(SIZE_MAX); }) == ENOMEM);
  }

  // It is never looked whether the client is there, and so never in a hurry.
  TEST_CASE_FIXTURE(Bounded, "time between two looks has no largest value") {
    SharedWaiters waiters(1, true, sys::Duration::max());
    Threads requests(waiters, 1);
    CHECK(waiters.notifyAll() == 1);
    requests.join();
    CHECK(requests.told[0] == 1);
  }

  TEST_CASE_FIXTURE(Bounded, "defect 4: the wait ends when the client left") {
    SharedWaiters waiters(1);
    Client client;
    client.leave();
    for (int round = 0; round < 2; ++round)  // and its slot is free again
      CHECK(errorOf([&] { waiters.wait(client.fd()); }) == ECONNRESET);
    CHECK(waiters.size() == 0);
  }

  // It looks, over and over, and there is the client. A thread that has spent
  // 5 ms of processor time has looked, however busy the machine is.
  TEST_CASE_FIXTURE(Bounded, "a wait has a deadline") {
    SharedWaiters waiters(4, true, std::chrono::hours(1));
    Client client;
    const Deadline soon = after(std::chrono::milliseconds(2));
    CHECK(errorOf([&] { waiters.wait(client.fd(), soon); }) == ETIMEDOUT);
    CHECK(sys::now() >= soon);
    CHECK(errorOf([&] { waiters.wait(client.fd(), Deadline::min()); }) ==
          ETIMEDOUT);
    CHECK(waiters.size() == 0);
  }

  TEST_CASE_FIXTURE(Bounded, "a client that only sends counts as gone") {
    SharedWaiters waiters(4, true, std::chrono::milliseconds(1));
    Client client;
    fill(client.other.get());
    CHECK(errorOf([&] { waiters.wait(client.fd()); }) == ECONNRESET);
    CHECK(waiters.size() == 0);
  }

  TEST_CASE_FIXTURE(Bounded, "a look in vain is no notification") {
    SharedWaiters waiters(1, true, sys::Duration::zero());
    Client client;
    const ClosedAfter leaves(client.other.release(), 5'000);
    CHECK(errorOf([&] { waiters.wait(client.fd()); }) == ECONNRESET);
  }

  TEST_CASE_FIXTURE(Bounded, "data from the client does not end the wait") {
    SharedWaiters waiters(1);
    Client client;
    goWrite(client.other.get(), "more");
    std::thread notifier([&] {
      while (waiters.notifyAll() == 0) sched_yield();
    });
    CHECK(waiters.wait(client.fd()) == 1);
    notifier.join();
  }
}
// [/shared-waiters-tests]

// [thread-tests]
TEST_SUITE("waiters: shared by threads") {
  TEST_CASE_FIXTURE(Bounded, "each is notified once however many there are") {
    constexpr std::size_t threads = 8;
    constexpr std::size_t rounds = 300;
    SharedWaiters waiters(threads);
    std::atomic<std::size_t> running = threads;
    std::atomic<std::size_t> heard = 0;
    std::atomic<bool> tooMany = false;
    std::vector<std::thread> readers;
    for (std::size_t i = 0; i < threads; ++i)
      readers.emplace_back([&] {
        Client client;
        for (std::size_t round = 0; round < rounds; ++round) {
          const std::size_t told = waiters.wait(client.fd());
          if (told < 1 || told > threads) tooMany = true;
          ++heard;
        }
        --running;
      });
    std::thread counter([&] {
      while (running > 0)
        if (waiters.size() > threads) tooMany = true;
    });
    std::size_t told = 0;
    while (running > 0) {
      told += waiters.notifyAll();
      sched_yield();
    }
    for (std::thread& reader : readers) reader.join();
    counter.join();
    CHECK(heard == threads * rounds);
    CHECK(told == heard);
    CHECK_FALSE(tooMany);
    CHECK(waiters.size() == 0);
  }
}
// [/thread-tests]

// [process-tests]
namespace {

constexpr int clientLeft = 99;

// A child process that waits for as long as its client is there, and ends
// with what wait() returned for its status.
pid_t waitInChild(SharedWaiters& waiters, Client& client) {
  const pid_t child = sys::check(sys::fork(), "fork");
  if (child != 0) return child;
  ::alarm(60);
  client.other = sys::Fd();  // the parent has the other end
  int told = clientLeft;
  try {
    told = static_cast<int>(waiters.wait(client.fd()));
  } catch (const std::system_error&) {
  }
  ::_exit(told);
}

// The exit status of a child, once it has ended.
int statusOf(pid_t child) {
  int status = 0;
  sys::check(sys::waitpid(child, &status, 0), "waitpid");
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void awaitSize(const SharedWaiters& waiters, std::size_t size) {
  while (waiters.size() != size) sched_yield();
}

}  // namespace

TEST_SUITE("waiters: shared by processes") {
  TEST_CASE_FIXTURE(Bounded, "children are told by their parent") {
    SharedWaiters waiters;
    Client client;
    std::vector<pid_t> children;
    for (int i = 0; i < 5; ++i)
      children.push_back(waitInChild(waiters, client));
    awaitSize(waiters, 5);
    CHECK(waiters.notifyAll() == 5);
    for (const pid_t child : children) CHECK(statusOf(child) == 5);
    CHECK(waiters.size() == 0);
  }

  TEST_CASE_FIXTURE(Bounded, "children are told by each other") {
    SharedWaiters waiters;
    Client client;
    const pid_t waiting = waitInChild(waiters, client);
    awaitSize(waiters, 1);
    const pid_t notifying = sys::check(sys::fork(), "fork");
    if (notifying == 0) {
      ::_exit(waiters.notifyAll() == 1 ? 0 : 1);
    }
    CHECK(statusOf(notifying) == 0);
    CHECK(statusOf(waiting) == 1);
  }

  TEST_CASE_FIXTURE(Bounded, "a child that is killed hinders nobody") {
    SharedWaiters waiters;
    Client client;
    const pid_t killed = waitInChild(waiters, client);
    const pid_t other = waitInChild(waiters, client);
    awaitSize(waiters, 2);
    REQUIRE(::kill(killed, SIGKILL) == 0);
    CHECK(statusOf(killed) == -SIGKILL);
#ifdef __linux__  // with robust mutexes, a killed child is not counted
    const int counted = 1;
#else
    const int counted = 2;
#endif
    CHECK(waiters.notifyAll() == counted);
    CHECK(statusOf(other) == counted);
    CHECK(waiters.size() == 0);

    const pid_t next = waitInChild(waiters, client);
    awaitSize(waiters, 1);
    CHECK(waiters.notifyAll() == 1);
    CHECK(statusOf(next) == 1);
  }

#ifdef __linux__
  TEST_CASE_FIXTURE(Bounded, "the slot of a killed child serves again") {
    SharedWaiters waiters(1);
    Client client;
    bool notified = false;
    SUBCASE("of one that waits") {}
    SUBCASE("of one that was notified") {
      notified = true;
    }
    for (int i = 0; i < 3; ++i) {
      const pid_t killed = waitInChild(waiters, client);
      awaitSize(waiters, 1);
      if (notified) {
        REQUIRE(::kill(killed, SIGSTOP) == 0);
        int status = 0;
        sys::check(sys::waitpid(killed, &status, WUNTRACED), "waitpid");
        CHECK(waiters.notifyAll() == 1);
      }
      REQUIRE(::kill(killed, SIGKILL) == 0);
      CHECK(statusOf(killed) == -SIGKILL);
      if (!notified) CHECK(waiters.size() == 0);
    }
    const pid_t next = waitInChild(waiters, client);
    awaitSize(waiters, 1);
    CHECK(waiters.notifyAll() == 1);
    CHECK(statusOf(next) == 1);
  }
#endif

#ifdef __linux__
  // A child dies while it has the table's mutex. The test gets at that in the
  // one way there is: a SharedWaiters is a pointer to its table, which begins
  // with the mutex.
  void dieWithTheMutexOf(SharedWaiters & waiters) {
    static_assert(sizeof waiters == sizeof(void*));
    auto* mutex = *reinterpret_cast<pthread_mutex_t**>(&waiters);
    const pid_t child = sys::check(sys::fork(), "fork");
    if (child == 0) ::_exit(::pthread_mutex_lock(mutex));
    CHECK(statusOf(child) == 0);
  }

  TEST_CASE_FIXTURE(Bounded, "nor does one that dies with the mutex") {
    SharedWaiters waiters;
    SUBCASE("while no request waits") {
      dieWithTheMutexOf(waiters);
      CHECK(waiters.size() == 0);
      dieWithTheMutexOf(waiters);
      CHECK(waiters.notifyAll() == 0);
    }
    SUBCASE("while a request waits") {
      Client client;
      const pid_t waiting = waitInChild(waiters, client);
      awaitSize(waiters, 1);
      dieWithTheMutexOf(waiters);
      // The child looks after its client, and is the one who finds out.
      client.leave();
      CHECK(statusOf(waiting) == clientLeft);
      CHECK(waiters.size() == 0);
    }
  }
#endif
}
// [/process-tests]
