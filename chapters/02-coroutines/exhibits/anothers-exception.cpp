// Two functions catch an exception each, and are paused while they handle it.
// Then the first throws its own on.

#include <ucontext.h>

#include <array>
#include <cstdio>
#include <exception>

static ucontext_t loop;
static std::array<ucontext_t, 2> functions;
static std::array<std::array<char, 65536>, 2> stacks;
static bool mixedUp = false;
constexpr std::array<const char*, 2> names{"the first", "the second"};

static void function(int self) {
  const auto me = static_cast<std::size_t>(self);
  try {
    try {
      throw names[me];
    } catch (const char* whose) {
      std::printf("%s handles the exception of %s\n", names[me], whose);
      swapcontext(&functions[me], &loop);
      throw;
    }
  } catch (const char* whose) {
    std::printf("%s has thrown on the exception of %s\n", names[me], whose);
    mixedUp = whose != names[me];
  }
  swapcontext(&functions[me], &loop);
}

int main() {
  for (std::size_t i = 0; i < 2; ++i) {
    getcontext(&functions[i]);
    functions[i].uc_stack.ss_sp = stacks[i].data();
    functions[i].uc_stack.ss_size = stacks[i].size();
    makecontext(&functions[i], reinterpret_cast<void (*)()>(function), 1,
                static_cast<int>(i));
  }
  swapcontext(&loop, &functions[0]);
  swapcontext(&loop, &functions[1]);
  swapcontext(&loop, &functions[0]);
  return mixedUp ? 1 : 0;
}
