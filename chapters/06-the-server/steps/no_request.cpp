// Clients that do not speak HTTP, or ask for more than there is.
//! 10: nothing
//! 10: nothing
//! 11: HTTP/1.0 400 Bad Request
//! 11: HTTP/1.0 501 Not Implemented

#include <cstdio>

#include "naglfar/http.hpp"

using namespace naglfar;

class Handler : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
};

static std::string ask(const TCPServer& server, std::string_view request) {
  ScheduledFile file = ScheduledFile::connectTcp(server.server_address);
  file.write(request);
  std::string line = file.readline();
  std::erase(line, '\r');
  return line.empty() ? "nothing\n" : line;
}

int main() {
  Scheduler scheduler;
  ScheduledMixIn<HTTPServer> httpd(sys::Address("127.0.0.1", 0),
                                   handlerFor<Handler>);
  go([&] { httpd.serve_forever(); });
  go([&] {
    std::printf("%s", ask(httpd, "hello\r\n\r\n").c_str());
    std::printf("%s", ask(httpd, "BREW / HTTP/1.0\r\n\r\n").c_str());
    httpd.shutdown();
  });
  scheduler.run();
}
