// Two coroutines and a loop by hand, as in chapter 02. The one suspends and
// has told nobody: it waits for a message, and who writes the message does
// not know of it.

#include <cstdio>
#include <string>

#include "naglfar/coroutine.hpp"
#include "naglfar/poller.hpp"

using namespace naglfar;

int main() {
  StackPool stacks;
  Poller poller;
  JobQueue ready;
  std::string message;

  ready.append(Coroutine::make(stacks, [&] {
    while (message.empty()) Coroutine::suspend();
    std::printf("the reader has got: %s\n", message.c_str());
  }));
  ready.append(Coroutine::make(stacks, [&] {
    message = "hello";
    std::puts("the writer has written");
  }));

  while (Coroutine::first() != nullptr) {
    while (Job* job = ready.pop()) job->run();
    std::puts("nobody can run: the loop asks the kernel for news");
    poller.poll(sys::Duration{-1}, ready);
  }
}
