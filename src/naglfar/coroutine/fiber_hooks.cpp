// The symbol that a program looks for when it is linked. Its name says which
// sanitizer the library was built with.
//
// Invariant: the library defines exactly one such symbol.

#include "naglfar/coroutine/fiber_hooks.hpp"

// [built-with]
const char NAGLFAR_BUILT = 0;
// [/built-with]
