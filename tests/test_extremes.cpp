// Arguments at their ends. A length of time, a deadline, a size, an offset or
// a count that is 0, less than 0 or the largest that there is has a meaning,
// or is an error with a name: the same in each build.

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "helpers.hpp"
#include "naglfar/http.hpp"
#include "naglfar/mixins.hpp"

using namespace naglfar;
using namespace helpers;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t largest = std::numeric_limits<std::size_t>::max();

// A listening socket.
struct Listener {
  Listener() {
    sys::check(sys::bind(fd.get(), sys::Address("localhost", 0)), "bind");
    sys::check(sys::listen(fd.get(), 5), "listen");
    sys::check(sys::localAddress(fd.get(), address), "getsockname");
  }
  sys::Fd fd{sys::check(sys::socket(sys::Mode::nonblocking), "socket")};
  sys::Address address;
};

// Calls a function with the greatest and the least length of each unit, and
// with what is just past nanoseconds.
template <class Function>
void eachExtreme(Function function) {
  const auto unit = [&]<class Length>(Length) {
    function(Length::max(), true);
    function(Length::min(), false);
  };
  using Real = std::chrono::duration<double>;
  unit(std::chrono::nanoseconds());
  unit(std::chrono::microseconds());
  unit(std::chrono::milliseconds());
  unit(std::chrono::seconds());
  unit(std::chrono::minutes());
  unit(std::chrono::hours());
  unit(std::chrono::days());
  unit(std::chrono::years());
  function(Real::max(), true);
  function(Real::min(), false);
  function(Real(std::numeric_limits<double>::infinity()), true);
  function(std::chrono::years(293), true);
  function(-std::chrono::years(293), false);
}

}  // namespace

TEST_SUITE("extremes: time") {
  TEST_CASE("a length of time saturates in every unit") {
    eachExtreme([](auto length, bool positive) {
      CHECK(sys::Duration(length) ==
            (positive ? sys::Duration::max() : sys::Duration::min()));
    });
    CHECK(sys::Duration(1s) == 1'000'000'000ns);
    CHECK(sys::Duration(-1s) == -1'000'000'000ns);
    CHECK(sys::Duration(std::chrono::years(292)) ==
          std::chrono::nanoseconds(std::chrono::years(292)));
    CHECK(sys::Duration(std::chrono::duration<double>(1.5)) == 1500ms);
    CHECK(sys::Duration() == 0s);
  }

  TEST_CASE("after is never for what is too long, and past for the least") {
    eachExtreme([](auto length, bool positive) {
      const Deadline now = sys::now();
      CHECK((after(length) == never) == positive);
      CHECK((after(length) < now) == !positive);
    });
    const Deadline now = after(0s);
    const Deadline past = after(-1s);
    CHECK(now <= sys::now());
    CHECK(past < now);
  }

  // Each call that takes a deadline, or a length of time. A deadline that has
  // passed ends the wait, and one that never comes does not.
  TEST_CASE_FIXTURE(Run, "every wait takes every deadline") {
    using Wait = void (*)(Deadline);
    const Wait waits[] = {
        [](Deadline d) { Channel<int>().next(d); },
        [](Deadline d) { Channel<int>().read(d); },
        [](Deadline d) { Channel<int>().wait(d); },
        [](Deadline d) { Channel<int>(0).write(1, d); },
        [](Deadline d) {
          Channel<int> full(1);
          full.write(0);
          full.write(1, d);
        },
        [](Deadline d) { go([] { naglfar::sleep(1h); }).join(d); },
        [](Deadline d) {
          TaskGroup group;
          group.go([] { naglfar::sleep(1h); });
          group.wait(d);
        },
        [](Deadline d) {
          WaitQueue queue;
          WaitQueue::Entry(queue).wait("nothing", d);
        },
        [](Deadline d) {
          Sockets pair;
          char byte;
          goReadSome(pair.a.get(), {&byte, 1}, d);
        },
        [](Deadline d) {
          Sockets pair;
          goWait(pair.a.get(), Interest::read, d);
        },
        [](Deadline d) {
          Sockets pair;
          fill(pair.a.get());
          goWrite(pair.a.get(), "x", d);
        },
        [](Deadline d) {
          Listener listener;
          sys::Address client;
          goAccept(listener.fd.get(), client, sys::Mode::nonblocking, d);
        },
        [](Deadline d) {
          Sockets pair;
          ScheduledFile file(std::move(pair.a));
          file.deadline = d;
          file.readline();
        }};
    for (const Wait& wait : waits) {
      CAPTURE(&wait - waits);
      for (const Deadline past :
           {Deadline::min(), Deadline(), sys::now() - 1ns, after(-1h),
            after(0s), after(sys::Duration::min())}) {
        CHECK(errorOf([&] { wait(past); }) == ETIMEDOUT);
      }
      for (const Deadline late :
           {never, after(sys::Duration::max()), never - 1ns,
            after(std::chrono::hours::max())}) {
        bool ended = false;
        Task task = go([&] {
          errorOf([&] { wait(late); });
          ended = true;
        });
        for (int i = 0; i < 5; ++i) yield();
        CHECK_FALSE(ended);
        task.cancel();
      }
    }
  }

  TEST_CASE_FIXTURE(Run, "every sleep ends at once or never") {
    eachExtreme([](auto length, bool positive) {
      Task task = go([=] { naglfar::sleep(length); });
      for (int i = 0; i < 5; ++i) yield();
      CHECK(task.done() == !positive);
      task.cancel();
    });
    naglfar::sleep(0s);
    naglfar::sleep(-1s);
  }

  TEST_CASE_FIXTURE(Run, "a time-out of a file and of a server saturates") {
    eachExtreme([](auto length, bool positive) {
      Sockets pair;
      ScheduledFile file(std::move(pair.a));
      file.timeout = length;
      int error = 0;
      Task task = go([&] { error = errorOf([&] { file.readline(); }); });
      for (int i = 0; i < 5; ++i) yield();
      CHECK(task.done() == !positive);
      CHECK(error == (positive ? 0 : ETIMEDOUT));
      task.cancel();
    });
    ScheduledMixIn<HTTPServer> server(sys::Address("localhost", 0),
                                      handlerFor<BaseHTTPRequestHandler>);
    server.gracePeriod = std::chrono::hours::max();
    CHECK(server.gracePeriod == sys::Duration::max());
  }
}

TEST_SUITE("extremes: sizes") {
  TEST_CASE_FIXTURE(Run, "reading everything takes what there is") {
    Sockets pair;
    goWrite(pair.b.get(), "all of it");
    pair.b = sys::Fd();
    CHECK(goRead(pair.a.get(), 0) == "");
    CHECK(goRead(pair.a.get(), 1) == "a");
    CHECK(goRead(pair.a.get(), unlimited) == "ll of it");
    CHECK(goRead(pair.a.get(), largest - 1) == "");
    char byte;
    CHECK(errorOf([&] { goReadSome(pair.a.get(), {&byte, 0}); }) == EINVAL);
  }

  // What a peer has announced is not what it has sent.
  TEST_CASE_FIXTURE(Run, "reading takes memory for what has come") {
    Sockets pair;
    goWrite(pair.b.get(), "little");
    pair.b = sys::Fd();
    const std::string text = goRead(pair.a.get(), std::size_t{1} << 40);
    CHECK(text == "little");
    CHECK(text.capacity() <= 65536);
  }

  TEST_CASE_FIXTURE(Run, "writing nothing is an error, or nothing") {
    Sockets pair;
    CHECK(errorOf([&] { tryWrite(pair.a.get(), ""); }) == EINVAL);
    CHECK(goWrite(pair.a.get(), "") == 0);
  }

  TEST_CASE_FIXTURE(Run, "a part of a file ends with the file") {
    const TempFile file("content");
    Sockets pair;
    const int to = pair.a.get();
    CHECK(goSendfile(file.fd(), to, 0, 0) == 0);
    CHECK(goSendfile(file.fd(), to, 0, unlimited) == 7);
    CHECK(goSendfile(file.fd(), to, 3, largest - 1) == 4);
    CHECK(goSendfile(file.fd(), to, 7, 1) == 0);
    constexpr off_t end = std::numeric_limits<off_t>::max();
    CHECK(errorOf([&] { goSendfile(file.fd(), to, -1, 1); }) == EINVAL);
    const int far = errorOf([&] { goSendfile(file.fd(), to, end, 1); });
    CHECK((far == 0 || far == EINVAL || far == EOVERFLOW));
    CHECK(goRead(pair.b.get(), 11) == "contenttent");
  }

  TEST_CASE_FIXTURE(Run, "a file reads and writes at the ends") {
    Sockets pair;
    ScheduledFile a(std::move(pair.a));
    ScheduledFile b(std::move(pair.b));
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, largest}) {
      a.bufferSize = size;
      a.write("a line\n");
      a.write("");
      a.flush();
      CHECK(b.readline(0) == "");
      CHECK(b.readline(1) == "a");
      CHECK(b.readline(largest) == " line\n");
    }
    CHECK_THROWS_AS(b.readline(1, ""), std::invalid_argument);
    CHECK(b.read(0) == "");
    a.close();
    CHECK(b.read(largest) == "");
    for (const std::size_t most : {std::size_t{0}, largest}) {
      Sockets more;
      ScheduledFile file(std::move(more.a));
      more.b = sys::Fd();
      file.lingeringClose(std::chrono::hours::max(), most);
      CHECK(file.fileno() == -1);
    }
    Sockets more;
    ScheduledFile file(std::move(more.a));
    file.lingeringClose(-1h, largest);
    CHECK(file.fileno() == -1);
  }

  TEST_CASE_FIXTURE(Run, "a channel has any limit") {
    for (const std::size_t limit :
         {std::size_t{0}, std::size_t{1}, largest}) {
      Channel<int> channel(limit);
      std::vector<int> read;
      Task reader = go([&] {
        for (const int message : channel) read.push_back(message);
      });
      for (int i = 0; i < 3; ++i) channel.write(i);
      channel.close();
      reader.join();
      CHECK(read == std::vector{0, 1, 2});
    }
  }

  TEST_CASE("waiters of other processes have any capacity or say why not") {
    Sockets pair;
    SharedWaiters none(0);
    CHECK(errorOf([&] { none.wait(pair.a.get()); }) == ENOSPC);
    CHECK(none.notifyAll() == 0);
    CHECK(errorOf([] { const SharedWaiters all(unlimited); }) == ENOMEM);
    CHECK(errorOf([] { const SharedWaiters all(largest / 64); }) == ENOMEM);
  }

  TEST_CASE_FIXTURE(Run, "a server listens with any backlog") {
    for (const int backlog : {0, -1, std::numeric_limits<int>::max(),
                              std::numeric_limits<int>::min()}) {
      ScheduledMixIn<TCPServer> server(
          sys::Address("localhost", 0),
          [](ScheduledFile& request, const sys::Address&, TCPServer&) {
            request.write("hello");
          },
          backlog);
      Task task = go([&] { server.serve_forever(); });
      ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
      CHECK(client.read() == "hello");
      server.shutdown();
      task.join();
    }
  }
}

namespace {

// Changes one setting of its own, reads the body, and answers with its size.
struct Handler : BaseHTTPRequestHandler {
  Handler(ScheduledFile& request, const sys::Address& client,
          TCPServer& accepted_by)
      : BaseHTTPRequestHandler(request, client, accepted_by) {
    protocol_version = "HTTP/1.1";
    change(*this);
  }
  void do_POST() override {
    const std::string body = std::to_string(rfile.read().size());
    send_response(200);
    send_header("Content-Length", std::to_string(body.size()));
    end_headers();
    wfile.write(body);
  }
  void log_message(std::string_view) override {}
  static inline std::function<void(Handler&)> change;
};

// What a client gets that has sent two requests before the server looks.
std::string statuses() {
  ScheduledMixIn<HTTPServer> server(sys::Address("localhost", 0),
                                    handlerFor<Handler>);
  Task task = go([&] { server.serve_forever(); });
  ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
  const std::string post = "POST / HTTP/1.1\r\nHost: a\r\n";
  client.write(post + "Content-Length: 3\r\n\r\nabc" + post +
               "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
               "3\r\nabc\r\n0\r\n\r\n");
  const std::string answers = client.read();
  std::string found;
  for (std::size_t at = 0;
       (at = answers.find("HTTP/1.1 ", at)) != answers.npos; ++at)
    found += answers.substr(at + 9, 3) + " ";
  client.close();
  server.server_close();
  task.join();
  return found;
}

}  // namespace

TEST_SUITE("extremes: settings of a handler") {
  // The requests are there already, so no time is too short for them.
  TEST_CASE_FIXTURE(Run, "each time has its least and its greatest") {
    using Time = sys::Duration Handler::*;
    for (const Time time :
         {&Handler::headerTimeout, &Handler::timeout,
          &Handler::keepAliveTimeout, &Handler::lingerTimeout})
      for (const sys::Duration length :
           {sys::Duration::min(), sys::Duration(), sys::Duration::max()}) {
        Handler::change = [=](Handler& h) { h.*time = length; };
        CHECK(statuses() == "200 200 ");
      }
  }

  TEST_CASE_FIXTURE(Run, "each limit allows nothing, or anything") {
    struct {
      const char* name;
      std::size_t& (*of)(Handler&);
      const char* ofNone;  // the answers with a limit of 0
    } const limits[] = {
        {"maxHead", [](Handler & h) -> auto& {return h.maxHead;
  }
  , "414 "
}
, {"maxHeaders", [](Handler& h) -> auto& {return h.maxHeaders;
}
, "431 "
}
, {"limit", [](Handler& h) -> auto& {return h.rfile.limit;
}
, "413 "
}
, {"lingerLimit", [](Handler& h) -> auto& {return h.lingerLimit;
}
, "200 200 "
}
, {
  "bufferSize", [](Handler & h) -> auto& {
    return h.connection.bufferSize;
  }
  , "200 200 "
}
}
;
for (const auto& limit : limits)
  for (const std::size_t most : {std::size_t{0}, largest - 1, largest}) {
    CAPTURE(limit.name);
    CAPTURE(most);
    Handler::change = [&](Handler& h) { limit.of(h) = most; };
    CHECK(statuses() == (most == 0 ? limit.ofNone : "200 200 "));
  }
}

// What the server drops stays little, whatever a body may have.
TEST_CASE_FIXTURE(Run, "a chunk of any size is not dropped unlimited") {
  struct Ignoring : Handler {
    using Handler::Handler;
    void do_POST() override { send_response(204), end_headers(); }
  };
  Handler::change = [](Handler& h) { h.rfile.limit = unlimited; };
  for (const std::string first : {"", "1\r\nx\r\n", "2\r\nxy\r\n"})
    for (const std::string size :
         {"ffffffffffffffff", "fffffffffffffffe", "fffffffffffffffd"}) {
      CAPTURE(first + size);
      Sockets pair;
      ScheduledFile request(std::move(pair.b));
      goWrite(pair.a.get(),
              "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
              "chunked\r\n\r\n" +
                  first + size + "\r\n");
      TCPServer server(sys::Address("localhost", 0), nullptr);
      Ignoring handler(request, sys::Address(), server);
      Task task = go([&] { handler.handle_one_request(); });
      for (int i = 0; i < 5; ++i) yield();
      CHECK(task.done());  // it waits for no more
      CHECK(handler.close_connection);
      task.cancel();
    }
}
}

TEST_SUITE("extremes: descriptors") {
  // Less than 0, or so large that a table up to there would be too much.
  TEST_CASE_FIXTURE(Run, "no descriptor is EBADF to every call") {
    const TempFile file("x");
    const sys::Address address("localhost", 1);
    // A table up to the last would take 240 MiB.
    for (const int fd :
         {-1, -2, std::numeric_limits<int>::min(), 4'000'000}) {
      CAPTURE(fd);
      char byte;
      sys::Address client;
      CHECK(errorOf([&] { goReadSome(fd, {&byte, 1}); }) == EBADF);
      CHECK(errorOf([&] { goRead(fd, 1); }) == EBADF);
      CHECK(errorOf([&] { goWrite(fd, "x"); }) == EBADF);
      CHECK(errorOf([&] { tryWrite(fd, "x"); }) == EBADF);
      CHECK(errorOf([&] { tryWrite(fd, "x", true); }) == EBADF);
      CHECK(errorOf([&] { goSendfile(file.fd(), fd, 0, 1); }) == EBADF);
      CHECK(errorOf([&] { goSendfile(fd, file.fd(), 0, 1); }) == EBADF);
      CHECK(errorOf([&] { goAccept(fd, client); }) == EBADF);
      CHECK(errorOf([&] { goConnect(fd, address); }) == EBADF);
      CHECK(errorOf([&] { goClose(fd); }) == EBADF);
      CHECK(errorOf([&] { goWait(fd, Interest::read); }) == EBADF);
      CHECK(errorOf([&] { HangupWatch(fd, [] {}); }) == EBADF);
      CHECK(errorOf([&] { peerIsThere(fd, true); }) == EBADF);
      CHECK_FALSE(scheduler.poller().registered(fd));
      scheduler.deregister(fd);
      for (unsigned i = 0; i <= Scheduler::operationsPerTurn; ++i)
        Scheduler::spend(fd);
    }
  }

  TEST_CASE_FIXTURE(Run, "a number that is far and closed takes no memory") {
    const auto allocations = [&](int fd) {
      const Since since;
      CHECK(errorOf([&] { goWait(fd, Interest::read); }) == EBADF);
      for (unsigned i = 0; i <= Scheduler::operationsPerTurn; ++i)
        Scheduler::spend(fd);
      return since.allocations();
    };
    const std::uint64_t few = allocations(-1);
    for (const int fd : {4'000'000, 5'000'000}) CHECK(allocations(fd) == few);
  }

  TEST_CASE("without a scheduler no descriptor is EBADF, too") {
    const Bounded bounded;
    int closed = -1;
    closed = Sockets().a.get();
    for (const int fd : {-1, closed, std::numeric_limits<int>::max()}) {
      CAPTURE(fd);
      CHECK(errorOf([&] { goWait(fd, Interest::read); }) == EBADF);
      CHECK(errorOf([&] { goWait(fd, Interest::write); }) == EBADF);
      CHECK(errorOf([&] { goRead(fd, 1); }) == EBADF);
      CHECK(errorOf([&] { peerIsThere(fd, true); }) == EBADF);
    }
  }

  TEST_CASE("no descriptor is EBADF to a thread that waits") {
    const Bounded bounded;
    for (const int fd : {-1, std::numeric_limits<int>::min()}) {
      CHECK(errorOf([&] { goWait(fd, Interest::read); }) == EBADF);
      CHECK(errorOf([&] { SharedWaiters(1, true, 0s).wait(fd); }) == EBADF);
    }
  }

  TEST_CASE_FIXTURE(Run, "a socket that is connected is EISCONN") {
    Listener first;
    Listener second;
    const sys::Fd fd(
        sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
    goConnect(fd.get(), first.address);
    CHECK(errorOf([&] { goConnect(fd.get(), second.address); }) == EISCONN);
  }

  TEST_CASE_FIXTURE(Run, "run in a coroutine is an error") {
    bool thrown = false;
    go([&] {
      try {
        scheduler.run();
      } catch (const std::logic_error&) {
        thrown = true;
      }
    });
    scheduler.run();
    CHECK(thrown);
  }
}
