// The loop of a program that stands on the raw poller.
//
// The poller's turn is a job like any other: it stands in the same queue and
// comes again when the others have had theirs.

#pragma once

#include "naglfar/poller.hpp"

namespace comet {

// [loop]
class Loop : private naglfar::Job {
 public:
  naglfar::Poller poller;
  naglfar::JobQueue ready;

  // Runs jobs until one of them sets `finished`.
  void runUntil(const bool& finished) {
    ready.append(*this);
    while (!finished) ready.pop()->run();
  }

 private:
  // Waits for news only if nobody else can run.
  void run() override {
    const naglfar::sys::Duration timeout(ready.empty() ? -1 : 0);
    poller.poll(timeout, ready);
    ready.append(*this);
  }
};
// [/loop]

}  // namespace comet
