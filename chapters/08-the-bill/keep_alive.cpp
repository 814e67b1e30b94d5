// hello-server for clients that stay: HTTP/1.1, and no log.

#include "serve.hpp"

// [keep-alive-hello]
class Hello : public naglfar::BaseHTTPRequestHandler {
 public:
  Hello(naglfar::ScheduledFile& request, const naglfar::sys::Address& client,
        naglfar::TCPServer& accepted_by)
      : BaseHTTPRequestHandler(request, client, accepted_by) {
    protocol_version = "HTTP/1.1";
  }

  void do_GET() override {
    send_response(200);
    send_header("Content-Type", "text/plain");
    send_header("Content-Length", "13");
    end_headers();
    wfile.write("Hello, world\n");
  }
  void log_request(int, std::string_view) override {}
};

int main(int argc, char** argv) {
  using namespace naglfar;
  return comet::serve<ScheduledMixIn<HTTPServer>>(
      "keep-alive-server", "Answers with \"Hello, world\".\n", argc, argv,
      handlerFor<Hello>);
}
// [/keep-alive-hello]
