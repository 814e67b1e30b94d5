// A client sends half a request, and nothing more.
//! 11: the client waits, and so does the server
//! 12: HTTP/1.0 408 Request Timeout

#include <cstdio>
#include <cstdlib>

#include "naglfar/http.hpp"

using namespace naglfar;

class Handler : public BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
  template <class Self>
  static void hurry(Self& self) {
    if constexpr (requires { self.timeout; })
      self.timeout = std::chrono::milliseconds(10);
  }
  Handler(ScheduledFile& request, const sys::Address& client,
          TCPServer& accepted_by)
      : BaseHTTPRequestHandler(request, client, accepted_by) {
    hurry(*this);
  }
};

int main() {
  Scheduler scheduler;
  ScheduledMixIn<HTTPServer> httpd(sys::Address("127.0.0.1", 0),
                                   handlerFor<Handler>);
  go([&] { httpd.serve_forever(); });
  go([&] {
    ScheduledFile file = ScheduledFile::connectTcp(httpd.server_address);
    file.write("GET / HT");
    file.deadline = after(std::chrono::seconds(1));
    try {
      std::string line = file.readline();
      std::erase(line, '\r');
      std::printf("%s", line.c_str());
      httpd.shutdown();
    } catch (const std::system_error&) {
      std::puts("the client waits, and so does the server");
      std::fflush(nullptr);
      std::_Exit(0);
    }
  });
  scheduler.run();
}
