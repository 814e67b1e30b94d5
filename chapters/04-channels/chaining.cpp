// The Go chaining example: N coroutines in a row, each of which reads a
// number from its right, adds one, and writes it to its left.

#include <deque>
#include <iostream>
#include <string_view>

#include "harness.hpp"
#include "naglfar/channel.hpp"

using namespace naglfar;

// [chaining]
static int chain(std::size_t n) {
  Scheduler scheduler;
  std::deque<Channel<int>> channels(n + 1);
  int result = 0;
  go([&] {
    for (std::size_t i = 0; i < n; ++i)
      go([&left = channels[i], &right = channels[i + 1]] {
        left.write(right.read() + 1);
      });
    channels[n].write(0);
    result = channels[0].read();
  }).name = "main";
  scheduler.run();
  return result;
}

int main(int argc, char** argv) try {
  std::size_t n = 100000;
  if (argc > 1 && std::string_view(argv[1]) == "--help") {
    std::cout
        << "usage: chaining [N]\n\nPasses a number through N coroutines "
           "(100000 by default), each of which adds one.\n";
    return 0;
  }
  if (argc > 2) comet::usageError("chaining", "one number is enough");
  if (argc > 1)
    n = comet::parseNumber("chaining", "the number of coroutines", argv[1], 1,
                           10000000);
  std::cout << "Chaining with " << n << " coroutines" << std::endl;
  std::cout << chain(n) << '\n';
  return 0;
} catch (const std::exception& error) {
  std::cerr << "chaining: " << error.what() << '\n';
  return 1;
}
// [/chaining]
