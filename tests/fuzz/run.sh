#!/bin/sh
# Lets the fuzzers look for new inputs: run.sh SECONDS [NAME...], from the
# project's folder, after they were built. Two run at a time, each from the
# corpus and from what it found before.
#
# What breaks something is left in build/fuzz/NAME-crash-*. To run it again:
# build/fuzz/bin/fuzz_NAME FILE. To keep what is new in the corpus:
# build/fuzz/bin/fuzz_NAME -merge=1 -use_counters=0 \
#   tests/fuzz/corpus/NAME build/fuzz/corpus/NAME

set -eu
seconds=$1
shift
[ $# -gt 0 ] || set -- lines headers request connection

one='
mkdir -p "build/fuzz/corpus/$2"
log=build/fuzz/$2.log
if "build/fuzz/bin/fuzz_$2" "-max_total_time=$1" -max_len=600 -timeout=20 \
  -dict=tests/fuzz/http.dict \
  "-artifact_prefix=build/fuzz/$2-" "build/fuzz/corpus/$2" \
  "tests/fuzz/corpus/$2" > "$log" 2>&1; then
  echo "$2: $(tail -1 "$log"), $(grep -o "cov: [0-9]*" "$log" | tail -1)"
else
  echo "$2: FAILED, see $log"
  grep -v "^#" "$log" | head -40
  exit 255
fi'
for name; do echo "$name"; done | xargs -P 2 -I NAME sh -c "$one" sh "$seconds" NAME
