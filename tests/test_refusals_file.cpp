// What becomes of a file when there is no memory: each allocation of a
// scenario is refused in turn (see refuse.hpp). The stream has no hole and no
// byte twice: a call that fails has done nothing, or its bytes stay for the
// next call, or the file is closed.

#include <doctest/doctest.h>

#include <array>
#include <cerrno>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "helpers.hpp"
#include "naglfar/scheduled_file.hpp"
#include "refuse.hpp"

using namespace naglfar;
using namespace helpers;

namespace {

// Lines of 50 bytes, of which no two are the same.
std::string lines(int n) {
  std::string all;
  for (int i = 0; i < n; ++i) {
    std::string line = "line " + std::to_string(i) + ' ';
    line.resize(49, static_cast<char>('a' + i % 26));
    all += line + '\n';
  }
  return all;
}

std::size_t coroutines() {
  std::size_t n = 0;
  Scheduler::current().forEachCoroutine([&n](const Coroutine&) { ++n; });
  return n;
}

// Reads what comes, while memory is refused, too: it waits in no poller, and
// the text has room for all. At the end of the stream it closes its own end.
class Peer {
 public:
  Peer(sys::Fd fd, std::size_t most) : fd_(std::move(fd)) {
    got.reserve(most);
    reader_ = go([this] {
      for (;; yield()) {
        const ssize_t n = sys::read(fd_.get(), chunk_.data(), chunk_.size());
        if (n > 0) got.append(chunk_.data(), static_cast<std::size_t>(n));
        if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR)) break;
      }
      fd_ = sys::Fd();
    });
  }
  // Waits for the end of the stream.
  void join() { reader_.join(); }
  std::string got;

 private:
  sys::Fd fd_;
  std::array<char, 4096> chunk_;
  Task reader_;
};

}  // namespace

TEST_SUITE("refusals: file") {
  TEST_CASE("what was read stays, or the file is closed") {
    using Read = void (*)(ScheduledFile&, std::string&);
    const Read reads[] = {
        [](ScheduledFile& file, std::string& got) { got += file.read(); },
        [](ScheduledFile& file, std::string& got) {
          for (std::string part; !(part = file.read(70)).empty();)
            got += part;
        },
        [](ScheduledFile& file, std::string& got) {
          for (std::string line; !(line = file.readline()).empty();)
            got += line;
        },
        [](ScheduledFile& file, std::string& got) {
          for (const std::string& line : file) got += line;
        },
        [](ScheduledFile& file, std::string& got) {
          while (!file.peek().empty()) got += file.read(file.available());
        },
        [](ScheduledFile& file, std::string& got) {
          for (const std::string& part : file.readUntil("no such line"))
            got += part;
        }};
    const std::string stream = lines(200);
    const std::size_t half = stream.size() / 2 + 20;  // within a line
    const int descriptors = openDescriptors();
    for (const Read& read : reads)
      for (const bool waits : {false, true}) {
        CAPTURE(&read - reads);
        CAPTURE(waits);
        const int allocations = refuse::each([&](const refuse::Which& which) {
          Scheduler scheduler;
          Sockets pair;
          ScheduledFile file(std::move(pair.a));
          std::string got;
          got.reserve(stream.size() + 1);
          if (!waits) sys::write(pair.b.get(), stream.data(), half);
          Task reader =
              go([&] { refuse::during(which, [&] { read(file, got); }); });
          for (int i = 0; i < 3; ++i) yield();
          if (waits) sys::write(pair.b.get(), stream.data(), half);
          for (int i = 0; i < 3; ++i) yield();
          sys::write(pair.b.get(), stream.data() + half,
                     stream.size() - half);  // EPIPE if the file is closed
          pair.b = sys::Fd();
          reader.join();
          if (!file.closed()) got += file.read();
          CHECK((got == stream.substr(0, got.size())));
          if (!file.closed()) CHECK(got.size() == stream.size());
        });
        CHECK(allocations >= 2);
      }
    CHECK(openDescriptors() == descriptors);
  }

  TEST_CASE("a write leaves as a whole, or not, or the file is closed") {
    const int descriptors = openDescriptors();
    for (const bool autoflush : {false, true})
      for (const bool full : {false, true})
        for (const std::size_t size : {10u, 1000u, 5000u, 300'000u}) {
          CAPTURE(autoflush);
          CAPTURE(full);
          CAPTURE(size);
          const int allocations =
              refuse::each([&](const refuse::Which& which) {
                Scheduler scheduler;
                Sockets pair;
                std::vector<std::string> pieces;
                for (char c = 'a'; c < 'f'; ++c) pieces.emplace_back(size, c);
                std::array<bool, 5> done{};
                const std::size_t junk = full ? fill(pair.a.get()) : 0;
                ScheduledFile file(std::move(pair.a));
                file.autoflush = autoflush;
                file.bufferSize = 4096;
                Peer peer(std::move(pair.b), junk + 5 * size);
                for (std::size_t i = 0; i < pieces.size(); ++i) {
                  if (file.closed()) break;
                  done[i] =
                      refuse::during(which, [&] { file.write(pieces[i]); });
                }
                const bool closed = file.closed();
                file.close();
                peer.join();
                std::string_view got = std::string_view(peer.got);
                got.remove_prefix(junk);
                for (std::size_t i = 0; i < pieces.size(); ++i) {
                  const bool whole = got.starts_with(pieces[i]);
                  if (whole) got.remove_prefix(size);
                  if (!closed) CHECK((whole || !done[i]));
                  // Of a closed file a part may have left, and then no more.
                  const std::string_view part = got.substr(0, size);
                  if (!whole && closed &&
                      part == std::string_view(pieces[i]).substr(
                                  0, part.size())) {
                    got.remove_prefix(part.size());
                    break;
                  }
                }
                CHECK(got.empty());
              });
          CHECK(allocations >= (autoflush && !full && size <= 5000 ? 0 : 1));
        }
    CHECK(openDescriptors() == descriptors);
  }

  TEST_CASE("a flush and a close have sent all, or fail") {
    const std::string text = lines(400);
    const int descriptors = openDescriptors();
    using Step = void (*)(ScheduledFile&);
    const Step steps[] = {[](ScheduledFile& file) { file.flush(); },
                          [](ScheduledFile& file) { file.flush(false); },
                          [](ScheduledFile& file) { file.close(); },
                          [](ScheduledFile& file) { file.lingeringClose(); },
                          [](ScheduledFile& file) { file.finish(); }};
    for (const Step& step : steps) {
      CAPTURE(&step - steps);
      const bool closes = &step - steps >= 2;
      refuse::each([&](const refuse::Which& which) {
        Scheduler scheduler;
        Sockets pair;
        const std::size_t junk = fill(pair.a.get());
        ScheduledFile file(std::move(pair.a));
        file.write(text);
        Peer peer(std::move(pair.b), junk + text.size());
        Task other = go([&] {
          for (int i = 0; i < 3; ++i) yield();
        });
        const bool done = refuse::during(which, [&] {
          step(file);
          other.join();
        });
        CHECK((!closes || file.closed()));
        file.close();
        peer.join();
        if (done || !closes)
          CHECK((peer.got.substr(junk) == text));
        else
          CHECK((peer.got.substr(junk) ==
                 text.substr(0, peer.got.size() - junk)));
      });
    }
    CHECK(openDescriptors() == descriptors);
  }

  TEST_CASE("a part of a file is sent as far as is counted") {
    const std::string text = lines(20'000);
    TempFile source(text);
    const int descriptors = openDescriptors();
    refuse::each([&](const refuse::Which& which) {
      Scheduler scheduler;
      Sockets pair;
      const std::size_t junk = fill(pair.a.get());
      ScheduledFile file(std::move(pair.a));
      file.write("head\n");
      Peer peer(std::move(pair.b), junk + text.size() + 10);
      Task writer = go([&] { file.write("tail\n"); });
      const bool done = refuse::during(
          which, [&] { file.sendfile(source.fd(), 0, text.size()); });
      writer.join();
      REQUIRE(!file.closed());
      file.close();
      peer.join();
      CHECK(peer.got.size() == junk + file.nwrite);
      const std::size_t sent = file.nwrite - 10;
      CHECK((!done || sent == text.size()));
      CHECK((peer.got.substr(junk) ==
             "head\n" + text.substr(0, sent) + "tail\n"));
      CHECK(coroutines() == 0);
    });
    CHECK(openDescriptors() == descriptors);
  }
}

TEST_SUITE("refusals: io") {
  TEST_CASE("a table of descriptors grows, or none is watched") {
    const int descriptors = openDescriptors();
    const int allocations = refuse::each([](const refuse::Which& which) {
      Scheduler scheduler;
      std::vector<Sockets> pairs(300);  // more than the room for news
      std::size_t failed = 0;
      std::size_t came = 0;
      std::vector<Task> readers;
      for (Sockets& pair : pairs)
        readers.push_back(go([&] {
          char byte = 0;
          try {
            came += goReadSome(pair.a.get(), {&byte, 1});
          } catch (const std::bad_alloc&) {
            ++failed;
          }
        }));
      CHECK(refuse::during(which, [&] {
        for (int i = 0; i < 3; ++i) yield();  // the poller has its turn
      }));
      CHECK(scheduler.poller().watching() == pairs.size() - failed);
      for (Sockets& pair : pairs) goWrite(pair.b.get(), "x");
      for (Task& reader : readers) reader.join();
      CHECK(came == pairs.size() - failed);
      for (Sockets& pair : pairs) goWrite(pair.b.get(), "y");
      for (Sockets& pair : pairs)
        CHECK(goRead(pair.a.get(), 1, after(std::chrono::seconds(9))) != "");
    });
    CHECK(allocations >= 1);
    CHECK(openDescriptors() == descriptors);
  }

  TEST_CASE("a watched peer is watched or not, and is told once") {
    const int descriptors = openDescriptors();
    refuse::each([](const refuse::Which& which) {
      Scheduler scheduler;
      Sockets pair;
      int told = 0;
      const auto token = std::make_shared<int>(0);
      std::optional<HangupWatch> watch;
      const bool done = refuse::during(which, [&] {
        watch.emplace(pair.a.get(),
                      [&told, token, room = std::array<long, 8>()] {
                        told += room[0] == 0;
                      });
        yield();
      });
      CHECK(watch.has_value() == done);
      CHECK(scheduler.poller().watching() == (done ? 1 : 0));
      pair.b = sys::Fd();
      for (int i = 0; i < 5; ++i) yield();
      CHECK(told == (done ? 1 : 0));
      watch.reset();
      CHECK(token.use_count() == 1);
    });
    CHECK(openDescriptors() == descriptors);
  }

  TEST_CASE("a connection is made or fails, and is closed") {
    const int descriptors = openDescriptors();
    refuse::each([](const refuse::Which& which) {
      Scheduler scheduler;
      const sys::Fd listener(
          sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
      sys::Address address("127.0.0.1", 0);
      sys::check(sys::bind(listener.get(), address), "bind");
      sys::check(sys::listen(listener.get(), 5), "listen");
      sys::check(sys::localAddress(listener.get(), address), "getsockname");
      sys::Address client;
      sys::Fd accepted;
      std::optional<ScheduledFile> file;
      bool failed = false;
      Task acceptor = go([&] {
        try {
          accepted = goAccept(listener.get(), client);
        } catch (const std::bad_alloc&) {
          failed = true;
        }
      });
      refuse::during(which, [&] {
        yield();
        file.emplace(ScheduledFile::connectTcp(address));
      });
      if (!file) file.emplace(ScheduledFile::connectTcp(address));
      if (failed) accepted = goAccept(listener.get(), client);
      acceptor.join();
      REQUIRE(accepted);
    });
    CHECK(openDescriptors() == descriptors);
  }
}
