// Two coroutines and a loop by hand, as in chapter 02. The reader suspends
// until there is a message. The writer writes the message, and does not know
// of the reader, so it does not put the reader into the queue.

#include <cstdio>
#include <string>

#include "naglfar/coroutine.hpp"
#include "naglfar/poller.hpp"

using namespace naglfar;

int main() {
  StackPool stacks;
  Poller poller;
  JobQueue ready;
  List<Coroutine> coroutines;  // a coroutine that ends leaves it
  std::string message;

  const auto start = [&](auto body) {
    Coroutine& coroutine = Coroutine::make(stacks, body);
    coroutines.append(coroutine);
    ready.append(coroutine);
  };
  start([&] {
    while (message.empty()) Coroutine::suspend();
    std::printf("the reader has got: %s\n", message.c_str());
  });
  start([&] {
    message = "hello";
    std::puts("the writer has written");
  });

  while (!coroutines.empty()) {
    while (Job* job = ready.pop()) job->run();
    std::puts("no job can run: the loop asks the kernel for news");
    poller.poll(sys::Duration{-1}, ready);
  }
}
