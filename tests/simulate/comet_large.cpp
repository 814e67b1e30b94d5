// The comet run with as many clients as memory holds. The simulated kernel
// has no limit of descriptors, and the clients need no stacks, for they do
// nothing but wait: what is measured is the server and the scheduler.

#include "comet_handler.hpp"
#include "naglfar/server/waiters.hpp"
#include "scenarios.hpp"

#include <malloc.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <deque>
#include <fstream>
#include <stdexcept>

namespace simulate {

using namespace naglfar;

// [large-client]
namespace {

using Server = ScheduledMixIn<comet::CometServer<Waiters>>;

// Who has sent its request, and reads the answer when there is one.
class Client final : public Job {
 public:
  Client(const sys::Address& address, std::size_t& answered)
      : file_(ScheduledFile::connectTcp(address)), answered_(answered) {
    file_.write("GET /wait HTTP/1.0\r\n\r\n");
    Scheduler::current().watch(file_.fileno(), Interest::read, waiter_);
  }
  void run() override {
    const std::string answer = file_.read();
    const std::size_t body = answer.find("\r\n\r\n");
    if (body == std::string::npos)
      throw std::runtime_error("not an answer: " + answer);
    told = std::stoul(answer.substr(body + 4));
    file_.close();
    ++answered_;
  }
  std::size_t told = 0;

 private:
  ScheduledFile file_;
  std::size_t& answered_;
  Waiter waiter_{*this};
};

std::size_t ask(const sys::Address& address, const std::string& path) {
  ScheduledFile file = ScheduledFile::connectTcp(address);
  file.write("GET " + path + " HTTP/1.0\r\n\r\n");
  const std::string answer = file.read();
  return std::stoul(answer.substr(answer.find("\r\n\r\n") + 4));
}

// Memory in use, in bytes.
std::size_t resident() {
  std::ifstream statm("/proc/self/statm");
  std::size_t size = 0;
  std::size_t pages = 0;
  statm >> size >> pages;
  return pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// What the program has been given by malloc(3), in bytes.
std::size_t allocated() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// What the simulation needs for a client that waits, in bytes: two sockets
// that are connected and watched, and nobody is there to use them.
std::size_t ofTheSimulation() {
  using sys::Mode;
  constexpr std::size_t n = 1000;
  const std::size_t before = allocated();
  sim::Kernel kernel(1);
  sys::Address address("localhost", 0);
  const int epoll = sys::epollCreate();
  const int listener = sys::socket(Mode::nonblocking);
  sys::check(sys::bind(listener, address), "bind");
  sys::check(sys::listen(listener, 1), "listen");
  sys::check(sys::localAddress(listener, address), "getsockname");
  for (std::size_t i = 0; i < n; ++i) {
    const int client = sys::socket(Mode::nonblocking);
    sys::connect(client, address);
    sys::Address from = address;
    const int server = sys::accept(listener, from, Mode::nonblocking);
    for (const int end : {client, server}) {
      epoll_event event{EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, {}};
      sys::check(sys::epollCtl(epoll, EPOLL_CTL_ADD, end, &event),
                 "epoll_ctl");
    }
  }
  return (allocated() - before) / n;
}

void expect(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

}  // namespace
// [/large-client]

// [large-run]
void cometOf(std::size_t n) {
  const std::size_t simulation = ofTheSimulation();
  const std::clock_t start = std::clock();
  const std::size_t before = resident();
  std::size_t waiting = 0;
  sim::Kernel kernel(1);
  {
    Scheduler scheduler;
    Server server(sys::Address("localhost", 0),
                  handlerFor<comet::QuietCometHandler<Waiters>>);
    go([&] { server.serve_forever(); });
    std::deque<Client> clients;
    std::size_t answered = 0;
    for (std::size_t i = 0; i < n; ++i)
      clients.emplace_back(server.server_address, answered);
    while (ask(server.server_address, "/") != n) continue;
    waiting = resident() - before;
    expect(ask(server.server_address, "/notify") == n, "not all were told");
    while (answered < n) yield();
    for (const Client& client : clients)
      expect(client.told == n, "a client was told another number");
    server.shutdown();
    scheduler.run();
  }
  expect(kernel.openDescriptors() == 0, "descriptors are left open");
  const double seconds =
      static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  const auto clients = static_cast<double>(n);
  std::printf(
      "%8zu clients: %5.2f s; each %5.2f us and %4.0f bytes, "
      "%zu of them simulation\n",
      n, seconds, seconds * 1e6 / clients,
      static_cast<double>(waiting) / clients, simulation);
}
// [/large-run]

}  // namespace simulate
