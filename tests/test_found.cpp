// Bugs that the simulation has found, one by one: each was in the library for
// a while, and passed all tests on the real kernel. Here the simulated kernel
// leads to them in the fewest steps.

#include <doctest/doctest.h>

#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "helpers.hpp"
#include "naglfar/channel.hpp"
#include "naglfar/io.hpp"
#include "naglfar/scheduled_file.hpp"
#include "naglfar/server.hpp"
#include "naglfar/server/waiters.hpp"
#include "naglfar/sim.hpp"

using namespace naglfar;
using namespace helpers;

// [found-helpers]
namespace {

struct Simulated {
  sim::Kernel kernel{1};
};
struct SimulatedRun : Simulated, Run {};

// A signal interrupts one call: the next after what the trace calls so.
void interruptAfter(sim::Kernel& kernel, std::string_view what) {
  kernel.trace = [&kernel, what,
                  done = false](const std::string& line) mutable {
    sim::Faults faults;
    const bool now = !done && line.find(what) != line.npos;
    faults.interrupted = now ? 1 : 0;
    done = done || now;
    if (now || line.find("fault: ") != line.npos) kernel.setFaults(faults);
  };
}

}  // namespace
// [/found-helpers]

// [found-file]
// Room comes, and before the file's own job has its turn somebody sends all
// and fills the room again: the file waits by then, and must not wait twice.
TEST_CASE_FIXTURE(SimulatedRun, "found: a file waits for room once") {
  Sockets pair;
  const int peer = pair.b.get();
  ScheduledFile file(std::move(pair.a));
  std::size_t junk = fill(file.fileno());
  file.write("one");
  file.flush(false);  // the poller is in the queue, ahead of all that follow
  const auto drain = [&] { CHECK(goRead(peer, junk).size() == junk); };
  drain();
  go([&] {
    file.write("two");
    file.flush();
    junk = fill(file.fileno());
    file.write("three");
    file.flush(false);
  });
  yield();  // the poller queues the file's job, and then the other has run
  yield();  // the file's job
  CHECK(errorOf([&] {
          file.write("four");
          file.flush(false);
        }) == 0);
  CHECK(goRead(peer, 6) == "onetwo");
  drain();
  CHECK(goRead(peer, 9) == "threefour");
  file.close();
}
// [/found-file]

// [found-reuse]
// Somebody is woken by news, and before its turn its descriptor is closed and
// the number used again. It must not read what is another's.
TEST_CASE_FIXTURE(SimulatedRun,
                  "found: who was woken and closed upon is told so") {
  Sockets pair;
  const int number = pair.a.get();
  std::string got;
  int error = 0;
  go([&] { error = errorOf([&] { got = goRead(number, 4); }); });
  yield();  // it waits, and the poller is at the head of the queue
  goWrite(pair.b.get(), "1");
  std::optional<Sockets> heirs;
  go([&] {
    goClose(pair.a.release());
    heirs.emplace();
    CHECK(heirs->a.get() == number);
    goWrite(heirs->b.get(), "2222");
  });
  scheduler.run();
  CHECK(got == "");
  CHECK(error == ECANCELED);
}
// [/found-reuse]

// [found-departed]
// A client has left, the server has noticed it, and the client's request has
// not had its turn to end: the request is none of those that can be told.
TEST_CASE_FIXTURE(SimulatedRun, "found: who has left is not told") {
  Waiters waiters;
  Sockets stays;
  Sockets leaves;
  int heard = 0;
  int left = 0;
  for (const int connection : {stays.a.get(), leaves.a.get()})
    go([&, connection] {
      ++(errorOf([&] { waiters.wait(connection); }) == 0 ? heard : left);
    });
  yield();
  CHECK(waiters.size() == 2);
  leaves.b = sys::Fd();
  yield();  // the poller
  yield();  // the hang-up watch
  CHECK(waiters.size() == 1);
  CHECK(waiters.notifyAll() == 1);
  CHECK(left == 0);  // its turn is still to come
  scheduler.run();
  CHECK(heard == 1);
  CHECK(left == 1);
}
// [/found-departed]

// [found-interrupted]
#ifdef NAGLFAR_EPOLL  // select(2) has no edges
// A signal interrupts the look at a client that has left. The edge that told
// of it is gone: to wait for another is to wait for ever.
TEST_CASE_FIXTURE(SimulatedRun,
                  "found: a look that is interrupted is made again") {
  Sockets pair;
  int gone = 0;
  const HangupWatch watch(pair.a.get(), [&] { ++gone; });
  pair.b = sys::Fd();
  interruptAfter(kernel, "event at");
  scheduler.run();  // Stuck, if it waits for another
  CHECK(kernel.faultsShown() == 1);
  CHECK(gone == 1);
}
#endif

// The second connect(2), which asks how the first went on, may say EINTR, as
// any other.
TEST_CASE_FIXTURE(SimulatedRun, "found: each connect may be interrupted") {
  const sys::Fd listener(
      sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
  sys::Address address;
  sys::check(sys::bind(listener.get(), sys::Address("localhost", 0)), "bind");
  sys::check(sys::listen(listener.get(), 4), "listen");
  sys::check(sys::localAddress(listener.get(), address), "getsockname");
  const sys::Fd client(
      sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
  SUBCASE("the first") {
    interruptAfter(kernel, "now");
    kernel.trace("now");
  }
  SUBCASE("the second") {
    interruptAfter(kernel, "in progress");
  }
  CHECK(errorOf([&] { goConnect(client.get(), address); }) == 0);
  CHECK(kernel.faultsShown() == 1);
  sys::Address from;
  CHECK(goAccept(listener.get(), from));
}
// [/found-interrupted]

// [found-shutdown]
// A plain server waits for connections and for the byte of shutdown(). News
// of that byte may be in vain.
TEST_CASE("found: readiness in vain is no shutdown") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    sim::Kernel kernel(seed);
    Scheduler scheduler;
    TCPServer server(sys::Address("localhost", 0),
                     [](ScheduledFile& request, const sys::Address&,
                        TCPServer&) { request.write("served"); });
    ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
    kernel.setFaults({.againInVain = 0.5, .readyInVain = 0.5});
    CHECK(server.handle_request());
    kernel.setFaults({});
    CHECK(client.read() == "served");
    server.shutdown();
    CHECK_FALSE(server.handle_request());
  }
}

// All others wait when the byte of shutdown() is there already. The scheduler
// looks for it before it calls that a deadlock, and a signal, or news that
// concerns nobody, may come first.
TEST_CASE("found: the look before a deadlock sees what is there") {
  struct Told final : Job {
    Told(int pipe, Channel<std::string>& told) : fd(pipe), channel(told) {
      waiter.unref = true;
      Scheduler::current().watch(fd, Interest::read, waiter);
    }
    void run() override {
      char byte = 0;
      while (sys::read(fd, &byte, 1) != 1)
        if (errno == EAGAIN)
          return Scheduler::current().watch(fd, Interest::read, waiter);
      channel.write("told");
    }
    int fd;
    Channel<std::string>& channel;
    Waiter waiter{*this};
  };
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    sim::Kernel kernel(seed);
    Scheduler scheduler;
    const Sockets ofOthers;
    const Sockets pair;
    Channel<std::string> channel;
    Told job(pair.a.get(), channel);
    std::string got;
    go([&] { got = channel.read(); });
    go([&] { goWrite(pair.b.get(), "!"); });
    kernel.setFaults({.interrupted = 0.8, .readyInVain = 0.8});
    CHECK_NOTHROW(scheduler.run());
    CHECK(got == "told");
  }
}

// Nor does a signal keep the byte from whoever waits in another process.
TEST_CASE_FIXTURE(SimulatedRun, "found: shutdown writes its byte") {
  TCPServer server(sys::Address("localhost", 0),
                   [](ScheduledFile&, const sys::Address&, TCPServer&) {});
  interruptAfter(kernel, "now");
  kernel.trace("now");
  const std::uint64_t before = ledger[Call::write];
  server.shutdown();
  CHECK(kernel.faultsShown() == 1);
  CHECK(ledger[Call::write] - before == 2);
}
// [/found-shutdown]
