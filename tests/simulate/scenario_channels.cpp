// Coroutines among themselves: channels in a row, many readers and writers at
// one channel, and time.

#include "limited.hpp"
#include "naglfar/channel.hpp"
#include "naglfar/io.hpp"
#include "scenarios.hpp"

#include <deque>
#include <memory>

namespace simulate {

using namespace naglfar;
using helpers::Limited;

// [chain-scenario]
// What is written at the head arrives at the tail, in order.
void chain(World& world) {
  const std::size_t length = world.roll(1, 30);
  const std::size_t messages = world.roll(1, 30);
  std::deque<Limited<std::size_t>> channels;
  for (std::size_t i = 0; i <= length; ++i)
    channels.emplace_back(world.coin() ? world.roll(1, 3)
                                       : naglfar::unlimited);
  for (std::size_t i = 0; i < length; ++i)
    go([&, i] {
      while (auto message = channels[i].next()) {
        if (world.dice.below(8) == 0) world.pause();
        channels[i + 1].write(*message + 1);
      }
      channels[i + 1].close();
    }).name = "link";
  go([&] {
    for (std::size_t i = 0; i < messages; ++i) channels[0].write(1000 * i);
    channels[0].close();
  }).name = "head";
  std::size_t got = 0;
  for (const std::size_t message : channels[length])
    world.expect(message == 1000 * got++ + length, "out of order");
  world.expect(got == messages, "messages were lost");
}
// [/chain-scenario]

// [market-scenario]
// Many write and many read: each message is read once, and those of one
// writer in their order. Some give up at a deadline and come again.
void market(World& world) {
  struct Message {
    std::size_t writer;
    std::size_t number;
  };
  Limited<Message> channel(world.coin() ? world.roll(1, 4)
                                        : naglfar::unlimited);
  const std::size_t writers = world.roll(1, 6);
  const std::size_t readers = world.roll(1, 6);
  const std::size_t each = world.roll(1, 20);
  const auto someDeadline = [&] {
    return world.coin() ? never
                        : after(sys::Duration(world.roll(0, 3'000'000)));
  };
  std::vector<std::vector<int>> seen(writers, std::vector<int>(each));
  std::size_t left = writers;
  for (std::size_t writer = 0; writer < writers; ++writer)
    go([&, writer] {
      for (std::size_t i = 0; i < each;) try {
#if CLAIMS(limits)
          channel.write({writer, i}, someDeadline());
#else
          channel.write({writer, i});
#endif
          ++i;
          if (world.dice.below(4) == 0) world.pause();
        } catch (const std::system_error& error) {
          world.expect(error.code() == std::errc::timed_out, error.what());
        }
      if (--left == 0) channel.close();
    }).name = "writer";
  for (std::size_t reader = 0; reader < readers; ++reader)
    go([&, reader, latest = std::vector<std::size_t>(writers)]() mutable {
      for (bool more = true; more;) try {
          if (reader == 0 && world.coin()) {
            more = channel.wait(someDeadline());
            world.expect(more || channel.closed(), "more is to come");
            continue;
          }
          const auto message = channel.next(someDeadline());
          more = message.has_value();
          if (!more) continue;
          ++seen[message->writer][message->number];
          world.expect(latest[message->writer] <= message->number,
                       "a writer's messages came out of order");
          latest[message->writer] = message->number;
          if (world.dice.below(4) == 0) world.pause();
        } catch (const std::system_error& error) {
          world.expect(error.code() == std::errc::timed_out, error.what());
        }
    }).name = "reader";
  Scheduler::current().run();
  for (const auto& messages : seen)
    for (const int times : messages)
      world.expect(times == 1, "read " + std::to_string(times) + " times");
}
// [/market-scenario]

// [deadlines-scenario]
// Reads that race with their deadlines, and sleepers. Nobody gives up before
// its time, and what came too late is there for the next read.
void deadlines(World& world) {
  const std::size_t n = world.roll(1, 10);
  const auto someTime = [&] {
    return sys::Duration(world.roll(0, 20'000'000));
  };
  for (std::size_t i = 0; i < n; ++i) {
    go([&] {
      const sys::Duration length = someTime();
      const sys::Time start = sys::now();
      naglfar::sleep(length);
      world.expect(sys::now() - start >= length, "woken too early");
    }).name = "sleeper";
    int ends[2];
    if (sys::pipe(ends, sys::Mode::nonblocking) == -1) {
      world.expect(!world.lossless, "no pipe");
      continue;
    }
    go([&, writer = sys::Fd(ends[1])]() mutable {
      for (const char c : std::string_view("naglfar")) {
        naglfar::sleep(someTime());
        goWrite(writer.get(), std::string_view(&c, 1));
      }
      goClose(writer.release());
    }).name = "writer";
    go([&, reader = sys::Fd(ends[0])]() mutable {
      std::string got;
      for (bool more = true; more;) {
        const Deadline deadline = after(someTime());
        try {
          char byte;
          more = goReadSome(reader.get(), {&byte, 1}, deadline) == 1;
          if (more) got += byte;
        } catch (const std::system_error& error) {
          world.expect(error.code() == std::errc::timed_out, error.what());
          world.expect(sys::now() >= deadline, "gave up too early");
        }
      }
      world.expect(got == "naglfar", "got `" + got + "'");
      goClose(reader.release());
    }).name = "reader";
  }
  Scheduler::current().run();
}
// [/deadlines-scenario]

}  // namespace simulate
