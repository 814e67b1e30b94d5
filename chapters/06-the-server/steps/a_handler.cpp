// A handler as a class: an object for each request.
//! 7: Hello, whatever you say

#include <cstdio>

#include "naglfar/http.hpp"

using namespace naglfar;

class Handler : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
  void do_GET() override { wfile.write("Hello, whatever you say\n"); }
};

int main() {
  Scheduler scheduler;
  ScheduledMixIn<HTTPServer> httpd(sys::Address("127.0.0.1", 0),
                                   handlerFor<Handler>);
  go([&] { httpd.serve_forever(); });
  go([&] {
    ScheduledFile file = ScheduledFile::connectTcp(httpd.server_address);
    std::printf("%s", file.read().c_str());
    httpd.shutdown();
  });
  scheduler.run();
}
