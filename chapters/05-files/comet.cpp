// The run with files: a connection is a ScheduledFile, and neither end knows
// about readiness any more.

#include <csignal>
#include <iostream>
#include <optional>
#include <vector>

#include "harness.hpp"
#include "naglfar/channel.hpp"
#include "naglfar/scheduled_file.hpp"
#include "naglfar/scheduler/signals.hpp"

using namespace naglfar;

// [server]
class Server {
 public:
  explicit Server(sys::Fd listener) : listener_(std::move(listener)) {
    go([this] { acceptConnections(); }).name = "accept loop";
    go([this] { serveForever(); }).name = "serveForever";
  }
  void stop() { goClose(listener_.release()); }

 private:
  // A client that leaves before it is accepted concerns no other client.
  void acceptConnections() {
    for (;;) try {
        sys::Address client;
        acceptStream_.write(goAccept(listener_.get(), client));
      } catch (const std::system_error& error) {
        if (error.code() == std::errc::connection_aborted) continue;
        acceptStream_.close();
        if (error.code() == std::errc::operation_canceled) return;
        throw;
      }
  }

  void serveForever() {
    for (sys::Fd& connection : acceptStream_)
      go([this, file = ScheduledFile(std::move(connection))]() mutable {
        serve(file);
      }).name = "request";
  }

  void serve(ScheduledFile& file) {
    const std::string request = file.readUntil("\r\n\r\n").join();
    const std::string_view path = comet::pathOf(request);
    std::size_t n = waiters_.size();
    if (path == "/wait") {
      Channel<std::size_t> c;
      waiters_.push_back(&c);
      n = c.read();
    } else if (path == "/notify") {
      for (Channel<std::size_t>* c : waiters_) c->write(n);
      waiters_.clear();
    }
    file.write(comet::respond(n));
    file.peerMaySend = false;  // a client of this run has said all
    file.close();
  }

  sys::Fd listener_;
  Channel<sys::Fd> acceptStream_;
  std::vector<Channel<std::size_t>*> waiters_;
};
// [/server]

// [clients]
static std::string request(ScheduledFile& client, std::string_view path) {
  client.write(comet::get(path));
  return client.read();
}

static std::size_t ask(const comet::Run& run, std::string_view path) {
  ScheduledFile client = ScheduledFile::connectTcp(run.address());
  return comet::numberIn(request(client, path));
}

static void runClients(comet::Run& run) {
  for (std::size_t i = 0; i < run.clients; ++i) {
    go([&run, client = ScheduledFile::connectTcp(run.address(i))]() mutable {
      run.answered(request(client, "/wait"));
    }).name = "client";
    run.connected();
  }
  for (std::size_t count = 0; count != run.clients; run.waiting(count))
    count = ask(run, "/");
  const std::size_t notified = ask(run, "/notify");
  run.expect(notified == run.clients,
             "/notify told " + std::to_string(notified));
  while (ask(run, "/") != 0) continue;
}
// [/clients]

// [main]
int main(int argc, char** argv) {
  comet::Run run("comet-05", argc, argv);
  try {
    Scheduler scheduler;
    Signals signals;
    signals.on(SIGQUIT, [&] { scheduler.dump(); });

    std::optional<Server> server;
    if (run.hasServer()) server.emplace(run.takeListener());
    go([&] {
      if (run.hasClients())
        runClients(run);
      else
        goRead(run.clientsFinished(), 1);
      if (server) server->stop();
    }).name = "main";
    scheduler.run();
  } catch (const std::exception& error) {
    run.expect(false, error.what());
  }
  return run.finish();
}
// [/main]
