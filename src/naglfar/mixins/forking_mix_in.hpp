/// @file mixins/forking_mix_in.hpp
/// A process for each request (in Python, socketserver.ForkingMixIn).
///
/// Invariants: every child is waited for, so that none stays a zombie; and
/// none runs what waits in its parent's scheduler.
///
/// Asks of the server layer: TCPServer; of sys: fork, waitpid.

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
/// Serves each request in a child process. What a handler changes stays in
/// its child, unless it lies in shared memory: see SharedWaiters.
/// @tparam Base TCPServer, or a class derived from it.
template <class Base>
class ForkingMixIn : public Base {
 public:
  using Base::Base;
  /// Waits for the requests that are being served.
  ~ForkingMixIn() override { collectChildren(0); }

  /// How many connections may be open at a time, each with its process. The
  /// next ones wait in the backlog of the listener until one of them is
  /// closed. To be set before the server serves.
  std::size_t maxConnections = unlimited;

 protected:
  std::optional<TCPServer::Request> get_request() override;
  void process_request(TCPServer::Request request) override;

 private:
  void collectChildren(int options);
  static bool hasEnded(pid_t child, int options);
  std::vector<pid_t> children_;
  std::size_t collectAt_ = 16;
  TCPServer::Pipe ended_;  // each child writes its number into it
};
// [/forking-mix-in]

// [forking-room]
// A child that says that it has ended exits at once, so the wait for it is
// short. A child that was killed says nothing, so the parent looks for it.
template <class Base>
std::optional<TCPServer::Request> ForkingMixIn<Base>::get_request() {
  if (maxConnections == unlimited) return Base::get_request();
  do {
    pid_t child = 0;
    while (sys::read(ended_.reader.get(), reinterpret_cast<char*>(&child),
                     sizeof child) == sizeof child)
      if (hasEnded(child, 0)) std::erase(children_, child);
    if (children_.size() >= maxConnections) collectChildren(WNOHANG);
  } while (children_.size() >= maxConnections &&
           this->awaitInput(ended_.reader.get(), TCPServer::lookEveryMs));
  return Base::get_request();
}
// [/forking-room]

// [forking-process]
template <class Base>
void ForkingMixIn<Base>::process_request(TCPServer::Request request) {
  // Asking each of n children at each request would be n * n system calls.
  if (children_.size() >= collectAt_) {
    collectChildren(WNOHANG);
    collectAt_ = 2 * children_.size() + 16;
  }
  const pid_t child = sys::fork();
  if (child == 0) {
    Scheduler::abandon();
    try {
      this->serve(request);
    } catch (...) {
      // By handle_error(): nobody is left to tell.
    }
    flushLedger();
    if (maxConnections != unlimited) {
      const pid_t self = ::getpid();
      sys::write(ended_.writer.get(), reinterpret_cast<const char*>(&self),
                 sizeof self);  // if it fails, the parent looks anyway
    }
    _exit(0);  // no destructors: what they would undo is the parent's
  }
  if (child != -1)
    children_.push_back(child);
  else
    this->handle_error(
        request.client,
        std::system_error(errno, std::generic_category(), "fork"));
}
// [/forking-process]

// [forking-collect]
// One by one: other children of this process are none of its business.
template <class Base>
void ForkingMixIn<Base>::collectChildren(int options) {
  std::erase_if(children_,
                [options](pid_t child) { return hasEnded(child, options); });
}

template <class Base>
bool ForkingMixIn<Base>::hasEnded(pid_t child, int options) {
  pid_t ended;
  do {
    ended = sys::waitpid(child, nullptr, options);
  } while (ended == -1 && errno == EINTR);
  return ended != 0;
}
// [/forking-collect]

/// @}

}  // namespace naglfar
