// A browser says which page it wants.
//! 8: you want /hello, by GET, and speak HTTP/1.0

#include <cstdio>

#include "naglfar/http.hpp"

using namespace naglfar;

class Handler : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
  void do_GET() override {
    wfile.write("you want " + path + ", by " + command + ", and speak " +
                request_version + "\n");
  }
};

int main() {
  Scheduler scheduler;
  ScheduledMixIn<HTTPServer> httpd(sys::Address("127.0.0.1", 0),
                                   handlerFor<Handler>);
  go([&] { httpd.serve_forever(); });
  go([&] {
    ScheduledFile file = ScheduledFile::connectTcp(httpd.server_address);
    file.write("GET /hello HTTP/1.0\r\n\r\n");
    std::printf("%s", file.read().c_str());
    httpd.shutdown();
  });
  scheduler.run();
}
