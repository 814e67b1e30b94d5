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
// News of a duplicate of a descriptor that was closed (epoll(7), question 6)
// wake no waiter: in the small version they wake it in vain.
#define CLAIMS_tags() ONLY_THE_LIBRARY
// A descriptor that stays open after deregister() can be watched again.
#define CLAIMS_stays_open() ONLY_THE_LIBRARY
// With kqueue, to watch costs no call of its own.
#define CLAIMS_late_changes() ONLY_THE_LIBRARY

// The coroutines.

// An owner is told of each end: Coroutine::owner.
#define CLAIMS_owner() ONLY_THE_LIBRARY
// A coroutine that runs may be destroyed: it is unwound where it suspends.
#define CLAIMS_self_cancel() ONLY_THE_LIBRARY
// A coroutine without a name has a number: Coroutine::describe().
#define CLAIMS_numbers() ONLY_THE_LIBRARY
// Many stacks in one mapping, with guards that cost no mapping, and pages
// that are given back after a burst.
#define CLAIMS_slabs() ONLY_THE_LIBRARY
// An overflow of a stack is reported with the name of the coroutine.
#define CLAIMS_overflow() ONLY_THE_LIBRARY
// A coroutine that never ran is destroyed without a switch to its stack.
#define CLAIMS_fresh() ONLY_THE_LIBRARY
// A coroutine may end its thread: pthread_exit(3), pthread_cancel(3).
#define CLAIMS_thread_end() ONLY_THE_LIBRARY
// A guard of more than a page: a frame that is larger, and touched at its far
// end first, does not step over it.
#define CLAIMS_wide_guards() ONLY_THE_LIBRARY

// The scheduler.

// The thread's own stack can wait, and takes its turns with the coroutines.
#define CLAIMS_main_waits() ONLY_THE_LIBRARY
// Scheduler::unhandled decides what an exception does that nothing joins.
#define CLAIMS_unhandled() ONLY_THE_LIBRARY
// Task groups, handles of coroutines, and the cancelling of single ones.
#define CLAIMS_groups() ONLY_THE_LIBRARY
// Signals, and what the process did at them before.
#define CLAIMS_signals() ONLY_THE_LIBRARY
// Scheduler::ofThread(), forEachCoroutine(), and dump() to standard error.
#define CLAIMS_coroutines() ONLY_THE_LIBRARY
// A coroutine that stands in no scheduler, such as a generator, is told that
// it cannot wait.
#define CLAIMS_generators() ONLY_THE_LIBRARY
// sleep() of a bare number does not compile.
#define CLAIMS_sleep_numbers() ONLY_THE_LIBRARY
// While others run and no descriptor is watched, a timer costs no poll call.
#define CLAIMS_idle_timers() ONLY_THE_LIBRARY
// A turn has a budget of operations that did not have to wait.
#define CLAIMS_budgets() ONLY_THE_LIBRARY
// The words of the library's messages.
#define CLAIMS_words() ONLY_THE_LIBRARY

// The channels.

// A limit, at which writers wait.
#define CLAIMS_limits() ONLY_THE_LIBRARY
// All messages that are there, again and again: iterateWaiting().
#define CLAIMS_batches() ONLY_THE_LIBRARY
// The message of a reader that is unwound before its turn goes to the next.
#define CLAIMS_promises() ONLY_THE_LIBRARY
// No call loses a message whose move constructor throws.
#define CLAIMS_throwing_moves() ONLY_THE_LIBRARY
// Memory is needed for the first messages only.
#define CLAIMS_spare_nodes() ONLY_THE_LIBRARY

// Reading and writing.

// tryWrite(), sendfile, goRead() of whatever is there, and the mode and the
// deadline of goAccept().
#define CLAIMS_all_of_io() ONLY_THE_LIBRARY
// The calls wait in a thread without a scheduler, too.
#define CLAIMS_without_scheduler() ONLY_THE_LIBRARY
// A client that leaves while the server waits for something else is noticed:
// HangupWatch.
#define CLAIMS_departures() ONLY_THE_LIBRARY

// Files.

// The counts of bytes, readUntil() without the separator and its join(),
// close(false), and flush() of a closed file, which is an error.
#define CLAIMS_all_of_file() ONLY_THE_LIBRARY
// Sending in the background: flush(false), an autoflush that does not wait,
// and several coroutines that send at a time.
#define CLAIMS_background() ONLY_THE_LIBRARY
// The last bytes and the end leave in one segment.
#define CLAIMS_last_segment() ONLY_THE_LIBRARY
// A file that has sent or read much holds no large buffer.
#define CLAIMS_memory() ONLY_THE_LIBRARY
// A close that reads what the peer still sends, so that no reset overtakes
// the last bytes: finish(), lingeringClose().
#define CLAIMS_lingering() ONLY_THE_LIBRARY
// A file that is destroyed ends the calls on it.
#define CLAIMS_destroyed_files() ONLY_THE_LIBRARY

// The server.

// handle_request() and server_close(), limits, probes and a backlog. And a
// stop by a signal, another thread or another process, which ends the
// requests that the server has begun and closes the connections that it has
// accepted.
#define CLAIMS_all_of_server() ONLY_THE_LIBRARY
// A handler may throw what is no std::exception.
#define CLAIMS_any_exception() ONLY_THE_LIBRARY
// Connections are accepted as soon as descriptors are free.
#define CLAIMS_free_descriptors() ONLY_THE_LIBRARY

// HTTP.

// Methods other than GET, bodies and chunks, connections that are kept for
// the next request, HTTP/0.9, and a strict look at targets, hosts, versions
// and what a handler sends. And Python's pages of errors and lines of the
// log.
#define CLAIMS_all_of_http() ONLY_THE_LIBRARY
