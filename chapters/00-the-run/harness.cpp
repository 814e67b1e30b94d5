// The harness: from the command line to the exit status.

#include "harness.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <system_error>

#include "check.hpp"
#include "limits.hpp"
#include "report.hpp"

namespace comet {

using namespace naglfar;

// [arguments]
void openStandardStreams() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) == -1) ::open("/dev/null", O_RDWR);
}

void usageError(const char* program, const std::string& what) {
  std::cerr << program +
                   (": " + what + "\n");  // one write: both halves may print
  std::exit(2);
}

std::size_t parseNumber(const char* program, const char* name,
                        std::string_view text, std::size_t least,
                        std::size_t most) {
  std::size_t number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() &&
      number >= least && number <= most)
    return number;
  usageError(program, std::string(name) + " must be a whole number from " +
                          std::to_string(least) + " to " +
                          std::to_string(most) + ", not `" +
                          std::string(text) + "'");
}

namespace {

constexpr std::size_t clientsPerAddress = 10000;
constexpr std::size_t mostClients = 250 * clientsPerAddress;

void printHelp(const char* program,
               const std::vector<std::string_view>& servers) {
  std::cout
      << "usage: " << program
      << " [N] [--check] [--clients-in-child] [--json]\n\n"
      << "Runs a comet server and N clients (10000 by default) that wait, "
         "are\n"
         "notified, and check what they are told. Prints the time it took and"
         "\nthe ledger: what the run did, for each client.\n\n"
         "  --check             run 300 clients, and say what is wrong if "
         "that "
         "does\n                      not finish\n"
         "  --clients-in-child  the clients live in a process of their own, "
         "so"
         "\n                      that each process holds N sockets, not 2 "
         "N\n"
         "  --json              print the report for a machine\n"
         "  --help              print this\n";
  if (servers.size() == 1) return;
  std::cout << "  --server NAME       run one server only, of:";
  for (const std::string_view name : servers) std::cout << ' ' << name;
  std::cout << '\n';
}

}  // namespace
// [/arguments]

// [choose-server]
void Run::chooseServer(std::string_view name) {
  for (const std::string_view known : servers_)
    if (known == name) {
      servers_ = {known};
      return;
    }
  usageError(program_, "there is no server `" + std::string(name) +
                           "'; see " + program_ + " --help");
}
// [/choose-server]

// [check-limits]
void Run::checkLimits() const {
  const bool bothEnds = !clientsInChild_;
  const std::size_t open = openDescriptors();
  const std::size_t needed = descriptorsFor(clients, bothEnds, open);
  if (raiseDescriptorLimit(needed)) return;
  const std::size_t hard = descriptorLimit().hard;
  const std::string largest =
      std::to_string(largestRun(hard, bothEnds, open));
  const std::string n = std::to_string(clients);
  std::string ways = program_ + (" " + largest);
  if (clientsInChild_)
    ways += " --clients-in-child";
  else if (largestRun(hard, false, open) >= clients)
    ways += ", or " + (program_ + (" " + n)) + " --clients-in-child";
  usageError(program_,
             n + " clients need " + std::to_string(needed) +
                 " descriptors in one process, and the hard limit is " +
                 std::to_string(hard) + " (ulimit -Hn). What works: " + ways);
}
// [/check-limits]

// [start]
namespace {

std::uint64_t pageFaults(int who) {
  rusage usage{};
  getrusage(who, &usage);
  return static_cast<std::uint64_t>(usage.ru_minflt + usage.ru_majflt);
}

}  // namespace

Run::Run(const char* program, int argc, char** argv, sys::Mode listener,
         std::vector<std::string_view> servers)
    : program_(program), servers_(std::move(servers)) {
  openStandardStreams();
  clients = clientsPerAddress;
  bool haveNumber = false;
  bool check = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--help") {
      printHelp(program, servers_);
      std::exit(0);
    } else if (argument == "--server" && servers_.size() > 1) {
      chooseServer(++i < argc ? argv[i] : "");
    } else if (argument == "--json") {
      json_ = true;
    } else if (argument == "--check") {
      check = true;
    } else if (argument == "--clients-in-child") {
      clientsInChild_ = true;
    } else if (argument.starts_with("--")) {
      usageError(program, "there is no option " + std::string(argument) +
                              "; see " + program + " --help");
    } else if (haveNumber) {
      usageError(program, "one number of clients is enough; see " +
                              std::string(program) + " --help");
    } else {
      clients = parseNumber(program, "the number of clients", argument, 1,
                            mostClients);
      haveNumber = true;
    }
  }
  // More than one epoll_wait(2) tells of: 256.
  if (check && !haveNumber) clients = 300;
  clientsInAll = clients;
  if (check) reached_ = &runUnderCheck(program);
  reached_->clients = clients;
  checkLimits();
  listen(listener);
  start_ = sys::now();
  faultsAtStart_ = pageFaults(RUSAGE_SELF);
  if (clientsInChild_) forkClients();
  progress_ = hasClients() && isatty(STDERR_FILENO) != 0;
}
// [/start]

// [halves]
// On loopback only, unless the clients need more addresses than one.
void Run::listen(sys::Mode mode) try {
  const bool oneAddress = clients <= clientsPerAddress;
  const sys::Address any(oneAddress ? "127.0.0.1" : "", 0);
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    sys::Fd listener(sys::check(sys::socket(mode), "socket"));
    sys::check(sys::bind(listener.get(), any), "bind");
    sys::check(sys::listen(listener.get(), SOMAXCONN), "listen");
    sys::Address bound;
    sys::check(sys::localAddress(listener.get(), bound), "getsockname");
    listeners_.push_back(std::move(listener));
    listening_.push_back(bound);
  }
} catch (const std::system_error& error) {
  usageError(program_, error.what());
}

sys::Address Run::address(std::size_t client, std::size_t server) const {
  const auto last = std::to_string(1 + client / clientsPerAddress);
  return sys::Address("127.0.0." + last, listening_[server].port());
}

// [fork-clients]
// The child has the clients, and the pipe's write end, which closes when it
// ends, however it ends.
void Run::forkClients() try {
  shareLedger();
  int ends[2];
  sys::check(sys::pipe(ends, sys::Mode::nonblocking), "pipe");
  finished_ = sys::Fd(ends[0]);
  sys::Fd writeEnd(ends[1]);
  child_ = sys::check(sys::fork(), "fork");
  if (child_ != 0) {
    half_ = Half::server;
    return;
  }
  half_ = Half::clients;
  listeners_.clear();
  finished_ = sys::Fd();
  (void)writeEnd.release();
} catch (const std::system_error& error) {
  usageError(program_, error.what());
}

bool Run::waitForClients() {
  reapChild();
  return !failed_;
}

void Run::reapChild() {
  if (child_ <= 0) return;
  int status = 0;
  while (sys::waitpid(child_, &status, 0) == -1 && errno == EINTR) continue;
  child_ = -1;
  expect(status == 0, "the clients' half has failed");
}
// [/fork-clients]
// [/halves]

// [checks]
void Run::connected() {
  show("connected", reached_->connected = ++connected_);
}

void Run::waiting(std::size_t count) {
  show("waiting", reached_->waiting = count);
}

void Run::show(const char* what, std::size_t count) {
  if (!progress_) return;
  const std::size_t step = clients / 100 + 1;
  if (count % step != 0 && count != clients) return;
  std::fprintf(stderr, "\r%-9s %8zu of %zu", what, count, clients);
}

// The first lines of a message: a deadlock's names all who wait.
static std::string firstLines(const std::string& message) {
  std::size_t end = 0;
  for (int line = 0; line < 20; ++line) {
    end = message.find('\n', end);
    if (end == std::string::npos) return message;
    ++end;
  }
  const auto rest = message.begin() + static_cast<std::ptrdiff_t>(end);
  const auto more = std::count(rest, message.end(), '\n');
  if (more == 0) return message;
  return message.substr(0, end) + "  and " + std::to_string(more) + " more";
}

void Run::expect(bool holds, const std::string& what) {
  if (holds) return;
  failed_ = true;
  std::cerr << program_ + (": " + firstLines(what) + "\n");
}

void Run::answered(std::string_view response, std::size_t expected) {
  const std::size_t number = numberIn(response);
  expect(number == expected, "a waiting client was told " +
                                 std::to_string(number) + " and not " +
                                 std::to_string(expected));
  show("answered", reached_->answered = ++answered_);
}
// [/checks]

// [finish]
int Run::finish() {
  if (hasClients())
    expect(answered_ == connected_, "only " + std::to_string(answered_) +
                                        " of " + std::to_string(connected_) +
                                        " clients were answered");
  if (progress_) std::fprintf(stderr, "\r%40s\r", "");
  if (half_ == Half::clients) {
    flushLedger();
    _exit(failed_ ? 1 : 0);
  }
  // The clients may wait for an answer that does not come any more.
  if (failed_ && child_ > 0) ::kill(child_, SIGTERM);
  reapChild();
  if (failed_) return 1;

  rusage self{};
  rusage children{};
  getrusage(RUSAGE_SELF, &self);
  getrusage(RUSAGE_CHILDREN, &children);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) +
           static_cast<double>(time.tv_usec) * 1e-6;
  };
  Usage usage{};
  usage.program = program_;
  usage.clients = clientsInAll;
  usage.clientsInChild = clientsInChild_;
  usage.user = seconds(self.ru_utime) + seconds(children.ru_utime);
  usage.kernel = seconds(self.ru_stime) + seconds(children.ru_stime);
  usage.total = std::chrono::duration<double>(sys::now() - start_).count();
  usage.pageFaults =
      pageFaults(RUSAGE_SELF) + pageFaults(RUSAGE_CHILDREN) - faultsAtStart_;
  usage.peakKib =
      static_cast<std::uint64_t>(self.ru_maxrss + children.ru_maxrss);
#ifdef __APPLE__
  usage.peakKib /= 1024;  // there it is in bytes
#endif
  usage.ledger = totalLedger();
  std::cout << (json_ ? reportAsJson(usage) : reportAsText(usage));
  return 0;
}
// [/finish]

// [http-in-short]
std::string get(std::string_view path) {
  return "GET " + std::string(path) + " HTTP/1.0\r\n\r\n";
}

std::string respond(std::size_t number) {
  return "HTTP/1.0 200 OK\r\nContent-type: text/plain\r\n\r\n" +
         std::to_string(number);
}

std::string_view pathOf(std::string_view request) {
  if (request.find("\r\n\r\n") == std::string_view::npos) return "";
  const std::size_t start = request.find(' ') + 1;
  return request.substr(start, request.find(' ', start) - start);
}

std::size_t numberIn(std::string_view response) {
  const std::size_t headersEnd = response.find("\r\n\r\n");
  const std::size_t space = response.find(' ');
  if (headersEnd == std::string_view::npos ||
      response.substr(space + 1, 3) != "200")
    throw std::runtime_error("not a good response: `" +
                             std::string(response.substr(0, 80)) + "'");
  const std::string_view body = response.substr(headersEnd + 4);
  std::size_t number = 0;
  const auto [end, error] =
      std::from_chars(body.data(), body.data() + body.size(), number);
  if (error != std::errc() || end != body.data() + body.size())
    throw std::runtime_error("not a number: `" +
                             std::string(body.substr(0, 80)) + "'");
  return number;
}
// [/http-in-short]

}  // namespace comet
