// The run with one coroutine for each connection, resumed by hand.
//
// A coroutine is a Job, so the loop of chapter 01 can run it; that is all the
// help there is. Who suspends says itself who shall resume it.

#include <iostream>
#include <optional>
#include <vector>

#include "harness.hpp"
#include "loop.hpp"
#include "naglfar/coroutine.hpp"
#include "streams.hpp"

using namespace naglfar;

// [by-hand]
// What all coroutines of this program share.
struct Shared {
  comet::Run& run;
  StackPool stacks;
  comet::Loop loop;
  List<Coroutine> coroutines;  // a coroutine that ends leaves it
  bool finished = false;

  // Before the stacks go, what lies on them.
  ~Shared() {
    while (Coroutine* left = coroutines.first()) Coroutine::destroy(*left);
  }

  template <class Body>
  Coroutine& start(Body body) {
    Coroutine& coroutine = Coroutine::make(stacks, std::move(body));
    coroutines.append(coroutine);
    loop.ready.append(coroutine);
    return coroutine;
  }

  // A function that suspends until the poller resumes us.
  auto waiter() {
    return [this](int fd, Interest interest) {
      Waiter waiter{*Coroutine::current()};
      loop.poller.watch(fd, interest, waiter);
      Coroutine::suspend();
      if (waiter.error != 0) sys::fail(waiter.error, "wait");
    };
  }

  // Suspends for one turn of the queue.
  void yield() {
    loop.ready.append(*Coroutine::current());
    Coroutine::suspend();
  }

  void close(sys::Fd& fd) {
    loop.poller.deregister(fd.get(), loop.ready);
    fd = sys::Fd();
  }
};
// [/by-hand]

// [server]
// A waiting request: who it is, and what it was told.
struct Waiting {
  Coroutine* coroutine;
  std::size_t number = 0;
};

class Server {
 public:
  Server(Shared& shared, sys::Fd listener)
      : shared_(shared), listener_(std::move(listener)) {
    shared_.start([this] { acceptConnections(); });
  }

 private:
  void acceptConnections() {
    while (!shared_.finished) {
      shared_.start([this, fd = comet::acceptFrom(
                               listener_.get(), shared_.waiter())]() mutable {
        serve(fd);
      });
    }
  }

  void serve(sys::Fd& fd) {
    const std::string request =
        comet::readRequest(fd.get(), shared_.waiter());
    const std::string_view path = comet::pathOf(request);
    std::size_t n = waiting_.size();
    if (path == "/wait") n = waitForNumber();
    if (path == "/notify") notify();
    comet::writeAll(fd.get(), comet::respond(n), shared_.waiter());
    shared_.close(fd);
  }

  // Suspends until notify() resumes us.
  std::size_t waitForNumber() {
    Waiting me{Coroutine::current()};
    waiting_.push_back(&me);
    while (me.number == 0) Coroutine::suspend();
    return me.number;
  }

  void notify() {
    for (Waiting* waiting : waiting_) {
      waiting->number = waiting_.size();
      shared_.loop.ready.append(*waiting->coroutine);
    }
    waiting_.clear();
  }

  Shared& shared_;
  sys::Fd listener_;
  std::vector<Waiting*> waiting_;
};
// [/server]

// [clients]
static std::string request(Shared& shared, sys::Fd& fd,
                           std::string_view path) {
  comet::writeAll(fd.get(), comet::get(path), shared.waiter());
  std::string response = comet::readToEnd(fd.get(), shared.waiter());
  shared.close(fd);
  return response;
}

static std::size_t ask(Shared& shared, std::string_view path) {
  sys::Fd fd = comet::startConnecting(shared.run.address());
  return comet::numberIn(request(shared, fd, path));
}

static void runClients(Shared& shared) {
  comet::Run& run = shared.run;
  for (std::size_t i = 0; i < run.clients; ++i) {
    shared.start(
        [&shared, fd = comet::startConnecting(run.address(i))]() mutable {
          shared.run.answered(request(shared, fd, "/wait"));
        });
    run.connected();
    shared.yield();
  }
  for (std::size_t count = 0; count != run.clients; run.waiting(count))
    count = ask(shared, "/");
  const std::size_t notified = ask(shared, "/notify");
  run.expect(notified == run.clients,
             "/notify told " + std::to_string(notified));
  while (ask(shared, "/") != 0 || run.stillWaiting()) continue;
}
// [/clients]

// [main]
int main(int argc, char** argv) {
  comet::Run run(NAGLFAR_PROGRAM, argc, argv);
  try {
    Shared shared{run, {}, {}, {}};
    std::optional<Server> server;
    if (run.hasServer()) server.emplace(shared, run.takeListener());
    const auto body = [&] {
      if (run.hasClients())
        runClients(shared);
      else
        shared.waiter()(run.clientsFinished(), Interest::read);
      shared.finished = true;
    };
    shared.start(body).name = "main";
    shared.loop.runUntil(shared.finished);
  } catch (const std::exception& error) {
    run.expect(false, error.what());
  }
  return run.finish();
}
// [/main]
