// The server that test_http.py compares with Python's: it tells its port and
// serves until SIGTERM.
//
// usage: differential_http_server HTTP/1.0|HTTP/1.1

#include <csignal>
#include <iostream>
#include <string>
#include <string_view>

#include "naglfar/http.hpp"
#include "naglfar/scheduler/signals.hpp"

using namespace naglfar;

// [handler]
namespace {

std::string_view protocol;

// The same as Handler in test_http.py.
class Handler : public BaseHTTPRequestHandler {
 public:
  Handler(ScheduledFile& request, const sys::Address& client,
          TCPServer& accepted_by)
      : BaseHTTPRequestHandler(request, client, accepted_by) {
    protocol_version = protocol;
  }
  void do_GET() override { reply("got " + std::string(path)); }
  void do_HEAD() override { reply(""); }
  void do_POST() override { reply("posted " + rfile.read()); }
  void log_message(std::string_view) override {}

 private:
  void reply(const std::string& body) {
    send_response(200);
    send_header("Content-Length", std::to_string(body.size()));
    end_headers();
    wfile.write(body);
  }
};

}  // namespace
// [/handler]

int main(int, char** argv) {
  protocol = argv[1];
  Scheduler scheduler;
  ScheduledMixIn<HTTPServer> server(sys::Address("localhost", 0),
                                    handlerFor<Handler>);
  Signals signals;
  signals.on(SIGTERM, [&] { server.shutdown(); });
  std::cout << server.server_port() << std::endl;
  server.serve_forever();
  server.server_close();
}
