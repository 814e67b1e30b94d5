// The handler sends a client's own words back, in a header. This client has
// put a line end into them.
//! 9: HTTP/1.0 200 OK
//! 9: Server: Naglfar/0.1
//! 9: X-Said: hello
//! 9:
//! 9: refused: a line end within a line of a response

#include <cstdio>

#include "naglfar/http.hpp"

using namespace naglfar;

class Handler : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
  void do_GET() override {
    send_response(200);
    send_header("X-Said", "hello");
    try {
      send_header("X-Said", "hello\r\nSet-Cookie: mine");
    } catch (const std::invalid_argument& error) {
      end_headers();
      wfile.write(std::string("refused: ") + error.what() + "\n");
    }
  }
};

int main() {
  Scheduler scheduler;
  ScheduledMixIn<HTTPServer> httpd(sys::Address("127.0.0.1", 0),
                                   handlerFor<Handler>);
  go([&] { httpd.serve_forever(); });
  go([&] {
    ScheduledFile file = ScheduledFile::connectTcp(httpd.server_address);
    file.write("GET / HTTP/1.0\r\n\r\n");
    for (std::string line : file) {
      std::erase(line, '\r');
      std::printf("%s", line.c_str());
    }
    httpd.shutdown();
  });
  scheduler.run();
}
