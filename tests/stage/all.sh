#!/bin/sh
# Exports the stage of each chapter, and builds and tests it by itself, with
# nothing of a later chapter in reach. The tests are of the layers and
# programs; the whole project's own run is what `make test` is for. Exhibits run
# in the stage of their chapter, for most of them take seconds to go wrong.
#
#   all.sh [NN...]  only these stages

set -u
cd "$(dirname "$0")/../.." || exit 1
top=$PWD
jobs=$(getconf _NPROCESSORS_ONLN)
status=0

# The stages have most of their files in common, and with the presets that
# are built as they are: with ccache, if it is there, a file is compiled once.
# For that, their builds lie as deep in their folders as those of the presets.
. "$top/tests/stage/ccache.sh"

for folder in chapters/[0-9]*/; do
  [ -f "$folder/comet.cpp" ] || continue
  name=$(basename "$folder")
  nn=${name%%-*}
  if [ $# -gt 0 ]; then
    case " $* " in
      *" $nn "*) ;;
      *) continue ;;
    esac
  fi
  stage=$top/build/stage-$nn
  cmake -DNN="$nn" -DDEST="$stage" -P tests/stage/export.cmake || exit 1
  log=$stage/log.txt
  if ( cd "$stage" &&
    cmake -B build/debug -DCMAKE_BUILD_TYPE=Debug -DNAGLFAR_WERROR=ON &&
    cmake --build build/debug --parallel "$jobs" &&
    ctest --test-dir build/debug --parallel "$jobs" --timeout 120 \
      --no-tests=error --output-on-failure -LE exhibit &&
    ctest --test-dir build/debug --parallel "$jobs" --timeout 120 \
      --output-on-failure -L exhibit -L "^$nn\$"
  ) > "$log" 2>&1; then
    echo "stage $nn: $(grep 'tests passed' "$log")"
  else
    grep -v ' Start \| Passed ' "$log" | tail -60
    echo "stage $nn has failed"
    status=1
  fi
done
exit $status
