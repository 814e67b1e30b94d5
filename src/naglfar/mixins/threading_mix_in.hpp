/// @file mixins/threading_mix_in.hpp
/// A mix-in that serves each request in a thread (in Python,
/// socketserver.ThreadingMixIn). The threads have no scheduler: a handler
/// that waits blocks its thread.
///
/// Invariant: no thread of a request outlives the server.
///
/// Asks of the server layer: TCPServer; of sys: a pipe, flushLedger.

#pragma once

#include <condition_variable>
#include <mutex>
#include <optional>
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
  /// Waits for the requests that are being served. This thread waits, with
  /// all its coroutines: a thread cannot be ended from outside.
  ~ThreadingMixIn() override {
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [this] { return running_ == 0; });
  }

  /// How many connections may be open at a time, each with its thread.
  /// Further connections wait in the backlog of the listener until a request
  /// ends. To be set before the server serves; 0 counts as 1.
  std::size_t maxConnections = unlimited;

 private:
  // [threading-room]
  // A thread that ends writes a byte. To read before the count is looked at
  // loses none: a thread counts first.
  std::optional<TCPServer::Request> get_request() override {
    if (maxConnections == unlimited) return Base::get_request();
    if (!room_) room_.emplace();
    const int reader = room_->reader.get();
    do {
      char bytes[64];
      while (sys::read(reader, bytes, sizeof bytes) > 0) continue;
    } while (!hasRoom() && this->awaitInput({reader}, -1));
    return Base::get_request();
  }

  bool hasRoom() {
    const std::lock_guard lock(mutex_);
    return running_ == 0 || running_ < maxConnections;
  }
  // [/threading-room]

  // [threading-process]
  void process_request(TCPServer::Request request) override {
    // The thread cannot end before it is counted.
    const std::lock_guard counting(mutex_);
    std::thread([this, request = std::move(request)]() mutable {
      const Ending ending{*this};
      this->serve(request);
    }).detach();
    ++running_;
  }
  // [/threading-process]

  // However a thread ends, by pthread_exit(3) for instance, it is counted. It
  // notifies before it unlocks: after that the destructor may find that no
  // request runs, and the condition variable is gone.
  struct Ending {
    ThreadingMixIn& server;
    ~Ending() {
      const std::lock_guard ending(server.mutex_);
      --server.running_;
      if (server.room_) sys::write(server.room_->writer.get(), "", 1);
      flushLedger();  // with the calls of that write
      server.ended_.notify_all();
    }
  };

  std::mutex mutex_;
  std::condition_variable ended_;  // notified when a request has ended
  std::size_t running_ = 0;        // how many requests run
  std::optional<sys::Pipe> room_;  // only a limit needs it
};
// [/threading-mix-in]

/// @}

}  // namespace naglfar
