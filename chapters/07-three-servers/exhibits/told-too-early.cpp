// A condition variable remembers nothing: a signal that comes before the wait
// has never been. What has happened must stand in a variable beside it.

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>

static std::mutex mutex;
static std::condition_variable condition;
static bool told = false;

static void notify() {
  const std::lock_guard lock(mutex);
  told = true;
  condition.notify_one();
}

int main() {
  std::puts("a request stands in the list, and is about to wait");
  std::thread(notify).join();
  std::puts("another has told all who stand there");

  std::unique_lock lock(mutex);
#ifdef CURED
  while (!told) condition.wait(lock);
#else
  condition.wait(lock);
#endif
  std::printf("the first goes on, told is %d\n", told);
}
