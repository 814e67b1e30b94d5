#!/bin/sh
# Exports the stage of each chapter, builds and tests it by itself, with nothing
# of a later chapter in reach, and lets its program serve a few clients.
#
#   all.sh [NN...]  only these stages

set -u
cd "$(dirname "$0")/../.." || exit 1
top=$PWD
jobs=$(getconf _NPROCESSORS_ONLN)
status=0

# The stages have the given files in common: with ccache, if it is there, such
# a file is compiled once.
. "$top/tests/stage/ccache.sh"

for number in ${*:-00 01 02 03 04 05 06}; do
  stage=$top/build/stages/$number
  log=$stage.log
  program=small-$number
  [ "$number" = 00 ] && program=comet-00
  rm -rf "$stage"
  python3 -B tests/stage/export.py "$number" "$stage" || exit 1
  if ( cd "$stage" &&
    cmake -B build &&
    cmake --build build --parallel "$jobs" &&
    ctest --test-dir build --parallel "$jobs" --timeout 120 \
      --no-tests=error --output-on-failure &&
    "build/$program" 100 &&
    "build/$program" --check
  ) > "$log" 2>&1; then
    echo "stage $number: $(grep 'tests passed' "$log")"
  else
    grep -v ' Start \| Passed ' "$log" | tail -60
    echo "stage $number has failed"
    status=1
  fi
done
exit $status
