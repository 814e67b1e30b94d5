// The functions of sys.hpp on this process: memory, signals and children.
//
// Invariant: a program on the simulated kernel has these functions, too,
// because stacks need true memory. So they use no descriptors.
//
// It asks the C library for the calls. `guard` succeeds from Linux 6.13 on,
// and `guardAll` and `giveBackAll` where Linux has PIDFD_SELF_THREAD besides.
// Elsewhere they fail: the caller uses `guard` and `giveBack` for each range,
// or `protect` where `guard` fails, too.

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "naglfar/sys.hpp"

#ifdef __linux__
#include <sys/syscall.h>
#endif

namespace naglfar::sys {

// [memory]
#ifndef MAP_NORESERVE  // macOS and FreeBSD reserve nothing anyhow
#define MAP_NORESERVE 0
#endif

void* mapStacks(std::size_t size) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#ifdef __linux__
  flags |= MAP_STACK;  // since Linux 6.7: no huge pages, many stacks to one
#endif
  return counted(Call::mmap, ::mmap, nullptr, size, PROT_READ | PROT_WRITE,
                 flags, -1, 0);
}

void* mapShared(std::size_t size) {
  return counted(Call::mmap, ::mmap, nullptr, size, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

int unmap(void* memory, std::size_t n) {
  return counted(Call::munmap, ::munmap, memory, n);
}

int protect(void* page, std::size_t n) {
  return counted(Call::mprotect, ::mprotect, page, n, PROT_NONE);
}

#ifdef __linux__
constexpr int guardInstall = 102;  // MADV_GUARD_INSTALL, since Linux 6.13

static ssize_t adviseAll(const iovec* pages, std::size_t n, int advice) {
  constexpr int self = -10000;  // PIDFD_SELF_THREAD; else EBADF
  return counted(Call::process_madvise, ::syscall, SYS_process_madvise, self,
                 pages, n, advice, 0);
}

int guard(void* page, std::size_t n) {
  return counted(Call::madvise, ::madvise, page, n, guardInstall);
}

ssize_t guardAll(const iovec* pages, std::size_t n) {
  return adviseAll(pages, n, guardInstall);
}

int keepPagesSmall(void* memory, std::size_t n) {
  return counted(Call::madvise, ::madvise, memory, n, MADV_NOHUGEPAGE);
}

int giveBack(void* pages, std::size_t n) {
  return counted(Call::madvise, ::madvise, pages, n, MADV_DONTNEED);
}

ssize_t giveBackAll(const iovec* pages, std::size_t n) {
  return adviseAll(pages, n, MADV_DONTNEED);
}
#else
int guard(void*, std::size_t) {
  errno = EINVAL;
  return -1;
}

ssize_t guardAll(const iovec*, std::size_t) {
  errno = ENOSYS;
  return -1;
}

int keepPagesSmall(void*, std::size_t) {
  return 0;
}

int giveBack(void* pages, std::size_t n) {
  return counted(Call::madvise, ::madvise, pages, n, MADV_FREE);
}

ssize_t giveBackAll(const iovec*, std::size_t) {
  errno = ENOSYS;
  return -1;
}
#endif
// [/memory]

// [signals-and-processes]
int signalAction(int signal, void (*handler)(int, siginfo_t*, void*),
                 int flags, struct sigaction* former) {
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  return counted(Call::rt_sigaction, ::sigaction, signal, &action, former);
}

int signalAction(int signal, const struct sigaction* action,
                 struct sigaction* old) {
  return counted(Call::rt_sigaction, ::sigaction, signal, action, old);
}

int restoreSignal(int signal, void (*handler)(int, siginfo_t*, void*),
                  const struct sigaction& former) {
  struct sigaction present {};
  const int result =
      counted(Call::rt_sigaction, ::sigaction, signal, nullptr, &present);
  if (result == -1 || present.sa_sigaction != handler) return result;
  return counted(Call::rt_sigaction, ::sigaction, signal, &former, nullptr);
}

int signalStack(const stack_t* stack, stack_t* old) {
  return counted(Call::sigaltstack, ::sigaltstack, stack, old);
}

pid_t fork() {
  const pid_t child = counted(Call::fork, ::fork);
  if (child == 0) ledger = Ledger{};  // the parent keeps the counts so far
  return child;
}

pid_t waitpid(pid_t child, int* status, int options) {
  return counted(Call::waitpid, ::waitpid, child, status, options);
}

int kill(pid_t process, int signal) {
  return counted(Call::kill, ::kill, process, signal);
}
// [/signals-and-processes]

}  // namespace naglfar::sys
