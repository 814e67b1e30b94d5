// A number is closed and given to the next descriptor. A job that was woken
// for the first one has not run yet: how does it know?
//! 10: the same number: yes, the same file: no

#include <unistd.h>

#include <cstdio>

#include "naglfar/poller.hpp"

using namespace naglfar;

int main() {
  Poller poller;
  JobQueue ready;
  sys::Fd first(sys::check(::dup(1), "dup"));
  const int number = first.get();
  const unsigned generation = poller.generation(number);
  poller.deregister(number, ready);
  first = sys::Fd();
  const sys::Fd second(sys::check(::dup(1), "dup"));
  std::printf("the same number: %s, the same file: %s\n",
              second.get() == number ? "yes" : "no",
              poller.generation(number) == generation ? "yes" : "no");
}
