// The programs whose schedules are explored: small, for the number of
// schedules grows with the factorial of what happens at a time. No program
// asks for a turn again and again until something has happened: there would
// always be one schedule more.

#include "explore.hpp"

#include "limited.hpp"
#include "naglfar/io.hpp"

#if CLAIMS(departures)
#include "naglfar/server/waiters.hpp"
#endif

#include <algorithm>
#include <array>
#include <memory>
#include <system_error>

namespace explore {

using namespace naglfar;
using helpers::Limited;
using namespace std::chrono_literals;

// [explore-helpers]
namespace {

struct Pair {
  sys::Fd a;
  sys::Fd b;
};

Pair socketpair() {
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
  return {sys::Fd(ends[0]), sys::Fd(ends[1])};
}

// What a call fails with; 0 if it does not.
template <class Function>
int errorOf(Function function) {
  try {
    function();
    return 0;
  } catch (const std::system_error& error) {
    return error.code().value();
  }
}

}  // namespace
// [/explore-helpers]

// [explore-channel]
// Two write two messages each, two read, and there is room for one message.
static void channel(Run& run) {
  Limited<int> channel(1);
  std::vector<int> got;
  for (const int first : {1, 3})
    go([&, first] {
      channel.write(first);
      channel.write(first + 1);
    }).name = "writer";
  for (int i = 0; i < 2; ++i)
    go([&] {
      for (int n = 0; n < 2; ++n) got.push_back(channel.read());
    }).name = "reader";
  run.all();
  std::sort(got.begin(), got.end());
  run.expect(got == std::vector{1, 2, 3, 4}, "not each was read once");
}
// [/explore-channel]

// [explore-order]
// One writes three messages, where there is room for one.
static void order(Run& run) {
  Limited<int> channel(1);
  std::vector<int> got;
  go([&] {
    for (const int message : {1, 2, 3}) channel.write(message);
    channel.close();
  }).name = "writer";
  go([&] {
    for (const int message : channel) got.push_back(message);
  }).name = "reader";
  go([&] {
    run.expect(channel.wait() || channel.closed(), "more is to come");
  }).name = "watcher";
  run.all();
  run.expect(got == std::vector{1, 2, 3}, "out of order");
}
// [/explore-order]

// [explore-close]
// A channel is closed while some wait to read and some to write. What was
// written can be read, and whoever could not write was told so.
static void close(Run& run) {
  Limited<int> channel(1);
  int written = 0;
  int got = 0;
  for (int i = 0; i < 3; ++i)
    go([&] {
      const int error = errorOf([&] { channel.write(1); });
      run.expect(error == 0 || error == EPIPE, "another error than EPIPE");
      if (error == 0) ++written;
    }).name = "writer";
  for (int i = 0; i < 2; ++i)
    go([&] {
      if (channel.next()) ++got;
    }).name = "reader";
  go([&] { channel.close(); }).name = "closer";
  run.all();
  got += static_cast<int>(channel.readWaiting().size());
  run.expect(got == written, "a message was lost, or came twice");
}
// [/explore-close]

// [explore-connection]
// Clients connect, and a byte of each goes there and back.
template <int clients>
static void connection(Run& run) {
  const sys::Fd listener(
      sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
  sys::Address address;
  sys::check(sys::bind(listener.get(), sys::Address("localhost", 0)), "bind");
  sys::check(sys::listen(listener.get(), 2), "listen");
  sys::check(sys::localAddress(listener.get(), address), "getsockname");
  std::string answers;
  go([&] {
    for (int i = 0; i < clients; ++i) {
      sys::Address client;
      go([end = goAccept(listener.get(), client)]() mutable {
        goWrite(end.get(), goRead(end.get(), 1));
        goClose(end.release());
      }).name = "echo";
    }
  }).name = "server";
  for (int i = 0; i < clients; ++i)
    go([&] {
      sys::Fd end(sys::check(sys::socket(sys::Mode::nonblocking), "socket"));
      goConnect(end.get(), address);
      goWrite(end.get(), "x");
      answers += goRead(end.get(), 2);
      goClose(end.release());
    }).name = "client";
  run.all();
  run.expect(answers == std::string(clients, 'x'),
             "a byte did not come back");
}
// [/explore-connection]

// [explore-reuse]
// A descriptor is closed while one waits for it and its news may be under
// way; its number goes to another file, with other bytes, for which the
// closer may have to wait.
static void reuse(Run& run) {
  Pair pair = socketpair();
  const int number = pair.a.get();
  std::string first;
  std::string second;
  go([&] {
    go([&] {
      errorOf([&] { goWrite(pair.b.get(), "1"); });  // EPIPE, if too late
    }).name = "writer";
    go([&] {
      goClose(pair.a.release());
      Pair heirs = socketpair();
      run.expect(heirs.a.get() == number, "the number is not used again");
      go([&] { goWrite(heirs.b.get(), "2"); }).name = "the heir's writer";
      second = goRead(heirs.a.get(), 1);
      goClose(heirs.a.release());
    }).name = "closer";
    const int error = errorOf([&] { first = goRead(number, 1); });
    run.expect(error == 0 || error == ECANCELED, "another error");
  }).name = "reader";
  run.all();
  run.expect(second == "2", "who closed got other bytes");
  run.expect(first.empty() || first == "1", "read from another's file");
}
// [/explore-reuse]

// [explore-deadline]
// A message and a reader's deadline, at the same time. The reader comes
// again until it has the message: nothing is lost with a deadline.
static void deadline(Run& run) {
  Channel<int> channel;
  const Deadline soon = after(1ms);
  int got = 0;
  go([&] {
    const int error = errorOf([&] { got = channel.read(soon); });
    run.expect(error == 0 || error == ETIMEDOUT, "another error");
    run.expect(error == 0 || sys::now() >= soon, "gave up too early");
    if (error != 0) got = channel.read();
  }).name = "reader";
  go([&] {
    naglfar::sleep(1ms);
    channel.write(1);
  }).name = "writer";
  run.all();
  run.expect(got == 1 && channel.size() == 0, "a message was lost");
}
// [/explore-deadline]

// [explore-tickets]
// Two wait in a queue, until a deadline at which tickets are given to whoever
// is first. Each ticket that was given has come.
static void tickets(Run& run) {
  WaitQueue queue;
  const Deadline soon = after(1ms);
  int given = 0;
  int got = 0;
  for (int i = 0; i < 2; ++i)
    go([&] {
      WaitQueue::Entry entry(queue);
      const int error = errorOf([&] { entry.wait("a ticket", soon); });
      run.expect(error == 0 || error == ETIMEDOUT, "another error");
      if (error == 0) ++got;
    }).name = "waiter";
  go([&] {
    naglfar::sleep(1ms);
    while (WaitQueue::Entry* first = queue.first()) {
      first->notify();
      ++given;
      yield();
    }
  }).name = "giver";
  run.all();
  run.expect(got == given, "a ticket was lost");
}
// [/explore-tickets]

// [explore-in-vain]
// One takes two places in a queue and waits for other things first, where the
// notifications wake it in vain.
static void inVain(Run& run) {
  const Pair pair = socketpair();
  WaitQueue queue;
  Channel<int> channel;
  bool good = false;
  go([&] {
    WaitQueue::Entry first(queue);
    WaitQueue::Entry second(queue);
    go([&] {
      queue.first()->notify();
      yield();
      queue.first()->notify();
    }).name = "notifier";
    go([&] {
      channel.write(1);
      goWrite(pair.a.get(), "x");
    }).name = "writer";
    good = channel.read() == 1 && goRead(pair.b.get(), 1) == "x";
    first.wait("a notification");
    second.wait("a notification");
  }).name = "waiter";
  run.all();
  run.expect(good, "woken in vain, it went on");
}
// [/explore-in-vain]

// [explore-exception]
// An exception leaves a coroutine and the run, while others are about to wait
// for a message, for a byte and for time, or about to go on. They are unwound
// where they stand, and the channel forgets its reader.
static void exception(Run& run) {
  struct Leaves {};
  Channel<int> channel;
  const Pair pair = socketpair();
  int inside = 0;
  const auto waits = [&](const char* name, auto call) {
    go([&inside, call] {
      const auto leave = [](int* number) { --*number; };
      const std::unique_ptr<int, void (*)(int*)> atEnd(&inside, leave);
      ++inside;
      call();
    }).name = name;
  };
  waits("reader", [&] { channel.read(); });
  waits("reader of a byte", [&] { goRead(pair.b.get(), 1); });
  waits("sleeper", [] { naglfar::sleep(1ms); });
  go([&] {
    channel.write(1);
    goWrite(pair.a.get(), "x");
    yield();
    throw Leaves{};
  }).name = "thrower";
  bool left = false;
  try {
    run.all();
  } catch (const Leaves&) {
    left = true;
  }
  run.expect(left, "the exception did not leave the run");
  run.expect(inside == 0, "not all were unwound");
  const std::size_t messages = channel.size();
  channel.write(2);
  run.expect(channel.size() == messages + 1, "a reader is left that is gone");
}
// [/explore-exception]

// [explore-sleep]
// One sleeps, one lets others run, and one waits for a descriptor until then.
static void sleep(Run& run) {
  const Pair pair = socketpair();
  const auto sleeps = [&](sys::Duration length) {
    const sys::Time start = sys::now();
    naglfar::sleep(length);
    run.expect(sys::now() - start >= length, "woken too early");
  };
  go([&] {
    sleeps(1ms);
    goWrite(pair.a.get(), "x");
  }).name = "sleeper";
  go([&] { sleeps(2ms); }).name = "long sleeper";
  go([] {
    for (int i = 0; i < 2; ++i) yield();
  }).name = "yielder";
  go([&] { run.expect(goRead(pair.b.get(), 1) == "x", "no byte"); }).name =
      "reader";
  run.all();
}
// [/explore-sleep]

// [explore-waiters]
#if CLAIMS(departures)
// Two requests wait to be told, and their clients leave, one before the
// other. Whoever counts as told has heard it.
static void waiters(Run& run) {
  Waiters waiters;
  std::array<Pair, 2> clients{socketpair(), socketpair()};
  std::size_t told = 0;
  std::size_t heard = 0;
  const auto request = [&](int connection) {
    const int error = errorOf([&] { waiters.wait(connection); });
    run.expect(error == 0 || error == ECONNRESET, "another error");
    if (error == 0) ++heard;
  };
  go([&] { request(clients[0].a.get()); }).name = "the first request";
  go([&] { request(clients[1].a.get()); }).name = "the second request";
  go([&] { told += waiters.notifyAll(); }).name = "the notify";
  go([&] {
    for (Pair& client : clients) {
      goClose(client.b.release());
      yield();
    }
  }).name = "the clients";
  run.all();
  run.expect(waiters.size() == 0, "who has left still waits");
  run.expect(told == heard, std::to_string(told) + " were told, and " +
                                std::to_string(heard) + " heard it");
}
#endif
// [/explore-waiters]

// [explore-planted]
// A channel as one writes it in a first attempt, with a mistake or without.
namespace {

enum class Mistake { none, ifForWhile, lostWakeUp };

template <Mistake mistake>
class SmallChannel {
 public:
  explicit SmallChannel(Run& run) : run_(run) {}
  void write(int message) {
    messages_.push_back(message);
    if (WaitQueue::Entry* reader = readers_.first()) reader->notify();
  }
  int read() {
    if (mistake == Mistake::ifForWhile) {
      if (messages_.empty()) wait();
    } else {
      while (messages_.empty()) {
        // "Perhaps one comes while the others run."
        if (mistake == Mistake::lostWakeUp) yield();
        wait();
      }
    }
    run_.expect(!messages_.empty(), "woken, and there is no message");
    const int message = messages_.front();
    messages_.erase(messages_.begin());
    return message;
  }

 private:
  void wait() {
    WaitQueue::Entry entry(readers_);
    while (entry.waiting()) Scheduler::current().park("a message");
  }
  Run& run_;
  std::vector<int> messages_;
  WaitQueue readers_;
};

}  // namespace
// [/explore-planted]

// [explore-planted-programs]
// Two read and one writes, with time for others between its messages.
template <Mistake mistake>
static void twoReaders(Run& run) {
  SmallChannel<mistake> channel(run);
  int sum = 0;
  for (int i = 0; i < 2; ++i)
    go([&] { sum += channel.read(); }).name = "reader";
  go([&] {
    channel.write(1);
    yield();
    channel.write(2);
  }).name = "writer";
  run.all();
  run.expect(sum == 3, "not each message was read once");
}

// One reads, and one writes after a while.
template <Mistake mistake>
static void oneReader(Run& run) {
  SmallChannel<mistake> channel(run);
  int got = 0;
  go([&] { got = channel.read(); }).name = "reader";
  go([&] {
    yield();
    channel.write(1);
  }).name = "writer";
  run.all();
  run.expect(got == 1, "another message");
}
// [/explore-planted-programs]

// [explore-program-list]
std::span<const Program> programs() {
  static constexpr Program all[] = {
    {"channel", channel, false},
    {"order", order, false},
    {"close", close, false},
    {"connection", connection<1>, false},
    {"connections", connection<2>, false},
    {"reuse", reuse, false},
    {"deadline", deadline, false},
    {"tickets", tickets, false},
    {"in-vain", inVain, false},
    {"exception", exception, false},
    {"sleep", sleep, false},
#if CLAIMS(departures)
    {"waiters", waiters, false},
#endif
    {"two-readers", twoReaders<Mistake::none>, false},
    {"if-for-while", twoReaders<Mistake::ifForWhile>, true},
    {"one-reader", oneReader<Mistake::none>, false},
    {"lost-wake-up", oneReader<Mistake::lostWakeUp>, true},
  };
  return all;
}
// [/explore-program-list]

}  // namespace explore
