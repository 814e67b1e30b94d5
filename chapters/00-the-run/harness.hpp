// What all comet programs share: arguments, limits, the two halves of a run,
// progress, and the report.
//
// The run, the same in every chapter: N clients connect one after the other,
// ask for /wait, and wait. A status client asks for / until the answer is N.
// One client asks for /notify and gets N. Each waiting client gets N, and the
// status client asks until the answer is 0.
//
// Invariant: a run that reports `done N` has checked N answers.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "naglfar/sys.hpp"

namespace comet {

// [command-line]
// The number that a command line argument is.
// On anything else: one line on standard error, and exit status 2.
std::size_t parseNumber(const char* program, const char* name,
                        std::string_view text, std::size_t least,
                        std::size_t most);

// Opens those of the standard streams that are closed, on /dev/null. Else the
// first socket of the program would be its standard error, and get the log.
void openStandardStreams();

// Ends the program with one line on standard error and exit status 2.
[[noreturn]] void usageError(const char* program, const std::string& what);
// [/command-line]

// [run]
class Run {
 public:
  // Reads the arguments, checks and raises the limits, listens, and forks if
  // the clients shall live in a child. Exits with status 2 if that cannot be.
  // With names of servers there is a listener for each, and an option to run
  // only one of them.
  Run(const char* program, int argc, char** argv,
      naglfar::sys::Mode listener = naglfar::sys::Mode::nonblocking,
      std::vector<std::string_view> servers = {"the server"});

  std::size_t clients = 0;  // N
  // What the report is about; N, unless several servers get clients.
  std::size_t clientsInAll = 0;
  // The servers to run, one after the other.
  const std::vector<std::string_view>& servers() const { return servers_; }

  // Which halves of the run live in this process.
  bool hasServer() const { return half_ != Half::clients; }
  bool hasClients() const { return half_ != Half::server; }

  // The server half: a listener, to be owned by the server.
  naglfar::sys::Fd takeListener(std::size_t server = 0) {
    return std::move(listeners_[server]);
  }
  // With the clients in a child: a pipe that ends when they have finished.
  int clientsFinished() const { return finished_.get(); }
  // The same, for a thread that has nothing else to do. False if they failed.
  bool waitForClients();

  // [run-clients]
  // The clients' half. There are ports enough for 10,000 connections between
  // two addresses, so there is one address for each 10,000 clients.
  naglfar::sys::Address address(std::size_t client = 0,
                                std::size_t server = 0) const;

  // The clients tell what they have reached. Each that connected must be
  // answered with the number of them, or the run has failed.
  void connected();
  void waiting(std::size_t count);
  void answered(std::string_view response) { answered(response, clients); }
  void answered(std::string_view response, std::size_t expected);
  bool stillWaiting() const { return answered_ < connected_; }
  void expect(bool holds, const std::string& what);
  // [/run-clients]

  // Prints the report. Returns the program's exit status. In the clients'
  // own process it does not return.
  int finish();

 private:
  // [run-private]
  enum class Half { both, server, clients };
  void listen(naglfar::sys::Mode mode);
  void chooseServer(std::string_view name);
  void forkClients();
  void reapChild();
  void show(const char* what, std::size_t count);
  void checkLimits() const;

  const char* program_;
  bool json_ = false;
  bool progress_ = false;
  bool clientsInChild_ = false;
  Half half_ = Half::both;
  std::vector<std::string_view> servers_;
  std::vector<naglfar::sys::Fd> listeners_;
  std::vector<naglfar::sys::Address> listening_;
  naglfar::sys::Fd finished_;
  pid_t child_ = -1;
  Progress progressHere_{};
  Progress* reached_ = &progressHere_;  // or the parent's, under --check
  std::size_t connected_ = 0;
  std::size_t answered_ = 0;
  bool failed_ = false;
  naglfar::sys::Time start_;
  std::uint64_t faultsAtStart_ = 0;
  // [/run-private]
};
// [/run]

// [http-in-short]
// "GET /wait HTTP/1.0" and the empty line.
std::string get(std::string_view path);
// A response with a number for its body.
std::string respond(std::size_t number);
// The path of a request, or "" while its headers have not ended.
std::string_view pathOf(std::string_view request);
// The number that is a response's body.
// Throws std::runtime_error if the response is not 200, or has another body.
std::size_t numberIn(std::string_view response);
// [/http-in-short]

}  // namespace comet
