/// @file server/scheduled_mix_in.hpp
/// The mix-in that serves each request of a TCPServer in a coroutine of its
/// own. naglfar/server.hpp includes it.
///
/// Invariants:
/// - The accept loop survives what accept(2) can say about one connection,
///   and a lack of descriptors or of memory; it never spins. While there is
///   no memory, connections wait in the backlog.
/// - After shutdown() no connection is accepted, and none waits for another
///   request.
///
/// Asks of the layers below: TCPServer, Channel, TaskGroup, goAccept.

#pragma once

#include <new>
#include <optional>
#include <vector>

#include "naglfar/server.hpp"

namespace naglfar {

/// @addtogroup server
/// @{

// [scheduled-mix-in]
/// Serves each request in a new coroutine (`ScheduledMixIn` in the 2009
/// library). The thread needs a Scheduler. shutdown() also ends the wait of
/// the connections that wait for a request, as soon as the scheduler's thread
/// hears of it.
/// @tparam Base TCPServer, or a class derived from it.
template <class Base>
class ScheduledMixIn : public Base {
 public:
  /// Takes what Base takes, and starts accepting.
  /// @throws std::logic_error If the thread has no Scheduler.
  template <class... Args>
  explicit ScheduledMixIn(Args&&... args)
      : Base(std::forward<Args>(args)...) {
    acceptor_ = go([this] { acceptConnections(); });
    acceptor_.name = "accept loop";
    try {
      stop_.run();  // waits from now on
    } catch (...) {
      acceptor_.cancel();  // no destructor runs, which would do it
      throw;
    }
  }
  /// Stops accepting, and cancels the requests that are being served.
  ~ScheduledMixIn() override {
    acceptor_.cancel();
    requests_.cancel();
  }

  // [scheduled-mix-in-end]
  /// Waits until the requests that are being served have ended, and cancels
  /// those that have not when the grace period is over. A handler may call
  /// this: it waits for the other requests. From this thread only.
  void server_close() override {
    this->shutdown();
    stopAccepting();
    Base::server_close();
    if (requests_.scheduler() == nullptr) return;
    while (acceptStream_.size() > 0)
      acceptStream_.next();  // closes a connection not served yet
    try {
      requests_.wait(after(gracePeriod));
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::timed_out) throw;
    }
    requests_.cancel();
  }

  void idle(int connection, bool waits) override {
    const auto index = static_cast<std::size_t>(connection);
    if (index >= idle_.size()) idle_.resize(index + 1);
    idle_[index] = waits;
  }
  // [/scheduled-mix-in-end]

  // [scheduled-mix-in-settings]
  /// How many connections may be open at a time. The next ones wait in the
  /// backlog of the listener until one of them is closed. By default as many
  /// as there are descriptors; 0 counts as 1.
  std::size_t maxConnections = unlimited;
  /// How long server_close() waits.
  sys::Duration gracePeriod = std::chrono::seconds(5);
  // [/scheduled-mix-in-settings]

 private:
  std::optional<TCPServer::Request> get_request() override {
    auto request = acceptStream_.next();
    if (!request) acceptor_.join();  // throws what has ended the accept loop
    return request;
  }

  // [scheduled-mix-in-stop]
  // shutdown() may be called in another thread or a signal handler, where
  // only a byte can be written to a pipe: this job acts on it, in the
  // scheduler's thread. It is no reason for the program to go on.
  struct Stop final : Job {
    explicit Stop(ScheduledMixIn& owner) : server(owner) {
      waiter.unref = true;
    }
    void run() override {
      if (server.stopping()) return server.stopAccepting();
      Scheduler::current().watch(server.stopInput(), Interest::read, waiter);
    }
    ScheduledMixIn& server;
    Waiter waiter{*this};
  };

  // Also ends the wait of the connections that wait for a request.
  void stopAccepting() {
    acceptStream_.close();
    acceptor_.cancel();
    Scheduler* const scheduler = requests_.scheduler();
    for (std::size_t fd = 0; fd < idle_.size() && scheduler != nullptr; ++fd)
      if (idle_[fd]) scheduler->deregister(static_cast<int>(fd));
  }
  // [/scheduled-mix-in-stop]

  // [scheduled-mix-in-accept]
  void acceptConnections() {
    while (!this->stopping()) {
      try {
        // Those in the stream are open, too.
        const std::size_t open = requests_.size() + acceptStream_.size();
        if (open > 0 && open >= maxConnections) {
          requests_.waitOne();
          continue;
        }
        acceptStream_.reserve();  // before there is a connection to lose
        TCPServer::Request request;
        request.connection = goAccept(this->fileno(), request.client);
        if (this->stopping()) return;
        this->hasAccepted();
        acceptStream_.write(std::move(request));
        continue;
      } catch (const std::system_error& error) {
        const bool gone = TCPServer::connectionGone(error);
        if (gone && !this->failedTooOften()) continue;
        if (!gone && !TCPServer::outOfResources(error)) {
          acceptStream_.close();
          throw;  // to get_request()
        }
      } catch (const std::bad_alloc&) {
      }
      awaitResources();
    }
  }
  // [/scheduled-mix-in-accept]

  // [scheduled-mix-in-resources]
  // The end of a request frees descriptors and memory. So may other parts of
  // the program, which do not say so: the accept loop tries again in time.
  void awaitResources() {
    try {
      requests_.waitOne(
          after(std::chrono::milliseconds(TCPServer::lookEveryMs)));
    } catch (const std::bad_alloc&) {
      yield();  // a timer needs memory, too
    }
  }
  // [/scheduled-mix-in-resources]

  // [scheduled-mix-in-serve]
  void process_request(TCPServer::Request request) override {
    requests_
        .go([this, request = std::move(request)]() mutable {
          this->serve(request);
        })
        .name = "request";
  }
  // [/scheduled-mix-in-serve]

  // As in 2009, connections come through a channel. Its extra turn of the
  // queue gives a client in the same thread the time to send its request,
  // so that the server's first read finds it.
  Channel<TCPServer::Request> acceptStream_{1024};
  TaskGroup requests_;
  Task acceptor_;
  Stop stop_{*this};
  std::vector<bool> idle_;  // by descriptor
};
// [/scheduled-mix-in]

/// @}

}  // namespace naglfar
