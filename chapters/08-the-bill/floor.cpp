// The floor: the run as an epoll program, written by hand, that wastes
// nothing. Each client costs ten system calls:
//
//     its request    accept4  read     send   close
//     the client     socket   connect  write  epoll_ctl  read  close
//
// Invariants:
// - A call is made when it can be expected to succeed. The server reads a
//   request before it asks epoll, for the client has sent it. A client asks
//   epoll first, for its answer cannot be there yet.
// - A read that fills less than its buffer has taken all there was. If epoll
//   said that the other end has finished, it was the last.
//
// Asks of the layers below: the system calls, counted, and nothing else.

#include <sys/epoll.h>

#include <array>
#include <stdexcept>
#include <vector>

#include "harness.hpp"

using namespace naglfar;

// [connection]
// What is known of a descriptor, found by its number.
struct Connection {
  enum class Role {
    closed,
    listener,
    request,
    waiting,  // a request for /wait
    client,
    status,  // a client that asks how many wait
    clientsFinished,
  };
  Role role = Role::closed;
  std::string_view unsent;  // of a client's request
  std::string received;     // of a message that has not ended
};
using Role = Connection::Role;

// Takes all there is. True at the end of the stream, which epoll may have
// told already.
static bool receive(int fd, std::string& data, bool ended) {
  std::array<char, 512> buffer;
  for (;;) {
    const ssize_t n = sys::read(fd, buffer.data(), buffer.size());
    if (n == -1 && errno == EINTR) continue;
    if (n == -1 && errno == EAGAIN) return false;
    const auto size = static_cast<std::size_t>(sys::check(n, "read"));
    data.append(buffer.data(), size);
    if (size == 0) return true;
    if (size < buffer.size()) return ended;
  }
}

// A response is short, and the only one, so it fits. It is kept back until
// the close, and leaves in one segment with the end of the stream.
static void sendLast(int fd, std::string_view response) {
  const ssize_t n = sys::writeLast(fd, response.data(), response.size());
  if (sys::check(n, "send") != static_cast<ssize_t>(response.size()))
    throw std::runtime_error("the kernel took half a response");
}
// [/connection]

// [floor]
class Floor {
 public:
  explicit Floor(comet::Run& run) : run_(run) {
    if (run.hasServer()) {
      open(listener_.get(), Role::listener);
      watch(listener_.get(), EPOLLIN);
    }
    if (run.hasClients()) return;
    open(run.clientsFinished(), Role::clientsFinished);
    watch(run.clientsFinished(), EPOLLIN);
  }

  void work() {
    while (!finished_) {
      int turn = clientsInTurn;
      while (toConnect_ > 0 && turn-- > 0) {
        connectTo(run_.address(run_.clients - toConnect_), Role::client,
                  wait_);
        run_.connected();
        if (--toConnect_ == 0) ask(status_);
      }
      look(toConnect_ > 0 ? 0 : -1);
    }
  }

 private:
  // The server has its turn when so many have connected.
  static constexpr int clientsInTurn = 32;

  // [floor-wait]
  Connection& at(int fd) { return table_[static_cast<std::size_t>(fd)]; }

  void open(int fd, Role role) {
    const auto index = static_cast<std::size_t>(fd);
    if (index >= table_.size()) table_.resize(2 * index + 64);
    table_[index].role = role;
  }
  void close(int fd) {
    sys::close(fd);
    at(fd).role = Role::closed;
    at(fd).received.clear();
  }

  void watch(int fd, unsigned events) {
    epoll_event event{};
    event.events = events | EPOLLRDHUP | EPOLLET;
    event.data.fd = fd;
    sys::check(sys::epollCtl(epoll_.get(), EPOLL_CTL_ADD, fd, &event),
               "epoll_ctl");
  }

  void look(int timeoutMs) {
    std::array<epoll_event, 256> events;
    const int n = sys::epollWait(epoll_.get(), events.data(),
                                 static_cast<int>(events.size()), timeoutMs);
    if (n == -1 && errno == EINTR) return;
    sys::check(n, "epoll_wait");
    for (const epoll_event* e = events.data(); e < events.data() + n; ++e)
      news(e->data.fd, e->events);
  }

  void news(int fd, unsigned events) {
    switch (at(fd).role) {
      case Role::listener:
        return acceptAll();
      case Role::request:
        return readRequest(fd);
      case Role::client:
      case Role::status:
        return readAnswer(fd, events);
      case Role::clientsFinished:
        finished_ = true;
        return;
      case Role::waiting:
      case Role::closed:
        return;
    }
  }
  // [/floor-wait]

  // [floor-server]
  void acceptAll() {
    for (;;) {
      sys::Address client;
      const int fd =
          sys::accept(listener_.get(), client, sys::Mode::nonblocking);
      if (fd == -1 && errno == EAGAIN) return;
      if (fd == -1 && (errno == EINTR || errno == ECONNABORTED)) continue;
      open(sys::check(fd, "accept4"), Role::request);
      readRequest(fd);
      if (at(fd).role == Role::request) watch(fd, EPOLLIN);
    }
  }

  void readRequest(int fd) {
    std::string& request = at(fd).received;
    const bool ended = receive(fd, request, false);
    const std::string_view path = comet::pathOf(request);
    if (path.empty()) return ended ? close(fd) : void();
    if (path == "/wait") {
      at(fd).role = Role::waiting;
      waiting_.push_back(fd);
      request.clear();
      return;
    }
    const std::string response = comet::respond(waiting_.size());
    if (path == "/notify") {
      for (const int waiter : waiting_) answer(waiter, response);
      waiting_.clear();
    }
    answer(fd, response);
  }

  void answer(int fd, std::string_view response) {
    sendLast(fd, response);
    close(fd);
  }
  // [/floor-server]

  // [floor-clients]
  // Over loopback the connection is there when connect returns, and takes the
  // request at once. Elsewhere epoll tells when it is.
  void connectTo(const sys::Address& address, Role role,
                 std::string_view request) {
    const int fd = sys::check(sys::socket(sys::Mode::nonblocking), "socket");
    if (sys::connect(fd, address) == -1 && errno != EINPROGRESS)
      sys::fail(errno, "connect");
    open(fd, role);
    at(fd).unsent = request;
    watch(fd, sendRequest(fd) ? EPOLLIN : EPOLLIN | EPOLLOUT);
  }

  // True when all of it is sent.
  bool sendRequest(int fd) {
    std::string_view& unsent = at(fd).unsent;
    const ssize_t n = sys::write(fd, unsent.data(), unsent.size());
    if (n == -1 && errno == EAGAIN) return false;
    unsent.remove_prefix(static_cast<std::size_t>(sys::check(n, "write")));
    return unsent.empty();
  }

  void readAnswer(int fd, unsigned events) {
    Connection& connection = at(fd);
    if (!connection.unsent.empty() && !sendRequest(fd)) return;
    if ((events & EPOLLIN) == 0) return;
    if (!receive(fd, connection.received, (events & EPOLLRDHUP) != 0)) return;
    const std::string response = std::move(connection.received);
    const Role role = connection.role;
    close(fd);
    if (role == Role::client) return run_.answered(response);
    told(comet::numberIn(response));
  }
  // [/floor-clients]

  // [floor-status]
  void ask(const std::string& request) {
    asked_ = &request;
    connectTo(run_.address(), Role::status, request);
  }

  // Asks until all wait, notifies, and asks until none does.
  void told(std::size_t n) {
    if (asked_ == &notify_) {
      run_.expect(n == run_.clients, "/notify told " + std::to_string(n));
      notified_ = true;
    } else if (!notified_) {
      run_.waiting(n);
      if (n == run_.clients) return ask(notify_);
    } else if (n == 0 && !run_.stillWaiting()) {
      finished_ = true;
      return;
    }
    ask(status_);
  }

  const std::string wait_ = comet::get("/wait");
  const std::string status_ = comet::get("/");
  const std::string notify_ = comet::get("/notify");
  const std::string* asked_ = nullptr;
  bool notified_ = false;
  // [/floor-status]

  comet::Run& run_;
  sys::Fd epoll_{sys::check(sys::epollCreate(), "epoll_create1")};
  sys::Fd listener_{run_.hasServer() ? run_.takeListener() : sys::Fd()};
  std::size_t toConnect_ = run_.hasClients() ? run_.clients : 0;
  std::vector<Connection> table_;
  std::vector<int> waiting_;
  bool finished_ = false;
};
// [/floor]

// [main]
int main(int argc, char** argv) {
  comet::Run run("floor", argc, argv);
  try {
    Floor(run).work();
  } catch (const std::exception& error) {
    run.expect(false, error.what());
  }
  return run.finish();
}
// [/main]
