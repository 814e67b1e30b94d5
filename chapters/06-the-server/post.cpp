// The 2009 post's own program: its handler with the list of waiters, its
// test, and server, clients and scheduler in one thread.
//
// It is written for the small version and runs on the library as well.

#include <optional>
#include <vector>

#include "harness.hpp"
#include "naglfar/http.hpp"

using namespace naglfar;

// [post-handler]
struct CometServer : HTTPServer {
  using HTTPServer::HTTPServer;
  std::vector<Channel<std::size_t>*> waiters;
};

class CometHandler : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;

  void do_GET() override {
    auto& waiters = static_cast<CometServer&>(server).waiters;
    send_response(200);
    send_header("Content-type", "text/plain");
    end_headers();

    std::size_t n = waiters.size();
    if (path == "/wait") {  // wait for result
      Channel<std::size_t> c;
      waiters.push_back(&c);
      n = c.read();
    } else if (path == "/notify") {  // notify everyone
      for (Channel<std::size_t>* c : waiters) c->write(n);
      waiters.clear();
    }
    wfile.write(std::to_string(n));
  }
  void log_request(int, std::string_view) override {}
};
// [/post-handler]

// [post-client]
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
// [/post-client]

// [post-test]
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
// [/post-test]

// [post-main]
int main(int argc, char** argv) {
  comet::Run run(NAGLFAR_PROGRAM, argc, argv);
  try {
    Scheduler scheduler;
    std::optional<ScheduledMixIn<CometServer>> httpd;
    if (run.hasServer()) {
      httpd.emplace(run.takeListener(), handlerFor<CometHandler>);
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
// [/post-main]
