// A mutex in memory that processes share, and a child that is killed while it
// has it. The memory stays, and the mutex in it stays locked.

#include <pthread.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <new>

#include "naglfar/sys.hpp"

using namespace naglfar;

int main() {
  void* memory = sys::check(sys::mapShared(sizeof(pthread_mutex_t)), "mmap");
  auto* mutex = new (memory) pthread_mutex_t;
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
#ifdef CURED
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
#endif
  pthread_mutex_init(mutex, &attributes);

  const pid_t child = sys::check(sys::fork(), "fork");
  if (child == 0) {
    pthread_mutex_lock(mutex);
    std::raise(SIGKILL);
  }
  sys::check(sys::waitpid(child, nullptr, 0), "waitpid");
  std::puts("the child was killed, with the mutex");

  if (pthread_mutex_lock(mutex) == EOWNERDEAD) {
    std::puts("its owner is dead: I have it now, and look after the table");
    pthread_mutex_consistent(mutex);
  }
  pthread_mutex_unlock(mutex);
  std::puts("the next request can be served");
}
