# Sourced, with the project's folder in `top`: compiles through ccache, if it
# is there. What is kept lies in the build tree, and does not depend on where
# in it a file is built.

if command -v ccache > /dev/null; then
  export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_DIR="$top/build/ccache" \
    CCACHE_BASEDIR="$top" CCACHE_NOHASHDIR=1 CCACHE_MAXSIZE=8G
fi
