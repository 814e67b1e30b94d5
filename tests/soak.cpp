// Rounds of waiting requests of which most leave in their own ways. After
// each round all is as it was before: no descriptor, no coroutine and no
// waiter is left, and after the first rounds the memory stays level.
//
// usage: soak [rounds] [waiters]

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "comet_handler.hpp"
#include "naglfar/coroutine/fiber_hooks.hpp"
#include "naglfar/server/waiters.hpp"

using namespace naglfar;

// [soak-server]
namespace {

// A client that leaves is expected here, and not printed.
class QuietServer : public comet::CometServer<Waiters> {
 public:
  using comet::CometServer<Waiters>::CometServer;

 protected:
  void handle_error(const sys::Address&, const std::exception&) override {}
};
using Server = ScheduledMixIn<QuietServer>;

}  // namespace
// [/soak-server]

// [soak-state]
namespace {

// What must be the same after each round.
struct State {
  std::size_t descriptors = 0;
  std::size_t coroutines = 0;
  std::size_t waiters = 0;
  bool operator==(const State&) const = default;
};

State stateOf(const Server& server) {
  State state;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  for (int fd = 0; fd < static_cast<int>(limit.rlim_cur); ++fd)
    state.descriptors += ::fcntl(fd, F_GETFD) != -1;
  Scheduler::current().forEachCoroutine(
      [&](const Coroutine&) { ++state.coroutines; });
  state.waiters = server.waiters.size();
  return state;
}

std::ostream& operator<<(std::ostream& out, const State& state) {
  return out << state.descriptors << " descriptors, " << state.coroutines
             << " coroutines, " << state.waiters << " waiters";
}

// In KiB; 0 where the system does not tell, and where a sanitizer keeps what
// is freed.
std::size_t residentMemory() {
  if (fiberHooksOn) return 0;
  std::ifstream statm("/proc/self/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  statm >> all >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

void require(bool good, const std::string& what) {
  if (!good) throw std::runtime_error(what);
}

}  // namespace
// [/soak-state]

// [soak-round]
namespace {

using Client = std::unique_ptr<ScheduledFile>;

Client send(const Server& server, const std::string& path) {
  auto client = std::make_unique<ScheduledFile>(
      ScheduledFile::connectTcp(server.server_address));
  client->write("GET " + path + " HTTP/1.0\r\n\r\n");
  return client;
}

std::string answerTo(ScheduledFile& client) {
  client.readUntil("\r\n\r\n").join();
  return client.read();
}

void awaitWaiters(const Server& server, std::size_t n) {
  while (server.waiters.size() != n) yield();
}

// One of five closes, one ends its output only, one resets the connection,
// one leaves in the moment when all are told, and one is told.
void playRound(const Server& server, std::size_t n) {
  std::vector<Client> clients;
  for (std::size_t i = 0; i < n; ++i)
    clients.push_back(send(server, "/wait"));
  awaitWaiters(server, n);
  for (std::size_t i = 0; i + 5 <= n; i += 5) {
    clients[i].reset();
    sys::endWriting(clients[i + 1]->fileno());
    const linger now{1, 0};
    ::setsockopt(clients[i + 2]->fileno(), SOL_SOCKET, SO_LINGER, &now,
                 sizeof now);
    clients[i + 2].reset();
  }
  awaitWaiters(server, n - n / 5 * 3);
  const Client notifying = send(server, "/notify");
  for (std::size_t i = 3; i + 2 <= n; i += 5) clients[i].reset();
  const std::string number = answerTo(*notifying);
  for (std::size_t i = 4; i < n; i += 5)
    require(answerTo(*clients[i]) == number, "two were told two numbers");
  awaitWaiters(server, 0);
}

void soak(std::size_t rounds, std::size_t n) {
  Scheduler scheduler;
  Server server(sys::Address("localhost", 0),
                handlerFor<comet::QuietCometHandler<Waiters>>);
  TaskGroup serving;  // ends before the server
  serving.go([&] { server.serve_forever(); });
  const auto settled = [&] {
    for (int turn = 0; turn < 10; ++turn) yield();
    return stateOf(server);
  };
  playRound(server, 5);  // so that the poller has its descriptors
  const State before = settled();
  std::size_t level = 0;
  for (std::size_t round = 1; round <= rounds; ++round) {
    playRound(server, n);
    const State after = settled();
    const std::size_t memory = residentMemory();
    std::cout << "round " << round << ": " << after << ", " << memory
              << " KiB" << std::endl;
    require(after == before, "something is left of a round");
    // Allocators keep what they have once got; so the first rounds may grow.
    if (round <= 3) level = std::max(level, memory);
    require(memory <= level + 1024, "the memory grows");
  }
  server.server_close();
  scheduler.run();
}

}  // namespace
// [/soak-round]

int main(int argc, char** argv) {
  const std::size_t rounds =
      argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 20;
  const std::size_t n = argc > 2 ? std::strtoul(argv[2], nullptr, 10) : 2000;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = std::min<rlim_t>(limit.rlim_max, 2 * n + 100);
  ::setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < 2 * n + 100) {
    std::cerr << "soak: " << n << " waiters need " << 2 * n + 100
              << " descriptors; the hard limit is " << limit.rlim_max << '\n';
    return 2;
  }
  try {
    soak(rounds, n);
  } catch (const std::exception& error) {
    std::cerr << "soak: " << error.what() << '\n';
    return 1;
  }
}
