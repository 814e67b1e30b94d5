// Tests of the budget of turns: a greedy coroutine never has to wait, and the
// others have their turns beside it all the same.
//
// Each test counts what the greedy coroutine does between two turns of
// another one. The greedy coroutine works on what is never out of data or
// room: a regular file, /dev/zero, a socket that it has written to itself.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "helpers.hpp"
#include "kernel_under_test.hpp"
#include "naglfar/http.hpp"
#include "naglfar/scheduler/signals.hpp"
#include "naglfar/server/waiters.hpp"

using namespace naglfar;
using namespace helpers;
using namespace std::chrono_literals;

// [others]
namespace {

constexpr std::size_t budget = Scheduler::operationsPerTurn;
constexpr std::size_t many = 20 * budget;

// What has its turns beside a greedy coroutine: a coroutine that counts, a
// timer, a signal, and a client of another coroutine.
struct Others : Run {
  std::size_t operations = 0;  // of the greedy coroutine: it counts them
  bool done = false;           // whether it has ended
  std::size_t longest = 0;     // most operations between two turns
  std::size_t turns = 0;
  std::size_t timers = 0;
  std::size_t answers = 0;
  std::size_t seen = 0;  // signals

  // Runs a function as the greedy coroutine. It makes at most `most`
  // operations, as it counts them, between two turns of the others.
  template <class Greedy>
  void beside(Greedy greedy, std::size_t most = budget) {
    Signals signals;
    signals.on(SIGUSR1, [this] {
      ++seen;
      if (!done) std::raise(SIGUSR1);
    });
    std::raise(SIGUSR1);
    TaskGroup others;
    others.go([this] { count(); }).name = "counter";
    others.go([this] { sleepAgain(); }).name = "sleeper";
    Sockets pair;
    others.go([&] { answer(pair.b.get()); }).name = "server";
    others.go([&] { ask(pair.a); }).name = "client";
    Task task = others.go([&] {
      greedy();
      done = true;
    });
    task.name = "greedy";
    others.wait();
    task.join();
    CHECK(longest <= most);
    CHECK(turns >= operations / most);
    // A timer may miss a turn, a signal two: one for the poller and one for
    // its action. An answer is there after two rounds of that.
    CHECK(timers + 2 >= turns / 2);
    CHECK(seen + 2 >= turns / 3);
    CHECK(answers + 2 >= turns / 6);
  }

 private:
  void count() {
    for (std::size_t before = operations;; before = operations) {
      const bool last = done;
      ++turns;
      yield();
      longest = std::max(longest, operations - before);
      if (last) return;
    }
  }
  void sleepAgain() {
    for (; !done; ++timers) naglfar::sleep(0ns);
  }
  static void answer(int fd) {
    while (!goRead(fd, 1).empty()) goWrite(fd, "!");
  }
  void ask(sys::Fd& fd) {
    for (; !done; ++answers) {
      goWrite(fd.get(), "?");
      goRead(fd.get(), 1);
    }
    goClose(fd.release());
  }
};

// Makes so many operations that the next one lets the others run.
void useUpBudget() {
  yield();  // a new turn
  for (std::size_t i = 0; i < budget; ++i) Scheduler::spend();
}

sys::Fd openDevice(const char* name) {
  return sys::Fd(sys::check(::open(name, O_RDWR | O_CLOEXEC), name));
}

sys::Fd newSocket() {
  return sys::Fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
}

struct Listener {
  explicit Listener(int backlog) {
    sys::check(sys::bind(fd.get(), sys::Address("localhost", 0)), "bind");
    sys::check(sys::listen(fd.get(), backlog), "listen");
    sys::check(sys::localAddress(fd.get(), address), "getsockname");
  }
  sys::Fd fd = newSocket();
  sys::Address address;
};

// Its descriptor for another owner.
sys::Fd copyOf(const TempFile& file) {
  ::lseek(file.fd(), 0, SEEK_SET);
  return sys::Fd(sys::check(sys::dup(file.fd()), "dup"));
}

}  // namespace
// [/others]

// [turn-tests]
TEST_SUITE("turns") {
  TEST_CASE_FIXTURE(Run, "a turn begins with a whole budget") {
    std::size_t turns = 0;
    bool done = false;
    go([&] {
      while (!done) {
        ++turns;
        yield();
      }
    });
    for (int i = 0; i < 3; ++i) {
      yield();
      const std::size_t before = turns;
      for (std::size_t n = 0; n < budget; ++n) Scheduler::spend();
      CHECK(turns == before);
      Scheduler::spend();
      CHECK(turns == before + 1);
    }
    done = true;
    scheduler.run();
  }

  TEST_CASE_FIXTURE(Run, "a generator's operations are its resumer's") {
    StackPool pool;
    const sys::Fd zero = openDevice("/dev/zero");
    bool othersRan = false;
    go([&] {
      useUpBudget();
      go([&] { othersRan = true; });
      Coroutine::make(pool, [&] { goRead(zero.get(), 1); }).resume();
      CHECK(!othersRan);  // a generator cannot let them
      Scheduler::spend();
      CHECK(othersRan);
    });
    scheduler.run();
  }

  TEST_CASE_FIXTURE(Run, "a coroutine that is unwound has no turns") {
    const sys::Fd zero = openDevice("/dev/zero");
    std::size_t got = 0;
    bool othersRan = false;
    struct AtTheEnd {
      ~AtTheEnd() {
        for (std::size_t i = 0; i < many; ++i) got += goRead(fd, 1).size();
      }
      int fd;
      std::size_t& got;
    };
    Task task = go([&] {
      const AtTheEnd work{zero.get(), got};
      naglfar::sleep(1h);
    });
    yield();
    go([&] { othersRan = true; });
    task.cancel();
    CHECK(got == many);
    CHECK(!othersRan);
    scheduler.run();
  }
}
// [/turn-tests]

// [io-turns]
TEST_SUITE("turns: io") {
  TEST_CASE_FIXTURE(Others, "reads from a descriptor") {
    const sys::Fd zero = openDevice("/dev/zero");
    beside([&] {
      char byte;
      for (; operations < many; ++operations)
        goReadSome(zero.get(), {&byte, 1});
    });
  }

  TEST_CASE_FIXTURE(Others, "writes to a descriptor") {
    const sys::Fd null = openDevice("/dev/null");
    beside([&] {
      for (; operations < many; ++operations) goWrite(null.get(), "x");
    });
  }

  TEST_CASE_FIXTURE(Others, "pieces of a file") {
    const TempFile file("x");
    Sockets pair;
    char byte;
    beside([&] {
      for (; operations < many; ++operations) {
        goSendfile(file.fd(), pair.a.get(), 0, 1);
        REQUIRE(sys::read(pair.b.get(), &byte, 1) == 1);
      }
    });
  }

  TEST_CASE_FIXTURE(Others, "an accept loop under a flood of connections") {
    const Listener listener(16);
    beside([&] {
      sys::Address client;
      for (; operations < many; ++operations) {
        const sys::Fd peer = newSocket();
        kernel::resetAtClose(peer.get());
        sys::connect(peer.get(), listener.address);
        goAccept(listener.fd.get(), client);
      }
    });
  }

  TEST_CASE_FIXTURE(Others, "an accept loop that begins late") {
    constexpr int backlog = 2 * budget - 8;
    const Listener listener(backlog);
    std::array<sys::Fd, backlog> peers;
    for (sys::Fd& peer : peers) {
      peer = newSocket();
      sys::connect(peer.get(), listener.address);
    }
    beside([&] {
      sys::Address client;
      for (; operations < backlog; ++operations)
        goAccept(listener.fd.get(), client);
    });
  }

  TEST_CASE_FIXTURE(Others, "connects in a loop") {
    const Listener listener(16);
    beside([&] {
      sys::Address client;
      for (; operations < many; ++operations) {
        const sys::Fd peer = newSocket();
        kernel::resetAtClose(peer.get());
        goConnect(peer.get(), listener.address);
        const sys::Fd accepted(sys::check(
            sys::accept(listener.fd.get(), client, sys::Mode::nonblocking),
            "accept4"));
      }
    });
  }

  // A read that has had to wait begins a turn, and is none of its budget.
  TEST_CASE_FIXTURE(Others, "a greedy coroutine at each end") {
    Sockets pair;
    beside(
        [&] {
          go([&] {
            for (std::size_t i = 0; i < many; ++i) goWrite(pair.a.get(), "x");
          });
          for (; operations < many; ++operations) goRead(pair.b.get(), 1);
        },
        budget + 1);
  }

  TEST_CASE_FIXTURE(Others, "a peer in another thread that never pauses") {
    Sockets pair(sys::Mode::blocking);
    ::fcntl(pair.a.get(), F_SETFL, O_NONBLOCK);
    std::thread peer([fd = pair.b.get()] {
      const std::string data(4096, 'x');
      while (::send(fd, data.data(), data.size(), 0) > 0) continue;
    });
    beside(
        [&] {
          for (; operations < many; ++operations) goRead(pair.a.get(), 1);
        },
        budget + 1);
    ::shutdown(pair.a.get(), SHUT_RDWR);
    peer.join();
  }
}
// [/io-turns]

// [file-turns]
TEST_SUITE("turns: files") {
  TEST_CASE_FIXTURE(Others, "lines of a full buffer") {
    std::string lines;
    for (std::size_t i = 0; i < many; ++i) lines += "x\n";
    const TempFile temp(lines);
    ScheduledFile file(copyOf(temp));
    SUBCASE("readline") {
      beside([&] {
        for (const std::string& line : file) operations += line.size() / 2;
      });
    }
    SUBCASE("read") {
      beside([&] {
        while (!file.read(1).empty()) ++operations;
      });
    }
    SUBCASE("readUntil") {
      beside([&] {
        while (!file.readUntil("\n").join().empty()) ++operations;
      });
    }
    SUBCASE("peek") {
      beside([&] {
        for (; operations < many; ++operations) file.peek();
      });
    }
    CHECK(operations >= many);
  }

  TEST_CASE_FIXTURE(Others, "a long stretch before a separator") {
    const TempFile temp(std::string(many * 65536 / 8, 'x'));
    ScheduledFile file(copyOf(temp));
    beside([&] {
      for ([[maybe_unused]] const auto& chunk : file.readUntil("\n"))
        ++operations;
    });
    CHECK(operations >= many / 8);
  }

  TEST_CASE_FIXTURE(Others, "writes to a file") {
    ScheduledFile file(openDevice("/dev/null"));
    SUBCASE("with autoflush") {
      file.autoflush = true;
      beside([&] {
        for (; operations < many; ++operations) file.write("x");
      });
    }
    SUBCASE("with flush") {
      beside([&] {
        for (; operations < many; ++operations) {
          file.write("x");
          file.flush();
        }
      });
    }
    SUBCASE("in the background") {
      beside([&] {
        for (; operations < many; ++operations) {
          file.write("x");
          file.flush(false);
        }
      });
    }
    SUBCASE("past the size of the buffer") {
      file.bufferSize = 1;
      beside([&] {
        for (; operations < many; ++operations) file.write("xy");
      });
    }
  }

  TEST_CASE_FIXTURE(Others, "pieces of a file, sent by a file") {
    const TempFile temp("x");
    Sockets pair;
    ScheduledFile file(std::move(pair.a));
    char byte;
    beside([&] {
      for (; operations < many; ++operations) {
        file.sendfile(temp.fd(), 0, 1);
        REQUIRE(sys::read(pair.b.get(), &byte, 1) == 1);
      }
    });
  }

  TEST_CASE_FIXTURE(Others, "what a lingering close drops") {
    ScheduledFile file(openDevice("/dev/zero"));
    constexpr std::size_t piece = 65536;
    bool closed = false;
    go([&] {  // counts the pieces, turn by turn
      while (!closed) {
        operations = file.nread / piece;
        yield();
      }
    });
    beside([&] {
      file.lingeringClose(1h, many / 4 * piece);
      operations = file.nread / piece;
      closed = true;
    });
    CHECK(operations == many / 4);
  }
}
// [/file-turns]

// [channel-turns]
TEST_SUITE("turns: channels") {
  TEST_CASE_FIXTURE(Others, "a writer without a limit, and a reader") {
    Channel<int> channel;
    beside([&] {
      for (; operations < many; ++operations) channel.write(1);
      SUBCASE("by next") {
        for (; operations < 2 * many; ++operations) channel.next();
      }
      SUBCASE("by read") {
        for (; operations < 2 * many; ++operations) channel.read();
      }
      SUBCASE("by iteration") {
        channel.close();
        for (const int message : channel)
          operations += static_cast<std::size_t>(message);
      }
      SUBCASE("which only waits") {
        for (; operations < 2 * many; ++operations) channel.wait();
      }
    });
    CHECK(operations == 2 * many);
  }

  TEST_CASE_FIXTURE(Others, "readers that find nothing") {
    Channel<int> channel;
    SUBCASE("and do not wait") {
      beside([&] {
        for (; operations < many; ++operations) channel.readWaiting();
      });
    }
    channel.close();
    SUBCASE("because it is closed") {
      beside([&] {
        for (; operations < many; ++operations) channel.next();
      });
    }
    SUBCASE("and a writer that is refused") {
      beside([&] {
        for (; operations < many; ++operations)
          CHECK(errorOf([&] { channel.write(1); }) == EPIPE);
      });
    }
  }

  TEST_CASE_FIXTURE(Others, "two coroutines that answer each other") {
    Channel<int> there;
    Channel<int> back;
    beside([&] {
      go([&] {
        for (const int message : there) back.write(message);
      });
      for (; operations < many; ++operations) {
        there.write(1);
        back.next();
      }
      there.close();
    });
  }
}
// [/channel-turns]

// [http-turns]
namespace {

// What the handler counts, and what it does.
struct Served {
  std::size_t* operations = nullptr;
  std::size_t modest = 0;
  int file = -1;
};
Served served;

class Handler : public BaseHTTPRequestHandler {
 public:
  Handler(ScheduledFile& request, const sys::Address& client,
          TCPServer& accepted_by)
      : BaseHTTPRequestHandler(request, client, accepted_by) {
    protocol_version = "HTTP/1.1";
    headerTimeout = timeout = keepAliveTimeout = 1h;
  }
  void do_GET() override {
    if (path == "/modest") ++served.modest;
    if (path == "/modest" || path == "/last") return reply();
    if (path == "/chunks") return chunks();
    if (path == "/sendfile") return sendFile();
    ++*served.operations;
    reply();
  }
  void do_POST() override {
    if (path == "/bytes")
      while (!rfile.read(1).empty()) ++*served.operations;
    if (path == "/whole") rfile.read();
    reply();
  }
  void log_message(std::string_view) override {}

 private:
  void reply() {
    send_response_only(200);
    send_header("Content-Length", "0");
    end_headers();
  }
  void chunks() {
    send_response_only(200);
    startChunks();
    for (; *served.operations < many; ++*served.operations) sendChunk("x");
    endChunks();
  }
  void sendFile() {
    send_response_only(200);
    send_header("Content-Length", std::to_string(many));
    end_headers();
    for (; *served.operations < many; ++*served.operations)
      wfile.sendfile(served.file, 0, 1);
  }
};

// A server in this thread, and clients.
struct Web : Others {
  ScheduledMixIn<HTTPServer> server{sys::Address("localhost", 0),
                                    handlerFor<Handler>};
  Web() {
    served = Served();
    served.operations = &operations;
    go([this] { server.serve_forever(); }).name = "serve_forever";
  }

  // A request that is there before the server looks, and how its answer ends.
  void greedy(const std::string& requests, std::string_view end,
              std::size_t most = budget) {
    ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
    REQUIRE(tryWrite(client.fileno(), requests) == requests.size());
    bool over = false;
    Task modest = go([&] {
      ScheduledFile other = ScheduledFile::connectTcp(server.server_address);
      while (!over) {
        other.write("GET /modest HTTP/1.1\r\nHost: a\r\n\r\n");
        other.readUntil("\r\n\r\n").join();
      }
    });
    beside(
        [&] {
          std::string tail;  // of what the server has sent
          while (!tail.ends_with(end)) {
            tail += goRead(client.fileno());
            tail.erase(0, tail.size() - std::min(tail.size(), end.size()));
          }
          over = true;
        },
        most);
    modest.join();
    CHECK(served.modest + 2 >= turns / 8);
    client.close();
    server.server_close();
    scheduler.run();
  }
};

const std::string last =
    "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

std::string upload(const char* path, std::size_t chunks) {
  std::string request =
      std::string("POST ") + path +
      " HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t i = 0; i < chunks; ++i) request += "1\r\nx\r\n";
  return request + "0\r\n\r\n";
}

}  // namespace

TEST_SUITE("turns: http") {
  TEST_CASE_FIXTURE(Web, "requests in a row") {
    std::string requests;
    for (std::size_t i = 0; i < many; ++i)
      requests += "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    greedy(requests + last, "Connection: close\r\n\r\n");
    CHECK(operations == many);
  }

  // Each chunk is three reads: its size, its data and its end.
  TEST_CASE_FIXTURE(Web, "an upload of one-byte chunks, read") {
    greedy(upload("/bytes", many), "\r\n\r\n", budget / 3 + 1);
    CHECK(operations == many);
  }

  TEST_CASE_FIXTURE(Web, "an upload of one-byte chunks, skipped") {
    greedy(upload("/skip", many) + last, "Connection: close\r\n\r\n");
    CHECK(turns >= 3 * many / budget);
  }

  TEST_CASE_FIXTURE(Web, "an upload of one-byte chunks, read as a whole") {
    greedy(upload("/whole", many), "\r\n\r\n");
    CHECK(turns >= 3 * many / budget);
  }

  // The file is the client, which sends as fast as a file can be read.
  TEST_CASE_FIXTURE(Web, "a large upload") {
    constexpr std::size_t piece = 65536;
    constexpr std::size_t length = 8 * budget * piece / 2;
    const TempFile temp(
        "POST /whole HTTP/1.1\r\nHost: a\r\nContent-Length: " +
        std::to_string(length) + "\r\n\r\n" + std::string(length, 'x'));
    ScheduledFile file(copyOf(temp));
    bool over = false;
    go([&] {
      while (!over) {
        operations = file.nread / piece;
        yield();
      }
    });
    beside([&] {
      Handler handler(file, sys::Address(), server);
      handler.handle_one_request();
      over = true;
    });
    CHECK(turns >= 4);
    server.server_close();
    scheduler.run();
  }

  TEST_CASE_FIXTURE(Web, "a download in chunks") {
    greedy("GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n", "0\r\n\r\n");
    CHECK(operations == many);
  }

  TEST_CASE_FIXTURE(Web, "a download by sendfile") {
    const TempFile temp("x");
    served.file = temp.fd();
    const std::string all = "Content-Length: " + std::to_string(many) +
                            "\r\n\r\n" + std::string(many, 'x');
    greedy("GET /sendfile HTTP/1.1\r\nHost: a\r\n\r\n", all);
    CHECK(operations == many);
  }
}
// [/http-turns]

// [closed-meanwhile]
namespace {

// Lets a coroutine begin an operation past its budget, so that it yields, and
// closes the operation's descriptor meanwhile. Returns what the operation
// fails with. The number is another socket's at once, which must not notice.
template <class Operation, class Close>
int errorIfClosed(int fd, Operation operation, Close close) {
  int error = -1;
  Task task = go([&] {
    useUpBudget();
    const Since since;
    error = errorOf(operation);
    CHECK(since[Call::read] + since[Call::write] + since[Call::sendfile] +
              since[Call::accept4] + since[Call::connect] ==
          0);
  });
  yield();
  yield();
  REQUIRE(error == -1);  // it has begun, and yielded
  close();
  Sockets heirs;
  REQUIRE((heirs.a.get() == fd || heirs.b.get() == fd));
  for (int i = 0; i < 10 && !task.done(); ++i) yield();
  task.cancel();
  return error;
}

template <class Operation>
int errorIfClosed(sys::Fd fd, Operation operation) {
  const int number = fd.get();
  return errorIfClosed(
      number, [&] { operation(number); }, [&] { goClose(fd.release()); });
}

template <class Operation>
int errorIfClosed(ScheduledFile& file, Operation operation) {
  return errorIfClosed(
      file.fileno(), [&] { operation(file); }, [&] { file.close(false); });
}

}  // namespace

TEST_SUITE("turns: a descriptor that is closed meanwhile") {
  TEST_CASE_FIXTURE(Run, "is ECANCELED to each call of io") {
    const TempFile file("not for the heir");
    Listener listener(1);
    Sockets pair;
    REQUIRE(sys::write(pair.b.get(), "x", 1) == 1);
    char byte;
    CHECK(errorIfClosed(std::move(pair.a), [&](int fd) {
            goReadSome(fd, {&byte, 1});
          }) == ECANCELED);
    CHECK(errorIfClosed(Sockets().a, [](int fd) { goRead(fd, 1); }) ==
          ECANCELED);
    CHECK(errorIfClosed(Sockets().a, [](int fd) { goWrite(fd, "xy"); }) ==
          ECANCELED);
    CHECK(errorIfClosed(Sockets().a, [&](int fd) {
            goSendfile(file.fd(), fd, 0, 9);
          }) == ECANCELED);
    CHECK(errorIfClosed(newSocket(), [&](int fd) {
            goConnect(fd, listener.address);
          }) == ECANCELED);
    CHECK(errorIfClosed(std::move(listener.fd), [](int fd) {
            sys::Address client;
            goAccept(fd, client);
          }) == ECANCELED);
  }

  TEST_CASE_FIXTURE(Run, "is ECANCELED to each member of a file") {
    const TempFile data("not for the heir");
    using File = ScheduledFile;
    const auto error = [&](auto operation) {
      Sockets pair;
      REQUIRE(sys::write(pair.b.get(), "x\n", 2) == 2);
      File file(std::move(pair.a));
      file.write("behind");
      return errorIfClosed(file, operation);
    };
    CHECK(error([](File& f) { f.read(1); }) == ECANCELED);
    CHECK(error([](File& f) { f.readline(); }) == ECANCELED);
    CHECK(error([](File& f) { f.peek(); }) == ECANCELED);
    CHECK(error([](File& f) { f.readUntil("\n").join(); }) == ECANCELED);
    CHECK(error([](File& f) { f.flush(); }) == ECANCELED);
    CHECK(error([](File& f) { f.flush(false); }) == ECANCELED);
    CHECK(error([](File& f) { f.close(); }) == ECANCELED);
    CHECK(error([](File& f) { f.lingeringClose(1h); }) == ECANCELED);
    CHECK(error([&](File& f) { f.sendfile(data.fd(), 0, 9); }) == ECANCELED);
    CHECK(error([](File& f) {
            f.autoflush = true;
            f.write("x");
          }) == ECANCELED);
    CHECK(error([](File& f) {
            f.bufferSize = 1;
            f.write("xy");
          }) == ECANCELED);
  }

  // What was read before is there to be taken.
  TEST_CASE_FIXTURE(Run, "leaves what was read") {
    Sockets pair;
    REQUIRE(sys::write(pair.b.get(), "a\nb\n", 4) == 4);
    ScheduledFile file(std::move(pair.a));
    CHECK(file.readline() == "a\n");
    CHECK(errorIfClosed(file, [](ScheduledFile& f) { f.readline(); }) ==
          ECANCELED);
    CHECK(file.readline() == "b\n");
    CHECK(errorOf([&] { file.readline(); }) == EBADF);
  }

  TEST_CASE_FIXTURE(Run, "ends a lingering close, and a sendfile, half-way") {
    const std::string junk(1 << 20, 'x');
    const TempFile data(junk);
    int error = -1;
    SUBCASE("lingering close") {
      ScheduledFile file(openDevice("/dev/zero"));
      const int fd = file.fileno();
      go([&] { error = errorOf([&] { file.lingeringClose(1h); }); });
      yield();
      yield();
      REQUIRE(file.nread > 0);
      file.close(false);
      const sys::Fd heir = openDevice("/dev/zero");
      REQUIRE(heir.get() == fd);
      const std::size_t before = file.nread;
      scheduler.run();
      CHECK(file.nread == before);
      CHECK(error == 0);  // the connection is closed, as was asked
    }
    SUBCASE("sendfile") {
      ScheduledFile file(openDevice("/dev/null"));
      const int fd = file.fileno();
      go([&] {
        error = errorOf([&] {
          for (;;) file.sendfile(data.fd(), 0, 1);
        });
      });
      yield();
      yield();
      file.close(false);
      const sys::Fd heir = openDevice("/dev/null");
      REQUIRE(heir.get() == fd);
      const Since since;
      scheduler.run();
      CHECK(since[Call::sendfile] == 0);
      CHECK(error == ECANCELED);
    }
  }
}
// [/closed-meanwhile]

// [others-meanwhile]
TEST_SUITE("turns: what others do meanwhile") {
  TEST_CASE_FIXTURE(Run, "a channel that is full then has no room") {
    Channel<int> channel(1);
    std::size_t most = 0;
    go([&] {
      useUpBudget();
      channel.write(2);
    });
    go([&] {
      yield();
      channel.write(1);
      yield();
      yield();
      most = channel.size();
    });
    std::vector<int> got;
    go([&] {
      for (int i = 0; i < 6; ++i) yield();
      got.push_back(channel.read());
      got.push_back(channel.read());
    });
    scheduler.run();
    CHECK(most == 1);
    CHECK(got == std::vector{1, 2});
  }

  TEST_CASE_FIXTURE(Run, "a channel that is empty then has no message") {
    Channel<int> channel;
    channel.write(1);
    std::optional<int> late;
    go([&] {
      useUpBudget();
      late = channel.next();
    });
    yield();
    yield();
    CHECK(channel.readWaiting() == std::vector{1});
    yield();
    CHECK(!late);
    channel.write(2);
    scheduler.run();
    CHECK(late == 2);
  }

  TEST_CASE_FIXTURE(Run, "a channel that is closed then takes no message") {
    Channel<int> channel;
    int writer = -1;
    bool ended = false;
    go([&] {
      useUpBudget();
      writer = errorOf([&] { channel.write(1); });
    });
    go([&] {
      useUpBudget();
      ended = !channel.wait() && !channel.next();
    });
    yield();
    yield();
    channel.close();
    scheduler.run();
    CHECK(writer == EPIPE);
    CHECK(ended);
    CHECK(channel.size() == 0);
  }

  TEST_CASE_FIXTURE(Run, "a channel loses no message to who is cancelled") {
    Channel<int> channel;
    channel.write(1);
    channel.write(2);
    std::vector<Task> tasks;
    const auto start = [&](auto operation) {
      tasks.push_back(go([operation] {
        useUpBudget();
        operation();
        FAIL("it was not cancelled");
      }));
    };
    start([&] { channel.next(); });
    start([&] { channel.read(); });
    start([&] { channel.wait(); });
    start([&] { channel.readWaiting(true); });
    start([&] { channel.readWaiting(); });
    start([&] { channel.write(3); });
    yield();
    yield();
    for (Task& task : tasks) task.cancel();
    CHECK(channel.readWaiting() == std::vector{1, 2});
  }

  TEST_CASE_FIXTURE(Run, "a file loses no byte to who is cancelled") {
    Sockets pair;
    REQUIRE(sys::write(pair.b.get(), "ab\n", 3) == 3);
    ScheduledFile file(std::move(pair.a));
    CHECK(file.read(1) == "a");
    file.write("c");
    std::vector<Task> tasks;
    const auto start = [&](auto operation) {
      tasks.push_back(go([operation] {
        useUpBudget();
        operation();
        FAIL("it was not cancelled");
      }));
    };
    start([&] { file.read(1); });
    start([&] { file.readline(); });
    start([&] { file.readUntil("\n").join(); });
    start([&] { file.flush(); });
    yield();
    yield();
    for (Task& task : tasks) task.cancel();
    CHECK(file.readline() == "b\n");
    file.close();
    CHECK(goRead(pair.b.get()) == "c");
  }

  TEST_CASE_FIXTURE(Run, "what was written leaves, though the writer does") {
    constexpr std::size_t size = 8 << 20;
    for (std::size_t spare = 0; spare < 4; ++spare) {
      Sockets pair;
      ScheduledFile file(std::move(pair.a));
      file.autoflush = true;
      file.bufferSize = unlimited;  // what the kernel does not take waits
      Task task = go([&] {
        for (std::size_t i = spare; i < budget; ++i) Scheduler::spend();
        file.write(std::string(size, 'x'));
        naglfar::sleep(1h);
      });
      while (file.nwrite == 0) yield();
      task.cancel();
      std::size_t got = 0;
      Task reader = go([&] {
        while (got < size) got += goRead(pair.b.get()).size();
      });
      std::size_t before = 0;
      for (int idle = 0; idle < 10 && !reader.done(); ++idle) {
        yield();
        if (std::exchange(before, got) != got) idle = 0;
      }
      reader.cancel();
      CHECK(got == size);
    }
  }
}
// [/others-meanwhile]

// [server-meanwhile]
namespace {

// Answers, and uses up so much of the turn's budget before.
struct Spender : Handler {
  using Handler::Handler;
  static inline std::size_t spends = 0;
  static inline std::size_t answers = 0;
  void do_GET() override {
    yield();
    for (std::size_t i = 0; i < spends; ++i) Scheduler::spend();
    ++answers;
    Handler::do_GET();
  }
};

}  // namespace

TEST_SUITE("turns: servers") {
  // The server ends in the turn that the handler leaves to the others, before
  // whichever of its operations that is. shutdown() is heard some turns
  // later, server_close() is not.
  TEST_CASE_FIXTURE(Run, "a shutdown finds a connection at every operation") {
    for (std::size_t i = 0; i <= 25; ++i) {
      Spender::spends = budget - i / 2;
      const bool atOnce = i % 2 == 1;
      CAPTURE(Spender::spends);
      CAPTURE(atOnce);
      ScheduledMixIn<HTTPServer> server(sys::Address("localhost", 0),
                                        handlerFor<Spender>);
      Spender::answers = 0;
      go([&] { server.serve_forever(); });
      ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
      client.write(
          "GET /modest HTTP/1.1\r\nHost: a\r\n\r\nGET /last "
          "HTTP/1.1\r\nHost: a\r\n\r\n");
      std::string answers;
      go([&] {
        answers = client.read();
        client.close();
      });
      while (Spender::answers == 0) yield();
      atOnce ? server.server_close() : server.shutdown();
      scheduler.run();
      // It answers what it has read, and waits for no more.
      CHECK(answers.find("HTTP/1.1 200", 1) != std::string::npos);
      CHECK(answers.ends_with("Connection: close\r\n\r\n"));
      CHECK(Spender::answers == 2);
    }
  }

  TEST_CASE_FIXTURE(Run, "a shutdown ends the wait for a request") {
    for (Spender::spends = budget - 12; Spender::spends <= budget;
         ++Spender::spends) {
      CAPTURE(Spender::spends);
      ScheduledMixIn<HTTPServer> server(sys::Address("localhost", 0),
                                        handlerFor<Spender>);
      Spender::answers = 0;
      go([&] { server.serve_forever(); });
      ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
      client.write("GET /modest HTTP/1.1\r\nHost: a\r\n\r\n");
      while (Spender::answers == 0) yield();
      server.shutdown();
      std::string answer;
      Task reader = go([&] { answer = client.read(); });
      for (int i = 0; i < 20 && !reader.done(); ++i) yield();
      CHECK(reader.done());
      CHECK(answer.starts_with("HTTP/1.1 200"));
    }
  }
}
// [/server-meanwhile]
