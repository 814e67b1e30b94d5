// The end of the process or of a thread, in a coroutine: by exit(3) with
// static objects, by pthread_exit(3) and by pthread_cancel(3).
//
// Each end happens in a child, and the test looks at how the child ended.

#include <doctest/doctest.h>
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <string>

#include "helpers.hpp"
#include "in_child.hpp"
#include "naglfar/http.hpp"
#include "naglfar/mixins.hpp"
#include "naglfar/server/waiters.hpp"

#if NAGLFAR_SANITIZED
// A process that ends in a coroutine ends on the coroutine's stack: what only
// the stack of main refers to looks lost then.
extern "C" int __lsan_is_turned_off() {
  return 1;
}
#endif

namespace {

using namespace naglfar;
using namespace helpers;
using namespace std::chrono_literals;

void say(const std::string& text) {
  sys::write(STDOUT_FILENO, text.data(), text.size());
}

// Says that a scope has ended.
struct Leaves {
  explicit Leaves(std::string text) : what(std::move(text)) {}
  Leaves(const Leaves&) = delete;
  Leaves& operator=(const Leaves&) = delete;
  ~Leaves() { say(what + ' '); }
  std::string what;
};

}  // namespace

// --- exit ---

// Where the call of exit(3) stands, and which objects are static.
TEST_CASE("exit in a coroutine ends the process with its status") {
  for (int where = 0; where < 4; ++where)
    for (int objects = 0; objects < 4; ++objects) {
      CAPTURE(where);
      CAPTURE(objects);
      const Fate fate = inChild([where, objects] {
        static std::optional<Channel<int>> before;
        if (objects == 1) before.emplace();
        static Scheduler scheduler;
        static std::optional<Channel<int>> behind;
        if (objects == 2) behind.emplace();
        static std::optional<TaskGroup> group;
        if (objects == 3) group.emplace();
        if (!before && !behind) behind.emplace();
        static Channel<int>& channel = before ? *before : *behind;
        const auto start = [](auto body) {
          if (group)
            group->go(body);
          else
            go(body);
        };
        start([] {
          const Leaves scope("other");
          channel.read();
        });
        start([where] {
          const Leaves scope("never");
          yield();
          const auto end = [] { std::exit(3); };
          if (where == 0) end();
          if (where == 1) go(end).join();
          StackPool pool;
          if (where == 2) Coroutine::make(pool, end).resume();
          try {
            throw 1;
          } catch (...) {
            end();
          }
        });
        start([] { sleep(1h); });
        scheduler.run();
      });
      INFO(fate.said);
      CHECK(fate.code() == 3);
      // The coroutine that ends the process, and those that wait for it to
      // return, have nowhere to go back to.
      CHECK(fate.said.find("other") != std::string::npos);
      CHECK((fate.said.find("never") == std::string::npos) == (where != 1));
    }
}

// The destructors of these objects wake what waits for them, and main does;
// but the scheduler is gone when they run.
TEST_CASE("exit while main waits for a static object ends the process") {
  for (int object = 0; object < 4; ++object) {
    CAPTURE(object);
    const Fate fate = inChild([object] {
      static Sockets pair;
      static ScheduledFile file(std::move(pair.a));
      static Waiters waiters;
      static Task task;
      static std::optional<TaskGroup> group;
      static Scheduler scheduler;
      go([] { std::exit(3); });
      if (object == 0) {
        file.write(std::string(4 << 20, 'x'));
        file.flush();
      }
      if (object == 1) waiters.wait(pair.b.get());
      if (object == 2) (task = go([] { sleep(1h); })).join();
      group.emplace().go([] { sleep(1h); });
      group->wait();
    });
    INFO(fate.said);
    CHECK(fate.code() == 3);
  }
}

TEST_CASE("exit in a handler ends a process whose server is static") {
  const Fate fate = inChild([] {
    struct Handler : BaseHTTPRequestHandler {
      using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
      void do_GET() override { std::exit(3); }
    };
    static Scheduler scheduler;
    static ScheduledMixIn<HTTPServer> server(sys::Address("127.0.0.1", 0),
                                             handlerFor<Handler>);
    go([] { server.serve_forever(); });
    ScheduledFile client = ScheduledFile::connectTcp(server.server_address);
    client.write("GET / HTTP/1.0\r\n\r\n");
    client.read();
  });
  INFO(fate.said);
  CHECK(fate.code() == 3);
}

TEST_CASE("a coroutine that destroys its scheduler aborts with a message") {
  const Fate fate = inChild([] {
    std::optional<Scheduler> scheduler(std::in_place);
    go([&] { scheduler.reset(); }).name = "destroyer";
    scheduler->run();
  });
  CHECK(WIFSIGNALED(fate.status));
  CHECK(fate.said.find("destroyer") != std::string::npos);
  CHECK(fate.said.find("has destroyed the scheduler") != std::string::npos);
}

// --- the end of a thread ---

#if defined(__GLIBCXX__) && defined(__GLIBC__) && !NAGLFAR_SANITIZED
namespace {

// Runs a function in a thread of a child, which ends with status 0 if the
// thread has ended with that result.
template <class Function>
Fate inThread(void* expected, Function function) {
  return inChild([&] {
    pthread_t thread{};
    const auto start = [](void* place) -> void* {
      (*static_cast<Function*>(place))();
      return nullptr;
    };
    pthread_create(&thread, nullptr, start, &function);
    void* result = nullptr;
    pthread_join(thread, &result);
    _exit(result == expected ? 0 : 1);
  });
}

int value;

}  // namespace

TEST_CASE("pthread_exit in a coroutine unwinds the scheduler's thread") {
  const Fate fate = inThread(&value, [] {
    const Leaves thread("thread");
    Scheduler scheduler;
    Channel<int> channel;
    go([&] {
      const Leaves scope("other");
      channel.read();
    });
    go([] {
      const Leaves scope("ending");
      yield();
      pthread_exit(&value);
    });
    scheduler.run();
  });
  CHECK(fate.code() == 0);
  CHECK(fate.said == "ending other thread ");
}

TEST_CASE("pthread_exit in a job that is no coroutine unwinds the thread") {
  const Fate fate = inThread(&value, [] {
    const Leaves thread("thread");
    helpers::Sockets sockets;
    Scheduler scheduler;
    const HangupWatch watch(sockets.a.get(), [] { pthread_exit(&value); });
    go([&] { sockets.b = sys::Fd(); });
    sleep(1h);
  });
  CHECK(fate.code() == 0);
  CHECK(fate.said == "thread ");
}

TEST_CASE("a thread is cancelled where its poller waits") {
  const Fate fate = inThread(PTHREAD_CANCELED, [] {
    const Leaves thread("thread");
    Scheduler scheduler;
    go([] {
      const Leaves scope("sleeper");
      pthread_cancel(pthread_self());
      sleep(1h);
    });
    scheduler.run();
  });
  CHECK(fate.code() == 0);
  CHECK(fate.said == "sleeper thread ");
}

namespace {

struct Ends : BaseHTTPRequestHandler {
  using BaseHTTPRequestHandler::BaseHTTPRequestHandler;
  void do_GET() override { pthread_exit(&value); }
  void log_message(std::string_view) override {}
};

// Serves a client, whose request ends the thread that serves it.
template <class Server>
void serveOne() {
  const Leaves thread("thread");
  std::optional<Scheduler> scheduler;
  if constexpr (std::is_base_of_v<ScheduledMixIn<HTTPServer>, Server>)
    scheduler.emplace();
  Server server(sys::Address("127.0.0.1", 0), handlerFor<Ends>);
  const sys::Fd client(sys::socket(sys::Mode::blocking));
  sys::check(sys::connect(client.get(), server.server_address), "connect");
  sys::write(client.get(), "GET / HTTP/1.0\r\n\r\n", 18);
  server.handle_request();
  if (scheduler) sleep(1h);
}

}  // namespace

TEST_CASE("pthread_exit in a handler passes through the server") {
  for (const Fate& fate :
       {inThread(&value, serveOne<HTTPServer>),
        inThread(&value, serveOne<ScheduledMixIn<HTTPServer>>)}) {
    CHECK(fate.code() == 0);
    CHECK(fate.said == "thread ");
  }
}

TEST_CASE("pthread_exit in a handler of its own thread frees its place") {
  const Fate fate = inThread(nullptr, serveOne<ThreadingMixIn<HTTPServer>>);
  CHECK(fate.code() == 0);
  CHECK(fate.said == "thread ");
}
#endif
