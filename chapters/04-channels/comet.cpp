// The run with channels: connections come through one, and each waiting
// request reads its number from one of its own.

#include <csignal>
#include <iostream>
#include <optional>
#include <vector>

#include "harness.hpp"
#include "naglfar/channel.hpp"
#include "naglfar/scheduler/signals.hpp"
#include "streams.hpp"

using namespace naglfar;

// [wait-and-close]
static void waitFor(int fd, Interest interest) {
  Scheduler::current().wait(fd, interest);
}

// The scheduler is told before, and wakes whoever waits.
static void close(sys::Fd& fd) {
  fd = sys::Fd();
}
// [/wait-and-close]

// [server]
class Server {
 public:
  explicit Server(sys::Fd listener) : listener_(std::move(listener)) {
    go([this] { acceptConnections(); }).name = "accept loop";
    go([this] { serveForever(); }).name = "serveForever";
  }
  void stop() { close(listener_); }

 private:
  void acceptConnections() try {
    for (;;) acceptStream_.write(comet::acceptFrom(listener_.get(), waitFor));
  } catch (const std::system_error& error) {
    acceptStream_.close();
    if (error.code() != std::errc::operation_canceled) throw;
  }

  void serveForever() {
    for (sys::Fd& connection : acceptStream_)
      go([this, fd = std::move(connection)]() mutable { serve(fd); }).name =
          "request";
  }

  void serve(sys::Fd& fd) {
    const std::string request = comet::readRequest(fd.get(), waitFor);
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
    comet::writeAll(fd.get(), comet::respond(n), waitFor);
    close(fd);
  }

  sys::Fd listener_;
  Channel<sys::Fd> acceptStream_;
  std::vector<Channel<std::size_t>*> waiters_;
};
// [/server]

// [clients]
static std::string request(sys::Fd& fd, std::string_view path) {
  comet::writeAll(fd.get(), comet::get(path), waitFor);
  std::string response = comet::readToEnd(fd.get(), waitFor);
  close(fd);
  return response;
}

static std::size_t ask(const comet::Run& run, std::string_view path) {
  sys::Fd fd = comet::startConnecting(run.address());
  return comet::numberIn(request(fd, path));
}

// The clients report through a channel, too: main reads N answers from it.
static void runClients(comet::Run& run) {
  Channel<std::string> answers;
  for (std::size_t i = 0; i < run.clients; ++i) {
    go([&answers, fd = comet::startConnecting(run.address(i))]() mutable {
      answers.write(request(fd, "/wait"));
    }).name = "client";
    run.connected();
    yield();
  }
  for (std::size_t count = 0; count != run.clients; run.waiting(count))
    count = ask(run, "/");
  const std::size_t notified = ask(run, "/notify");
  run.expect(notified == run.clients,
             "/notify told " + std::to_string(notified));
  for (std::size_t i = 0; i < run.clients; ++i) run.answered(answers.read());
  while (ask(run, "/") != 0) continue;
}
// [/clients]

// [main]
int main(int argc, char** argv) {
  comet::Run run("comet-04", argc, argv);
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
        waitFor(run.clientsFinished(), Interest::read);
      if (server) server->stop();
    }).name = "main";
    scheduler.run();
  } catch (const std::exception& error) {
    run.expect(false, error.what());
  }
  return run.finish();
}
// [/main]
