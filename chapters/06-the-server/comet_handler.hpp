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

  // Tells all who wait how many they are.
  int notify() {
    auto told = waiters.takeAll();
    const int n = static_cast<int>(told.size());
    for (auto& c : told) c.write(n);
    return n;
  }
  // At the end nobody shall be left waiting.
  void server_close() override {
    notify();
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

    int n = 0;
    if (path == "/wait") {  // wait for result
      auto c = comet.waiters.channel(rfile.fileno());
      const auto place = comet.waiters.append(c);
      n = c.read();
    } else if (path == "/notify") {  // notify everyone
      n = comet.notify();
    } else {  // current number of waiters
      n = static_cast<int>(comet.waiters.size());
    }
    wfile.write(std::to_string(n));
  }
};
// [/comet-handler]

// [quiet-handler]
// The run logs no requests, nor takes the time to write lines about them.
template <class Waiters>
class QuietCometHandler : public CometHandler<Waiters> {
 public:
  using CometHandler<Waiters>::CometHandler;
  void log_request(int, std::string_view) override {}
  void log_message(std::string_view) override {}
};
// [/quiet-handler]

}  // namespace comet
