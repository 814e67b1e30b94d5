// Tests of the waiting requests: nobody is told twice or not at all, and who
// has left is not waited for. First for one thread, then for many, then for
// processes.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
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
  void leave() { goClose(other.release()); }
  int fd() const { return connection.get(); }
  sys::Fd connection;
  sys::Fd other;
};

}  // namespace
// [/test-helpers]

// [waiters-tests]
TEST_SUITE("waiters: in one thread") {
  TEST_CASE_FIXTURE(Run, "they are told in the order in which they came") {
    Waiters waiters;
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<int> got(5);
    for (int& message : got) {
      clients.push_back(std::make_unique<Client>());
      go([&waiters, &message, fd = clients.back()->fd()] {
        auto c = waiters.channel(fd);
        const auto place = waiters.append(c);
        message = c.read();
      });
    }
    yield();
    CHECK(waiters.size() == 5);
    int message = 10;
    for (auto& c : waiters.takeAll()) c.write(message++);
    scheduler.run();
    CHECK(got == std::vector<int>{10, 11, 12, 13, 14});
  }

  TEST_CASE_FIXTURE(Run, "takeAll empties the list in one step") {
    Waiters waiters;
    Client early;
    Client late;
    auto first = waiters.channel(early.fd());
    const auto firstPlace = waiters.append(first);
    auto told = waiters.takeAll();
    CHECK(told.size() == 1);
    CHECK(waiters.size() == 0);
    auto second = waiters.channel(late.fd());
    const auto secondPlace = waiters.append(second);
    CHECK(waiters.size() == 1);
    told[0].write(1);
    CHECK(first.read() == 1);
    CHECK(waiters.size() == 1);
    for (auto& c : waiters.takeAll()) c.write(2);
    CHECK(second.read() == 2);
  }

  TEST_CASE_FIXTURE(Run, "a place in a list that was emptied is left once") {
    Waiters waiters;
    Client client;
    auto c = waiters.channel(client.fd());
    {
      const auto place = waiters.append(c);
      CHECK(waiters.takeAll().size() == 1);
    }
    CHECK(waiters.size() == 0);
  }

  // As a stream of events does: each time it is told, it waits again.
  TEST_CASE_FIXTURE(Run, "who was told may wait again") {
    Waiters waiters;
    waiters.noticeDepartures = false;
    Client a;
    Client b;
    auto stream = waiters.channel(a.fd());
    for (int round = 0; round < 3; ++round) {
      auto once = waiters.channel(b.fd());
      const auto place = waiters.append(stream);
      const auto behind = waiters.append(once);
      CHECK(waiters.size() == 2);
      for (auto& channel : waiters.takeAll()) channel.write(round);
      CHECK(stream.read() == round);
      CHECK(once.read() == round);
      const auto alone = waiters.append(stream);
      CHECK(waiters.takeAll().size() == 1);
    }
  }

  TEST_CASE_FIXTURE(Run, "a place is left when it goes") {
    Waiters waiters;
    Client a;
    Client b;
    auto c = waiters.channel(a.fd());
    auto d = waiters.channel(b.fd());
    {
      const auto place = waiters.append(c);
      const auto behind = waiters.append(d);
      CHECK(waiters.size() == 2);
    }
    CHECK(waiters.size() == 0);
    CHECK(waiters.takeAll().empty());
  }

  TEST_CASE_FIXTURE(Run, "defect 4: a client that leaves is noticed") {
    Waiters waiters;
    Client client;
    int error = 0;
    go([&] {
      auto c = waiters.channel(client.fd());
      const auto place = waiters.append(c);
      error = errorOf([&] { c.read(); });
    });
    yield();
    CHECK(waiters.size() == 1);
    client.leave();
    scheduler.run();
    CHECK(error == ECONNRESET);
    CHECK(waiters.size() == 0);
  }

  TEST_CASE_FIXTURE(Run, "without noticeDepartures nobody is watched") {
    Waiters waiters;
    waiters.noticeDepartures = false;
    Client client;
    int got = 0;
    const Ledger before = ledger;
    go([&] {
      auto c = waiters.channel(client.fd());
      const auto place = waiters.append(c);
      got = c.read();
    });
    yield();
    client.leave();
    yield();
    CHECK(waiters.size() == 1);
    for (const Call call : {Call::epoll_ctl, Call::kevent, Call::select})
      CHECK(ledger[call] == before[call]);
    for (auto& c : waiters.takeAll()) c.write(6);
    scheduler.run();
    CHECK(got == 6);
  }

  TEST_CASE_FIXTURE(Run,
                    "who leaves after takeAll is not told and no error") {
    Waiters waiters;
    Client client;
    int error = 0;
    go([&] {
      auto c = waiters.channel(client.fd());
      const auto place = waiters.append(c);
      error = errorOf([&] { c.read(); });
    });
    yield();
    auto told = waiters.takeAll();
    client.leave();
    scheduler.run();
    CHECK(error == ECONNRESET);
    CHECK(errorOf([&] { told.at(0).write(1); }) == 0);
  }

  // Its channel is closed and it stands in the queue, behind who notifies.
  TEST_CASE_FIXTURE(Run, "who has left is not told before its turn") {
    Waiters waiters;
    Client client;
    int error = 0;
    Job* waits = nullptr;
    go([&] {
      waits = &Scheduler::current().self();
      auto c = waiters.channel(client.fd());
      const auto place = waiters.append(c);
      error = errorOf([&] { c.read(); });
    });
    yield();
    client.leave();
    while (!waits->queued()) yield();
    CHECK(waiters.size() == 1);
    CHECK(waiters.takeAll().empty());
    scheduler.run();
    CHECK(error == ECONNRESET);
  }

  TEST_CASE_FIXTURE(Run, "a message that came before the end is read") {
    Waiters waiters;
    Client client;
    int got = 0;
    go([&] {
      auto c = waiters.channel(client.fd());
      const auto place = waiters.append(c);
      got = c.read();
    });
    yield();
    for (auto& c : waiters.takeAll()) c.write(5);
    client.leave();
    scheduler.run();
    CHECK(got == 5);
  }

  TEST_CASE_FIXTURE(Run, "a message is whatever can be moved") {
    BasicWaiters<std::unique_ptr<std::string>> waiters;
    Client client;
    std::string got;
    go([&] {
      auto c = waiters.channel(client.fd());
      const auto place = waiters.append(c);
      got = *c.read();
    });
    yield();
    for (auto& c : waiters.takeAll())
      c.write(std::make_unique<std::string>("a letter"));
    scheduler.run();
    CHECK(got == "a letter");
  }

  TEST_CASE_FIXTURE(Run, "a list may go before its places") {
    auto waiters = std::make_unique<Waiters>();
    Client a;
    Client b;
    auto c = waiters->channel(a.fd());
    auto d = waiters->channel(b.fd());
    const auto place = waiters->append(c);
    const auto behind = waiters->append(d);
    waiters.reset();
  }

  // Who notifies may hold a channel longer than its request lives. By then
  // the number of its descriptor belongs to somebody else.
  TEST_CASE_FIXTURE(Run,
                    "a channel that outlives its request disturbs nobody") {
    Waiters waiters;
    auto client = std::make_unique<Client>();
    std::vector<Waiters::Channel> told;
    {
      auto c = waiters.channel(client->fd());
      const auto place = waiters.append(c);
      told = waiters.takeAll();
      told.at(0).write(1);
      CHECK(c.read() == 1);
    }
    const int number = client->fd();
    goClose(client->connection.release());
    Client next;
    REQUIRE(next.fd() == number);
    std::string got;
    go([&] { got = goRead(next.fd(), 1); });
    yield();
    told.clear();
    goWrite(next.other.get(), "x");
    scheduler.run();
    CHECK(got == "x");
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

// A waiting request and its client, all in one thread.
struct Waiting {
  explicit Waiting(SharedWaiters& waiters)
      : channel(waiters.channel(client.fd())),
        place(waiters.append(channel)) {}
  Client client;
  SharedWaiters::Channel channel;
  SharedWaiters::Place place;
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
  TEST_CASE_FIXTURE(Bounded, "listed then taken then told then free") {
    SharedWaiters waiters(3);
    CHECK(waiters.size() == 0);
    for (int round = 0; round < 5; ++round) {
      Waiting a(waiters);
      Waiting b(waiters);
      Waiting c(waiters);
      CHECK(waiters.size() == 3);
      auto told = waiters.takeAll();
      CHECK(told.size() == 3);
      CHECK(waiters.size() == 0);
      CHECK(waiters.takeAll().empty());
      int message = 10;
      for (auto& channel : told) channel.write(message++);
      CHECK(a.channel.read() + b.channel.read() + c.channel.read() ==
            10 + 11 + 12);
    }
    CHECK(waiters.size() == 0);
  }

  TEST_CASE_FIXTURE(Bounded, "more than the capacity is an error") {
    SharedWaiters waiters(2);
    Client client;
    std::optional<SharedWaiters::Channel> first(waiters.channel(client.fd()));
    const auto second = waiters.channel(client.fd());
    CHECK(errorOf([&] { waiters.channel(client.fd()); }) == ENOSPC);
    CHECK(errorOf([&] { waiters.channel(client.fd()); }) == ENOSPC);
    first.reset();
    const auto third = waiters.channel(client.fd());
    CHECK(errorOf([&] { waiters.channel(client.fd()); }) == ENOSPC);
  }

  TEST_CASE_FIXTURE(Bounded, "a capacity that no memory has is an error") {
    CHECK(errorOf([] { SharedWaiters(SIZE_MAX); }) == ENOMEM);
  }

  TEST_CASE_FIXTURE(Bounded,
                    "the second message to a channel is for nobody") {
    SharedWaiters waiters(1);
    Waiting waiting(waiters);
    auto told = waiters.takeAll();
    told[0].write(1);
    told[0].write(2);
    CHECK(waiting.channel.read() == 1);
  }

  // It is never looked whether the client is there, and so never in a hurry.
  TEST_CASE_FIXTURE(Bounded, "time between two looks has no largest value") {
    SharedWaiters waiters(1, true, sys::Duration::max());
    std::atomic<int> read = 0;
    std::thread thread([&] {
      Waiting waiting(waiters);
      read = waiting.channel.read();
    });
    while (waiters.size() == 0) std::this_thread::yield();
    for (auto& channel : waiters.takeAll()) channel.write(7);
    thread.join();
    CHECK(read == 7);
  }

  TEST_CASE_FIXTURE(Bounded, "a channel that is moved stays one channel") {
    SharedWaiters waiters(1);
    Client client;
    {
      auto first = waiters.channel(client.fd());
      const auto second(std::move(first));
      CHECK(errorOf([&] { waiters.channel(client.fd()); }) == ENOSPC);
    }
    const auto third = waiters.channel(client.fd());
  }

  TEST_CASE_FIXTURE(Bounded, "who leaves before takeAll is not in it") {
    SharedWaiters waiters(1);
    { Waiting gone(waiters); }
    CHECK(waiters.size() == 0);
    CHECK(waiters.takeAll().empty());
    const Waiting next(waiters);  // the slot is free
    CHECK(waiters.size() == 1);
  }

  // The next request has the same slot of the table.
  TEST_CASE_FIXTURE(Bounded,
                    "a message for a client that left does not reach the "
                    "next one") {
    SharedWaiters waiters(1);
    auto waiting = std::make_unique<Waiting>(waiters);
    auto late = waiters.takeAll();
    waiting.reset();
    CHECK(waiters.size() == 0);
    Waiting next(waiters);
    SUBCASE("that waits") {}
    SUBCASE("that another request is about to notify") {
      auto current = waiters.takeAll();
      late.at(0).write(1);
      late.clear();
      CHECK(waiters.size() == 0);
      current.at(0).write(2);
      CHECK(next.channel.read() == 2);
      return;
    }
    late.at(0).write(1);
    late.clear();
    CHECK(waiters.size() == 1);
    for (auto& channel : waiters.takeAll()) channel.write(2);
    CHECK(next.channel.read() == 2);
  }

  TEST_CASE_FIXTURE(Bounded,
                    "a notifying request that fails tells nobody and "
                    "the next tells all") {
    SharedWaiters waiters(2);
    Waiting a(waiters);
    Waiting b(waiters);
    {
      auto failing = waiters.takeAll();
      failing.at(0).write(1);
    }
    CHECK(waiters.size() == 1);
    for (auto& channel : waiters.takeAll()) channel.write(1);
    CHECK(a.channel.read() + b.channel.read() == 2);
    CHECK(waiters.size() == 0);
  }

  // Between leaving its place and giving its channel back.
  TEST_CASE_FIXTURE(Bounded, "a request that goes while another fails") {
    SharedWaiters waiters(1);
    Client client;
    {
      auto channel = waiters.channel(client.fd());
      std::vector<SharedWaiters::Channel> failing;
      {
        const auto place = waiters.append(channel);
        failing = waiters.takeAll();
      }
      failing.clear();
    }
    CHECK(waiters.size() == 0);
    CHECK(waiters.takeAll().empty());
  }

  TEST_CASE_FIXTURE(Bounded, "defect 4: read ends when the client has left") {
    SharedWaiters waiters(1);
    Waiting waiting(waiters);
    waiting.client.other = sys::Fd();
    CHECK(errorOf([&] { waiting.channel.read(); }) == ECONNRESET);
  }

  // It looks, over and over, and there is the client. Who has spent 5 ms of
  // processor time has looked, however busy the machine is.
  TEST_CASE_FIXTURE(Bounded, "a look in vain is no message") {
    SharedWaiters waiters(1, true, sys::Duration::zero());
    Waiting waiting(waiters);
    const ClosedAfter leaves(waiting.client.other.release(), 5'000);
    CHECK(errorOf([&] { waiting.channel.read(); }) == ECONNRESET);
  }

  TEST_CASE_FIXTURE(Bounded, "data from the client does not end it") {
    SharedWaiters waiters(1);
    Waiting waiting(waiters);
    goWrite(waiting.client.other.get(), "more");
    std::thread notifier([&] {
      for (auto& channel : waiters.takeAll()) channel.write(3);
    });
    CHECK(waiting.channel.read() == 3);
    notifier.join();
  }
}
// [/shared-waiters-tests]

// [thread-tests]
TEST_SUITE("waiters: shared by threads") {
  TEST_CASE_FIXTURE(Bounded, "each is told once however many there are") {
    constexpr int threads = 8;
    constexpr int rounds = 300;
    SharedWaiters waiters(threads + 1);
    std::atomic<int> running = threads;
    std::atomic<long> read = 0;
    std::vector<std::thread> readers;
    for (int i = 0; i < threads; ++i)
      readers.emplace_back([&, i] {
        Client client;
        for (int round = 0; round < rounds; ++round) {
          auto c = waiters.channel(client.fd());
          const auto place = waiters.append(c);
          // Some leave at once, listed or taken.
          if ((round + i) % 5 != 0) read += c.read();
        }
        --running;
      });
    std::atomic<bool> tooMany = false;
    std::thread counter([&] {
      while (running > 0)
        if (waiters.size() > threads) tooMany = true;
    });
    long written = 0;
    while (running > 0) {
      for (auto& channel : waiters.takeAll()) {
        channel.write(1);
        ++written;
      }
      sched_yield();
    }
    for (std::thread& reader : readers) reader.join();
    counter.join();
    const long abandoned = written - read;
    CHECK(read == threads * rounds * 4 / 5);
    CHECK(abandoned >= 0);
    CHECK(abandoned <= threads * rounds / 5);
    CHECK_FALSE(tooMany);
    CHECK(waiters.size() == 0);
    // No slot is lost.
    std::vector<SharedWaiters::Channel> all;
    for (int i = 0; i <= threads; ++i) all.push_back(waiters.channel(0));
  }
}
// [/thread-tests]

// [process-tests]
namespace {

constexpr int clientLeft = 99;

// A child process that waits for as long as its client is there, and ends
// with the message for its status.
pid_t waitInChild(SharedWaiters& waiters, Client& client) {
  const pid_t child = sys::check(sys::fork(), "fork");
  if (child != 0) return child;
  ::alarm(60);
  client.other = sys::Fd();  // the parent has the other end
  int message = clientLeft;
  try {
    auto c = waiters.channel(client.fd());
    const auto place = waiters.append(c);
    message = c.read();
  } catch (const std::system_error&) {
  }
  ::_exit(message);
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
    for (auto& channel : waiters.takeAll()) channel.write(42);
    for (const pid_t child : children) CHECK(statusOf(child) == 42);
    CHECK(waiters.size() == 0);
  }

  TEST_CASE_FIXTURE(Bounded, "children are told by each other") {
    SharedWaiters waiters;
    Client client;
    const pid_t waiting = waitInChild(waiters, client);
    awaitSize(waiters, 1);
    const pid_t notifying = sys::check(sys::fork(), "fork");
    if (notifying == 0) {
      for (auto& channel : waiters.takeAll()) channel.write(7);
      ::_exit(0);
    }
    CHECK(statusOf(notifying) == 0);
    CHECK(statusOf(waiting) == 7);
  }

  TEST_CASE_FIXTURE(Bounded, "a child that is killed hinders nobody") {
    SharedWaiters waiters;
    Client client;
    const pid_t killed = waitInChild(waiters, client);
    const pid_t other = waitInChild(waiters, client);
    awaitSize(waiters, 2);
    REQUIRE(::kill(killed, SIGKILL) == 0);
    CHECK(statusOf(killed) == -SIGKILL);
    for (auto& channel : waiters.takeAll()) channel.write(3);
    CHECK(statusOf(other) == 3);
    CHECK(waiters.size() == 0);

    const pid_t next = waitInChild(waiters, client);
    awaitSize(waiters, 1);
    for (auto& channel : waiters.takeAll()) channel.write(4);
    CHECK(statusOf(next) == 4);
  }

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
    SUBCASE("while nobody waits") {
      Waiting waiting(waiters);
      dieWithTheMutexOf(waiters);
      CHECK(waiters.size() == 1);
      dieWithTheMutexOf(waiters);
      for (auto& channel : waiters.takeAll()) channel.write(1);
      CHECK(waiting.channel.read() == 1);
    }
    SUBCASE("while somebody waits") {
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
