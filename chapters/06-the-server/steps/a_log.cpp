// What the server says about a request, and about the time.
//! 12: a Date header: no
//! 13: 127.0.0.1 - - "GET /hello HTTP/1.0" 501 -
//! 13: a Date header: yes

#include <cstdio>

#include "naglfar/http.hpp"

using namespace naglfar;

class Handler : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
};

int main() {
  Scheduler scheduler;
  ScheduledMixIn<HTTPServer> httpd(sys::Address("127.0.0.1", 0),
                                   handlerFor<Handler>);
  go([&] { httpd.serve_forever(); });
  go([&] {
    ScheduledFile file = ScheduledFile::connectTcp(httpd.server_address);
    file.write("GET /hello HTTP/1.0\r\n\r\n");
    const std::string answer = file.read();
    std::printf("a Date header: %s\n",
                answer.find("\r\nDate: ") != answer.npos ? "yes" : "no");
    httpd.shutdown();
  });
  scheduler.run();
}
