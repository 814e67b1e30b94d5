# What find_package(naglfar) reads: the targets naglfar::naglfar (all layers)
# and naglfar::sys, naglfar::poller, ... (one layer and those below it).
include(CMakeFindDependencyMacro)
find_dependency(Threads)
include(${CMAKE_CURRENT_LIST_DIR}/naglfar-targets.cmake)
