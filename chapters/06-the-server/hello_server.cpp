// hello-server: about the smallest server there is to write.

#include "serve.hpp"

// [hello]
class HelloWorldHandler : public naglfar::BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;

  void do_GET() override {
    const std::string_view page = path.substr(0, path.find('?'));
    if (page == "/favicon.ico") {  // a browser asks for it; there is none
      send_response(204);
      return end_headers();
    }
    if (page != "/") return send_error(404);
    const std::string_view text = "Hello, world\n";
    send_response(200);
    send_header("Content-Type", "text/plain");
    send_header("Content-Length", std::to_string(text.size()));
    end_headers();
    wfile.write(text);
  }
};

int main(int argc, char** argv) {
  using namespace naglfar;
  return comet::serve<ScheduledMixIn<HTTPServer>>(
      "hello-server", "Answers / with \"Hello, world\".\n", argc, argv,
      handlerFor<HelloWorldHandler>);
}
// [/hello]
