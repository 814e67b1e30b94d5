// A client says more about itself, in any case of letters.
//! 10: 2 headers, and you are curl

#include <cstdio>

#include "naglfar/http.hpp"

using namespace naglfar;

class Handler : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
  void do_GET() override {
    wfile.write(std::to_string(headers.size()) + " headers, and you are " +
                std::string(headers.get("User-Agent")) + "\n");
  }
};

int main() {
  Scheduler scheduler;
  ScheduledMixIn<HTTPServer> httpd(sys::Address("127.0.0.1", 0),
                                   handlerFor<Handler>);
  go([&] { httpd.serve_forever(); });
  go([&] {
    ScheduledFile file = ScheduledFile::connectTcp(httpd.server_address);
    file.write("GET / HTTP/1.0\r\nAccept: */*\r\nuser-agent: curl\r\n\r\n");
    std::printf("%s", file.read().c_str());
    httpd.shutdown();
  });
  scheduler.run();
}
