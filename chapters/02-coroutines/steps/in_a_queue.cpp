// A coroutine is a job: the queue of chapter 01 runs it.
//! 10: ping
//! 10: pong
//! 10: ping
//! 10: pong
//! 10: 2 coroutines, 12 switches

#include <cstdio>

#include "naglfar/coroutine.hpp"

using namespace naglfar;

int main() {
  StackPool pool;
  JobQueue ready;
  const auto start = [&](const char* text) {
    Coroutine& coroutine = Coroutine::make(pool, [&ready, text] {
      for (int i = 0; i < 2; ++i) {
        std::puts(text);
        ready.append(*Coroutine::current());
        Coroutine::suspend();
      }
    });
    ready.append(coroutine);
  };
  start("ping");
  start("pong");
  while (Job* job = ready.pop()) job->run();
  std::printf("%d coroutines, %d switches\n",
              static_cast<int>(ledger.coroutines),
              static_cast<int>(ledger.switches));
}
