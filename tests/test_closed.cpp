// Descriptors that foreign code closes while the poller knows their numbers:
// what is noticed, and what the program has to say.

#include <doctest/doctest.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "helpers.hpp"
#include "naglfar/io.hpp"

namespace {

using namespace naglfar;
using namespace std::chrono_literals;
using helpers::errorOf;
using helpers::Run;
using helpers::Sockets;

// So long, and a wait has been forgotten.
constexpr auto patience = 2s;

// A descriptor that the poller has watched: a read has waited for it.
int watched(Sockets& sockets) {
  const int peer = sockets.b.get();
  const Task writer = go([peer] { goWrite(peer, "x"); });
  REQUIRE(goRead(sockets.a.get(), 1, after(patience)) == "x");
  return sockets.a.release();
}

// A new descriptor to read from, and what makes it readable.
struct Source {
  sys::Fd fd;
  std::function<void()> feed;
};

struct Maker {
  const char* name;
  Source (*make)();
};

// Every call of the library that gives a descriptor which can be read from.
const std::vector<Maker>& makers() {
  static const std::vector<Maker> all{
      {"socketpair",
       [] {
         auto ends = std::make_shared<Sockets>();
         return Source{std::move(ends->a),
                       [ends] { goWrite(ends->b.get(), "y"); }};
       }},
      {"pipe",
       [] {
         auto pipe = std::make_shared<sys::Pipe>();
         return Source{std::move(pipe->reader),
                       [pipe] { goWrite(pipe->writer.get(), "y"); }};
       }},
      {"socket",
       [] {
         sys::Fd listener(sys::socket(sys::Mode::nonblocking));
         sys::check(sys::bind(listener.get(), {"127.0.0.1", 0}), "bind");
         sys::check(sys::listen(listener.get(), 1), "listen");
         sys::Address address;
         sys::localAddress(listener.get(), address);
         return Source{
             std::move(listener), [address] {
               const sys::Fd client(sys::socket(sys::Mode::nonblocking));
               goConnect(client.get(), address);
             }};
       }},
  };
  return all;
}

// Waits until a descriptor is readable. False if that is not noticed.
bool becomesReadable(const Source& source) {
  const Task feeder = go(source.feed);
  return errorOf([&] {
           goWait(source.fd.get(), Interest::read, after(patience));
         }) == 0;
}

}  // namespace

TEST_CASE("a number that foreign code has closed can be waited for again") {
  for (const Maker& maker : makers()) {
    CAPTURE(maker.name);
    const Run run;
    Sockets sockets;
    const int number = watched(sockets);
    ::close(number);
    const Source source = maker.make();
    REQUIRE(source.fd.get() == number);
    CHECK(becomesReadable(source));
  }
}

TEST_CASE("a duplicate and an accepted connection may have such a number") {
  const Run run;
  Sockets sockets;
  Sockets other;
  const int number = watched(sockets);
  ::close(number);
  Source copy{sys::Fd(sys::dup(other.a.get())),
              [&] { goWrite(other.b.get(), "y"); }};
  REQUIRE(copy.fd.get() == number);
  CHECK(becomesReadable(copy));

  ::close(copy.fd.release());
  const sys::Fd client(sys::socket(sys::Mode::nonblocking));
  REQUIRE(client.get() == number);
  const sys::Fd listener(sys::socket(sys::Mode::nonblocking));
  sys::check(sys::bind(listener.get(), {"127.0.0.1", 0}), "bind");
  sys::check(sys::listen(listener.get(), 1), "listen");
  sys::Address address;
  sys::localAddress(listener.get(), address);
  Sockets third;
  const int again = watched(third);
  const Task connects = go([&] { goConnect(client.get(), address); });
  ::close(again);
  const Source connection{goAccept(listener.get(), address),
                          [&] { goWrite(client.get(), "y"); }};
  REQUIRE(connection.fd.get() == again);
  CHECK(becomesReadable(connection));
}

TEST_CASE("a wait for a number that foreign code has closed ends") {
  const Run run;
  Sockets sockets;
  const int number = watched(sockets);
  int error = 0;
  Task reader = go([&] { error = errorOf([&] { goRead(number, 1); }); });
  yield();
  REQUIRE_FALSE(reader.done());
  ::close(number);
  const Sockets next;  // has the number
  reader.join(after(patience));
  CHECK(error == ECANCELED);
}

TEST_CASE("who deregisters a descriptor may close it or replace it") {
  for (const bool replaced : {false, true})
    for (const bool waits : {false, true}) {
      CAPTURE(replaced);
      CAPTURE(waits);
      const Run run;
      Sockets sockets;
      Sockets next;
      const int number = watched(sockets);
      int error = 0;
      std::optional<Task> reader;
      if (waits)
        reader = go([&] { error = errorOf([&] { goRead(number, 1); }); });
      yield();
      Scheduler::current().deregister(number);
      if (replaced)
        ::dup2(next.a.get(), number);
      else
        ::close(number), ::dup2(next.a.get(), number);
      if (reader) reader->join(after(patience));
      CHECK(error == (waits ? ECANCELED : 0));
      const Source source{sys::Fd(number),
                          [&] { goWrite(next.b.get(), "y"); }};
      CHECK(becomesReadable(source));
    }
}

TEST_CASE("a wait for a descriptor that is closed is refused") {
  const Run run;
  Sockets sockets;
  const int number = sockets.a.release();
  ::close(number);
  CHECK(errorOf([&] { goWait(number, Interest::read, after(patience)); }) ==
        EBADF);
}
