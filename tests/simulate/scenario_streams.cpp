// Bytes through sockets and pipes: echoed, sent from a file, and cut short by
// somebody who closes.

#include "claims.hpp"
#include "naglfar/scheduled_file.hpp"
#include "scenarios.hpp"

#include <optional>

namespace simulate {

using namespace naglfar;

// [connection]
namespace {

// Runs a call that may fail where faults break things; there it is said how.
template <class Function>
bool done(World& world, Function function) {
  try {
    function();
    return true;
  } catch (const std::system_error& error) {
    world.expect(!world.lossless, error.what());
    return false;
  }
}

// The owner of a descriptor that somebody waits for: closes it by goClose().
struct Closed {
  Closed() = default;
  explicit Closed(int number) : fd(number) {}
  Closed(Closed&&) = default;
  Closed& operator=(Closed&& other) {
    std::swap(fd, other.fd);
    return *this;
  }
  ~Closed() {
    if (fd) goClose(fd.release());
  }
  int get() const { return fd.get(); }
  sys::Fd fd;
};

// Two ends of a TCP connection, or of a socketpair.
struct Connection {
  Closed client;
  Closed server;
};

std::optional<Connection> connection(World& world) {
  Connection made;
  const bool good = done(world, [&] {
    if (world.coin()) {
      int ends[2];
      sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
      made = {Closed(ends[0]), Closed(ends[1])};
      return;
    }
    const auto newSocket = [] {
      return Closed(
          sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
    };
    const Closed listener = newSocket();
    sys::Address address;
    sys::check(sys::bind(listener.get(), sys::Address("localhost", 0)),
               "bind");
    sys::check(sys::listen(listener.get(), 1), "listen");
    sys::check(sys::localAddress(listener.get(), address), "getsockname");
    made.client = newSocket();
    goConnect(made.client.get(), address);
    made.server = Closed(goAccept(listener.get(), address).release());
  });
  if (!good) return std::nullopt;
  return made;
}

// Reads until the end and compares. Returns how much there was.
std::size_t readPattern(World& world, int fd, std::uint64_t seed) {
  std::size_t got = 0;
  for (;;) {
    if (world.dice.below(4) == 0) world.pause();
    std::string buffer(world.roll(1, 30'000), '\0');
    const std::size_t n = goReadSome(fd, buffer);
    if (n == 0) return got;
    buffer.resize(n);
    world.expect(buffer == pattern(seed, got, n), "bytes out of order");
    got += n;
  }
}
// [/connection]

// [echo-halves]
void echoServer(World& world, const Closed& end) {
  done(world, [&] {
    std::string buffer(world.roll(1, 40'000), '\0');
    while (const std::size_t n = goReadSome(end.get(), buffer))
      goWrite(end.get(), std::string_view(buffer).substr(0, n));
  });
}

// Writes while another coroutine reads: both directions of one descriptor.
void echoClient(World& world, const Closed& end, std::uint64_t seed) {
  const std::size_t size =
      world.roll(0, std::size_t{200'000} >> world.dice.below(12));
  std::size_t got = 0;
  bool readerDone = false;
  bool readGood = false;
  go([&] {
    readGood =
        done(world, [&] { got = readPattern(world, end.get(), seed); });
    readerDone = true;
  }).name = "echo reader";
  const bool written = done(world, [&] {
    for (std::size_t sent = 0; sent < size;) {
      const std::size_t n = std::min(size - sent, world.roll(1, 50'000));
      goWrite(end.get(), pattern(seed, sent, n));
      sent += n;
      if (world.dice.below(4) == 0) world.pause();
    }
  });
  world.kernel.shutdownWrite(end.get());
  while (!readerDone) world.pause();
  world.expect(!written || !readGood || got == size,
               std::to_string(got) + " of " + std::to_string(size) +
                   " bytes came back, and no error");
}

}  // namespace
// [/echo-halves]

// [echo-scenario]
void echo(World& world) {
  const std::size_t n = world.roll(1, 4);
  for (std::uint64_t i = 0; i < n; ++i)
    go([&world, i] {
      auto made = connection(world);
      if (!made) return;
      go([&world, fd = std::move(made->server)]() mutable {
        echoServer(world, fd);
      }).name = "echo server";
      echoClient(world, made->client, i);
    }).name = "echo client";
  Scheduler::current().run();
}
// [/echo-scenario]

// [sendfile-scenario]
#if CLAIMS(all_of_io)
// A header, a part of a file, and a line after it.
void sendFiles(World& world) {
  auto made = connection(world);
  if (!made) return;
  const std::size_t size = world.roll(0, 150'000);
  const std::size_t offset = world.roll(0, size);
  const std::size_t length = world.roll(0, size);
  const std::size_t expected = std::min(length, size - offset);
  const sys::Fd source(world.kernel.makeFile(pattern(7, 0, size)));
  bool sentAll = false;
  go([&] {
    ScheduledFile out(std::move(made->server.fd));
    sentAll = done(world, [&] {
      out.write("header\n");
      const std::size_t sent =
          out.sendfile(source.get(), static_cast<off_t>(offset), length);
      world.expect(sent == expected, "sendfile sent less and said nothing");
      out.write("trailer\n");
      if (world.coin()) out.flush(false);
      out.close();
    });
  }).name = "sender";
  done(world, [&] {
    ScheduledFile in(std::move(made->client.fd));
    const std::string header = in.readline();
    std::string body;
    while (body.size() < expected) {
      const std::string more =
          in.read(std::min(expected - body.size(), world.roll(1, 20'000)));
      if (more.empty()) break;
      body += more;
      if (world.dice.below(4) == 0) world.pause();
    }
    const std::string trailer = in.read();
    world.expect(std::string("header\n").starts_with(header) &&
                     pattern(7, offset, expected).starts_with(body) &&
                     std::string("trailer\n").starts_with(trailer),
                 "other bytes came than were sent");
    Scheduler::current().run();
    world.expect(!sentAll || trailer == "trailer\n",
                 "all was sent, and less came, without an error");
  });
  Scheduler::current().run();
}
#endif
// [/sendfile-scenario]

// [close-scenario]
// Somebody closes a descriptor while others wait for it. Its number goes to
// the next connection at once, which must not be disturbed.
void closings(World& world) {
  for (std::size_t round = world.roll(1, 5); round > 0; --round) {
    auto made = connection(world);
    if (!made) continue;
    const int fd = made->client.fd.release();
    const Closed peer(std::move(made->server));
    const bool copied = world.dice.below(3) == 0;
    const sys::Fd copy(copied ? sys::dup(fd) : -1);
    int canceled = 0;
    int parked = 0;
    const auto waits = [&](auto call) {
      ++parked;
      go([&, call] {
        try {
          for (;;) call();
        } catch (const std::system_error& error) {
          world.expect(error.code().value() == ECANCELED ||
                           error.code().value() == EBADF || !world.lossless,
                       error.what());
          ++canceled;
        }
      }).name = "to be canceled";
    };
    waits([fd] {
      char byte;
      if (goReadSome(fd, {&byte, 1}) == 0) sys::fail(EPIPE, "end");
    });
    if (world.coin()) waits([fd] { goWrite(fd, std::string(30'000, 'x')); });
    yield();  // now they wait
    while (canceled < parked && world.dice.below(3) != 0) world.pause();
    world.expect(canceled == 0 || !world.lossless, "woken before the close");
    goClose(fd);

    int ends[2];
    if (sys::pipe(ends, sys::Mode::nonblocking) == -1) {
      Scheduler::current().run();
      continue;
    }
    const Closed reader(ends[0]);
    const Closed writer(ends[1]);
    if (world.coin()) world.pause();
    go([&] { goWrite(writer.get(), "news"); }).name = "writer";
    world.expect(goRead(reader.get(), 4) == "news", "not the news");
    Scheduler::current().run();
    world.expect(canceled == parked, "somebody was not told of the close");
  }
}
// [/close-scenario]

// [pipes-scenario]
// One writes, one reads, and either may leave first. The reader learns of the
// end, and the writer that nobody reads any more; nobody has a deadline.
void pipes(World& world) {
  for (std::uint64_t i = world.roll(1, 4); i > 0; --i) {
    int ends[2];
    if (sys::pipe(ends, sys::Mode::nonblocking) == -1) continue;
    const std::size_t size =
        world.coin() ? world.roll(0, 3) : world.roll(0, 200'000);
    const std::size_t enough = world.coin() ? size : world.roll(0, size);
    go([&world, size, i, writer = Closed(ends[1])] {
      try {
        if (world.coin()) world.pause();
        if (size > 0) goWrite(writer.get(), pattern(i, 0, size));
        if (world.coin()) world.pause();
      } catch (const std::system_error& error) {
        world.expect(error.code() == std::errc::broken_pipe, error.what());
      }
    }).name = "pipe writer";
    go([&world, size, enough, i, reader = Closed(ends[0])] {
      if (world.coin()) world.pause();
      const std::string got = goRead(reader.get(), enough);
      world.expect(got == pattern(i, 0, enough), "other bytes came");
      if (world.coin()) world.pause();
      if (enough < size) return;
#if CLAIMS(all_of_io)
      const std::string more = goRead(reader.get());
#else
      const std::string more = goRead(reader.get(), 1);
#endif
      world.expect(more.empty(), "more came than was sent");
    }).name = "pipe reader";
  }
  Scheduler::current().run();
}
// [/pipes-scenario]

}  // namespace simulate
