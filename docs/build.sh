#!/bin/sh
# Builds the book: docs/build.sh [BUILD_DIR [html|epub|pdf]...], html if none is named.
# The result is BUILD_DIR/docs/html/index.html, docs/epub/naglfar.epub or
# docs/pdf/naglfar.pdf.
# Any warning, from Doxygen, Sphinx or the listing check, is a failure.
set -eu

build=$(mkdir -p "${1:-build}/docs" && cd "${1:-build}/docs" && pwd)
[ $# -eq 0 ] || shift
formats=${*:-html}
cd "$(dirname "$0")/.."

export PYTHONDONTWRITEBYTECODE=1
export DOXYGEN_OUT="$build/doxygen" DOXYGEN_XML="$build/doxygen/xml"
rm -rf "$DOXYGEN_OUT" && mkdir -p "$DOXYGEN_OUT"
doxygen docs/Doxyfile

# Default, copy and move constructors, assignments and destructors say all
# they have to say by their names, and what overrides is described where it was
# declared first. Every other declaration needs a comment.
special='Member (~?([A-Za-z]\w*)\(((const )?\2(< ?\w+ ?>)? ?&&?( ?\w+)?)?\)( noexcept)? \(function\) of (class|struct) (\w+::)*\2|operator=\(.*|.*\) (noexcept )?override \(function\).*) is not documented'
if grep -Ev "$special" "$DOXYGEN_OUT/warnings.txt" | sort -u | grep .; then
  echo "docs: Doxygen has warnings" >&2
  exit 1
fi

# Always from scratch: a listing may move from one page to another. What was read
# for the first format serves the others.
sphinx_build=/usr/bin/sphinx-build
[ -x "$sphinx_build" ] || sphinx_build=sphinx-build
from_scratch=-E
for format in $formats; do
  builder=$format
  [ "$format" = pdf ] && builder=latex
  rm -rf "${build:?}/$format"
  "$sphinx_build" -q -W --keep-going -n $from_scratch -a -b $builder -c docs \
    -d "$build/doctrees" . "$build/$format"
  from_scratch=
  if [ "$format" = pdf ]; then
    # As often as the numbers of the pages need.
    for round in 1 2 3; do
      (cd "$build/pdf" && xelatex -interaction=nonstopmode -halt-on-error \
        naglfar.tex) > "$build/pdf/xelatex.txt" || {
        tail -40 "$build/pdf/xelatex.txt"
        exit 1
      }
    done
  fi
  echo "the book is in $build/$format"
done
