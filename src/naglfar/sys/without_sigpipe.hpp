// A write for which no system has a flag against SIGPIPE: to a pipe, by
// sendfile(2), and by the buffer of std::cerr.
//
// Invariant: the program gets no SIGPIPE from the call, and keeps one that
// was pending before.
//
// It asks the C library for the calls on the signal mask of a thread. The
// ledger does not count sigpending(2) and sigwait(3).

#pragma once

#include <pthread.h>
#include <signal.h>

#include "naglfar/sys.hpp"

namespace naglfar::sys {

// [without-sigpipe]
// A write that no peer can read any more sends SIGPIPE to its thread, and the
// default ends the process. For a call that has no flag against it: the
// signal is blocked meanwhile, and the one that the call has sent is taken
// away. One that was pending before stays, for it is the program's.
template <class SystemCall>
ssize_t withoutSigpipe(SystemCall systemCall) {
  sigset_t sigpipe;
  sigset_t before;
  sigset_t pending;
  sigemptyset(&sigpipe);
  sigemptyset(&pending);
  sigaddset(&sigpipe, SIGPIPE);
  counted(Call::rt_sigprocmask, pthread_sigmask, SIG_BLOCK, &sigpipe,
          &before);
  if (sigismember(&before, SIGPIPE) == 1) sigpending(&pending);
  const bool mine = sigismember(&pending, SIGPIPE) != 1;
  errno = 0;
  const ssize_t result = systemCall();
  const int error = errno;
  if (error == EPIPE && mine) {
    sigpending(&pending);  // not so if the program ignores it
    if (int taken; sigismember(&pending, SIGPIPE) == 1)
      sigwait(&sigpipe, &taken);
  }
  counted(Call::rt_sigprocmask, pthread_sigmask, SIG_SETMASK, &before,
          nullptr);
  errno = error;
  return result;
}
// [/without-sigpipe]

}  // namespace naglfar::sys
