// A server of somebody else: asks itself once, and prints the answer.

#include <iostream>
#include <string>

#include "naglfar/http.hpp"

using namespace naglfar;

class Handler : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
  void do_GET() override {
    send_response(200);
    end_headers();
    wfile.write("hello from ");
    wfile.write(path);
  }
  void log_message(std::string_view) override {}
};

int main() {
  Scheduler scheduler;
  ScheduledMixIn<HTTPServer> server(sys::Address("127.0.0.1", 0),
                                    handlerFor<Handler>);
  go([&] { server.serve_forever(); });
  ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
  client.write("GET /away HTTP/1.0\r\n\r\n");
  const std::string answer = client.read();
  std::cout << answer << '\n';
  server.shutdown();
  scheduler.run();
  return answer.ends_with("hello from /away") ? 0 : 1;
}
