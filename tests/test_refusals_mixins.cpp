// What becomes of a server with threads or processes when there is no memory:
// each allocation of its accepting thread is refused in turn (see
// refuse.hpp). A client is served, or the server tells of it and closes its
// connection; and no place, process or descriptor is lost.

#include <doctest/doctest.h>
#include <sys/wait.h>

#include <cerrno>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "helpers.hpp"
#include "naglfar/naglfar.hpp"
#include "refuse.hpp"

using namespace naglfar;
using namespace helpers;

namespace {

const sys::Address anyPort("127.0.0.1", 0);
constexpr std::string_view request = "GET / HTTP/1.0\r\n\r\n";
constexpr std::string_view body = "hello";

class TestServer : public HTTPServer {
 public:
  using HTTPServer::HTTPServer;
  int accepted = 0;
  int told = 0;

 protected:
  std::optional<Request> get_request() override {
    std::optional<Request> next = HTTPServer::get_request();
    accepted += next ? 1 : 0;
    return next;
  }
  // A child has its memory.
  void finish_request(ScheduledFile& file,
                      const sys::Address& client) override {
    refuse::counting = false;
    HTTPServer::finish_request(file, client);
  }
  void handle_error(const sys::Address&, const std::exception&) override {
    ++told;
  }
};

class Handler : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
  void log_message(std::string_view) override {}
  void do_GET() override {
    send_response(200);
    end_headers();
    wfile.write(body);
  }
};

// A client whose request the kernel has before the server accepts it.
struct Client {
  explicit Client(const sys::Address& server)
      : fd(sys::check(sys::socket(sys::Mode::blocking), "socket")) {
    sys::check(sys::connect(fd.get(), server), "connect");
    sys::write(fd.get(), request.data(), request.size());
    sys::endWriting(fd.get());
  }
  // What comes until the end.
  std::string answer() {
    std::string all;
    errorOf([&] { all = goRead(fd.get(), unlimited); });
    return all;
  }
  sys::Fd fd;
};

// Serves three clients while memory is refused to the thread that accepts,
// and one more when it is back. Returns how many allocations there are.
template <class Server>
int sweep(bool scheduled) {
  const int descriptors = openDescriptors();
  const int allocations = refuse::each([&](const refuse::Which& which) {
    std::optional<Scheduler> scheduler;
    if (scheduled) scheduler.emplace();
    Server server(anyPort, handlerFor<Handler>);
    server.maxConnections = 2;
    std::vector<Client> clients;
    for (int i = 0; i < 3; ++i) clients.emplace_back(server.server_address);
    CHECK(refuse::during(which, [&] {
      for (int i = 0; i < 3; ++i) server.handle_request();
    }));
    clients.emplace_back(server.server_address);
    while (server.accepted < 4) server.handle_request();
    int unanswered = 0;
    for (Client& client : clients) {
      const std::string answer = client.answer();
      const bool good =
          answer.starts_with("HTTP/1.0 200 OK\r\n") && answer.ends_with(body);
      CHECK((good || answer.empty()));
      unanswered += good ? 0 : 1;
      if (&client == &clients.back()) CHECK(good);
    }
    CHECK(unanswered == server.told);
    server.server_close();
  });
  CHECK(openDescriptors() == descriptors);
  CHECK(::waitpid(-1, nullptr, WNOHANG) == -1);  // there is no child
  return allocations;
}

}  // namespace

TEST_SUITE("refusals: mixins") {
  TEST_CASE("a client gets its thread, or is told of") {
    const Bounded bound;
    CHECK(sweep<ThreadingMixIn<TestServer>>(false) >= 1);
    CHECK(sweep<ThreadingMixIn<TestServer>>(true) >= 1);
  }

  TEST_CASE("a client gets its process, or is told of") {
    const Bounded bound;
    CHECK(sweep<ForkingMixIn<TestServer>>(false) >= 1);
    CHECK(sweep<ForkingMixIn<TestServer>>(true) >= 1);
  }

  TEST_CASE("a request that cannot be told why it ends leaves its slot") {
    const int descriptors = openDescriptors();
    const int allocations = refuse::each([](const refuse::Which& which) {
      Sockets pair;
      SharedWaiters waiters(1);
      int error = 0;
      refuse::during(which, [&] {
        error = errorOf([&] { waiters.wait(pair.a.get(), sys::now()); });
      });
      CHECK((error == 0 || error == ETIMEDOUT));
      CHECK(waiters.size() == 0);
      CHECK(errorOf([&] { waiters.wait(pair.a.get(), sys::now()); }) ==
            ETIMEDOUT);
    });
    CHECK(allocations >= 1);
    CHECK(openDescriptors() == descriptors);
  }
}
