// A thread waits to be told, and its client leaves. The kernel knows, but the
// thread waits for something else.

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>

#include "naglfar/io.hpp"

using namespace naglfar;

static std::mutex mutex;
static std::condition_variable condition;
static bool told = false;

static void waitToBeTold(int connection) {
  std::unique_lock lock(mutex);
  while (!told) {
#ifdef CURED
    condition.wait_for(lock, std::chrono::milliseconds(100));
    if (!told && !peerIsThere(connection, true)) {
      std::puts("the request has looked, and ends");
      return;
    }
#else
    (void)connection;
    condition.wait(lock);
#endif
  }
}

int main() {
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
  const sys::Fd connection(ends[0]);
  sys::Fd client(ends[1]);
  std::thread request(waitToBeTold, connection.get());
  std::puts("the client leaves");
  client = sys::Fd();
  request.join();
  std::puts("its thread is free");
}
