// Linked into every exhibit: stops it, and says how it ended.
//
// An exhibit is wrong on purpose: it hangs, spins, or takes what it can get.
// So before main() begins there is a fork: the child is the exhibit, with
// little to use, and the parent waits for it and prints a verdict. The
// exhibit itself has no thread, timer or signal more than its source shows.
//
// Invariant: a verdict does not depend on how busy the machine is. Whoever
// can run gets some processor time within seconds, and whoever waits gets
// none.

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

constexpr rlim_t mebibyte = rlim_t{1} << 20;
constexpr long millisecond = 1'000'000;     // in nanoseconds
constexpr long step = 100 * millisecond;    // from one look to the next
constexpr int stepsOfAHang = 20;            // looks that saw no progress
constexpr int mostSteps = 600;              // if it neither ends nor hangs
constexpr long mostIdle = 1 * millisecond;  // processor time that is none

// What tests/exhibits/run.py knows them by.
enum Verdict {
  works = 0,
  fails = 1,
  stopped = 2,
  hangs = 3,
  spins = 4,
  crashes = 5
};

void limit(int resource, rlim_t most) {
  const rlimit both{most, most};
  setrlimit(static_cast<__rlimit_resource_t>(resource), &both);
}

// The exhibit's half: it ends when its supervisor does.
void becomeExhibit() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  limit(RLIMIT_CORE, 0);
  limit(RLIMIT_NOFILE, 2048);
  limit(RLIMIT_FSIZE, 16 * mebibyte);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  limit(RLIMIT_AS, 512 * mebibyte);
#endif
  const rlimit second{1, 2};  // then SIGXCPU
  setrlimit(RLIMIT_CPU, &second);
  setvbuf(stdout, nullptr, _IOLBF, 0);
}

long processorTime(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return time.tv_sec * 1'000 * millisecond + time.tv_nsec;
}

// What waitFor() returns instead of a status.
constexpr int ofAHang = -1;
constexpr int ofADeadline = -2;

// Waits for the exhibit's end; ends it when it has not used any processor
// time for a while.
int waitFor(pid_t exhibit) {
  clockid_t clock{};
  clock_getcpuclockid(exhibit, &clock);
  long used = 0;
  int idle = 0;
  for (int steps = 0; idle < stepsOfAHang && steps < mostSteps; ++steps) {
    int status = 0;
    if (waitpid(exhibit, &status, WNOHANG) == exhibit) return status;
    const timespec pause{0, step};
    nanosleep(&pause, nullptr);
    const long now = processorTime(clock);
    ++idle;
    if (now - used < mostIdle) continue;
    idle = 0;
    used = now;
  }
  kill(-exhibit, SIGKILL);
  waitpid(exhibit, nullptr, 0);
  return idle < stepsOfAHang ? ofADeadline : ofAHang;
}

Verdict verdict(int status) {
  if (status == ofADeadline) {
    std::puts("(stopped: it goes on and on)");
    return stopped;
  }
  if (status == ofAHang) {
    std::puts("(hangs: no step in 2 seconds)");
    return hangs;
  }
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU) {
    std::puts("(spins: a second of processor time is gone)");
    return spins;
  }
  if (WIFSIGNALED(status)) {
    std::printf("(crashes: SIG%s)\n", sigabbrev_np(WTERMSIG(status)));
    return crashes;
  }
  if (WEXITSTATUS(status) == 0) return works;
  std::puts("(fails)");
  return fails;
}

[[maybe_unused]] const bool isExhibit = [] {
  const pid_t exhibit = fork();
  if (exhibit == -1) std::perror("fork");
  if (exhibit == -1) std::_Exit(2);
  // Both halves say so: then it is true before either goes on.
  setpgid(exhibit, exhibit);
  if (exhibit == 0) {
    becomeExhibit();
    return true;
  }
  const Verdict result = verdict(waitFor(exhibit));
  kill(-exhibit, SIGKILL);  // children that it left behind
  std::fflush(stdout);
  std::_Exit(result);
}();

}  // namespace
