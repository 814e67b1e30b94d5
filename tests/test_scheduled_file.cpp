// Tests of ScheduledFile: no byte is lost or out of order, however the
// stream is cut into pieces, whoever waits, and whatever fails.
//
// Reading is checked against a model, which is a string and a position in it.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#ifdef __linux__
#include <linux/tcp.h>
#endif

#include "helpers.hpp"
#include "naglfar/channel.hpp"
#include "naglfar/scheduled_file.hpp"

using namespace naglfar;
using namespace helpers;
using namespace std::chrono_literals;

// [allocated-bytes]
// Counts the bytes that the program has from operator new. Each block begins
// with its size.
static std::size_t allocated = 0;

void* operator new(std::size_t n) {
  auto* block = static_cast<std::max_align_t*>(
      std::malloc(sizeof(std::max_align_t) + n));
  if (block == nullptr) throw std::bad_alloc();
  *reinterpret_cast<std::size_t*>(block) = n;
  allocated += n;
  return block + 1;
}

void operator delete(void* memory) noexcept {
  if (memory == nullptr) return;
  auto* block = static_cast<std::max_align_t*>(memory) - 1;
  allocated -= *reinterpret_cast<std::size_t*>(block);
  std::free(block);
}
void operator delete(void* memory, std::size_t) noexcept {
  operator delete(memory);
}
// [/allocated-bytes]

// [test-helpers]
namespace {

// A TCP connection: `a` has connected, `b` was accepted.
struct TcpSockets : Sockets {
  TcpSockets() {
    const sys::Fd listener(
        sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
    sys::Address address("127.0.0.1", 0);
    sys::check(sys::bind(listener.get(), address), "bind");
    sys::check(sys::listen(listener.get(), 1), "listen");
    sys::check(sys::localAddress(listener.get(), address), "getsockname");
    a = sys::Fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
    goConnect(a.get(), address);
    sys::Address peer;
    b = goAccept(listener.get(), peer);
  }
};

#if CLAIMS(lingering)
// What a peer gets until the connection ends, in order or by a reset.
std::string everything(int fd) {
  std::string all;
  errorOf([&] {
    for (std::string chunk; !(chunk = readSome(fd, after(30s))).empty();)
      all += chunk;
  });
  return all;
}
#endif

// Two files that are connected with each other.
struct Pair {
  explicit Pair(Sockets sockets = Sockets())
      : c(std::move(sockets.a)), d(std::move(sockets.b)) {}
  ScheduledFile c;
  ScheduledFile d;
};

// The same as the 2009 tests made them.
struct FlushingPair : Pair {
  FlushingPair() { c.autoflush = d.autoflush = true; }
};

// All that readUntil() gives.
std::string until(ScheduledFile& file, const std::string& separator,
                  [[maybe_unused]] bool including = true) {
#if CLAIMS(all_of_file)
  return file.readUntil(separator, including).join();
#else
  std::string all;
  for (const std::string& piece : file.readUntil(separator)) all += piece;
  return all;
#endif
}

// Whether a file has read or sent so many bytes, where it counts them.
bool received([[maybe_unused]] const ScheduledFile& file,
              [[maybe_unused]] std::size_t n) {
#if CLAIMS(all_of_file)
  return file.nread == n;
#else
  return true;
#endif
}
bool sent([[maybe_unused]] const ScheduledFile& file,
          [[maybe_unused]] std::size_t n) {
#if CLAIMS(all_of_file)
  return file.nwrite == n;
#else
  return true;
#endif
}

// `n` bytes that do not repeat every 2^k bytes.
std::string text(std::size_t n) {
  std::string data(n, ' ');
  for (std::size_t i = 0; i < n; ++i)
    data[i] = static_cast<char>('a' + i % 23);
  return data;
}

#if defined(__ELF__) && defined(__GLIBCXX__)
// Stands in front of the C library's memchr(3), by which string_view looks
// for the first byte of a separator.
std::size_t bytesSearched = 0;
extern "C" const void* countingMemchr(const void* memory, int byte,
                                      std::size_t n) __asm__("memchr");
extern "C" const void* countingMemchr(const void* memory, int byte,
                                      std::size_t n) {
  const auto* at = static_cast<const unsigned char*>(memory);
  for (; n > 0; --n, ++at) {
    ++bytesSearched;
    if (*at == static_cast<unsigned char>(byte)) return at;
  }
  return nullptr;
}
#endif

}  // namespace
// [/test-helpers]

// [tests-of-2009]
TEST_SUITE("ScheduledFile: the tests of 2009") {
  TEST_CASE_FIXTURE(Run, "testSimple") {
    FlushingPair pair;
    auto& [c, d] = pair;
    const std::string hello = "hello world\n";
    c.write(hello);
    CHECK(d.readline() == hello);
    d.write("a");
    d.write("b");
    d.write("c");
    d.write("\n");
    CHECK(c.readline() == "abc\n");

    c.write(hello);
    CHECK(d.read(hello.size()) == hello);
    c.write(hello);
    std::string letters;
    for (std::size_t i = 0; i < hello.size(); ++i) letters += d.read(1);
    CHECK(letters == hello);

    c.close();
    d.close();
  }

  TEST_CASE_FIXTURE(Run, "testPartial") {
    FlushingPair pair;
    auto& [a, b] = pair;
    a.write("foo");
    a.flush();
    a.close();
    CHECK(b.readline() == "foo");
  }

  TEST_CASE_FIXTURE(Run, "testConcurrent") {
    FlushingPair pair;
    auto& [c, d] = pair;
    go([&c = c] {
      const std::string blob = c.readline();
      CHECK(blob == "foobar\n");
      c.write("hello: " + blob);
    });
    d.write("foobar\n");
    CHECK(d.readline() == "hello: foobar\n");
    c.close();
    d.close();
  }

  TEST_CASE_FIXTURE(Run, "testBig") {
    FlushingPair pair;
    auto& [c, d] = pair;
    const std::string blob(5 * 1024 * 1024, '\n');
    go([&] { pair.c.write(blob); });
    CHECK((d.read(blob.size()) == blob));
    c.close();
    d.close();
  }

  TEST_CASE_FIXTURE(Run, "testUntil") {
    FlushingPair pair;
    auto& [c, d] = pair;
    c.write("aafoobar");
    CHECK(until(d, "foobar") == "aafoobar");
    c.write("aaa");
    CHECK(until(d, "a") == "a");
    CHECK(until(d, "a") == "a");
    CHECK(until(d, "") == "");
    CHECK(until(d, "a") == "a");

#if CLAIMS(all_of_file)
    c.write("a");
    CHECK(until(d, "a", false) == "");
    CHECK(until(d, "a", false) == "");
    CHECK(until(d, "a", false) == "");
    CHECK(d.read(1) == "a");

    c.write("abc");
    CHECK(until(d, "b", false) == "a");
    CHECK(until(d, "c", false) == "b");
#else
    c.write("c");
#endif

    c.close();
    CHECK(d.read() == "c");
  }

#if CLAIMS(all_of_io)
  TEST_CASE_FIXTURE(Run, "testSendfile5") {
    const std::string data = text(20'000);
    TempFile file(data);
    {
      FlushingPair pair;
      go([&] {
        const std::size_t n = pair.c.sendfile(file.fd(), 0, data.size());
        CHECK(n == data.size());
        pair.c.close();
      });
      CHECK((pair.d.read() == data));
      pair.d.close();
    }
    FlushingPair pair;
    go([&] {
      const std::size_t n = pair.c.sendfile(file.fd(), 10, data.size() - 10);
      CHECK(n == data.size() - 10);
      pair.c.close();
    });
    CHECK((pair.d.read() == data.substr(10)));
    pair.d.close();
  }
#endif
}
// [/tests-of-2009]

// [model]
namespace {

// What a file should return: the specification in a few lines.
struct Model {
  std::string data;
  std::size_t position = 0;

  std::string take(std::size_t n) {
    std::string taken = data.substr(position, n);
    position += taken.size();
    return taken;
  }
  std::string read(std::size_t n) { return take(n); }
  std::string readline(std::size_t n, const std::string& separator) {
    const std::size_t found = data.find(separator, position);
    if (found == std::string::npos) return take(n);
    return take(std::min(n, found + separator.size() - position));
  }
  std::string readUntil(const std::string& separator, bool includingTxt) {
    const std::size_t found = data.find(separator, position);
    if (found == std::string::npos) return take(std::string::npos);
    return take(found - position + (includingTxt ? separator.size() : 0));
  }
};

// Sends each piece once the file has read all before it, so that the file
// sees the stream cut exactly there; then closes.
void feed(sys::Fd& to, const ScheduledFile& reader,
          const std::vector<std::string>& pieces) {
  const auto readAll = [&reader] {
    int left = 0;
    return reader.closed() ||
           ::ioctl(reader.fileno(), FIONREAD, &left) != 0 || left == 0;
  };
  for (const std::string& piece : pieces) {
    while (!readAll()) yield();
    if (reader.closed()) return;
    goWrite(to.get(), piece);
  }
  while (!readAll()) yield();
  goClose(to.release());
}

}  // namespace
// [/model]

// [reading-tests]
TEST_SUITE("ScheduledFile: reading") {
  TEST_CASE_FIXTURE(Run, "lines are whole wherever the stream is cut") {
    const std::string stream = "one\r\ntwo\r\r\n\r\n\nthree\n\r\r\nfour\r";
    for (std::size_t cut = 1; cut < stream.size(); ++cut) {
      CAPTURE(cut);
      Sockets sockets;
      ScheduledFile file(std::move(sockets.a));
      go([&] {
        feed(sockets.b, file, {stream.substr(0, cut), stream.substr(cut)});
      });
      CHECK(file.readline(naglfar::unlimited, "\r\n") == "one\r\n");
      CHECK(file.readline(naglfar::unlimited, "\r\n") == "two\r\r\n");
      CHECK(file.readline(naglfar::unlimited, "\r\n") == "\r\n");
      CHECK(file.readline(naglfar::unlimited, "\r\n") == "\nthree\n\r\r\n");
      CHECK(file.readline(naglfar::unlimited, "\r\n") == "four\r");
      CHECK(file.readline(naglfar::unlimited, "\r\n") == "");
      scheduler.run();
    }
  }

  TEST_CASE_FIXTURE(Run, "readUntil finds its separator across every cut") {
    const std::string stream = "aabaababaabaaabrest";
    for (std::size_t cut = 1; cut < stream.size(); ++cut) {
      CAPTURE(cut);
      for (const bool including : {true, !CLAIMS(all_of_file)}) {
        Sockets sockets;
        ScheduledFile file(std::move(sockets.a));
        go([&] {
          feed(sockets.b, file, {stream.substr(0, cut), stream.substr(cut)});
        });
        CHECK(until(file, "baaab", including) ==
              (including ? "aabaababaabaaab" : "aabaababaa"));
        CHECK(file.read() == (including ? "rest" : "baaabrest"));
        scheduler.run();
      }
    }
  }

  TEST_CASE_FIXTURE(Run, "any calls on any pieces agree with the model") {
    for (unsigned seed = 0; seed < 400; ++seed) {
      CAPTURE(seed);
      std::mt19937 random(seed);
      const auto below = [&](std::size_t n) {
        return static_cast<std::size_t>(random() % n);
      };
      const std::string alphabet = "ab\r\n";
      const std::vector<std::string> separators = {"\n", "\r\n", "ab", "aab",
                                                   "a\r\nb"};
      Model model;
      for (std::size_t n = below(200); n > 0; --n)
        model.data += alphabet[below(alphabet.size())];
      std::vector<std::string> pieces;
      for (std::size_t at = 0; at < model.data.size();) {
        pieces.push_back(model.data.substr(at, 1 + below(30)));
        at += pieces.back().size();
      }

      Sockets sockets;
      ScheduledFile file(std::move(sockets.a));
      go([&] { feed(sockets.b, file, pieces); });
      while (model.position < model.data.size()) {
        const std::size_t n = below(3) == 0 ? naglfar::unlimited : below(20);
        const std::string& separator = separators[below(separators.size())];
        const bool including = below(2) == 0 || !CLAIMS(all_of_file);
        switch (below(4)) {
          case 0:
            if (n != naglfar::unlimited)
              REQUIRE(file.read(n) == model.read(n));
            break;
          case 1:
            REQUIRE(file.readline() ==
                    model.readline(naglfar::unlimited, "\n"));
            break;
          case 2:
            REQUIRE(file.readline(n, separator) ==
                    model.readline(n, separator));
            break;
          default:
            REQUIRE(until(file, separator, including) ==
                    model.readUntil(separator, including));
            // What is not read with readUntil is still there.
            if (below(2) == 0) REQUIRE(file.read(1) == model.read(1));
        }
      }
      CHECK(file.read() == "");
      CHECK(received(file, model.data.size()));
      scheduler.run();
    }
  }

  TEST_CASE_FIXTURE(Run, "a separator may lie across what one read returns") {
    // A read returns at most 65536 bytes: the cut is in the separator.
    for (std::size_t before = 65533; before <= 65536; ++before) {
      CAPTURE(before);
      const std::string line = text(before) + "-+-";
      Pair pair;
      go([&] {
        pair.c.write(line + line + "end");
        pair.c.close();
      });
      CHECK((pair.d.readline(naglfar::unlimited, "-+-") == line));
      CHECK((until(pair.d, "-+-") == line));
      CHECK(pair.d.read() == "end");
    }
  }

  TEST_CASE_FIXTURE(Run, "defect 10: readline(n) loses nothing") {
    Pair pair;
    pair.c.write("abcdefghijklmnopqrst");
    pair.c.close();
    CHECK(pair.d.readline(5) == "abcde");
    CHECK(pair.d.read() == "fghijklmnopqrst");
  }

  TEST_CASE_FIXTURE(Run, "readline(n) with limit and newline in one chunk") {
    Pair pair;
    pair.c.write("abc\nde\nfgh\n");
    pair.c.close();
    CHECK(pair.d.readline(2) == "ab");
    CHECK(pair.d.readline(2) == "c\n");
    CHECK(pair.d.readline(3) == "de\n");
    CHECK(pair.d.readline(0) == "");
    CHECK(pair.d.readline(3) == "fgh");
    CHECK(pair.d.readline(1) == "\n");
    CHECK(pair.d.readline(1) == "");
  }

  TEST_CASE_FIXTURE(Run, "a limit may cut a separator in two") {
    Pair pair;
    pair.c.write("abc\r\nd\r\n");
    pair.c.close();
    CHECK(pair.d.readline(4, "\r\n") == "abc\r");
    CHECK(pair.d.readline(4, "\r\n") == "\nd\r\n");
  }

#if defined(__ELF__) && defined(__GLIBCXX__)
  // A search that began anew with each piece would look at 200 times as much.
  TEST_CASE_FIXTURE(Run, "a long line in many pieces is searched once") {
    constexpr int pieces = 400;
    const std::string piece(16, 'a');
    FlushingPair pair;
    go([&] {
      for (int i = 0; i < pieces; ++i) {
        pair.d.write(piece);
        yield();
      }
      pair.d.write("b");
    });
    const std::size_t before = bytesSearched;
    const std::string line = pair.c.readline(naglfar::unlimited, "ab");
    CHECK(line.size() == pieces * piece.size() + 1);
    CHECK(bytesSearched - before >= line.size() - 1);
    CHECK(bytesSearched - before < 2 * line.size());
    scheduler.run();
  }
#endif

  TEST_CASE_FIXTURE(Run, "readline does not wait for more than it needs") {
    Pair pair;
    const Since since;
    pair.c.write("12345");
    pair.c.flush();
    CHECK(pair.d.readline(5) == "12345");
    pair.c.write("line\n");
    pair.c.flush();
    CHECK(pair.d.readline() == "line\n");
    pair.c.write("ab");
    pair.c.flush();
    CHECK(pair.d.read(2) == "ab");
    CHECK(until(pair.d, "") == "");
    CHECK(since.parks() == 0);
  }

  TEST_CASE_FIXTURE(Run, "iteration is by line until the end of file") {
    Pair pair;
    pair.c.write("one\n\nthree\nfour");
    pair.c.close();
    std::vector<std::string> lines;
    for (const std::string& line : pair.d) lines.push_back(line);
    CHECK(lines ==
          std::vector<std::string>{"one\n", "\n", "three\n", "four"});
    for (const std::string& line : pair.d) FAIL(line);
  }

  TEST_CASE_FIXTURE(Run, "readUntil needs no buffer for a long stretch") {
    Pair pair;
    const std::string stretch = text(1 << 20);
    go([&] {
      pair.c.write(stretch + "END.");
      pair.c.close();
    });
    std::string whole;
    std::size_t largest = 0;
    for (const std::string& chunk : pair.d.readUntil("END")) {
      whole += chunk;
      largest = std::max(largest, chunk.size());
    }
    CHECK((whole == stretch + "END"));
    CHECK(largest <= 65536 + 3);
    CHECK(pair.d.read() == ".");
  }

#if CLAIMS(all_of_file)
  TEST_CASE_FIXTURE(Run, "nread counts what came and not what was taken") {
    Pair pair;
    pair.c.write("0123456789");
    pair.c.close();
    CHECK(pair.d.read(3) == "012");
    CHECK(received(pair.d, 10));
    CHECK(pair.d.read() == "3456789");
    CHECK(received(pair.d, 10));
  }
#endif

  TEST_CASE_FIXTURE(Run, "a reset is an error and what came before stays") {
    Pair pair;
    pair.c.write("half a line");
    pair.c.flush();
    // A Unix socket that is closed with unread data resets the peer.
    pair.d.write("never read");
    pair.d.flush();
    CHECK(pair.d.read(4) == "half");
    go([&] { pair.c.close(); });
    CHECK(errorOf([&] { pair.d.readline(); }) == ECONNRESET);
    CHECK(pair.d.read(7) == " a line");
  }

  TEST_CASE_FIXTURE(Run, "a read that timed out loses nothing") {
    Pair pair;
    pair.c.write("ab");
    pair.c.flush();
    pair.d.deadline = after(2ms);
    CHECK(errorOf([&] { pair.d.read(4); }) == ETIMEDOUT);
    CHECK(errorOf([&] { pair.d.readline(); }) == ETIMEDOUT);
    pair.d.deadline = never;
    go([&] {
      pair.c.write("cd\nrest");
      pair.c.close();
    });
    CHECK(pair.d.readline() == "abcd\n");
    CHECK(pair.d.read() == "rest");
  }
}
// [/reading-tests]

// [writing-tests]
TEST_SUITE("ScheduledFile: writing") {
  TEST_CASE_FIXTURE(Run, "nothing leaves before a flush") {
    Pair pair;
    const Since since;
    for (int i = 0; i < 100; ++i) pair.c.write("0123456789");
    CHECK(since[Call::write] == 0);
    CHECK(sent(pair.c, 0));
    pair.c.flush();
    CHECK(since[Call::write] == 1);
    CHECK(sent(pair.c, 1000));
    CHECK(pair.d.read(1000).substr(990) == "0123456789");
    pair.c.flush();
    CHECK(since[Call::write] == 1);
  }

  TEST_CASE_FIXTURE(Run, "what close sends arrives, also through a pipe") {
    Pair pair;
    pair.c.write("the last");
    pair.c.close();
    CHECK(pair.d.read() == "the last");

    int ends[2];
    sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
    ScheduledFile reader{sys::Fd(ends[0])};
    ScheduledFile writer{sys::Fd(ends[1])};
    writer.write("the last");
    writer.close();
    CHECK(reader.read() == "the last");
  }

#if CLAIMS(last_segment)
  TEST_CASE_FIXTURE(Run, "what close sends is one call, also to a pipe" *
                             doctest::test_suite("reference")) {
    Pair pair;
    const Since since;
    pair.c.write("the last");
    pair.c.close();
    CHECK(since[Call::send] == 1);
    CHECK(since[Call::write] == 0);
    CHECK(pair.d.read() == "the last");

    int ends[2];
    sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
    ScheduledFile reader{sys::Fd(ends[0])};
    ScheduledFile writer{sys::Fd(ends[1])};
    writer.write("the last");
    writer.close();
    CHECK(since[Call::send] == 2);  // which says that a pipe is no socket
    CHECK(since[Call::write] == 1);
    CHECK(reader.read() == "the last");
  }
#endif

#ifdef __linux__
#if CLAIMS(last_segment)
  TEST_CASE_FIXTURE(Run,
                    "what close sends leaves in one segment with the end") {
    const sys::Fd listener(
        sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
    sys::Address address("127.0.0.1", 0);
    sys::check(sys::bind(listener.get(), address), "bind");
    sys::check(sys::listen(listener.get(), 1), "listen");
    sys::check(sys::localAddress(listener.get(), address), "getsockname");
    ScheduledFile client = ScheduledFile::connectTcp(address);
    sys::Address peer;
    ScheduledFile server(goAccept(listener.get(), peer));
    const auto segments = [&client] {
      tcp_info info{};
      socklen_t size = sizeof info;
      CHECK(::getsockopt(client.fileno(), IPPROTO_TCP, TCP_INFO, &info,
                         &size) == 0);
      return info.tcpi_segs_in;
    };
    const auto before = segments();
    server.write("the last");
    server.close();
    CHECK(client.read() == "the last");
    CHECK(segments() - before == 1);
  }
#endif
#endif

  TEST_CASE_FIXTURE(Run, "more than bufferSize leaves by itself") {
    Pair pair;
    pair.c.bufferSize = 8;
    pair.c.write("12345678");
    CHECK(sent(pair.c, 0));
    pair.c.write("9");
    CHECK(sent(pair.c, 9));
    CHECK(pair.d.read(9) == "123456789");
  }

#if CLAIMS(background)
  TEST_CASE_FIXTURE(Run, "autoflush sends at once and waits for nobody") {
    Pair pair;
    pair.c.autoflush = true;
    const std::size_t junk = fill(pair.c.fileno());
    const Since since;
    pair.c.write("later");
    pair.c.write("and later");
    CHECK(since.parks() == 0);
    CHECK(pair.d.read(junk).size() == junk);
    CHECK(pair.d.read(14) == "laterand later");
    pair.c.write("now");
    CHECK(sent(pair.c, 17));
  }

  TEST_CASE_FIXTURE(Run, "what waits to be sent is bounded by bufferSize") {
    FlushingPair pair;
    pair.c.bufferSize = 1000;
    fill(pair.c.fileno());
    std::size_t written = 0;
    go([&] {
      for (; written < 100; ++written) pair.c.write(std::string(100, 'x'));
      pair.c.close();
    });
    yield();
    CHECK(written == 10);  // the eleventh waits
    pair.d.read();
    CHECK(written == 100);
  }

  TEST_CASE_FIXTURE(Run,
                    "flush(false) waits for nobody and keeps the order") {
    Pair pair;
    const std::size_t junk = fill(pair.c.fileno());
    const std::string big = text(500'000);
    pair.c.bufferSize = big.size() + 11;
    const Since since;
    pair.c.write(big);
    pair.c.flush(false);
    pair.c.write("second");
    pair.c.flush(false);
    pair.c.write("third");
    CHECK(since.parks() == 0);
    CHECK(sent(pair.c, 0));

    // It leaves while the peer reads; `third` went along.
    CHECK(pair.d.read(junk).size() == junk);
    CHECK((pair.d.read(big.size()) == big));
    CHECK(pair.d.read(11) == "secondthird");
    CHECK(sent(pair.c, big.size() + 11));
  }

  TEST_CASE_FIXTURE(Run, "flush waits for what is being sent in background") {
    Pair pair;
    const std::size_t junk = fill(pair.c.fileno());
    pair.c.write("first");
    pair.c.flush(false);
    pair.c.write("second");
    go([&] { CHECK(pair.d.read(junk).size() == junk); });
    pair.c.flush();
    CHECK(sent(pair.c, 11));
    CHECK(pair.d.read(11) == "firstsecond");
  }

  TEST_CASE_FIXTURE(Run, "a file may be moved while it sends") {
    Pair pair;
    const std::size_t junk = fill(pair.c.fileno());
    const bool atOnce = false;
    pair.c.write("first");
    pair.c.flush(atOnce);
    std::optional<ScheduledFile> moved(std::move(pair.c));
    ScheduledFile again(std::move(*moved));  // before the first one's turn
    moved.reset();
    again.write("second");
    again.flush(atOnce);
    CHECK(pair.d.read(junk + 11).substr(junk) == "firstsecond");
    again.close();
    CHECK(pair.d.read().empty());
  }

  TEST_CASE_FIXTURE(Run, "a flush that goes when there is room hands it on") {
    Pair pair;
    const std::size_t junk = fill(pair.c.fileno());
    pair.c.write("late");
    Job* waits = nullptr;
    Task flush = go([&] {
      waits = &Scheduler::current().self();
      pair.c.flush();
    });
    yield();
    pair.d.read(junk);
    while (!flush.done() && !waits->queued()) yield();
    REQUIRE(!flush.done());
    flush.cancel();
    CHECK(pair.d.read(4) == "late");
  }

  // A child that has no part in its parent's scheduler has no job that sends:
  // what was written stays for the next flush.
  TEST_CASE_FIXTURE(Run, "a file may be moved where there is no scheduler") {
    Pair pair;
    fill(pair.c.fileno());
    pair.c.write("late");
    pair.c.flush(false);
    const pid_t child = sys::check(sys::fork(), "fork");
    if (child == 0) {
      Scheduler::abandon();
      const ScheduledFile moved(std::move(pair.c));
      ::_exit(moved.fileno() != -1 ? 7 : 8);
    }
    int status = 0;
    sys::check(sys::waitpid(child, &status, 0), "waitpid");
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 7);
  }

  // A file that still sends in the background when its scheduler ends.
  TEST_CASE("a file may outlive its scheduler") {
    const Bounded bounded;
    std::optional<Scheduler> scheduler(std::in_place);
    std::optional<Pair> pair(std::in_place);
    const std::size_t junk = fill(pair->c.fileno());
    pair->c.write("late");
    pair->c.flush(false);
    SUBCASE("that waited for room") {
      yield();
      scheduler.reset();
    }
    SUBCASE("that had just found it") {
      CHECK(goRead(pair->d.fileno(), junk).size() == junk);
      yield();  // the flusher stands behind main now
      scheduler.reset();
    }
    CHECK(pair->c.nwrite == 0);
    CHECK_NOTHROW(pair.reset());
  }

  // The next scheduler stands where the first one stood.
  TEST_CASE("a file that outlives its scheduler sends where it is asked to") {
    const Bounded bounded;
    std::optional<Scheduler> scheduler(std::in_place);
    Pair pair;
    const std::size_t junk = fill(pair.c.fileno());
    pair.c.write("late");
    pair.c.flush(false);
    yield();
    scheduler.reset();
    scheduler.emplace();
    ScheduledFile moved(std::move(pair.c));
    CHECK(pair.d.read(junk).size() == junk);
    scheduler->run();
    CHECK(sent(moved, 0));  // it has no flusher in this one
    moved.flush();
    CHECK(sent(moved, 4));
    CHECK(pair.d.read(4) == "late");
  }
#endif

  TEST_CASE_FIXTURE(Run, "a descriptor that is closed already ends a file") {
    Sockets sockets;
    {
      ScheduledFile file(sys::Fd(sys::dup(sockets.a.get())));
      sys::close(file.fileno());
      CHECK_NOTHROW(file.close());
    }
    ScheduledFile file(sys::Fd(sys::dup(sockets.a.get())));
    sys::close(file.fileno());
  }

#if CLAIMS(background)
  TEST_CASE_FIXTURE(Run, "whoever flushes is told when all has left") {
    Pair pair;
    const std::size_t junk = fill(pair.c.fileno());
    int done = 0;
    for (const char* word : {"one", "two", "three"})
      go([&, word] {
        pair.c.write(word);
        pair.c.flush();
        CHECK(pair.c.nwrite >= 3);
        ++done;
      });
    yield();
    CHECK(done == 0);
    CHECK(pair.d.read(junk + 11).substr(junk) == "onetwothree");
    scheduler.run();
    CHECK(done == 3);
  }

  // The peer has read, but the poller has not had its turn yet: who comes now
  // finds room, and sends for all.
  TEST_CASE_FIXTURE(Run, "who finds room tells the others that wait for it") {
    Pair pair;
    const std::size_t junk = fill(pair.c.fileno());
    bool done = false;
    go([&] {
      pair.c.write("one");
      pair.c.flush();
      done = true;
    });
    yield();
    std::string buffer(junk, ' ');
    for (std::size_t n = 0; n < junk;)
      n += goReadSome(pair.d.fileno(), std::span(buffer).subspan(n));
    pair.c.write("two");
    pair.c.flush();
    scheduler.run();
    CHECK(done);
    CHECK(pair.d.read(6) == "onetwo");
  }

  TEST_CASE_FIXTURE(Run, "defect 22: 20 MB through a pair are linear") {
    constexpr std::size_t size = 20 << 20;
    const std::string block = text(1000);
    Pair pair;
    const Since since;
    const bool atOnce = false;
    std::size_t blocks = 0;
    go([&] {
      for (; blocks * block.size() < size; ++blocks) {
        pair.c.write(block);
        pair.c.flush(atOnce);
      }
      pair.c.close();
    });
    std::size_t lines = 0;
    std::size_t bytes = 0;
    for (std::string chunk; !(chunk = pair.d.read(block.size())).empty();) {
      bytes += chunk.size();
      lines += chunk == block;
    }
    CHECK(lines == blocks);
    CHECK(bytes == blocks * block.size());
    CHECK(sent(pair.c, bytes));
    CHECK(received(pair.d, bytes));
    // 2009 made a coroutine for each flush. Here one is ours, and each flush
    // costs at most the write that says EAGAIN.
    CHECK(since.coroutines() <= 2);
    CHECK(since[Call::write] < 2 * blocks);
    CHECK(since[Call::read] < 2 * blocks);
  }
#endif

  TEST_CASE_FIXTURE(Run, "one flush of 20 MB makes a write for each piece") {
    const std::string data = text(20 << 20);
    Pair pair;
    const Since since;
    go([&] {
      pair.c.bufferSize = data.size();
      pair.c.write(data);
      pair.c.close();
    });
    CHECK((pair.d.read() == data));
    // The kernel takes 64 KiB and more at a time, on a fast machine and on a
    // slow one; twice, for each EAGAIN.
    CHECK(since[Call::write] <= 2 * data.size() / 32768);
    CHECK(since.parks() <= 3 * data.size() / 32768);
  }

  TEST_CASE_FIXTURE(Run, "defect 18: 1 MB to a closed peer is EPIPE") {
    Pair pair;
    pair.c.bufferSize = 2 << 20;
    pair.c.write(text(1 << 20));
    SUBCASE("closed before") {
      pair.d.close();
    }
    SUBCASE("closed while it is being sent") {
      go([&] { pair.d.close(); });
    }
    // A Unix socket that is closed with unread data says so once.
    int error = errorOf([&] { pair.c.flush(); });
    if (error == ECONNRESET) error = errorOf([&] { pair.c.flush(); });
    CHECK(error == EPIPE);
#if CLAIMS(all_of_file)
    CHECK(pair.c.nwrite < 1 << 20);
#endif
  }

#if CLAIMS(background)
  TEST_CASE_FIXTURE(Run, "defect 18: all who flush are told") {
    Pair pair;
    fill(pair.c.fileno());
    std::vector<int> errors;
    for (int i = 0; i < 3; ++i)
      go([&] {
        pair.c.write("x");
        errors.push_back(errorOf([&] { pair.c.flush(); }));
      });
    yield();
    pair.d.close();
    scheduler.run();
    REQUIRE(errors.size() == 3);
    for (const int error : errors)
      CHECK((error == EPIPE || error == ECONNRESET));
  }

  TEST_CASE_FIXTURE(Run, "an error in the background is met by the next") {
    Pair pair;
    fill(pair.c.fileno());
    pair.c.write("lost");
    pair.c.flush(false);
    pair.d.close();
    for (int turn = 0; turn < 5; ++turn) yield();
    CHECK(errorOf([&] { pair.c.flush(); }) == EPIPE);
    CHECK(errorOf([&] { pair.c.flush(false); }) == EPIPE);
    CHECK(errorOf([&] { pair.c.close(); }) == EPIPE);
    CHECK(pair.c.closed());
  }
#endif

  TEST_CASE_FIXTURE(Run, "a flush that timed out keeps what was not sent") {
    Pair pair;
    const std::size_t junk = fill(pair.c.fileno());
    pair.c.write("kept");
    pair.c.deadline = after(2ms);
    CHECK(errorOf([&] { pair.c.flush(); }) == ETIMEDOUT);
    pair.c.deadline = never;
    go([&] { pair.c.flush(); });
    CHECK(pair.d.read(junk + 4).substr(junk) == "kept");
  }

#if CLAIMS(background)
  // Room and the deadline come in the same turn of the poller.
  TEST_CASE_FIXTURE(Run, "a flush that timed out does not stop the others") {
    Pair pair;
    const std::size_t junk = fill(pair.c.fileno());
    pair.c.write("in the background");
    pair.c.flush(false);
    const Deadline soon = after(1ms);
    pair.c.deadline = soon;
    go([&] { errorOf([&] { pair.c.flush(); }); });
    yield();
    CHECK(goRead(pair.d.fileno(), junk).size() == junk);
    while (sys::now() < soon) continue;
    scheduler.run();
    CHECK(goRead(pair.d.fileno(), 17, after(30s)) == "in the background");
  }
#endif

  TEST_CASE_FIXTURE(Run, "a write of more than bufferSize has a deadline") {
    Pair pair;
    fill(pair.c.fileno());
    pair.c.bufferSize = 3;
    pair.c.deadline = after(2ms);
    CHECK(errorOf([&] { pair.c.write("four"); }) == ETIMEDOUT);
  }

#if CLAIMS(all_of_io)
  TEST_CASE_FIXTURE(Run, "sendfile comes after what was written") {
    const std::string data = text(700'000);
    TempFile file(data);
    Pair pair;
    go([&] {
      pair.c.write("header\n");
      CHECK(pair.c.sendfile(file.fd(), 0, data.size()) == data.size());
      pair.c.write("trailer\n");
      CHECK(pair.c.sendfile(file.fd(), 5, 3) == 3);
      CHECK(sent(pair.c, 7 + data.size() + 3 + 8));
      pair.c.close();
    });
    CHECK(pair.d.readline() == "header\n");
    CHECK((pair.d.read(data.size()) == data));
    CHECK(pair.d.readline() == "trailer\n");
    CHECK(pair.d.read() == data.substr(5, 3));
  }

  // The file has to wait for room, and the others come meanwhile.
  TEST_CASE_FIXTURE(Run,
                    "what others write while a file is sent comes after") {
    const std::string data = text(5'000'000);
    TempFile file(data);
    Pair pair;
    pair.c.autoflush = true;
    go([&] {
      CHECK(pair.c.sendfile(file.fd(), 0, data.size()) == data.size());
    });
    yield();
    REQUIRE(pair.c.nwrite < data.size());
    pair.c.write("in the background\n");
    go([&] {
      pair.c.write("with a flush\n");
      pair.c.flush();
      pair.c.autoflush = false;
    });
    go([&] { CHECK(pair.c.sendfile(file.fd(), 5, 3) == 3); });
    CHECK((pair.d.read(data.size()) == data));
    CHECK(pair.d.readline() == "in the background\n");
    CHECK(pair.d.readline() == "with a flush\n");
    CHECK(pair.d.read(3) == data.substr(5, 3));
  }

  // There is room when the sending ends, and has been: no news of it comes.
  TEST_CASE_FIXTURE(Run,
                    "a file that is cut while it is sent hinders nobody") {
    const std::string data = text(5'000'000);
    TempFile file(data);
    Pair pair;
    pair.c.autoflush = true;
    go([&] {
      CHECK(pair.c.sendfile(file.fd(), 0, data.size()) < data.size());
    });
    yield();
    const std::size_t sent = pair.c.nwrite;
    REQUIRE(sent < data.size());
    REQUIRE(::ftruncate(file.fd(), 0) == 0);
    pair.c.write("in the background\n");
    CHECK((pair.d.read(sent) == data.substr(0, sent)));
    CHECK(pair.d.readline() == "in the background\n");
  }

  TEST_CASE_FIXTURE(Run, "a close while a file is sent ends the sending") {
    const std::string data = text(5'000'000);
    TempFile file(data);
    Pair pair;
    int error = 0;
    go([&] {
      error = errorOf([&] { pair.c.sendfile(file.fd(), 0, data.size()); });
    });
    yield();
    pair.c.close(false);
    scheduler.run();
    CHECK(error == ECANCELED);
  }

  TEST_CASE_FIXTURE(Run, "sendfile tells how much of the file there was") {
    TempFile file("12345");
    Pair pair;
    CHECK(pair.c.sendfile(file.fd(), 2, 100) == 3);
    CHECK(sent(pair.c, 3));
    CHECK(pair.d.read(3) == "345");
    fill(pair.c.fileno());
    pair.c.deadline = after(2ms);
    CHECK(errorOf([&] { pair.c.sendfile(file.fd(), 0, 5); }) == ETIMEDOUT);
  }

  // The first flush has to wait for room, and the others write meanwhile.
  TEST_CASE_FIXTURE(Run,
                    "what is written after the call comes after the file") {
    const std::string data = text(100'000);
    TempFile file(data);
    Pair pair;
    const std::size_t junk = fill(pair.c.fileno());
    pair.c.write("before\n");
    go([&] { pair.c.sendfile(file.fd(), 0, data.size()); });
    yield();
    pair.c.write("after\n");
    go([&] { pair.c.sendfile(file.fd(), 5, 3); });
    yield();
    pair.c.write("last\n");
    const bool atOnce = false;
    pair.c.flush(atOnce);
    CHECK(pair.d.read(junk).size() == junk);
    CHECK(pair.d.readline() == "before\n");
    CHECK((pair.d.read(data.size()) == data));
    CHECK(pair.d.readline() == "after\n");
    CHECK(pair.d.read(3) == data.substr(5, 3));
    CHECK(pair.d.readline() == "last\n");
  }

  TEST_CASE_FIXTURE(Run, "a sendfile that is cancelled gives its place up") {
    TempFile file("never");
    Pair pair;
    const std::size_t junk = fill(pair.c.fileno());
    pair.c.write("one ");
    Task sending = go([&] { pair.c.sendfile(file.fd(), 0, 5); });
    yield();
    pair.c.write("two");
    const Task flush = go([&] { pair.c.flush(); });
    yield();
    sending.cancel();
    CHECK(pair.d.read(junk + 7).substr(junk) == "one two");
    scheduler.run();
    CHECK(flush.done());
  }

  // The timeout begins anew with each wait, so it is enough to count waits.
  TEST_CASE_FIXTURE(Run, "beside a sendfile each bit of progress counts" *
                             doctest::test_suite("reference")) {
    const std::string data = text(5'000'000);
    TempFile file(data);
    std::uint64_t parks[2];
    for (const bool flushes : {false, true}) {
      Pair pair;
      go([&] { pair.c.sendfile(file.fd(), 0, data.size()); });
      yield();
      REQUIRE(pair.c.nwrite < data.size());
      if (flushes) {
        pair.c.write("x");
        go([&] { pair.c.flush(); });
      }
      const Since since;
      CHECK((pair.d.read(data.size()) == data));
      scheduler.run();
      parks[flushes] = since.parks();
    }
    CHECK(parks[1] > parks[0] + 5);
  }
#endif

  TEST_CASE_FIXTURE(Run, "a large write goes on where it was cut") {
    for (const bool autoflush : {false, true}) {
      Pair pair;
      pair.c.autoflush = autoflush;
      pair.c.bufferSize = 1000;
      const std::string data = text(3'000'000);
      pair.c.deadline = after(2ms);
      CHECK(errorOf([&] { pair.c.write(data); }) == ETIMEDOUT);
      pair.c.deadline = never;
#if CLAIMS(all_of_file)
      REQUIRE(pair.c.nwrite < data.size());
#endif
      go([&] {
        pair.c.write(" and more");
        pair.c.close();
      });
      CHECK((pair.d.read() == data + " and more"));
    }
  }

#if CLAIMS(background)
  // Whatever is written while the large write waits comes after it, and a
  // flush of that waits for it, also if the large write gives up.
  TEST_CASE_FIXTURE(Run, "what others write comes after a large write") {
    for (const bool cancelled : {false, true}) {
      Pair pair;
      const std::string data = text(3'000'000);
      Task large = go([&] { pair.c.write(data); });
      yield();
      REQUIRE_FALSE(large.done());
      bool flushed = false;
      go([&] {
        pair.c.write("small");
        pair.c.flush();
        flushed = true;
        CHECK(sent(pair.c, data.size() + 5));
      });
      yield();
      if (cancelled) large.cancel();
      CHECK_FALSE(flushed);
      CHECK((pair.d.read(data.size()) == data));
      CHECK(pair.d.read(5) == "small");
      scheduler.run();
      CHECK(flushed);
    }
  }
#endif

  TEST_CASE_FIXTURE(Run, "an autoflush write that fails keeps its bytes") {
    Pair pair;
    pair.c.autoflush = true;
    pair.d.close();
    CHECK(errorOf([&] { pair.c.write("kept"); }) == EPIPE);
    CHECK(errorOf([&] { pair.c.flush(); }) == EPIPE);
    CHECK(sent(pair.c, 0));
  }

#if CLAIMS(background)
  TEST_CASE_FIXTURE(Run, "a flush of bytes that have left succeeds") {
    Pair pair;
    const std::size_t junk = fill(pair.c.fileno());
    int flushed = -1;
    int closed = -1;
    go([&] {
      pair.c.write("one");
      closed = errorOf([&] { pair.c.close(); });
    });
    go([&] {
      pair.c.write("two");
      flushed = errorOf([&] { pair.c.flush(); });
    });
    yield();
    CHECK(pair.d.read(junk + 7).substr(junk) == "onetwo");
    scheduler.run();
    CHECK(closed == 0);
    CHECK(flushed == 0);
  }
#endif
}
// [/writing-tests]

// [memory-tests]
#if CLAIMS(memory)
namespace {

// How a file sends a large text, and how its peer takes it.
using Way = std::function<void(ScheduledFile&, const std::string&)>;
constexpr std::size_t large = 4 << 20;

const Way senders[] = {
    [](ScheduledFile& c, const std::string& data) {
      c.write(data);
      c.flush();
    },
    [](ScheduledFile& c, const std::string& data) {
      c.bufferSize = data.size();
      c.write(data);
      c.flush();
    },
    [](ScheduledFile& c, const std::string& data) {
      c.bufferSize = data.size();
      for (std::size_t i = 0; i < data.size(); i += 1000)
        c.write(std::string_view(data).substr(i, 1000));
      c.flush(false);
      c.flush();
    },
    [](ScheduledFile& c, const std::string& data) {
      c.autoflush = true;
      c.bufferSize = data.size();
      c.write(data);
      c.flush();
    },
};

const Way takers[] = {
    [](ScheduledFile& d, const std::string& data) {
      CHECK(d.read(data.size()).size() == data.size());
    },
    [](ScheduledFile& d, const std::string&) {
      CHECK(d.read(1).size() == 1);
      CHECK(d.readline().ends_with('\n'));
    },
    [](ScheduledFile& d, const std::string&) {
      CHECK(until(d, "\n").ends_with('\n'));
    },
    [](ScheduledFile& d, const std::string& data) {
      CHECK(d.read(data.size() / 2 - 7).size() == data.size() / 2 - 7);
      CHECK(d.readline().ends_with('\n'));
    },
};

}  // namespace

TEST_SUITE("ScheduledFile: memory") {
  TEST_CASE_FIXTURE(Run, "a file that is idle holds no large buffer") {
    std::string data(large, 'x');
    data.back() = '\n';
    for (const std::string_view next : {"", ".", ".the next message"})
      for (const Way& send : senders)
        for (const Way& take : takers) {
          Pair pair;
          const Task receiver = go([&] {
            take(pair.d, data);
            if (!next.empty()) CHECK(pair.d.read(1) == ".");
          });
          yield();
          const std::size_t before = allocated;
          send(pair.c, data);
          pair.c.write(next);
          pair.c.flush();
          while (!receiver.done()) yield();
          CHECK(allocated < before + 30'000);
          if (next.size() > 1) CHECK(pair.d.read(16) == next.substr(1));
        }
  }

  TEST_CASE_FIXTURE(Run, "a large write is not copied past bufferSize") {
    const std::string data(large, 'x');
    for (const bool autoflush : {false, true}) {
      Pair pair;
      pair.c.autoflush = autoflush;
      fill(pair.c.fileno());
      pair.c.bufferSize = 200'000;
      yield();
      const std::size_t before = allocated;
      const Task writer = go([&] { errorOf([&] { pair.c.write(data); }); });
      yield();
      REQUIRE_FALSE(writer.done());
      CHECK(allocated < before + 250'000);
      pair.c.close(false);
      scheduler.run();
    }
  }
}
#endif
// [/memory-tests]

// [end-tests]
#if CLAIMS(lingering)
namespace {

// What the peer does beside reading what is sent to it.
struct Talk {
  const char* name;
  std::size_t before;   // bytes that are there before the close
  std::size_t between;  // bytes that come just before close(2)
  bool ends;            // whether the peer ends its output then
};
const Talk talks[] = {{"nothing", 0, 0, false},
                      {"the end", 0, 0, true},
                      {"bytes", 10, 0, false},
                      {"many bytes", 100'000, 0, false},
                      {"bytes and the end", 10, 0, true},
                      {"bytes in the last moment", 0, 10, false},
                      {"bytes before and then", 10, 10, false}};

sys::CloseHook hookOfScheduler = nullptr;
int talker = -1;
std::size_t lastWords = 0;

}  // namespace
#endif

TEST_SUITE("ScheduledFile: the end of a connection") {
#if CLAIMS(lingering)
  TEST_CASE_FIXTURE(Run, "what was sent arrives whatever the peer says") {
    using Close = void (*)(ScheduledFile&);
    const std::pair<Close, bool> ways[] = {
        {[](ScheduledFile& f) { f.close(); }, false},
        {[](ScheduledFile& f) { f.finish(); }, true},
        {[](ScheduledFile& f) { f.lingeringClose(); }, true}};
    hookOfScheduler = sys::beforeClose;
    for (const auto& [close, keepsLarge] : ways)
      for (const bool flushed : {false, true})
        for (const std::size_t size : {std::size_t{8}, std::size_t{5} << 20})
          for (const Talk& talk : talks) {
            if (size > 8 && !keepsLarge) continue;
            CAPTURE(talk.name);
            CAPTURE(size);
            CAPTURE(flushed);
            TcpSockets sockets;
            const std::string answer = text(size);
            std::string got;
            talker = sockets.a.get();
            lastWords = talk.between;
            if (talk.before > 0)
              goWrite(talker, std::string(talk.before, '?'));
            if (talk.ends) sys::endWriting(talker);
            const int server = sockets.b.get();
            go([&, close = close,
                file = ScheduledFile(std::move(sockets.b))]() mutable {
              file.write(answer);
              if (flushed) file.flush();
              sys::beforeClose = [](int fd) {
                while (lastWords > 0)
                  lastWords -= tryWrite(talker, std::string(lastWords, '!'));
                hookOfScheduler(fd);
              };
              close(file);
              sys::beforeClose = hookOfScheduler;
            });
            got = everything(talker);
            CHECK((got == answer));
            sockets.a = sys::Fd();
            scheduler.run();
            CHECK_FALSE(isOpen(server));
          }
  }

  TEST_CASE_FIXTURE(Run, "finish of a peer that is done waits for nothing") {
    for (const bool ends : {false, true}) {
      TcpSockets sockets;
      ScheduledFile file(std::move(sockets.b));
      if (ends) sys::endWriting(sockets.a.get());
      file.write("answer");
      const Since since;
      file.finish();
      CHECK(since.parks() == 0);
      CHECK(since[Call::read] == 0);
      CHECK(since[Call::shutdown] == 1);
      CHECK(everything(sockets.a.get()) == "answer");
    }
  }

  TEST_CASE_FIXTURE(Run, "finish of a trusted peer is send and close") {
    TcpSockets sockets;
    ScheduledFile file(std::move(sockets.b));
    file.peerMaySend = false;
    file.write("answer");
    const Since since;
    file.finish();
    file.finish();
    CHECK(since[Call::send] == 1);
    CHECK(since[Call::close] == 1);
    CHECK(since[Call::shutdown] + since[Call::recv] == 0);
    CHECK(everything(sockets.a.get()) == "answer");
  }
#endif

  TEST_CASE_FIXTURE(Run, "a file that cannot be flushed is closed anyhow") {
    using Close = void (*)(ScheduledFile&);
    for (const Close close : {
#if CLAIMS(lingering)
           Close([](ScheduledFile& f) { f.finish(); }),
               Close([](ScheduledFile& f) { f.lingeringClose(); }),
#endif
               Close([](ScheduledFile& f) { f.close(); })
         }) {
      Pair pair;
      fill(pair.c.fileno());
      const int fd = pair.c.fileno();
      pair.c.write("x");
      pair.c.deadline = after(2ms);
      CHECK(errorOf([&] { close(pair.c); }) == ETIMEDOUT);
      CHECK(pair.c.closed());
      CHECK_FALSE(isOpen(fd));
    }
  }

#if CLAIMS(destroyed_files)
  TEST_CASE_FIXTURE(Run, "a file that is destroyed ends the calls on it") {
    TempFile temp(text(100));
    using Call = std::function<void(ScheduledFile&)>;
    const Call calls[] = {
        [](ScheduledFile& f) { f.read(1); },
        [](ScheduledFile& f) { f.flush(); },
        [](ScheduledFile& f) { f.close(); },
        [](ScheduledFile& f) { f.finish(); },
        [](ScheduledFile& f) { f.lingeringClose(); },
        [](ScheduledFile& f) { f.write(std::string(100'000, 'x')); },
        [&](ScheduledFile& f) { f.sendfile(temp.fd(), 0, 100); }};
    for (const Call& first : calls)
      for (const Call& second : calls) {
        Sockets sockets;
        auto file = std::make_unique<ScheduledFile>(std::move(sockets.a));
        ScheduledFile& there = *file;
        fill(there.fileno());
        there.write("x");
        std::vector<int> errors;
        for (const Call* call : {&first, &second})
          go([&, call] {
            errors.push_back(errorOf([&] { (*call)(there); }));
          });
        yield();
        file.reset();
        scheduler.run();
        std::erase(errors, EBUSY);  // two that read
        for (const int error : errors) CHECK(error == ECANCELED);
        CHECK(errors.size() >= 1);
      }
  }
#endif
}
// [/end-tests]

// [life-tests]
TEST_SUITE("ScheduledFile: life") {
  TEST_CASE_FIXTURE(Run, "a file may be a message") {
    FlushingPair pair;
    Channel<ScheduledFile> channel;
    channel.write(std::move(pair.c));
    channel.write(std::move(pair.d));
    ScheduledFile sender = channel.read();
    sender.write("x");
    for (ScheduledFile& receiver : channel) {
      CHECK(receiver.read(1) == "x");
      channel.close();
    }
  }

  TEST_CASE_FIXTURE(Run, "a closed file says so to every call") {
    Pair pair;
    const int fd = pair.c.fileno();
    CHECK_FALSE(pair.c.closed());
    pair.c.close();
    CHECK(pair.c.closed());
    CHECK(pair.c.fileno() == -1);
    CHECK_FALSE(isOpen(fd));
    CHECK(errorOf([&] { pair.c.read(); }) == EBADF);
    CHECK(errorOf([&] { pair.c.readline(); }) == EBADF);
    CHECK(errorOf([&] { until(pair.c, "x"); }) == EBADF);
    CHECK(errorOf([&] { pair.c.write("x"); }) == EBADF);
#if CLAIMS(all_of_file)
    CHECK(errorOf([&] { pair.c.flush(); }) == EBADF);
    CHECK(errorOf([&] { pair.c.sendfile(0, 0, 1); }) == EBADF);
#endif
    CHECK(errorOf([&] { pair.c.close(); }) == 0);
  }

  TEST_CASE_FIXTURE(Run, "what was read before can be taken after close") {
    Pair pair;
    pair.c.write("abcdef");
    pair.c.flush();
    CHECK(pair.d.read(1) == "a");
    pair.d.close();
    CHECK(pair.d.read(5) == "bcdef");
  }

  TEST_CASE_FIXTURE(Run, "close sends what was written") {
    Pair pair;
    pair.c.write("last words");
    pair.c.close();
    CHECK(pair.d.read() == "last words");
  }

#if CLAIMS(all_of_file)
  TEST_CASE_FIXTURE(Run, "close(false) does not") {
    Pair pair;
    pair.c.write("never mind");
    pair.c.close(false);
    CHECK(pair.d.read() == "");
  }
#endif

  TEST_CASE_FIXTURE(Run, "close that cannot send closes and tells") {
    Pair pair;
    fill(pair.c.fileno());
    const int fd = pair.c.fileno();
    pair.c.write("x");
    pair.c.deadline = after(2ms);
    CHECK(errorOf([&] { pair.c.close(); }) == ETIMEDOUT);
    CHECK(pair.c.closed());
    CHECK_FALSE(isOpen(fd));
  }

#if CLAIMS(lingering)
  TEST_CASE_FIXTURE(Run, "lingeringClose drops what comes until the end") {
    Pair pair;
    pair.c.write("the answer");
    go([&] { pair.c.lingeringClose(60s); });
    CHECK(pair.d.read() == "the answer");  // and the end, before its own
    for (int i = 0; i < 3; ++i) {
      pair.d.write(std::string(100000, 'x'));
      pair.d.flush();
    }
    CHECK_FALSE(pair.c.closed());
    sys::endWriting(pair.d.fileno());
    while (!pair.c.closed()) yield();
    CHECK(received(pair.c, 300000));
  }

  TEST_CASE_FIXTURE(Run, "lingeringClose has two limits") {
    for (const bool bySize : {true, false}) {
      Pair pair;
      pair.d.write(std::string(1000, 'x'));
      pair.d.flush();
      pair.c.lingeringClose(bySize ? sys::Duration(60s) : 1ms,
                            bySize ? 1000 : naglfar::unlimited);
      CHECK(pair.c.closed());
      CHECK(received(pair.c, 1000));
    }
  }
#endif

  TEST_CASE_FIXTURE(Run, "close wakes who reads") {
    Pair pair;
    int error = 0;
    go([&] { error = errorOf([&] { pair.c.read(1); }); });
    yield();
    pair.c.close();
    yield();
    CHECK(error == ECANCELED);
  }

#if CLAIMS(background)
  TEST_CASE_FIXTURE(Run, "close(false) wakes who flushes") {
    Pair pair;
    fill(pair.c.fileno());
    std::vector<int> errors;
    for (int i = 0; i < 2; ++i)
      go([&] {
        pair.c.write("x");
        errors.push_back(errorOf([&] { pair.c.flush(); }));
      });
    yield();
    pair.c.close(false);
    yield();
    CHECK(errors == std::vector<int>{ECANCELED, ECANCELED});
  }

  TEST_CASE_FIXTURE(Run, "two may close at a time") {
    Pair pair;
    const std::size_t junk = fill(pair.c.fileno());
    pair.c.write("x");
    int first = -1;
    int second = -1;
    go([&] { first = errorOf([&] { pair.c.close(); }); });
    SUBCASE("both wait until all has left") {
      go([&] { second = errorOf([&] { pair.c.close(); }); });
      yield();
      CHECK(pair.d.read(junk + 2).substr(junk) == "x");
      scheduler.run();
      CHECK(first == 0);
      CHECK((second == 0 || second == ECANCELED));
    }
    SUBCASE("one waits and the other does not") {
      go([&] { second = errorOf([&] { pair.c.close(false); }); });
      scheduler.run();
      CHECK(first == ECANCELED);
      CHECK(second == 0);
    }
    CHECK(pair.c.closed());
  }
#endif

  TEST_CASE_FIXTURE(Run, "a destructor closes and waits for nobody") {
    Sockets sockets;
    const int fd = sockets.a.get();
    const Since since;
    std::size_t junk = 0;
    {
      ScheduledFile file(std::move(sockets.a));
      file.write("not flushed");
      SUBCASE("with data that was never sent") {}
#if CLAIMS(background)
      SUBCASE("with data that is being sent in the background") {
        junk = fill(fd);
        file.flush(false);
      }
#endif
    }
    CHECK(since.parks() == 0);
    CHECK_FALSE(isOpen(fd));
    yield();
    CHECK(goRead(sockets.b.get(), junk + 1).size() == junk);
  }

  TEST_CASE_FIXTURE(Run, "a move takes everything along") {
    Pair pair;
    pair.d.write("in\nout");
    pair.d.flush();
    CHECK(pair.c.read(1) == "i");
    pair.c.write("written ");
    pair.c.deadline = after(30s);
    pair.c.bufferSize = 4321;
    const int fd = pair.c.fileno();

    ScheduledFile moved(std::move(pair.c));
    CHECK(pair.c.closed());
    CHECK(moved.fileno() == fd);
    CHECK(received(moved, 6));
    CHECK(moved.bufferSize == 4321);
    CHECK(moved.deadline != never);
    CHECK(moved.readline() == "n\n");
    CHECK(moved.read(3) == "out");
    moved.write("and moved");
    moved.close();
    CHECK(pair.d.read() == "written and moved");
    CHECK(errorOf([&] { pair.c.read(1); }) == EBADF);
  }

  TEST_CASE_FIXTURE(Run, "connectTcp connects and flushes each write") {
    sys::Fd listener(
        sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
    sys::check(sys::bind(listener.get(), sys::Address("localhost", 0)),
               "bind");
    sys::Address address;
    sys::check(sys::localAddress(listener.get(), address), "getsockname");
    CHECK(errorOf([&] { ScheduledFile::connectTcp(address); }) ==
          ECONNREFUSED);

    sys::check(sys::listen(listener.get(), 5), "listen");
    ScheduledFile client = ScheduledFile::connectTcp(address);
    CHECK(client.autoflush);
    client.write("hello");
    sys::Address who;
    ScheduledFile server(goAccept(listener.get(), who));
    CHECK(server.read(5) == "hello");
  }

#if CLAIMS(without_scheduler)
  TEST_CASE("on blocking descriptors it needs no scheduler") {
    ::alarm(60);
    REQUIRE(Scheduler::ofThread() == nullptr);
    Pair pair{Sockets(sys::Mode::blocking)};
    const std::string big = text(1 << 20) + "\n";
    const Since since;
    std::thread peer([&] {
      for (const std::string& line : pair.d) pair.d.write(line);
      pair.d.close();
    });
    pair.c.write("small\n");
    pair.c.flush(false);
    CHECK(pair.c.read(0) == "");
    std::thread writer([&] { pair.c.write(big); });
    writer.join();
    sys::check(::shutdown(pair.c.fileno(), SHUT_WR), "shutdown");
    CHECK(pair.c.readline() == "small\n");
    CHECK((until(pair.c, "\n") == big));
    CHECK(pair.c.read() == "");
    peer.join();
    pair.c.close();
    CHECK(since.parks() == 0);
    ::alarm(0);
  }

  TEST_CASE("on nonblocking ones the thread waits, and has deadlines") {
    ::alarm(60);
    REQUIRE(Scheduler::ofThread() == nullptr);
    Pair pair;
    const std::string big = text(1 << 20) + "\n";
    pair.c.timeout = pair.d.timeout = 5ms;
    const auto given = [&](auto call) {
      CHECK_THROWS_WITH(call(), doctest::Contains("timed out"));
    };
    given([&] { pair.d.readline(); });
    given([&] { pair.c.write(big); });
    // What did not leave in time leaves when there is somebody who reads.
    pair.c.timeout = pair.d.timeout = 60s;
    std::thread peer([&] { CHECK((pair.d.readline() == big)); });
    pair.c.write("x");
    pair.c.flush(false);  // there is nobody who would do it later
    peer.join();
    CHECK(pair.d.read(1) == "x");
    ::alarm(0);
  }
#endif
}
// [/life-tests]
