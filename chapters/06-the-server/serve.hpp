// The main function of a server program: arguments, signals, serve_forever.

#pragma once

#include <sys/socket.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>
#include <string_view>

#include "harness.hpp"
#include "naglfar/http.hpp"
#include "naglfar/scheduler/signals.hpp"

namespace comet {

// [server-arguments]
struct ServerArguments {
  std::uint16_t port = 8000;
};

inline ServerArguments parseServerArguments(const char* program,
                                            const char* about, int argc,
                                            char** argv) {
  ServerArguments arguments;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help") {
      std::cout << "usage: " << program << " [--port P]\n\n"
                << about
                << "\n  --port P  the port to listen on (8000 by default; 0 "
                   "for any that is free)\n  --help    print this\n\n"
                   "SIGINT and SIGTERM end it: the first lets it finish "
                   "what it is serving, the\nsecond does not. SIGQUIT lists "
                   "its coroutines.\n";
      std::exit(0);
    } else if (argument == "--port" && i + 1 < argc) {
      arguments.port = static_cast<std::uint16_t>(
          parseNumber(program, "the port", argv[++i], 0, 65535));
    } else {
      usageError(program, "cannot do anything with `" +
                              std::string(argument) + "'; see " + program +
                              " --help");
    }
  }
  return arguments;
}
// [/server-arguments]

// [serve]
// Serves until SIGINT or SIGTERM. Returns the program's exit status: 1 if an
// exception has ended the accept loop, such as one about the listener.
template <class Server>
int serve(const char* program, const char* about, int argc, char** argv,
          naglfar::TCPServer::Handler handler) {
  using namespace naglfar;
  openStandardStreams();
  const auto [port] = parseServerArguments(program, about, argc, argv);
  Scheduler scheduler;
  std::optional<Server> httpd;
  try {
    httpd.emplace(sys::Address("127.0.0.1", port), handler);
  } catch (const std::system_error& error) {
    usageError(program, "cannot listen on port " + std::to_string(port) +
                            ": " + error.what() +
                            "; --port 0 takes any port that is free");
  }
  Signals signals;
  const auto end = [&] {
    if (httpd->stopping()) std::_Exit(1);  // the second time
    httpd->shutdown();
  };
  signals.on(SIGINT, end);
  signals.on(SIGTERM, end);
  signals.on(SIGQUIT, [&] { scheduler.dump(); });
  std::cout << "serving on http://" << httpd->server_name() << ':'
            << httpd->server_port() << '/' << std::endl;
  go([&] {
    httpd->serve_forever();
    httpd->server_close();
  }).name = "main";
  try {
    scheduler.run();
  } catch (const std::exception& error) {
    std::cerr << program << ": " << error.what() << '\n';
    return 1;
  }
  return 0;
}
// [/serve]

}  // namespace comet
