// hello-server: the smallest server there is to write.

#include "serve.hpp"

// [hello]
class HelloWorldHandler : public naglfar::BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;

  void do_GET() override {
    if (path != "/") return send_error(404);
    send_response(200);
    send_header("Content-type", "text/plain");
    end_headers();
    wfile.write("Hello, world\n");
  }
};

int main(int argc, char** argv) {
  using namespace naglfar;
  return comet::serve<ScheduledMixIn<HTTPServer>>(
      "hello-server", "Answers / with \"Hello, world\".\n", argc, argv,
      handlerFor<HelloWorldHandler>);
}
// [/hello]
