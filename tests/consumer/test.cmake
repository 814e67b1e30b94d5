# Installs the build tree BUILD under a prefix of its own, moves that
# elsewhere, and builds and runs this folder's programs with the result, as
# WAY says: by find_package or by pkg-config.

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

set(here ${CMAKE_CURRENT_LIST_DIR})
set(work ${BUILD}/consumer-${WAY})
set(prefix ${work}/moved)
file(REMOVE_RECURSE ${work})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/first)
file(RENAME ${work}/first ${prefix})

if(WAY STREQUAL "find_package")
  run(${CMAKE_COMMAND} -S ${here} -B ${work}/build
      -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_CXX_COMPILER=${CXX}
      -DCMAKE_CXX_FLAGS=${FLAGS})
  run(${CMAKE_COMMAND} --build ${work}/build)
  run(${work}/build/two_coroutines)
  run(${work}/build/consumer)
  return()
endif()

find_program(pkg_config pkg-config)
if(NOT pkg_config)
  message("skipped: there is no pkg-config")
  return()
endif()
file(GLOB_RECURSE pc ${prefix}/naglfar.pc)
cmake_path(GET pc PARENT_PATH pc_folder)
set(ENV{PKG_CONFIG_PATH} ${pc_folder})
execute_process(COMMAND ${pkg_config} --cflags --libs naglfar
                OUTPUT_VARIABLE flags COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags UNIX_COMMAND "${FLAGS} ${flags}")
run(${CXX} -std=c++20 ${here}/consumer.cpp ${flags} -o ${work}/consumer)
run(${work}/consumer)
