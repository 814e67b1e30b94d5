// What the tests of a layer ask of the library and not of the small version
// (chapters/NN-name/small). Both are compiled with the same test files: lines
// between `#if CLAIMS(feature)` and `#endif` are for those that claim it. The
// comments of this file together are the list of what the small version does
// not claim. A feature that has no line here does not compile.

#pragma once

#ifdef NAGLFAR_SMALL
#define ONLY_THE_LIBRARY 0
#else
#define ONLY_THE_LIBRARY 1
#endif
#define CLAIMS(feature) CLAIMS_##feature()

// The poller.

// Poller::watching(), the number of waiters.
#define CLAIMS_count() ONLY_THE_LIBRARY
// A wait that is no reason for a program to go on: Waiter::unref.
#define CLAIMS_unref() ONLY_THE_LIBRARY
// A child of fork(2) that goes on with its parent's waiters: reopen().
#define CLAIMS_fork() ONLY_THE_LIBRARY
