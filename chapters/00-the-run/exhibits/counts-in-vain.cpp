// A forked child has a copy of all memory. What it counts there, it counts
// for itself.

#include <unistd.h>

#include <cstdio>

#include "naglfar/sys.hpp"

using namespace naglfar;

int main() {
#ifdef CURED
  shareLedger();  // before there is a child
#endif
  const pid_t child = sys::check(sys::fork(), "fork");
  if (child == 0) {
    int ends[2];
    for (int i = 0; i < 3; ++i) sys::pipe(ends, sys::Mode::blocking);
    std::printf("the child has made %d pipes\n",
                static_cast<int>(totalLedger()[Call::pipe]));
    flushLedger();
    std::fflush(stdout);
    _exit(0);
  }
  sys::check(sys::waitpid(child, nullptr, 0), "waitpid");
  const auto pipes = static_cast<int>(totalLedger()[Call::pipe]);
  std::printf("its parent's ledger has %d\n", pipes);
  return pipes == 3 ? 0 : 1;
}
