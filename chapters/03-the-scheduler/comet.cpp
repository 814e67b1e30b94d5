// The run with the scheduler: `go` starts a coroutine, and whoever waits says
// for what. Nobody resumes anybody by hand any more.

#include <csignal>
#include <iostream>
#include <optional>
#include <vector>

#include "harness.hpp"
#include "naglfar/scheduler.hpp"
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
// A waiting request: its place in the line, and what it was told.
struct Waiting : WaitQueue::Entry {
  using Entry::Entry;
  std::size_t number = 0;
};

class Server {
 public:
  explicit Server(sys::Fd listener) : listener_(std::move(listener)) {
    go([this] { acceptConnections(); }).name = "accept loop";
  }
  void stop() { close(listener_); }

 private:
  void acceptConnections() try {
    for (;;) {
      sys::Fd fd = comet::acceptFrom(listener_.get(), waitFor);
      go([this, fd = std::move(fd)]() mutable { serve(fd); }).name =
          "request";
    }
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::operation_canceled) throw;
  }

  void serve(sys::Fd& fd) {
    const std::string request = comet::readRequest(fd.get(), waitFor);
    const std::string_view path = comet::pathOf(request);
    std::size_t n = count_;
    if (path == "/wait") n = waitForNumber();
    if (path == "/notify") notify();
    comet::writeAll(fd.get(), comet::respond(n), waitFor);
    close(fd);
  }

  // Parks until notify() wakes us.
  std::size_t waitForNumber() {
    Waiting me(line_);
    ++count_;
    while (me.number == 0) Scheduler::current().park("/notify");
    return me.number;
  }

  void notify() {
    const std::size_t n = std::exchange(count_, 0);
    while (auto* waiting = static_cast<Waiting*>(line_.first())) {
      waiting->number = n;
      waiting->notify();
    }
  }

  sys::Fd listener_;
  WaitQueue line_;
  std::size_t count_ = 0;
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

static void runClients(comet::Run& run) {
  for (std::size_t i = 0; i < run.clients; ++i) {
    go([&run, fd = comet::startConnecting(run.address(i))]() mutable {
      run.answered(request(fd, "/wait"));
    }).name = "client";
    run.connected();
    yield();
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
  comet::Run run("comet-03", argc, argv);
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
