/// @file mixins/threading_mix_in.hpp
/// A mix-in that serves each request in a thread (in Python,
/// socketserver.ThreadingMixIn). The threads have no scheduler: a handler
/// that waits blocks its thread.
///
/// Invariant: no thread of a request outlives the server.
///
/// Asks of the server layer: TCPServer; of sys: flushLedger.

#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "naglfar/server.hpp"

namespace naglfar {

/// @addtogroup server
/// @{

// [threading-mix-in]
/// Serves each request in a new thread.
/// @tparam Base TCPServer, or a class derived from it.
template <class Base>
class ThreadingMixIn : public Base {
 public:
  using Base::Base;
  /// Waits for the requests that are being served.
  ~ThreadingMixIn() override {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return running_ == 0; });
  }

  /// How many connections may be open at a time, each with its thread.
  /// Further connections wait in the backlog of the listener until a request
  /// ends. To be set before the server serves.
  std::size_t maxConnections = unlimited;

 private:
  // [threading-process]
  // A signal handler may call shutdown(), so shutdown() cannot notify the
  // condition variable: the server looks for shutdown() now and then.
  std::optional<TCPServer::Request> get_request() override {
    std::unique_lock lock(mutex_);
    while (running_ >= maxConnections && this->awaitInput(-1, 0))
      ended_.wait_for(lock,
                      std::chrono::milliseconds(TCPServer::lookEveryMs));
    lock.unlock();
    return Base::get_request();
  }

  void process_request(TCPServer::Request request) override {
    const sys::Address client = request.client;
    try {
      // The thread cannot end before it is counted.
      const std::lock_guard counting(mutex_);
      std::thread([this, request = std::move(request)]() mutable {
        const Ending ending{*this};
        this->serve(request);
      }).detach();
      ++running_;
    } catch (const std::system_error& error) {  // std::thread throws it
      this->handle_error(client, error);
    }
  }
  // [/threading-process]

  // However a thread ends, by pthread_exit(3) for instance, it is counted. It
  // notifies before it unlocks: after that the destructor may find that no
  // request runs, and the condition variable is gone.
  struct Ending {
    ThreadingMixIn& server;
    ~Ending() {
      flushLedger();
      const std::lock_guard ending(server.mutex_);
      --server.running_;
      server.ended_.notify_all();
    }
  };

  std::mutex mutex_;
  std::condition_variable ended_;  // notified when a request has ended
  std::size_t running_ = 0;        // how many requests run
};
// [/threading-mix-in]

/// @}

}  // namespace naglfar
