// What a program looks for when it is linked: which sanitizer the library was
// built with.

#include "naglfar/coroutine/fiber_hooks.hpp"

// [built-with]
const char NAGLFAR_BUILT = 0;
// [/built-with]
