/// @file mixins/threading_mix_in.hpp
/// A mix-in that serves each request in a thread (in Python,
/// socketserver.ThreadingMixIn). The threads have no scheduler: a handler
/// that waits blocks its thread.
///
/// Invariant: no thread of a request outlives the server.
///
/// Asks of the server layer: TCPServer.

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
  std::optional<TCPServer::Request> get_request() override;
  void process_request(TCPServer::Request request) override;
  std::mutex mutex_;
  std::condition_variable ended_;  // a request has
  std::size_t running_ = 0;        // requests
};
// [/threading-mix-in]

// [threading-process]
// A signal handler may call shutdown(), so shutdown() cannot notify the
// condition variable: the server looks for it now and then.
template <class Base>
std::optional<TCPServer::Request> ThreadingMixIn<Base>::get_request() {
  std::unique_lock lock(mutex_);
  while (running_ >= maxConnections && this->awaitInput(-1, 0))
    ended_.wait_for(lock, std::chrono::milliseconds(TCPServer::lookEveryMs));
  lock.unlock();
  return Base::get_request();
}

template <class Base>
void ThreadingMixIn<Base>::process_request(TCPServer::Request request) {
  const sys::Address client = request.client;
  const auto change = [this](int difference) {
    // The thread notifies before it unlocks: after that the destructor may
    // find that no request runs, and the condition variable is gone.
    const std::lock_guard lock(mutex_);
    running_ += static_cast<std::size_t>(difference);
    ended_.notify_all();
  };
  change(+1);
  try {
    std::thread([this, change, request = std::move(request)]() mutable {
      this->serve(request);
      flushLedger();
      change(-1);
    }).detach();
  } catch (const std::system_error& error) {  // std::thread throws it
    change(-1);
    this->handle_error(client, error);
  }
}
// [/threading-process]

/// @}

}  // namespace naglfar
