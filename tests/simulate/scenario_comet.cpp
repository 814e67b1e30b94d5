// The book's run, with clients as they are: some are patient, and some
// vanish, reset, dawdle, stop writing, or give up.

#include "claims.hpp"
#include "naglfar/http.hpp"
#include "scenarios.hpp"

#if CLAIMS(departures)
#include "comet_handler.hpp"
#include "naglfar/server/waiters.hpp"
#endif

#include <charconv>
#include <optional>
#include <sstream>
#include <vector>

namespace simulate {

using namespace naglfar;

// [counted-waiters]
namespace {

#if CLAIMS(departures)
// The library's list of waiters, with a count of those that were told and of
// those that heard it.
class CountedWaiters {
 public:
  std::size_t wait(int connection) {
    const std::size_t n = waiters_.wait(connection);
    ++heard;
    return n;
  }
  std::size_t notifyAll() {
    const std::size_t n = waiters_.notifyAll();
    told += n;
    return n;
  }
  std::size_t size() const { return waiters_.size(); }

  std::size_t told = 0;
  std::size_t heard = 0;

 private:
  Waiters waiters_;
};

// What goes wrong with a connection is expected here, and not printed.
class CometServer : public comet::CometServer<CountedWaiters> {
 public:
  using comet::CometServer<CountedWaiters>::CometServer;

 protected:
  void handle_error(const sys::Address&, const std::exception&) override {}
};
using Handler = comet::QuietCometHandler<CountedWaiters>;
// [/counted-waiters]
#else
// The post's list of waiters, with the same counts.
class CountedWaiters {
 public:
  std::size_t wait() {
    Channel<std::size_t> channel;
    waiters_.push_back(&channel);
    const std::size_t n = channel.read();
    ++heard;
    return n;
  }
  std::size_t notifyAll() {
    const std::size_t n = size();
    for (Channel<std::size_t>* channel : waiters_) channel->write(n);
    waiters_.clear();
    told += n;
    return n;
  }
  std::size_t size() const { return waiters_.size(); }

  std::size_t told = 0;
  std::size_t heard = 0;

 private:
  std::vector<Channel<std::size_t>*> waiters_;
};

class CometServer : public HTTPServer {
 public:
  using HTTPServer::HTTPServer;
  CountedWaiters waiters;

 protected:
  void handle_error(const sys::Address&, const std::exception&) override {}
};

class Handler : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
  void do_GET() override {
    CountedWaiters& waiters = static_cast<CometServer&>(server).waiters;
    send_response(200);
    end_headers();
    std::size_t n = 0;
    if (path == "/wait")
      n = waiters.wait();
    else
      n = path == "/notify" ? waiters.notifyAll() : waiters.size();
    wfile.write(std::to_string(n));
  }
  void log_request(int, std::string_view) override {}
};
#endif

// [comet-client]
struct Comet {
  World& world;
  sys::Address address;
  std::size_t running = 0;

  std::optional<std::size_t> ask(const char* path);
  void waitingClient();
};

// The number that is a whole response's body.
std::optional<std::size_t> number(std::string_view response) {
  const std::size_t end = response.find("\r\n\r\n");
  std::size_t n = 0;
  if (end == std::string_view::npos) return std::nullopt;
  const std::string_view body = response.substr(end + 4);
  if (std::from_chars(body.data(), body.data() + body.size(), n).ec !=
      std::errc())
    return std::nullopt;
  return n;
}

std::string request(const char* path) {
  return "GET " + std::string(path) + " HTTP/1.0\r\n\r\n";
}

std::optional<std::size_t> Comet::ask(const char* path) {
  try {
    ScheduledFile client = ScheduledFile::connectTcp(address);
    client.write(request(path));
    const auto answer = number(client.read());
    world.expect(answer || !world.lossless, "a request without an answer");
    return answer;
  } catch (const std::system_error& error) {
    world.expect(!world.lossless, error.what());
    return std::nullopt;
  }
}

// A client that waits, each in its own manner.
void Comet::waitingClient() {
  enum Manner { patient, dawdles, impatient, halfCloses, vanishes, resets };
  const auto manner = static_cast<Manner>(world.roll(patient, resets));
  try {
    world.pause();
    ScheduledFile client = ScheduledFile::connectTcp(address);
    if (manner == impatient)
      client.deadline = after(sys::Duration(world.roll(1, 100'000'000)));
    for (const char c : request("/wait"))
      if (manner == dawdles) {
        client.write(std::string_view(&c, 1));
        if (world.coin()) world.pause();
      }
    if (manner != dawdles) client.write(request("/wait"));
    if (manner == halfCloses) world.kernel.shutdownWrite(client.fileno());
    if (manner == resets) world.kernel.resetAtClose(client.fileno());
    if (manner >= vanishes) return world.pause();
    const auto answer = number(client.read());
    world.expect(answer || manner == halfCloses || !world.lossless,
                 "a waiting client was not answered");
    world.expect(!answer || *answer > 0, "a notify that told nobody");
  } catch (const std::system_error& error) {
    world.expect(manner == impatient || !world.lossless, error.what());
  }
}
// [/comet-client]

}  // namespace

// [comet-scenario]
void comet(World& world) {
  sys::Fd listener(-1);
  while (!listener) listener = sys::Fd(sys::socket(sys::Mode::nonblocking));
  sys::check(sys::bind(listener.get(), sys::Address("localhost", 0)), "bind");
  // A client that finds the backlog full again and again gives up.
  const std::size_t backlog = world.lossless ? 20 : world.roll(0, 20);
  sys::check(sys::listen(listener.get(), static_cast<int>(backlog)),
             "listen");
  std::optional<ScheduledMixIn<CometServer>> server;
  while (!server) try {
      server.emplace(std::move(listener), handlerFor<Handler>);
    } catch (const std::system_error&) {
      return;  // no descriptors for its pipe, and the listener is gone
    }
  go([&] { server->serve_forever(); }).name = "serve_forever";

  Comet run{world, server->server_address};
  const std::size_t n = world.roll(1, 12);
  for (std::size_t i = 0; i < n; ++i) {
    ++run.running;
    go([&run] {
      run.waitingClient();
      --run.running;
    }).name = "client";
  }
  for (int rounds = 0; run.running > 0; ++rounds) {
    world.expect(rounds < 10'000, "clients wait that nobody tells");
    world.pause();
    if (rounds > 1000)  // for those whose connect times out, in two minutes
      naglfar::sleep(std::chrono::milliseconds(100));
    const auto waiting = run.ask(world.coin() ? "/" : "/notify");
    world.expect(!waiting || *waiting <= n, "more wait than there are");
  }
#if CLAIMS(departures)
  // The server notices a client that left without a word, and ends its
  // request.
  for (int rounds = 0; server->waiters.size() > 0; ++rounds) {
    world.expect(rounds < 10'000, "a client has left and still waits");
    naglfar::sleep(std::chrono::milliseconds(10));
  }
#endif
  server->shutdown();
  const auto running = [] {
    std::ostringstream list;
    Scheduler::current().dump(list);
    return list.str().find("\n  ") != list.str().npos ||
           list.str().starts_with("  ");
  };
  while (running()) {
#if !CLAIMS(departures)
    server->waiters.notifyAll();
#endif
    world.pause();
  }
  world.expect(server->waiters.told == server->waiters.heard,
               std::to_string(server->waiters.told) + " were told, and " +
                   std::to_string(server->waiters.heard) + " heard it");
}
// [/comet-scenario]

}  // namespace simulate
