#!/bin/sh
# Builds the book: docs/build.sh [BUILD_DIR [html|epub]]
# The result is BUILD_DIR/docs/html/index.html or BUILD_DIR/docs/epub/.
# Any warning, from Doxygen, Sphinx or the listing check, is a failure.
set -eu

build=$(mkdir -p "${1:-build}/docs" && cd "${1:-build}/docs" && pwd)
format=${2:-html}
cd "$(dirname "$0")/.."

export PYTHONDONTWRITEBYTECODE=1
export DOXYGEN_OUT="$build/doxygen" DOXYGEN_XML="$build/doxygen/xml"
rm -rf "$DOXYGEN_OUT" "$build/$format" && mkdir -p "$DOXYGEN_OUT"
doxygen docs/Doxyfile

# Default, copy and move constructors, assignments and destructors say all
# they have to say by their names, and what overrides is described where it was
# declared first. Every other declaration needs a comment.
special='Member (~?([A-Za-z]\w*)\(((const )?\2(< ?\w+ ?>)? ?&&?( ?\w+)?)?\)( noexcept)? \(function\) of (class|struct) (\w+::)*\2|operator=\(.*|.*\) (noexcept )?override \(function\).*) is not documented'
if grep -Ev "$special" "$DOXYGEN_OUT/warnings.txt" | sort -u | grep .; then
  echo "docs: Doxygen has warnings" >&2
  exit 1
fi

# Always from scratch: a listing may move from one page to another.
sphinx_build=/usr/bin/sphinx-build
[ -x "$sphinx_build" ] || sphinx_build=sphinx-build
"$sphinx_build" -q -W --keep-going -n -E -a -b "$format" -c docs \
  -d "$build/doctrees" . "$build/$format"
echo "the book is in $build/$format"
