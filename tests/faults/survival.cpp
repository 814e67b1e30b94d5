// All faults, those that break connections, too: a server goes on, and each
// of its clients gets the whole answer or an error, never a part that looks
// whole.

#include <doctest/doctest.h>
#include <fcntl.h>
#include <unistd.h>

#include <string>
#include <system_error>
#include <thread>

#include "faults.hpp"
#include "naglfar/http.hpp"

using namespace naglfar;

// [survival-helpers]
namespace {

const std::string body(3000, 'b');

class Handler : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
  void do_GET() override {
    send_response(200);
    send_header("Content-Length", std::to_string(body.size()));
    end_headers();
    wfile.write(body);
  }
  void log_message(std::string_view) override {}
};

// What goes wrong with a connection is expected here, and counted.
class Server : public HTTPServer {
 public:
  using HTTPServer::HTTPServer;
  int errors = 0;

 protected:
  void handle_error(const sys::Address&, const std::exception&) override {
    ++errors;
  }
};

enum class Got { answer, error, part };

Got ask(const sys::Address& address) try {
  ScheduledFile client = ScheduledFile::connectTcp(address);
  client.timeout = std::chrono::seconds(20);
  client.write("GET / HTTP/1.0\r\n\r\n");
  std::string line = client.readline();
  if (line.empty()) return Got::error;
  while (!(line = client.readline()).empty() && line != "\r\n") continue;
  const std::string got = client.read();
  return got == body ? Got::answer : Got::part;
} catch (const std::system_error& error) {
  CHECK(error.code() != std::errc::timed_out);
  return Got::error;
}

int openDescriptors() {
  int n = 0;
  for (int fd = 0; fd < 256; ++fd) n += ::fcntl(fd, F_GETFD) != -1;
  return n;
}

}  // namespace
// [/survival-helpers]

// [survival-tests]
TEST_CASE("survival: a scheduled server and 30 clients at a time") {
  ::alarm(120);
  const int before = openDescriptors();
  int answers = 0;
  int errors = 0;
  {
    Scheduler scheduler;
    ScheduledMixIn<Server> server(sys::Address("localhost", 0),
                                  handlerFor<Handler>);
    go([&] { server.serve_forever(); });
    for (int i = 0; i < 30; ++i)
      go([&] {
        const Got got = ask(server.server_address);
        CHECK(got != Got::part);
        ++(got == Got::answer ? answers : errors);
      });
    while (answers + errors < 30)
      naglfar::sleep(std::chrono::milliseconds(1));
    faults::begin(0, 0, faults::Kinds::transparent);
    CHECK(ask(server.server_address) == Got::answer);
    server.shutdown();
    scheduler.run();
  }
  CHECK(answers + errors == 30);
  CHECK(openDescriptors() == before);
  ::alarm(0);
}

TEST_CASE("survival: a plain server, one client after the other") {
  ::alarm(120);
  const int before = openDescriptors();
  {
    Scheduler scheduler;
    Server server(sys::Address("localhost", 0), handlerFor<Handler>);
    std::thread thread([&] { server.serve_forever(); });
    for (int i = 0; i < 30; ++i)
      CHECK(ask(server.server_address) != Got::part);
    faults::begin(0, 0, faults::Kinds::transparent);
    CHECK(ask(server.server_address) == Got::answer);
    server.shutdown();
    thread.join();
  }
  CHECK(openDescriptors() == before);
  ::alarm(0);
}
// [/survival-tests]
