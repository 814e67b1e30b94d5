// The loop of a program that stands on the raw poller.
//
// The poller's turn is a job like any other: it stands in the same queue and
// comes again when the others have had theirs.

#pragma once

#include "naglfar/poller.hpp"

namespace comet {

// [loop]
class Loop {
 public:
  naglfar::Poller poller;
  naglfar::JobQueue ready;

  // Runs jobs until one of them sets `finished`.
  void runUntil(const bool& finished) {
    ready.append(turn_);
    while (!finished) ready.pop()->run();
  }

 private:
  // Waits for news only if nobody else can run.
  struct PollerTurn final : naglfar::Job {
    explicit PollerTurn(Loop& owner) : loop(owner) {}
    void run() override {
      const naglfar::sys::Duration timeout(loop.ready.empty() ? -1 : 0);
      loop.poller.poll(timeout, loop.ready);
      loop.ready.append(*this);
    }
    Loop& loop;
  };
  PollerTurn turn_{*this};  // goes before the queue in which it stands
};
// [/loop]

}  // namespace comet
