// The 2009 library's go() takes a function and its arguments.
//! 13: Ada, 1815

#include <cstdio>
#include <string>

#include "naglfar/scheduler.hpp"

using namespace naglfar;

static void born(const std::string& name, int year) {
  std::printf("%s, %d\n", name.c_str(), year);
}

int main() {
  Scheduler scheduler;
  go(born, "Ada", 1815);
  scheduler.run();
}
