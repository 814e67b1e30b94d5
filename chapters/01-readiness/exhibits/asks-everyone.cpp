// Nonblocking reads, tried in turn: nobody is missed, and the processor is
// busy with nothing.

#include <cstdio>
#include <vector>

#include "naglfar/sys.hpp"

using namespace naglfar;

int main() {
  std::vector<int> clients;
  for (int i = 0; i < 500; ++i) {
    int ends[2];
    sys::check(sys::socketpair(ends, sys::Mode::nonblocking), "socketpair");
    clients.push_back(ends[0]);
  }
  std::puts("500 clients, and nobody says anything");

  char buffer[64];
  for (bool firstRound = true;; firstRound = false) {
    int inVain = 0;
    for (const int client : clients) {
      const ssize_t n = sys::read(client, buffer, sizeof buffer);
      if (n == -1 && errno == EAGAIN) ++inVain;
    }
    if (firstRound)
      std::printf("one round: 500 reads, EAGAIN %d times; once more\n",
                  inVain);
  }
}
