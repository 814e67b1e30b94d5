// Clients that would send for ever.
//! 12: HTTP/1.0 414 URI Too Long
//! 12: HTTP/1.0 431 Request Header Fields Too Large

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
  return line;
}

int main() {
  Scheduler scheduler;
  ScheduledMixIn<HTTPServer> httpd(sys::Address("127.0.0.1", 0),
                                   handlerFor<Handler>);
  go([&] { httpd.serve_forever(); });
  go([&] {
    std::printf("%s", ask(httpd, "GET /" + std::string(65'531, 'a')).c_str());
    std::string many = "GET / HTTP/1.0\r\n";
    for (int i = 0; i < 101; ++i) many += "X: y\r\n";
    std::printf("%s", ask(httpd, many).c_str());
    httpd.shutdown();
  });
  scheduler.run();
}
