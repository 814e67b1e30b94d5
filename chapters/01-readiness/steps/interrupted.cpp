// A signal comes while the poller waits. That is no error of the poller.
//! 6: epoll_wait: Interrupted system call
//! 7: the poller goes on

#include <sys/time.h>
#include <csignal>
#include <cstdio>

#include "naglfar/poller.hpp"

using namespace naglfar;

int main() try {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sys::check(::sigaction(SIGALRM, &action, nullptr), "sigaction");
  itimerval often{};
  often.it_interval.tv_usec = often.it_value.tv_usec = 1000;
  sys::check(::setitimer(ITIMER_REAL, &often, nullptr), "setitimer");

  Poller poller;
  JobQueue ready;
  poller.poll(sys::Duration(-1), ready);
  std::puts("the poller goes on");
} catch (const std::system_error& error) {
  std::puts(error.what());
}
