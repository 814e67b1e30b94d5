// A signal handler that logs. The signal comes while the program logs, too,
// and the handler waits for a lock that its own thread holds.

#include <csignal>
#include <cstdio>
#include <mutex>

static std::mutex logLock;

static void log(const char* text, bool interrupted) {
  const std::scoped_lock lock(logLock);
  if (interrupted) std::raise(SIGTERM);  // as bad luck would have it
  std::puts(text);
}

int main() {
  std::signal(SIGTERM, [](int) { log("told to stop", false); });
  log("at work", false);
  log("still at work", true);
  log("the end", false);
}
