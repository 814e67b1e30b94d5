# Exports one stage as a folder that stands alone: the layers, chapters and
# tests up to a chapter. cmake -DNN=03 -DDEST=folder -P tests/stage/export.cmake

cmake_minimum_required(VERSION 3.25)
set(top ${CMAKE_CURRENT_LIST_DIR}/../..)
cmake_path(NORMAL_PATH top)
cmake_path(ABSOLUTE_PATH DEST BASE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}
           NORMALIZE)

file(GLOB chapter RELATIVE ${top}/chapters ${top}/chapters/${NN}-*)
if(NOT NN MATCHES "^[0-9][0-9]$" OR NOT chapter)
  message(FATAL_ERROR "NN is the number of a chapter, such as 03, not `${NN}'")
endif()
if(EXISTS ${DEST} AND NOT EXISTS ${DEST}/.stage)
  message(FATAL_ERROR "${DEST} exists, and is no stage exported before")
endif()

# What was exported before goes; a build tree in the folder stays. Who has
# written something since then is asked to save it.
foreach(folder src chapters tests)
  file(GLOB_RECURSE files ${DEST}/${folder}/*)
  list(FILTER files EXCLUDE REGEX __pycache__)
  foreach(file IN LISTS files)
    if(${file} IS_NEWER_THAN ${DEST}/.stage)
      message(FATAL_ERROR "${file} was written after the export: save it and "
              "remove ${DEST}, or name another folder (DEST=folder)")
    endif()
  endforeach()
endforeach()
file(GLOB old ${DEST}/src ${DEST}/chapters ${DEST}/tests)
if(old)
  file(REMOVE_RECURSE ${old})
endif()

# copy(paths...): from the project to the same place in the stage
function(copy)
  foreach(path IN LISTS ARGN)
    if(EXISTS ${top}/${path})
      cmake_path(GET path PARENT_PATH folder)
      file(COPY ${top}/${path} DESTINATION ${DEST}/${folder}
           PATTERN __pycache__ EXCLUDE)
    endif()
  endforeach()
endfunction()

copy(CMakeLists.txt CMakePresets.json LICENSE .clang-format .gitignore
     src/CMakeLists.txt src/layers.cmake src/package
     chapters/CMakeLists.txt chapters/exhibits.cmake chapters/supervisor.cpp
     tests/CMakeLists.txt tests/tests.cmake tests/main.cpp tests/listener.hpp
     tests/claims.hpp tests/small_asan tests/programs tests/exhibits)

# The library. A stage has all pollers: * stands for them. The switch in
# assembly comes with chapter 08.
set(poller "*")
set(switch ucontext)
set(assembly "")
if(NOT NN STRLESS 08)
  set(switch "*")
  set(assembly "coroutine/switch_*.S"
               coroutine/switch_function.inc)
endif()
set(sim ON)
function(naglfar_layer name number)
  if(number STRGREATER NN)
    return()
  endif()
  cmake_parse_arguments(PARSE_ARGV 2 layer "APART" "" "HEADERS;SOURCES;LINKS")
  foreach(pattern IN LISTS layer_HEADERS layer_SOURCES)
    file(GLOB files RELATIVE ${top} ${top}/src/naglfar/${pattern})
    copy(${files})
  endforeach()
endfunction()
include(${top}/src/layers.cmake)

# The chapters.
file(GLOB chapters RELATIVE ${top}/chapters ${top}/chapters/[0-9]*)
foreach(folder IN LISTS chapters)
  string(SUBSTRING ${folder} 0 2 number)
  if(NOT number STRGREATER NN)
    copy(chapters/${folder})
  endif()
endforeach()

# The tests.
function(naglfar_test name number)
  if(NOT number STRGREATER NN)
    copy(tests/test_${name}.cpp)
  endif()
endfunction()
include(${top}/tests/tests.cmake)
if(NOT NN STRLESS 01)
  copy(tests/fake_kqueue tests/kernel_under_test.hpp)
endif()
if(NOT NN STRLESS 03)
  copy(tests/in_main.hpp tests/limited.hpp tests/run.hpp
       src/naglfar/gdb.py tests/test_gdb.py tests/gdb_program.cpp)
endif()
if(NOT NN STRLESS 05)
  copy(tests/helpers.hpp tests/refuse.hpp)
endif()
if(NOT NN STRLESS 06)
  copy(tests/consumer tests/differential tests/soak.cpp)
endif()

file(WRITE ${DEST}/.stage "${NN}\n")
file(WRITE ${DEST}/README.md
"# Naglfar, stage ${NN}

What there is at the end of chapter `${chapter}`: the layers of the library up
to there, the chapters' programs, and their tests. To build and test it:

    cmake --preset release
    cmake --build --preset release --parallel
    ctest --preset release

Warnings are errors; `cmake --preset release -DNAGLFAR_WERROR=OFF` makes them
warnings. The tests of one chapter: `ctest --preset release -L ${NN}`.

and to run this chapter's program:

    build/bin/comet-${NN} 1000
")
message("stage ${NN} is in ${DEST}")
