#!/bin/sh
# Runs the test programs under valgrind's memcheck: valgrind.sh FOLDER. What
# it finds beyond the sanitizers: values that nobody has set, and that in the
# code as it is shipped.
#
# Left out are tests of limits, which valgrind does not keep or meets itself:
# it holds descriptors and memory of its own; and the random walks, the 100,000
# coroutines and the exploration of schedules, which take long at its speed; and
# the test of signals, which valgrind hands on late, when their handler is gone;
# and tests that count allocations or let them fail, because valgrind makes the
# allocations itself. A process that a test has forked is not looked at.
#
# The small version is left out, too: it tells no tool of its coroutines'
# stacks. AddressSanitizer is told by tests/small_asan, and looks at all of it.
#
# The library has to be built where valgrind's header is: else it does not
# tell of the coroutines' stacks, and valgrind complains of each switch.

set -eu
folder=$1
valgrind='valgrind --quiet --fair-sched=yes --error-exitcode=9 --leak-check=full
  --show-leak-kinds=definite --errors-for-leak-kinds=definite'

# check NAME [FILTER]
check() {
  # shellcheck disable=SC2086  # several words on purpose
  if $valgrind "$folder/test_$1" "--test-case-exclude=${2-}" \
    > "$folder/../valgrind-$1.log" 2>&1; then
    echo "$1: clean"
  else
    echo "$1: FAILED"
    tail -50 "$folder/../valgrind-$1.log"
    return 1
  fi
}

if [ $# -gt 1 ]; then
  shift
  check "$@"
  exit
fi

# The longest first, two at a time.
xargs -P 2 -L 1 "$0" "$folder" <<'tests'
simulation simulation:*
scheduled_file
poller *random?walks*
hostile
waiters
mixins
server it?waits?for?descriptors*,defect?13:?60*,defect?13:?descriptors*,defect?13:?it?waits*
scheduler
tasks
turns
channel *allocation*,*memory?of?a?burst*
coroutine 100000*,*needs?no?memory
http
found
switch
sys
io a?signal?in*
timer_heap
tests
echo "tests passed under valgrind"
