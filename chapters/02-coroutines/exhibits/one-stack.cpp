// Two functions that take turns, on one stack. Where the second puts its
// variables, the first has its own.

#include <ucontext.h>

#include <array>
#include <cstdio>

static ucontext_t loop;
static std::array<ucontext_t, 2> functions;
static std::array<std::array<char, 65536>, 2> stacks;
static int running = 0;
static bool lost = false;

static void function(int self) {
  volatile int number = self;
  std::printf("function %d begins: its number is %d\n", self, number);
  swapcontext(&functions[static_cast<std::size_t>(self)], &loop);
  std::printf("function %d goes on: its number is %d\n", self, number);
  lost = number != running;
  swapcontext(&functions[static_cast<std::size_t>(number)], &loop);
}

int main() {
  for (std::size_t i = 0; i < 2; ++i) {
    getcontext(&functions[i]);
#ifdef CURED
    functions[i].uc_stack.ss_sp = stacks[i].data();
#else
    functions[i].uc_stack.ss_sp = stacks[0].data();
#endif
    functions[i].uc_stack.ss_size = stacks[0].size();
    makecontext(&functions[i], reinterpret_cast<void (*)()>(function), 1,
                static_cast<int>(i));
  }
  for (const int next : {0, 1, 0}) {
    running = next;
    swapcontext(&loop, &functions[static_cast<std::size_t>(next)]);
  }
  return lost ? 1 : 0;
}
