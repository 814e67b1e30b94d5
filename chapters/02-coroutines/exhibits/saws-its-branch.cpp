// A function that has ended gives its stack back itself. It stands on it.

#include <sys/mman.h>
#include <ucontext.h>

#include <cstdio>

static ucontext_t loop;
static ucontext_t function;
static void* stack;
constexpr std::size_t size = 65536;

static void run() {
  std::puts("the function has nothing left to do, and frees its stack");
  munmap(stack, size);
  swapcontext(&function, &loop);
}

int main() {
  stack = mmap(nullptr, size, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  getcontext(&function);
  function.uc_stack.ss_sp = stack;
  function.uc_stack.ss_size = size;
  makecontext(&function, run, 0);
  swapcontext(&loop, &function);
  std::puts("back in the loop");
}
