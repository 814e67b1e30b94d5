// The handler of the 2009 post, and the server that keeps its waiters.
//
// There is nothing in it about coroutines, threads or processes: which of
// them serve a request is for the server's mix-in to say.

#pragma once

#include <string>

#include "naglfar/http.hpp"

namespace comet {

// [comet-server]
// The list of waiting requests belongs to the server. A server that forks has
// it before it has children.
template <class Waiters>
class CometServer : public naglfar::HTTPServer {
 public:
  using HTTPServer::HTTPServer;

  // At the end no request shall be left waiting.
  void server_close() override {
    waiters.notifyAll();
    HTTPServer::server_close();
  }

  Waiters waiters;
};
// [/comet-server]

// [comet-handler]
template <class Waiters>
class CometHandler : public naglfar::BaseHTTPRequestHandler {
 public:
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;

  void do_GET() override {
    auto& comet = static_cast<CometServer<Waiters>&>(server);
    send_response(200);
    send_header("Content-type", "text/plain");
    end_headers();

    std::size_t n = 0;
    if (path == "/wait") {  // wait for result
      n = comet.waiters.wait(rfile.fileno());
    } else if (path == "/notify") {  // notify everyone
      n = comet.waiters.notifyAll();
    } else {  // current number of waiters
      n = comet.waiters.size();
    }
    wfile.write(std::to_string(n));
  }
};
// [/comet-handler]

// [quiet-handler]
// The run logs no requests, nor takes the time to write lines about them. Its
// clients say nothing after their request, so the server need not make sure
// of that, which would be two more system calls for each client.
template <class Waiters>
class QuietCometHandler : public CometHandler<Waiters> {
 public:
  QuietCometHandler(naglfar::ScheduledFile& request,
                    const naglfar::sys::Address& client,
                    naglfar::TCPServer& accepted_by)
      : CometHandler<Waiters>(request, client, accepted_by) {
    request.peerMaySend = false;
  }
  void log_request(int, std::string_view) override {}
  void log_message(std::string_view) override {}
};
// [/quiet-handler]

}  // namespace comet
