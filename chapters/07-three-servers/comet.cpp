// The run against three servers with the same handler: a coroutine, a thread
// and a process for each request.
//
// Its clients are coroutines each time. A process for each of thousands of
// requests is more than a machine is made for, so the forking server gets a
// small number of clients, and the program says so.

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <thread>

#include "comet_handler.hpp"
#include "harness.hpp"
#include "naglfar/mixins/forking_mix_in.hpp"
#include "naglfar/mixins/shared_waiters.hpp"
#include "naglfar/mixins/threading_mix_in.hpp"
#include "naglfar/server/waiters.hpp"

using namespace naglfar;

// [types]
// One handler, three servers. A coroutine waits on a Channel; threads and
// processes wait on slots in memory that they share.
using Scheduled = ScheduledMixIn<comet::CometServer<Waiters>>;
using Threading = ThreadingMixIn<comet::CometServer<SharedWaiters>>;
using Forking = ForkingMixIn<comet::CometServer<SharedWaiters>>;

template <class Waiters>
constexpr auto handler = handlerFor<comet::QuietCometHandler<Waiters>>;

constexpr std::size_t mostForks = 200;
// [/types]

// [runners]
// Runs a server from its construction to its destruction, or until stop().
struct Runner {
  virtual ~Runner() = default;
  virtual void stop() = 0;
};

// In this thread, next to the clients.
struct ScheduledRunner final : Runner {
  explicit ScheduledRunner(sys::Fd listener)
      : server(std::move(listener), handler<Waiters>) {
    go([this] { server.serve_forever(); }).name = "serve_forever";
  }
  void stop() override { server.shutdown(); }
  Scheduled server;
};

// In a thread of its own. Without its server the run cannot end, so a failure
// ends the program.
struct ThreadingRunner final : Runner {
  explicit ThreadingRunner(sys::Fd listener)
      : server(std::move(listener), handler<SharedWaiters>), thread([this] {
          try {
            server.serve_forever();
          } catch (const std::exception& error) {
            std::cerr << std::string("comet-07: ") + error.what() + "\n";
            std::_Exit(1);
          }
          flushLedger();
        }) {}
  ~ThreadingRunner() override { stop(); }
  void stop() override {
    server.shutdown();
    if (thread.joinable()) thread.join();
  }
  Threading server;
  std::thread thread;
};

// [forking-runner]
// In a process of its own. Only this process has the pipe's write end, so the
// pipe ends when this process stops the server or ends itself, however that
// comes about: the server never outlives the run.
struct ForkingRunner final : Runner {
  explicit ForkingRunner(sys::Fd listener)
      : process(sys::check(sys::fork(), "fork")) {
    if (process == 0) serve(std::move(listener));
  }
  ~ForkingRunner() override { end(); }
  void stop() override {
    if (end() != 0) throw std::runtime_error("the forking server has failed");
  }
  // Returns the status of the server's process.
  int end() {
    alive.writer = sys::Fd();
    int status = 0;
    if (process != -1) sys::waitpid(process, &status, 0);
    process = -1;
    return status;
  }
  [[noreturn]] void serve(sys::Fd listener) noexcept {
    alive.writer = sys::Fd();
    try {
      Scheduler scheduler;
      Forking server(std::move(listener), handler<SharedWaiters>);
      go([&] {
        goRead(alive.reader.get(), 1);
        server.shutdown();
      });
      server.serve_forever();
      server.server_close();  // waits for its children
    } catch (const std::exception& error) {
      std::cerr << std::string("comet-07: ") + error.what() + "\n";
      _exit(1);
    }
    flushLedger();
    _exit(0);
  }
  sys::Pipe alive;
  pid_t process;
};
// [/forking-runner]
// [/runners]

// [clients]
static std::string httpClientGet(ScheduledFile& client,
                                 std::string_view path) {
  client.write(comet::get(path));
  return client.read();
}

static std::size_t clientsOf(std::string_view server, std::size_t n) {
  return server == "forking" ? std::min(n, mostForks) : n;
}

static void runClients(comet::Run& run, std::size_t server, std::size_t n) {
  const auto ask = [&](std::string_view path) {
    ScheduledFile client = ScheduledFile::connectTcp(run.address(0, server));
    return comet::numberIn(httpClientGet(client, path));
  };
  for (std::size_t i = 0; i < n; ++i) {
    go([&run, n,
        client =
            ScheduledFile::connectTcp(run.address(i, server))]() mutable {
      run.answered(httpClientGet(client, "/wait"), n);
    }).name = "client";
    run.connected();
  }
  for (std::size_t count = 0; count != n; run.waiting(count))
    count = ask("/");
  const std::size_t notified = ask("/notify");
  run.expect(notified == n, "/notify told " + std::to_string(notified));
  while (ask("/") != 0 || run.stillWaiting()) continue;
}
// [/clients]

// [main]
int main(int argc, char** argv) {
  comet::Run run("comet-07", argc, argv, sys::Mode::nonblocking,
                 {"forking", "threading", "scheduled"});
  const auto& names = run.servers();
  run.clientsInAll = 0;
  for (const std::string_view name : names)
    run.clientsInAll += clientsOf(name, run.clients);
  if (run.clientsInAll < run.clients * names.size() && run.hasClients())
    std::cerr << "comet-07: a process for each request: the forking server "
                 "gets "
              << mostForks << " clients\n";
  // A server with threads waits for its requests, and they for the clients,
  // which finish() ends if the run has failed.
  std::vector<std::unique_ptr<Runner>> runners;
  try {
    std::optional<Scheduler> scheduler;
    // The server that forks comes first: while there are no threads.
    for (std::size_t i = 0; run.hasServer() && i < names.size(); ++i) {
      if (names[i] == "forking") {
        shareLedger();
        runners.push_back(
            std::make_unique<ForkingRunner>(run.takeListener(i)));
      } else if (names[i] == "threading") {
        runners.push_back(
            std::make_unique<ThreadingRunner>(run.takeListener(i)));
      }
    }
    scheduler.emplace();
    if (run.hasServer() && names.back() == "scheduled")
      runners.push_back(std::make_unique<ScheduledRunner>(
          run.takeListener(names.size() - 1)));

    go([&] {
      if (!run.hasClients()) goRead(run.clientsFinished(), 1);
      for (std::size_t i = 0; run.hasClients() && i < names.size(); ++i)
        runClients(run, i, clientsOf(names[i], run.clients));
      for (const auto& runner : runners) runner->stop();
    }).name = "main";
    scheduler->run();
    runners.clear();
  } catch (const std::exception& error) {
    run.expect(false, error.what());
  }
  return run.finish();
}
// [/main]
