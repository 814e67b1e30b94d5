// The run as state machines on the raw poller.
//
// Nothing here ever waits in the middle of a function. What would be the next
// line of a program is a state, and the poller calls back when it can be
// reached.

#include <iostream>
#include <memory>
#include <optional>
#include <vector>

#include "harness.hpp"
#include "loop.hpp"

using namespace naglfar;

// [stream]
// One end of a connection: tries a call, and on EAGAIN asks the poller to run
// it again when the call can succeed.
class Stream : public Job {
 public:
  Stream(comet::Loop& loop, sys::Fd fd) : loop_(loop), fd_(std::move(fd)) {}

 protected:
  // What a call has come to. After `later` the poller runs this job again.
  enum class Outcome { some, end, later };

  Outcome read(std::string& data) {
    char buffer[512];
    const ssize_t n = attempt(Interest::read, "read", [&] {
      return sys::read(fd_.get(), buffer, sizeof buffer);
    });
    if (n > 0) data.append(buffer, static_cast<std::size_t>(n));
    return outcome(n);
  }

  // Takes what the kernel has taken off the front of `data`.
  Outcome write(std::string_view& data) {
    const ssize_t n = attempt(Interest::write, "write", [&] {
      return sys::write(fd_.get(), data.data(), data.size());
    });
    if (n > 0) data.remove_prefix(static_cast<std::size_t>(n));
    return outcome(n);
  }

  void close() {
    loop_.poller.deregister(fd_.get(), loop_.ready);
    fd_ = sys::Fd();
  }

  comet::Loop& loop_;
  sys::Fd fd_;

 private:
  // [stream-attempt]
  static Outcome outcome(ssize_t n) {
    if (n == -1) return Outcome::later;
    return n == 0 ? Outcome::end : Outcome::some;
  }

  // -1 means that the poller was asked. A socket that is still connecting
  // says ENOTCONN on some systems where Linux says EAGAIN.
  template <class SystemCall>
  ssize_t attempt(Interest interest, const char* name, SystemCall call) {
    for (;;) {
      const ssize_t n = call();
      if (n != -1) return n;
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK && errno != ENOTCONN)
        sys::fail(errno, name);
      loop_.poller.watch(fd_.get(), interest, waiter_);
      return -1;
    }
  }
  // [/stream-attempt]

  Waiter waiter_{*this};
};
// [/stream]

// [request]
// The server's end of a connection.
//
//     reading -> (waiting) -> writing -> closed
class Request final : public Stream {
 public:
  Request(comet::Loop& loop, sys::Fd fd, std::vector<Request*>& waiters)
      : Stream(loop, std::move(fd)), waiters_(waiters) {}

  void run() override {
    if (state_ == State::reading) readRequest();
    if (state_ == State::writing) writeResponse();
  }

 private:
  enum class State { reading, waiting, writing };

  void readRequest() {
    while (comet::pathOf(request_).empty()) {
      const Outcome outcome = read(request_);
      if (outcome == Outcome::later) return;
      if (outcome == Outcome::end) break;
    }
    const std::string_view path = comet::pathOf(request_);
    if (path == "/wait") {
      state_ = State::waiting;
      waiters_.push_back(this);
    } else if (path == "/notify") {
      const std::size_t n = waiters_.size();
      for (Request* waiter : waiters_) waiter->answer(n);
      waiters_.clear();
      answer(n);
    } else {
      answer(waiters_.size());
    }
  }

  // [request-answer]
  // The one who waits may be another: so it is queued, and not run from here.
  void answer(std::size_t n) {
    response_ = comet::respond(n);
    unsent_ = response_;
    state_ = State::writing;
    loop_.ready.append(*this);
  }

  void writeResponse() {
    while (!unsent_.empty())
      if (write(unsent_) == Outcome::later) return;
    close();
    delete this;
  }
  // [/request-answer]

  std::vector<Request*>& waiters_;
  State state_ = State::reading;
  std::string request_;
  std::string response_;
  std::string_view unsent_;
};
// [/request]

// [server]
// Accepts until accept says EAGAIN. A new request is queued: its client, who
// may live in this thread, gets the time to send it.
class Server final : public Job {
 public:
  Server(comet::Loop& loop, sys::Fd listener)
      : loop_(loop), listener_(std::move(listener)) {
    loop_.ready.append(*this);
  }

  void run() override {
    for (;;) {
      sys::Address client;
      sys::Fd fd(
          sys::accept(listener_.get(), client, sys::Mode::nonblocking));
      if (!fd && errno == EAGAIN) break;
      if (!fd && (errno == EINTR || errno == ECONNABORTED)) continue;
      sys::check(fd.get(), "accept4");
      auto request =
          std::make_unique<Request>(loop_, std::move(fd), waiters_);
      loop_.ready.append(*request.release());  // it deletes itself
    }
    loop_.poller.watch(listener_.get(), Interest::read, waiter_);
  }

 private:
  comet::Loop& loop_;
  sys::Fd listener_;
  std::vector<Request*> waiters_;
  Waiter waiter_{*this};
};
// [/server]

// [client]
static sys::Fd startConnecting(const sys::Address& address) {
  sys::Fd fd(sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
  if (sys::connect(fd.get(), address) == -1 && errno != EINPROGRESS)
    sys::fail(errno, "connect");
  return fd;
}

// The client's end: sends one request and reads the response to its end.
class Client : public Stream {
 public:
  Client(comet::Loop& loop, const sys::Address& address,
         std::string_view path)
      : Stream(loop, startConnecting(address)),
        request_(comet::get(path)),
        unsent_(request_) {
    loop_.ready.append(*this);
  }
  virtual ~Client() = default;

  void run() override {
    while (!unsent_.empty())
      if (write(unsent_) == Outcome::later) return;
    for (;;) {
      const Outcome outcome = read(response_);
      if (outcome == Outcome::later) return;
      if (outcome == Outcome::end) break;
    }
    close();
    finished(response_);
  }

 private:
  virtual void finished(std::string_view response) = 0;

  std::string request_;
  std::string_view unsent_;
  std::string response_;
};

class WaitingClient final : public Client {
 public:
  WaitingClient(comet::Loop& loop, comet::Run& run, std::size_t i)
      : Client(loop, run.address(i), "/wait"), run_(run) {}

 private:
  void finished(std::string_view response) override {
    run_.answered(response);
    delete this;
  }
  comet::Run& run_;
};
// [/client]

// [director]
// Connects the clients, one a turn; then asks, notifies, and asks again.
//
//     connecting -> counting -> notifying -> emptying -> finished
class Director final : public Job {
 public:
  Director(comet::Loop& loop, comet::Run& run) : loop_(loop), run_(run) {
    loop_.ready.append(*this);
  }

  void run() override {
    if (connected_ < run_.clients) {
      new WaitingClient(loop_, run_, connected_++);  // it deletes itself
      run_.connected();
      loop_.ready.append(*this);
    } else {
      ask("/");
    }
  }

  bool finished = false;

 private:
  enum class Phase { counting, notifying, emptying };

  class StatusClient final : public Client {
   public:
    StatusClient(Director& director, std::string_view path)
        : Client(director.loop_, director.run_.address(), path),
          director_(director) {}

   private:
    void finished(std::string_view response) override {
      director_.told(comet::numberIn(response));
      delete this;
    }
    Director& director_;
  };

  // [director-told]
  void ask(std::string_view path) { new StatusClient(*this, path); }

  void told(std::size_t n) {
    if (phase_ == Phase::counting) {
      run_.waiting(n);
      if (n != run_.clients) return ask("/");
      phase_ = Phase::notifying;
      ask("/notify");
    } else if (phase_ == Phase::notifying) {
      run_.expect(n == run_.clients, "/notify told " + std::to_string(n));
      phase_ = Phase::emptying;
      ask("/");
    } else if (n != 0 || run_.stillWaiting()) {
      ask("/");
    } else {
      finished = true;
    }
  }
  // [/director-told]

  comet::Loop& loop_;
  comet::Run& run_;
  std::size_t connected_ = 0;
  Phase phase_ = Phase::counting;
};
// [/director]

// [main]
// In the server's own process: what ends the run.
struct ClientsFinished final : Job {
  void run() override { finished = true; }
  bool finished = false;
};

int main(int argc, char** argv) {
  comet::Run run(NAGLFAR_PROGRAM, argc, argv);
  try {
    comet::Loop loop;
    std::optional<Server> server;
    if (run.hasServer()) server.emplace(loop, run.takeListener());
    if (run.hasClients()) {
      Director director(loop, run);
      loop.runUntil(director.finished);
    } else {
      ClientsFinished clients;
      Waiter waiter{clients};
      loop.poller.watch(run.clientsFinished(), Interest::read, waiter);
      loop.runUntil(clients.finished);
    }
  } catch (const std::exception& error) {
    run.expect(false, error.what());
  }
  return run.finish();
}
// [/main]
