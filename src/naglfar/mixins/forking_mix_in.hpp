/// @file mixins/forking_mix_in.hpp
/// A mix-in that serves each request in a child process (in Python,
/// socketserver.ForkingMixIn).
///
/// Invariants:
/// - The server waits for each of its children, so that none stays a zombie.
/// - A child never runs a coroutine of its parent, nor the destructors and
///   exit functions of its parent's objects.
///
/// Asks of the server layer: TCPServer; of the scheduler: abandon; of sys:
/// fork, waitpid, a pipe, flushLedger.

#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <vector>

#include "naglfar/server.hpp"

namespace naglfar {

/// @addtogroup server
/// @{

// [forking-mix-in]
/// Serves each request in a child process. What a handler changes, it changes
/// in its child only, except for shared memory: see SharedWaiters.
/// @tparam Base TCPServer, or a class derived from it.
template <class Base>
class ForkingMixIn : public Base {
 public:
  using Base::Base;
  /// Waits for the requests that are being served.
  ~ForkingMixIn() override { collectChildren(0); }

  /// How many connections may be open at a time, each with its process.
  /// Further connections wait in the backlog of the listener until a child
  /// ends. To be set before the server serves.
  std::size_t maxConnections = unlimited;

 private:
  // [forking-room]
  // A child that has written its number exits at once, so the wait for it is
  // short. A child that is killed writes nothing, so the parent looks for it.
  std::optional<TCPServer::Request> get_request() override {
    if (maxConnections == unlimited) return Base::get_request();
    if (!ended_) ended_.emplace();
    do {
      pid_t child = 0;
      while (sys::read(ended_->reader.get(), reinterpret_cast<char*>(&child),
                       sizeof child) == sizeof child)
        if (hasEnded(child, 0)) std::erase(children_, child);
      if (children_.size() >= maxConnections) collectChildren(WNOHANG);
    } while (children_.size() >= maxConnections &&
             this->awaitInput(ended_->reader.get(), TCPServer::lookEveryMs));
    return Base::get_request();
  }
  // [/forking-room]

  // [forking-process]
  void process_request(TCPServer::Request request) override {
    // Not at each request: to ask for n children at n requests would take
    // n * n system calls.
    if (children_.size() >= collectAt_) {
      collectChildren(WNOHANG);
      collectAt_ = 2 * children_.size() + 16;
    }
    const pid_t child = sys::fork();
    if (child == 0) serveInChild(request);
    if (child != -1)
      children_.push_back(child);
    else
      this->handle_error(
          request.client,
          std::system_error(errno, std::generic_category(), "fork"));
  }

  [[noreturn]] void serveInChild(TCPServer::Request& request) {
    Scheduler::abandon();
    try {
      this->serve(request);
    } catch (...) {
      // handle_error() threw, or the handler ends its thread, and the child
      // has no caller of its own.
      endChild();
    }
    endChild();
  }

  [[noreturn]] void endChild() {
    flushLedger();
    if (ended_) {
      const pid_t self = ::getpid();
      sys::write(ended_->writer.get(), reinterpret_cast<const char*>(&self),
                 sizeof self);  // if it fails, the parent looks anyway
    }
    _exit(0);  // destructors would undo what belongs to the parent
  }
  // [/forking-process]

  // [forking-collect]
  // Asks for each child by its number: the program may have other children,
  // and waits for them itself.
  void collectChildren(int options) {
    std::erase_if(children_, [options](pid_t child) {
      return hasEnded(child, options);
    });
  }

  static bool hasEnded(pid_t child, int options) {
    for (;;) {
      const pid_t ended = sys::waitpid(child, nullptr, options);
      if (ended != -1 || errno != EINTR) return ended != 0;
    }
  }
  // [/forking-collect]

  std::vector<pid_t> children_;
  std::size_t collectAt_ = 16;
  // A child that ends writes its number. Only a limit needs it.
  std::optional<sys::Pipe> ended_;
};
// [/forking-mix-in]

/// @}

}  // namespace naglfar
