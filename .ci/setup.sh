#!/bin/sh
# Sees to it that what a task needs is there: .ci/setup.sh run test ...
#
# What is missing is installed on Debian and Ubuntu, by root or with a sudo
# that asks for no password. Elsewhere, and with --dry-run, the line that
# would install it is printed, and the exit status is 1.

set -eu

# task | how to see that it is there | its package for apt | dnf | brew | pkg
table='
run   | program c++                | g++        | gcc-c++ | gcc | llvm
run   | cmake 3.25                 | cmake      | cmake | cmake | cmake
run   | program make               | make       | make  | make  | gmake
test  | header doctest/doctest.h   | doctest-dev | doctest-devel | doctest | doctest
test  | program python3            | python3    | python3 | python | python3
test  | program pkg-config         | pkg-config | pkgconf-pkg-config | pkgconf | pkgconf
test  | program patch              | patch      | patch | gpatch | patch
docs  | program doxygen            | doxygen    | doxygen | doxygen | doxygen
docs  | python sphinx              | python3-sphinx | python3-sphinx | sphinx-doc | py311-sphinx
docs  | python breathe             | python3-breathe | python3-breathe | - | py311-breathe
docs  | python myst_parser         | python3-myst-parser | python3-myst-parser | - | py311-myst-parser
pages | browser                    | chromium   | chromium | chromium | chromium
pages | program epubcheck          | epubcheck  | epubcheck | epubcheck | epubcheck
pages | program codespell          | codespell  | codespell | codespell | py311-codespell
pdf   | program xelatex            | texlive-xetex | texlive-xetex | - | texlive-full
pdf   | tex capt-of.sty            | texlive-latex-extra | texlive-collection-latexextra | - | texlive-full
pdf   | tex pzdr.tfm               | texlive-fonts-recommended | texlive-collection-fontsrecommended | - | texlive-full
pdf   | tex DejaVuSerif.ttf        | fonts-dejavu | dejavu-fonts-all | - | dejavu
pdf   | program rsvg-convert       | librsvg2-bin | librsvg2-tools | librsvg | librsvg2-rust
clang | program clang++-14         | clang-14   | clang | llvm | llvm14
clang | sanitizers clang++-14      | libclang-rt-14-dev | compiler-rt | llvm | llvm14
libcxx | program clang++-14        | clang-14   | clang | llvm | llvm14
libcxx | libcxx clang++-14         | libc++-14-dev | libcxx-devel | llvm | llvm14
libcxx | libcxxabi clang++-14      | libc++abi-14-dev | libcxxabi-devel | llvm | llvm14
fuzz  | fuzzer clang++-14          | libclang-rt-14-dev | compiler-rt | llvm | llvm14
valgrind | program valgrind        | valgrind   | valgrind | - | valgrind
lint  | program clang-format-14    | clang-format-14 | clang-tools-extra | clang-format@14 | llvm14
lint  | program clang-tidy-14      | clang-tidy-14 | clang-tools-extra | llvm | llvm14
peers | program c++              | g++        | gcc-c++ | gcc | llvm
peers | header boost/asio.hpp    | libboost-dev | boost-devel | boost | boost-libs
peers | program go               | golang-go  | golang  | go    | go
peers | program node             | nodejs     | nodejs  | node  | node
peers | python greenlet          | python3-greenlet | python3-greenlet | - | py311-greenlet
peers | program unshare          | util-linux | util-linux | - | -
peers | program ip               | iproute2   | iproute | - | -
wrk   | program wrk              | wrk        | wrk     | wrk   | wrk
wrk   | program nginx            | nginx-light | nginx  | nginx | nginx
wrk   | header boost/beast.hpp   | libboost-dev | boost-devel | boost | boost-libs
wrk   | program go               | golang-go  | golang  | go    | go
wrk   | program node             | nodejs     | nodejs  | node  | node
wrk   | program strace           | strace     | strace  | -     | -
bench | header benchmark/benchmark.h | libbenchmark-dev | google-benchmark-devel | google-benchmark | benchmark
stages | program ccache            | ccache     | ccache | ccache | ccache
aarch64 | program aarch64-linux-gnu-g++ | g++-aarch64-linux-gnu | gcc-c++-aarch64-linux-gnu | - | -
aarch64 | program qemu-aarch64     | qemu-user  | qemu-user | - | -
'

python=/usr/bin/python3
[ -x $python ] || python=python3

is_there() {
  case $1 in
    program) command -v "$2" ;;
    header) ls "/usr/include/$2" || ls "/usr/local/include/$2" ||
      ls "/opt/homebrew/include/$2" ;;
    browser) command -v chromium || command -v chromium-browser ||
      command -v google-chrome || command -v chrome ;;
    tex) kpsewhich "$2" || fc-list | grep -q "$2" ;;
    python) $python -c "import $2" ;;
    sanitizers) echo 'int main() {}' |
      "$2" -fsanitize=address -x c++ - -o /dev/null ;;
    fuzzer) echo 'extern "C" int LLVMFuzzerTestOneInput() { return 0; }' |
      "$2" -fsanitize=fuzzer -x c++ - -o /dev/null ;;
    libcxx) echo '#include <string>' |
      "$2" -stdlib=libc++ -x c++ -c - -o /dev/null ;;
    libcxxabi) echo 'int main() { throw 0; }' |
      "$2" -stdlib=libc++ -x c++ - -o /dev/null ;;
    cmake) cmake --version | awk -v need="$2" '
        BEGIN { split(need, least, ".") }
        /version/ { split($3, have, ".") }
        END { exit have[1] * 1000 + have[2] < least[1] * 1000 + least[2] }' ;;
  esac > /dev/null 2>&1
}

# The column of the table, and the command before the packages.
root=""
[ "$(id -u)" = 0 ] || root="sudo "
if command -v apt-get > /dev/null; then
  column=3 install="${root}apt-get install -y"
elif command -v dnf > /dev/null; then
  column=4 install="${root}dnf install"
elif command -v brew > /dev/null; then
  column=5 install="brew install"
elif command -v pkg > /dev/null; then
  column=6 install="${root}pkg install"
else
  column=3 install="(your package manager's install command)"
fi

dry_run=false
packages=""
for task; do
  if [ "$task" = --dry-run ]; then dry_run=true; continue; fi
  rows=$(echo "$table" | grep "^$task " || true)
  if [ -z "$rows" ]; then
    echo "setup: there is no task \`$task'; there are:" \
      $(echo "$table" | cut -d ' ' -f 1 | sort -u) >&2
    exit 2
  fi
  while IFS='|' read -r _ probe rest; do
    # shellcheck disable=SC2086  # a probe is two words
    is_there $probe && continue
    package=$(echo "x|x|$rest" | cut -d '|' -f $column | tr -d ' ')
    case " $packages " in
      *" $package "*) ;;
      *) packages="$packages $package" ;;
    esac
  done <<rows
$rows
rows
done

[ -n "$packages" ] || exit 0
case "$packages " in
  *" - "*)
    echo "setup: for some of it there is no package here" >&2
    packages=$(echo "$packages" | sed 's/ -//') ;;
esac

if $dry_run || [ $column != 3 ] || ! command -v apt-get > /dev/null ||
  { [ -n "$root" ] && ! sudo -n true 2> /dev/null; }; then
  echo "Some things are missing. To install them: $install$packages" >&2
  exit 1
fi

echo "Installing:$packages"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # several words on purpose
{
  $root apt-get update -q
  $root apt-get install -q -y --no-install-recommends $packages
} > /tmp/naglfar-setup.$$ 2>&1 || {
  cat /tmp/naglfar-setup.$$
  echo "setup: the installation failed. By hand: $install$packages" >&2
  exit 1
}
rm -f /tmp/naglfar-setup.$$

# What was installed may not be what was needed, above all an old CMake.
is_there cmake 3.25 || {
  echo "setup: CMake 3.25 or later is needed, and is not what was installed" >&2
  exit 1
}
