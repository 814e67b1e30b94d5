set -e
cd /tmp/w-small
I="-I chapters/01-readiness -I chapters/02-coroutines -I chapters/03-the-scheduler -I chapters/04-channels -I chapters/05-files -I chapters/06-the-server -I src"
for f in "$@"; do g++ -std=c++20 -O2 -g -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -DNAGLFAR_EPOLL $I -fsyntax-only -x c++ $f; done
