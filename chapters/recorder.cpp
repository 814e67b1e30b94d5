// Writes down what a comet program does, as it does it: which coroutine runs,
// why it stops, what wakes it, and every call about a descriptor.
//
// A program that is linked with this file is otherwise the chapter's own, and
// the library has no line for it. The linker's --wrap puts a function of ours
// before each call of the kernel, before switchContext(), and where a
// coroutine is made and its stack goes back to the pool.
//
// Invariant: an event is written before anything else can happen. What was
// made, woken or ended since the event before is found by looking at all
// coroutines, which are few; several of those are told in the order in which
// the coroutines were made.

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "naglfar/coroutine.hpp"

using namespace naglfar;

namespace {

// The thread's own stack, in a trace.
constexpr const char* thread = "thread";

class Recorder {
 public:
  // At the end, so that the run has the descriptors that it always has.
  ~Recorder() {
    const char* path = std::getenv("TRACE");
    std::FILE* out = path != nullptr ? std::fopen(path, "we") : nullptr;
    if (out == nullptr) std::abort();
    std::fputs(trace_.c_str(), out);
    std::fclose(out);
  }

  // A call, what became of it, and more about that.
  template <class Result>
  Result called(const char* call, int fd, Result result,
                const std::string& more = "") {
    const int error = errno;
    seeWhatLeft();
    seeWhatWasWoken();
    if (Coroutine::current() == nullptr)
      actor_ = std::string_view(call) == "epoll_wait" ? "poller" : thread;
    write("call", actor_,
          R"(, "call": ")" + std::string(call) + R"(", "fd": )" +
              std::to_string(fd) + R"(, "result": )" +
              (result == -1 ? '"' + std::string(strerrorname_np(error)) + '"'
                            : std::to_string(result)) +
              more);
    errno = error;
    return result;
  }

  // A coroutine is about to be resumed, or to leave.
  void switching() {
    const Coroutine& self = *Coroutine::current();
    const std::string who = self.describe();
    const bool leaves = !running_.empty() && running_.back() == &self;
    seeWhatLeft();
    if (leaves && self.queued()) awake_.insert(numberOf(who));
    // Woken since the event before, and out of the queue again: it was first.
    // Or it is cancelled, and never was in the queue.
    if (!leaves && !awake_.contains(numberOf(who))) {
      if (made_.insert(numberOf(who)).second)
        write("made", who, R"(, "by": ")" + actor_ + '"');
      if (self.cancelled())
        write("unwind", who);
      else
        wake(who);
    }
    seeWhatWasWoken();
    if (!leaves) {
      awake_.erase(numberOf(who));
      running_.push_back(&self);
      actor_ = who;
      write("resume", who);
      return;
    }
    running_.pop_back();
    // What this one has done has been seen.
    actor_ = running_.empty() ? thread : running_.back()->describe();
    if (self.queued())
      write("yield", who);
    else if (self.waitsFor != nullptr && !self.cancelled())
      write("park", who,
            R"(, "for": ")" + std::string(self.waitsFor) + R"(", "fd": )" +
                std::to_string(self.waitsOn));
    else
      left_ = who;  // suspended, or ended: seeWhatLeft() finds out
  }

  void made(const Coroutine* coroutine) { coroutines_.push_back(coroutine); }

  // A coroutine stands on the stack that it gives back.
  void released(const char* stack) {
    std::erase_if(coroutines_, [stack](const Coroutine* coroutine) {
      const char* place = reinterpret_cast<const char*>(coroutine);
      return place >= stack && place < stack + StackPool::stackSize;
    });
  }

 private:
  void seeWhatLeft() {
    if (left_.empty()) return;
    const bool there = std::any_of(coroutines_.begin(), coroutines_.end(),
                                   [this](const Coroutine* coroutine) {
                                     return numberOf(coroutine->describe()) ==
                                            numberOf(left_);
                                   });
    write(there ? "suspend" : "end", left_);
    left_.clear();
  }

  // First of those that were there: the poller wakes, and makes none.
  void seeWhatWasWoken() {
    for (const bool made : {false, true})
      for (const Coroutine* c : coroutines_) {
        const std::string who = c->describe();
        if (made && made_.insert(numberOf(who)).second) {
          if (actor_ == "poller") actor_ = thread;
          write("made", who, R"(, "by": ")" + actor_ + '"');
        }
        if (made_.contains(numberOf(who)) && c->queued() &&
            !awake_.contains(numberOf(who)))
          wake(who);
      }
  }

  void wake(const std::string& who) {
    awake_.insert(numberOf(who));
    write("wake", who, R"(, "by": ")" + actor_ + '"');
  }

  // One event, as a line of JSON. The clock counts them.
  void write(const char* event, const std::string& who,
             const std::string& more = "") {
    trace_ += R"({"clock": )" + std::to_string(++clock_) + R"(, "event": ")" +
              event + R"(", "who": ")" + who + '"' + more + "}\n";
  }

  // Names may be given late; numbers stay.
  static std::string numberOf(const std::string& who) {
    return who.substr(who.find('#') == std::string::npos ? 0 : who.find('#'));
  }

  std::string trace_;
  int clock_ = 0;
  std::string actor_ = thread;  // what did what happened last
  std::string left_;            // what has left, and why is not known yet
  std::vector<const Coroutine*> coroutines_;  // those that there are
  std::vector<const Coroutine*> running_;  // each resumed by the one before
  std::set<std::string> made_;
  std::set<std::string> awake_;  // has been woken, and not yet resumed
};

Recorder recorder;

}  // namespace

// The names are the linker's choice.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {

// Coroutine::Coroutine(StackPool&, char*, const Body&), as the linker knows
// it. Body is private.
void __real__ZN7naglfar9CoroutineC1ERNS_9StackPoolEPcRKNS0_4BodyE(
    Coroutine*, StackPool&, char*, const void*);
void __wrap__ZN7naglfar9CoroutineC1ERNS_9StackPoolEPcRKNS0_4BodyE(
    Coroutine* self, StackPool& pool, char* stack, const void* body) {
  __real__ZN7naglfar9CoroutineC1ERNS_9StackPoolEPcRKNS0_4BodyE(self, pool,
                                                               stack, body);
  recorder.made(self);
}

// StackPool::release(char*).
void __real__ZN7naglfar9StackPool7releaseEPc(StackPool*, char*);
void __wrap__ZN7naglfar9StackPool7releaseEPc(StackPool* pool, char* stack) {
  recorder.released(stack);
  __real__ZN7naglfar9StackPool7releaseEPc(pool, stack);
}

// switchContext(Context&, const Context&).
void __real__ZN7naglfar13switchContextERNS_7ContextERKS0_(Context&,
                                                          const Context&);
void __wrap__ZN7naglfar13switchContextERNS_7ContextERKS0_(
    Context& here, const Context& there) {
  recorder.switching();
  __real__ZN7naglfar13switchContextERNS_7ContextERKS0_(here, there);
}

int __real_socket(int, int, int);
int __wrap_socket(int family, int type, int protocol) {
  const int fd = __real_socket(family, type, protocol);
  return recorder.called("socket", fd, fd);
}

int __real_listen(int, int);
int __wrap_listen(int fd, int backlog) {
  return recorder.called("listen", fd, __real_listen(fd, backlog));
}

int __real_accept4(int, sockaddr*, socklen_t*, int);
int __wrap_accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
  return recorder.called("accept4", fd,
                         __real_accept4(fd, address, size, flags));
}

int __real_connect(int, const sockaddr*, socklen_t);
int __wrap_connect(int fd, const sockaddr* address, socklen_t size) {
  return recorder.called("connect", fd, __real_connect(fd, address, size));
}

ssize_t __real_read(int, void*, size_t);
ssize_t __wrap_read(int fd, void* buffer, size_t size) {
  return recorder.called("read", fd, __real_read(fd, buffer, size));
}

ssize_t __real_write(int, const void*, size_t);
ssize_t __wrap_write(int fd, const void* data, size_t size) {
  return recorder.called("write", fd, __real_write(fd, data, size));
}

ssize_t __real_send(int, const void*, size_t, int);
ssize_t __wrap_send(int fd, const void* data, size_t size, int flags) {
  // As the ledger counts it.
  const ssize_t sent = __real_send(fd, data, size, flags);
  const bool writes =
      (flags & MSG_MORE) == 0 && (sent != -1 || errno != ENOTSOCK);
  return recorder.called(writes ? "write" : "send", fd, sent);
}

int __real_close(int);
int __wrap_close(int fd) {
  return recorder.called("close", fd, __real_close(fd));
}

int __real_epoll_create1(int);
int __wrap_epoll_create1(int flags) {
  const int fd = __real_epoll_create1(flags);
  return recorder.called("epoll_create1", fd, fd);
}

int __real_epoll_ctl(int, int, int, epoll_event*);
int __wrap_epoll_ctl(int epoll, int op, int fd, epoll_event* event) {
  return recorder.called("epoll_ctl", fd,
                         __real_epoll_ctl(epoll, op, fd, event));
}

// With the descriptors that it tells of, in their order.
int __real_epoll_wait(int, epoll_event*, int, int);
int __wrap_epoll_wait(int epoll, epoll_event* events, int most, int timeout) {
  const int n = __real_epoll_wait(epoll, events, most, timeout);
  std::string fds;
  for (int i = 0; i < n; ++i)
    fds += (i == 0 ? "" : ", ") +
           std::to_string(events[i].data.u64 & 0xffffffff);
  return recorder.called("epoll_wait", epoll, n, R"(, "fds": [)" + fds + ']');
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
