// Writes down what a comet program does, as it does it: which coroutine runs,
// why it stops, who wakes it, and every call about a descriptor.
//
// A program that is linked with this file is otherwise the chapter's own, and
// the library has no line for it. The linker's --wrap puts a function of ours
// before each call of the kernel, and before switchContext().
//
// Invariant: an event is written before anything else can happen. What was
// made, woken or ended since the event before is found by looking at all
// coroutines, which are few; several of those are told in the order in which
// the coroutines were made.

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "naglfar/coroutine.hpp"
#ifdef RECORD_SCHEDULER
#include "naglfar/scheduler.hpp"
constexpr bool hasScheduler = true;
#else
constexpr bool hasScheduler = false;
#endif

using namespace naglfar;

namespace {

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
    seeWhoLeft();
    const bool main = Coroutine::current() == nullptr &&
                      std::string_view(call) != "epoll_wait";
    if (main) mainRuns();
    seeWhoWasWoken();
    if (Coroutine::current() == nullptr) actor_ = main ? "main" : "poller";
    write("call", actor_,
          R"(, "call": ")" + std::string(call) + R"(", "fd": )" +
              std::to_string(fd) + R"(, "result": )" +
              (result == -1 ? '"' + std::string(strerrorname_np(error)) + '"'
                            : std::to_string(result)) +
              more);
    errno = error;
    return result;
  }

  // Somebody is about to be resumed, or to leave.
  void switching() {
    const Coroutine& self = *Coroutine::current();
    const std::string who = self.describe();
    const bool leaves = !running_.empty() && running_.back() == &self;
    seeWhoLeft();
    if (leaves && self.queued()) awake_.insert(numberOf(who));
    // Woken since the event before, and out of the queue again: it was first.
    // A main without a scheduler wakes nobody: it ends who is left.
    if (!leaves && !awake_.contains(numberOf(who))) {
      if (made_.insert(numberOf(who)).second) {
        write("made", who, R"(, "by": ")" + actor_ + '"');
        wake(who);
      } else if (actor_ == "main" && !hasScheduler)
        write("unwind", who);
      else
        wake(who);
    }
    seeWhoWasWoken();
    if (!leaves) {
      awake_.erase(numberOf(who));
      running_.push_back(&self);
      actor_ = who;
      write("resume", who);
      return;
    }
    running_.pop_back();
    actor_ = "main";  // what this one has done has been seen
    if (self.queued())
      write("yield", who);
    else if (self.waitsFor != nullptr)
      write("park", who,
            R"(, "for": ")" + std::string(self.waitsFor) + R"(", "fd": )" +
                std::to_string(self.waitsOn));
    else
      left_ = who;  // suspended, or ended: seeWhoLeft() finds out
  }

 private:
  void seeWhoLeft() {
    if (left_.empty()) return;
    bool there = false;
    for (Coroutine* c = Coroutine::first(); c != nullptr; c = c->next())
      there |= numberOf(c->describe()) == numberOf(left_);
    write(there ? "suspend" : "end", left_);
    left_.clear();
  }

  // First of those that were there: the poller wakes, and makes nobody.
  void seeWhoWasWoken() {
    for (const bool made : {false, true})
      for (Coroutine* c = Coroutine::first(); c != nullptr; c = c->next()) {
        const std::string who = c->describe();
        if (made && made_.insert(numberOf(who)).second) {
          if (actor_ == "poller") actor_ = "main";
          write("made", who, R"(, "by": ")" + actor_ + '"');
        }
        if (made_.contains(numberOf(who)) && c->queued() &&
            !awake_.contains(numberOf(who)))
          wake(who);
      }
#ifdef RECORD_SCHEDULER
    Scheduler* scheduler = Scheduler::ofThread();
    if (scheduler == nullptr) return;
    if (Coroutine::current() == nullptr) main_ = &scheduler->self();
    if (main_ != nullptr && main_->queued() && !awake_.contains("main"))
      wake("main");
#endif
  }

  // If the poller has run since main did, it has woken main, which is out of
  // the queue again.
  void mainRuns() {
    if (hasScheduler && actor_ == "poller" && !awake_.contains("main"))
      wake("main");
    awake_.erase("main");
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
  std::string actor_ = "main";  // who did what happened last
  std::string left_;            // who has left, and for what is not known yet
  std::vector<const Coroutine*> running_;
  std::set<std::string> made_;
  std::set<std::string> awake_;  // has been woken, and not yet resumed
  [[maybe_unused]] const Job* main_ = nullptr;
};

Recorder recorder;

}  // namespace

// The names are the linker's choice.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {

// switchContext(Context&, const Context&), as the linker knows it.
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
  return recorder.called("send", fd, __real_send(fd, data, size, flags));
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
