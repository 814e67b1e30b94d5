// The run with threads: one for each connection, at both ends.
//
// The obvious program. Every call blocks, and the kernel's scheduler does
// what the rest of the book does by hand.

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

#include "harness.hpp"

using namespace naglfar;

// [streams]
static std::string readToEnd(int fd) {
  std::string data;
  char buffer[512];
  for (;;) {
    const ssize_t n = sys::read(fd, buffer, sizeof buffer);
    if (n == -1 && errno == EINTR) continue;
    if (sys::check(n, "read") == 0) return data;
    data.append(buffer, static_cast<std::size_t>(n));
  }
}

static std::string readRequest(int fd) {
  std::string request;
  char buffer[512];
  while (comet::pathOf(request).empty()) {
    const ssize_t n = sys::read(fd, buffer, sizeof buffer);
    if (n == -1 && errno == EINTR) continue;
    if (sys::check(n, "read") == 0) break;
    request.append(buffer, static_cast<std::size_t>(n));
  }
  return request;
}

static void writeAll(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = sys::write(fd, data.data(), data.size());
    if (n == -1 && errno == EINTR) continue;
    data.remove_prefix(static_cast<std::size_t>(sys::check(n, "write")));
  }
}

static sys::Fd connectTo(const sys::Address& address) {
  sys::Fd fd(sys::check(sys::socket(sys::Mode::blocking), "socket"));
  sys::check(sys::connect(fd.get(), address), "connect");
  return fd;
}
// [/streams]

// [server]
// The waiting requests. Whoever changes the list holds the mutex.
class Waiters {
 public:
  std::size_t wait() {
    std::unique_lock lock(mutex_);
    Waiting me;
    list_.push_back(&me);
    me.told.wait(lock, [&] { return me.number != 0; });
    return me.number;
  }
  std::size_t notify() {
    const std::lock_guard lock(mutex_);
    const std::size_t n = list_.size();
    for (Waiting* waiting : list_) {
      waiting->number = n;
      waiting->told.notify_one();
    }
    list_.clear();
    return n;
  }
  std::size_t size() {
    const std::lock_guard lock(mutex_);
    return list_.size();
  }

 private:
  struct Waiting {
    std::condition_variable told;
    std::size_t number = 0;
  };
  std::mutex mutex_;
  std::vector<Waiting*> list_;
};

static void serve(int connection, Waiters& waiters) {
  const std::string request = readRequest(connection);
  const std::string_view path = comet::pathOf(request);
  std::size_t n = 0;
  if (path == "/wait")
    n = waiters.wait();
  else if (path == "/notify")
    n = waiters.notify();
  else
    n = waiters.size();
  writeAll(connection, comet::respond(n));
}
// [/server]

// [threads]
// Other threads are running and cannot be asked to stop: so this one ends the
// program without waiting for anybody.
[[noreturn]] static void giveUp(const std::string& what) {
  std::cerr << "comet-00: " + what + "\n";
  std::_Exit(1);
}

// A thread whose ledger is counted, and whose failure is not lost.
template <class Body>
static std::thread startThread(Body body) {
  const auto run = [](Body own) { own(); };
  try {
    return std::thread([run, body = std::move(body)]() mutable {
      try {
        run(std::move(
            body));  // what it owns ends before the ledger is settled
      } catch (const std::exception& error) {
        giveUp(error.what());
      }
      flushLedger();
    });
  } catch (const std::system_error& error) {
    giveUp(std::string("cannot start one more thread: ") + error.what() +
           " (`sysctl kernel.pid_max kernel.threads-max` and `ulimit -u` "
           "tell how many there may be)");
  }
}

// A std::thread that is destroyed while it runs ends the program. So what
// the threads are, and what they share, belongs to main, and no exception
// passes there.
struct Shared {
  Waiters waiters;
  std::thread server;
  std::vector<std::thread> requests;
  std::vector<std::thread> clients;
  std::atomic<bool> stopping = false;
};

// Accepts until a connection comes after `stopping` was set.
static void acceptConnections(int listener, Shared& shared) {
  for (;;) {
    sys::Address client;
    const int fd = sys::accept(listener, client, sys::Mode::blocking);
    if (fd == -1 && (errno == EINTR || errno == ECONNABORTED)) continue;
    sys::Fd connection(sys::check(fd, "accept4"));
    if (shared.stopping) break;
    shared.requests.push_back(
        startThread([&shared, connection = std::move(connection)] {
          serve(connection.get(), shared.waiters);
        }));
  }
  for (std::thread& thread : shared.requests) thread.join();
}
// [/threads]

// [clients]
static std::size_t ask(const comet::Run& run, std::string_view path) {
  const sys::Fd fd = connectTo(run.address());
  writeAll(fd.get(), comet::get(path));
  return comet::numberIn(readToEnd(fd.get()));
}

static void runClients(comet::Run& run, std::vector<std::thread>& threads) {
  static std::mutex mutex;
  for (std::size_t i = 0; i < run.clients; ++i) {
    threads.push_back(startThread([&run, fd = connectTo(run.address(i))] {
      writeAll(fd.get(), comet::get("/wait"));
      const std::string response = readToEnd(fd.get());
      const std::lock_guard lock(mutex);
      run.answered(response);
    }));
    run.connected();
  }
  for (std::size_t count = 0; count != run.clients; run.waiting(count))
    count = ask(run, "/");
  const std::size_t notified = ask(run, "/notify");
  run.expect(notified == run.clients,
             "/notify told " + std::to_string(notified));
  while (ask(run, "/") != 0) continue;
  for (std::thread& thread : threads) thread.join();
}
// [/clients]

// [main]
int main(int argc, char** argv) {
  comet::Run run("comet-00", argc, argv, sys::Mode::blocking);
  Shared shared;
  try {
    const sys::Fd listener = run.takeListener();
    if (run.hasServer())
      shared.server =
          startThread([&] { acceptConnections(listener.get(), shared); });
    if (run.hasClients()) runClients(run, shared.clients);
    if (run.hasServer()) {
      if (!run.waitForClients())
        giveUp("the clients have failed, and threads may wait for them");
      shared.stopping = true;
      connectTo(run.address());
      shared.server.join();
    }
  } catch (const std::exception& error) {
    giveUp(error.what());
  }
  return run.finish();
}
// [/main]
