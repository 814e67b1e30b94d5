// The calls that concern this process alone: memory, signals and children.
//
// Invariant: they are the real ones whichever kernel answers the calls about
// descriptors, for stacks must be real.

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
  count(Call::mmap);
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#ifdef __linux__
  flags |= MAP_STACK;  // since Linux 6.7: no huge pages, many stacks to one
#endif
  return ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0);
}

void* mapShared(std::size_t size) {
  count(Call::mmap);
  return ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

int unmap(void* memory, std::size_t n) {
  count(Call::munmap);
  return ::munmap(memory, n);
}

int protect(void* page, std::size_t n) {
  count(Call::mprotect);
  return ::mprotect(page, n, PROT_NONE);
}

#ifdef __linux__
constexpr int guardInstall = 102;  // MADV_GUARD_INSTALL, since Linux 6.13

int guard(void* page, std::size_t n) {
  count(Call::madvise);
  return ::madvise(page, n, guardInstall);
}

ssize_t guardAll(const iovec* pages, std::size_t n) {
  count(Call::processMadvise);
  constexpr int self = -10000;  // PIDFD_SELF_THREAD; EBADF without
  return ::syscall(SYS_process_madvise, self, pages, n, guardInstall, 0);
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
#endif
// [/memory]

// [signals-and-processes]
int signalAction(int signal, void (*handler)(int, siginfo_t*, void*),
                 int flags) {
  count(Call::sigaction);
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  return ::sigaction(signal, &action, nullptr);
}

int defaultSignal(int signal) {
  count(Call::sigaction);
  return std::signal(signal, SIG_DFL) == SIG_ERR ? -1 : 0;
}

int ignoreSignal(int signal) {
  count(Call::sigaction);
  return std::signal(signal, SIG_IGN) == SIG_ERR ? -1 : 0;
}

int signalStack(void* memory, std::size_t n) {
  count(Call::sigaltstack);
  stack_t stack{};
  stack.ss_sp = memory;
  stack.ss_size = n;
  if (memory == nullptr) stack.ss_flags = SS_DISABLE;
  return ::sigaltstack(&stack, nullptr);
}

pid_t fork() {
  count(Call::fork);
  const pid_t child = ::fork();
  if (child == 0) ledger = Ledger{};  // what came before is the parent's
  return child;
}

pid_t waitpid(pid_t child, int* status, int options) {
  count(Call::waitpid);
  return ::waitpid(child, status, options);
}
// [/signals-and-processes]

}  // namespace naglfar::sys
