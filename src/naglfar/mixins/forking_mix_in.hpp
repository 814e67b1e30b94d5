/// @file mixins/forking_mix_in.hpp
/// A mix-in that serves each request in a child process (in Python,
/// socketserver.ForkingMixIn).
///
/// What becomes of the server's own things in a child:
///
/// | in the parent              | in the child                              |
/// |----------------------------|-------------------------------------------|
/// | the listening socket       | closed: the port is free when the parent  |
/// |                            | has closed it or is dead                  |
/// | the connection             | the child's; the parent closes its own    |
/// | the order to stop          | shared: shutdown() in either reaches both |
/// | the pipe of ended children | shared: the child writes its number       |
/// | the scheduler, coroutines  | none: the child's thread waits itself     |
/// | Waiters                    | a copy, which no other process sees       |
/// | SharedWaiters              | shared                                    |
/// | standard error             | shared                                    |
/// | signal handlers            | the same; those of Signals are not there  |
/// | other descriptors          | open until the child ends                 |
/// | other threads              | not there: fork while there are none      |
///
/// Invariants:
/// - While the server serves, none of its children stays a zombie: one that
///   ends by itself is waited for at once, one that is killed within a
///   second.
/// - A child never runs a coroutine of its parent, nor the destructors of its
///   parent's objects. It runs the parent's exit functions only if a handler
///   calls exit(3).
/// - No child outlives the grace period of server_close() or of the server's
///   destructor. If the server is killed, its children go on until their
///   clients have been served.
///
/// Asks of the server layer: TCPServer; of the scheduler: abandon; of sys:
/// fork, waitpid, a pipe, flushLedger; of the system: kill(2).

#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
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
  /// Takes what Base takes.
  template <class... Args>
  explicit ForkingMixIn(Args&&... args) : Base(std::forward<Args>(args)...) {
    this->serviceInput = ended_.reader.get();
  }
  /// Waits for the children as server_close() does, but tells them nothing.
  /// This thread waits, with all its coroutines.
  ~ForkingMixIn() override { endChildren(nullptr); }

  /// Waits until the requests that are being served have ended, and kills the
  /// children that serve those that have not when the grace period is over.
  void server_close() override {
    this->shutdown();
    Base::server_close();
    endChildren(Scheduler::ofThread());
  }

  /// How many connections may be open at a time, each with its process.
  /// Further connections wait in the backlog of the listener until a child
  /// ends. To be set before the server serves; 0 counts as 1.
  std::size_t maxConnections = unlimited;
  /// How long server_close() waits.
  sys::Duration gracePeriod = std::chrono::seconds(5);

 private:
  // [forking-room]
  std::optional<TCPServer::Request> get_request() override {
    collectChildren();
    while (!children_.empty() && children_.size() >= maxConnections &&
           this->awaitInput({ended_.reader.get()}, TCPServer::lookEveryMs)) {
      lookAt_ = {};
      collectChildren();
    }
    return Base::get_request();
  }

  int service_actions() override {
    collectChildren();
    return children_.empty() ? -1 : static_cast<int>(lookEvery.count());
  }
  // [/forking-room]

  // [forking-process]
  void process_request(TCPServer::Request request) override {
    children_.push_back(0);  // before there is a child that could be lost
    const pid_t child = sys::fork();
    if (child == 0) serveInChild(request);
    children_.back() = child;
    if (child != -1) return;
    children_.pop_back();
    sys::fail(errno, "fork");
  }

  // noexcept: what left it would go through the frames of the parent.
  [[noreturn]] void serveInChild(TCPServer::Request& request) noexcept {
    Scheduler::abandon();
    this->closeListener();
    try {
      this->serve(request);
    } catch (...) {
      endChild();  // the handler ends its thread, which is the only one
    }
    endChild();
  }

  [[noreturn]] void endChild() noexcept {
    const pid_t self = ::getpid();
    sys::write(ended_.writer.get(), reinterpret_cast<const char*>(&self),
               sizeof self);  // if it fails, the parent looks anyway
    flushLedger();
    _exit(0);  // destructors would undo what belongs to the parent
  }
  // [/forking-process]

  // [forking-collect]
  // A child that has written its number exits at once, so the wait for it is
  // short. A child that is killed writes nothing, so the parent looks for it,
  // and not at each request: to ask for n children at n requests would take
  // n * n system calls. It looks before it reads: if a child has been found,
  // and its number given to a new one, its message is not in the pipe any
  // more. It asks for each child by its number, because the program may have
  // other children, and waits for them itself.
  void collectChildren() {
    if (sys::now() >= lookAt_) {
      std::erase_if(children_, [](pid_t c) { return hasEnded(c, WNOHANG); });
      lookAt_ = after(lookEvery);
    }
    pid_t child = 0;
    while (sys::read(ended_.reader.get(), reinterpret_cast<char*>(&child),
                     sizeof child) == sizeof child)
      std::erase_if(children_, [child](pid_t c) {
        return c == child && hasEnded(c, 0);
      });
  }

  static bool hasEnded(pid_t child, int options) {
    for (;;) {
      const pid_t ended = sys::waitpid(child, nullptr, options);
      if (ended != -1 || errno != EINTR) return ended != 0;
    }
  }
  // [/forking-collect]

  // [forking-end]
  // The children have been told, and one that is idle or busy may not hear.
  // One that is killed writes nothing, so the parent looks now and then. In a
  // scheduler serve_forever() may still wait for the pipe.
  void endChildren(Scheduler* scheduler) {
    const int pipe[] = {scheduler == nullptr ? ended_.reader.get() : -1};
    constexpr std::chrono::milliseconds often(TCPServer::lookEveryMs);
    const Deadline end = after(gracePeriod);
    lookAt_ = {};
    for (;;) {
      collectChildren();
      const sys::Time now = sys::now();
      if (children_.empty() || now >= end) break;
      lookAt_ = std::min(lookAt_, now + often);
      TCPServer::await(pipe, 10, scheduler);
    }
    for (const pid_t child : children_) sys::kill(child, SIGKILL);
    for (const pid_t child : children_) hasEnded(child, 0);
    children_.clear();
  }
  // [/forking-end]

  static constexpr std::chrono::milliseconds lookEvery{1000};
  std::vector<pid_t> children_;
  sys::Time lookAt_ =
      sys::now() + lookEvery;  // for children that were killed
  sys::Pipe ended_;            // a child that ends writes its number
};
// [/forking-mix-in]

/// @}

}  // namespace naglfar
