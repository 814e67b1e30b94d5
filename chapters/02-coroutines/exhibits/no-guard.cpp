// Two stacks side by side, and nothing between them. A function on the upper
// one needs more than it has.

#include <ucontext.h>

#include <array>
#include <cstdio>
#include <cstring>

static ucontext_t loop;
static ucontext_t lower;
static ucontext_t upper;
constexpr std::size_t size = 65536;
alignas(64) static std::array<char, 2 * size> stacks;
static volatile int* neighbour;

static void waits() {
  volatile int number = 42;
  neighbour = &number;
  swapcontext(&lower, &loop);
  neighbour = nullptr;  // never: nobody goes on here
}

static void needsMuch() {
  char buffer[size];
  std::memset(buffer, 0, sizeof buffer);
  asm volatile("" : : "r"(buffer) : "memory");  // or it is left out
  swapcontext(&upper, &loop);
}

static void start(ucontext_t& context, char* stack, void (*function)()) {
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = size;
  makecontext(&context, function, 0);
  swapcontext(&loop, &context);
}

int main() {
  start(lower, stacks.data(), waits);
  std::printf("the neighbour waits, and its number is %d\n", *neighbour);
  start(upper, stacks.data() + size, needsMuch);
  std::printf("the other has filled a buffer of its own\n");
  std::printf("the neighbour waits, and its number is %s\n",
              *neighbour == 42 ? "42" : "another");
  return *neighbour == 42 ? 0 : 1;
}
