// The 2009 post's own program: server, clients and scheduler in one thread.

#include "comet_handler.hpp"
#include "harness.hpp"
#include "naglfar/scheduler/signals.hpp"
#include "naglfar/server/waiters.hpp"

#include <csignal>

using namespace naglfar;

// [types]
using Server = ScheduledMixIn<comet::CometServer<Waiters>>;
constexpr auto handler = handlerFor<comet::QuietCometHandler<Waiters>>;
// [/types]

// [client]
// Super simple http client.
static std::string httpClientGet(ScheduledFile& client,
                                 std::string_view path) {
  client.write(comet::get(path));
  return client.read();
}

static std::size_t ask(const comet::Run& run, std::string_view path) {
  ScheduledFile client = ScheduledFile::connectTcp(run.address());
  return comet::numberIn(httpClientGet(client, path));
}
// [/client]

// [test-scheduled-server]
static void testScheduledServer(comet::Run& run) {
  const std::size_t n = run.clients;

  // spin up a few clients
  for (std::size_t i = 0; i < n; ++i) {
    go([&run, client = ScheduledFile::connectTcp(run.address(i))]() mutable {
      run.answered(httpClientGet(client, "/wait"));
    }).name = "client";
    run.connected();
  }

  // wait until all clients are ready
  for (std::size_t count = 0; count != n; run.waiting(count))
    count = ask(run, "/");

  // notify everyone
  const std::size_t notified = ask(run, "/notify");
  run.expect(notified == n, "/notify told " + std::to_string(notified));

  // wait for everyone to finish
  while (ask(run, "/") != 0) continue;
}
// [/test-scheduled-server]

// [main]
int main(int argc, char** argv) {
  comet::Run run("comet-06", argc, argv);
  try {
    Scheduler scheduler;
    Signals signals;
    signals.on(SIGQUIT, [&] { scheduler.dump(); });

    std::optional<Server> httpd;
    if (run.hasServer()) {
      httpd.emplace(run.takeListener(), handler);
      // No client leaves in this run before it is answered. To watch for
      // that would be one more system call for each client.
      httpd->waiters.noticeDepartures = false;
      go([&] { httpd->serve_forever(); }).name = "serve_forever";
    }
    go([&] {
      if (run.hasClients())
        testScheduledServer(run);
      else
        goRead(run.clientsFinished(), 1);
      if (httpd) httpd->shutdown();
    }).name = "main";
    scheduler.run();
  } catch (const std::exception& error) {
    run.expect(false, error.what());
  }
  return run.finish();
}
// [/main]
