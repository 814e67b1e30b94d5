// A writer has a million bytes for a socket, and write(2) takes what fits.
//! 2: write took all: no
//! 2: goWrite took all: yes
//! 2: goRead got all: yes

#include <cstdio>

#include "naglfar/io.hpp"

using namespace naglfar;

int main() {
  Scheduler scheduler;
  int ends[2];
  sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
  const sys::Fd here(ends[0]);
  const sys::Fd there(ends[1]);
  const std::string data(1'000'000, '*');
  const auto answer = [](bool yes) { return yes ? "yes" : "no"; };
  std::size_t taken = 0;
  go([&] {
    const ssize_t n = sys::write(here.get(), data.data(), data.size());
    taken = static_cast<std::size_t>(sys::check(n, "write"));
    std::printf("write took all: %s\n", answer(taken == data.size()));
    const std::size_t more = goWrite(here.get(), data);
    std::printf("goWrite took all: %s\n", answer(more == data.size()));
  });
  go([&] {
    yield();  // let the writer begin
    const std::size_t n = taken + data.size();
    const bool all = goRead(there.get(), n).size() == n;
    yield();  // let the writer tell first
    std::printf("goRead got all: %s\n", answer(all));
  });
  scheduler.run();
}
