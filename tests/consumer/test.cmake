# The library as others use it. WAY is one of
#
#   find_package, pkg-config  installs the build tree BUILD under a prefix,
#                             moves that elsewhere, and builds and runs this
#                             folder's programs with the result
#   subdirectory              a project that has the library as a part
#   folders                   a checkout and a prefix in folders with a space,
#                             installed to folders that are absolute
#
# All work is done in a folder with a space in its name.

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# refused(TEXT command...): the command fails, and says so.
function(refused text)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status
                  OUTPUT_VARIABLE said ERROR_VARIABLE said)
  string(REGEX REPLACE "[ \n]+" " " said "${said}")
  string(FIND "${said}" "${text}" place)
  if(status EQUAL 0 OR place EQUAL -1)
    message(FATAL_ERROR "This should have been refused with \"${text}\":\n"
                        "${ARGN}\n${said}")
  endif()
endfunction()

set(here ${CMAKE_CURRENT_LIST_DIR})
cmake_path(GET here PARENT_PATH top)
cmake_path(GET top PARENT_PATH top)
set(work "${BUILD}/consumer by ${WAY}")
set(compiler -DCMAKE_CXX_COMPILER=${CXX} "-DCMAKE_CXX_FLAGS=${FLAGS}")
file(REMOVE_RECURSE ${work})

# find_package_works(prefix)
function(find_package_works prefix)
  run(${CMAKE_COMMAND} -S ${here} -B ${work}/build ${compiler}
      -DCMAKE_PREFIX_PATH=${prefix})
  run(${CMAKE_COMMAND} --build ${work}/build)
  foreach(program two_coroutines consumer host)
    run(${work}/build/${program})
  endforeach()
endfunction()

# pkg_config_works(folder of naglfar.pc)
function(pkg_config_works folder)
  find_program(pkg_config pkg-config)
  if(NOT pkg_config)
    message("skipped: there is no pkg-config")
    return()
  endif()
  set(ENV{PKG_CONFIG_PATH} ${folder})
  execute_process(COMMAND ${pkg_config} --cflags --libs naglfar
                  OUTPUT_VARIABLE flags COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND "${FLAGS} ${flags}")
  run(${CXX} -std=c++20 ${here}/consumer.cpp ${flags} -o ${work}/consumer)
  run(${work}/consumer)
  # A program that sees other classes than the library must not link.
  if(NOT FLAGS MATCHES "-fsanitize")
    foreach(sanitizer address thread)
      refused(naglfar_must_be_built_with_${sanitizer}_sanitizer_too
              ${CXX} -std=c++20 -fsanitize=${sanitizer} ${here}/consumer.cpp
              ${flags} -o ${work}/mismatched)
    endforeach()
  endif()
endfunction()

if(WAY STREQUAL "find_package" OR WAY STREQUAL "pkg-config")
  run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/first)
  set(prefix ${work}/moved)
  file(RENAME ${work}/first ${prefix})
  if(WAY STREQUAL "find_package")
    find_package_works(${prefix})
  else()
    file(GLOB_RECURSE pc ${prefix}/naglfar.pc)
    cmake_path(GET pc PARENT_PATH folder)
    pkg_config_works(${folder})
  endif()

elseif(WAY STREQUAL "subdirectory")
  run(${CMAKE_COMMAND} -S ${here}/parent -B ${work}/build ${compiler}
      -DNAGLFAR=${top})
  run(${CMAKE_COMMAND} --build ${work}/build --target host)
  run(${work}/build/host)
  run(${CMAKE_COMMAND} --install ${work}/build --prefix ${work}/prefix)
  file(GLOB_RECURSE files RELATIVE ${work}/prefix ${work}/prefix/*)
  list(FILTER files EXCLUDE REGEX "(libplugin\\.[a-z]+|host)$")
  if(files)
    message(FATAL_ERROR "The parent's package has files of ours: ${files}")
  endif()
  refused("BUILD_SHARED_LIBS: Naglfar has static libraries only"
          ${CMAKE_COMMAND} -S ${top} -B ${work}/shared ${compiler}
          -DBUILD_SHARED_LIBS=ON)

elseif(WAY STREQUAL "folders")
  file(COPY ${top}/CMakeLists.txt ${top}/src DESTINATION "${work}/a checkout")
  set(prefix "${work}/a prefix")
  run(${CMAKE_COMMAND} -S "${work}/a checkout" -B "${work}/a checkout/build"
      ${compiler} -DCMAKE_BUILD_TYPE=Debug
      -DNAGLFAR_TESTS=OFF -DNAGLFAR_PROGRAMS=OFF
      -DCMAKE_INSTALL_PREFIX=${prefix}
      -DCMAKE_INSTALL_LIBDIR=${prefix}/archives
      -DCMAKE_INSTALL_INCLUDEDIR=${prefix}/headers)
  run(${CMAKE_COMMAND} --build "${work}/a checkout/build" --parallel 2)
  run(${CMAKE_COMMAND} --install "${work}/a checkout/build")
  find_package_works(${prefix}/archives/cmake)
  pkg_config_works(${prefix}/archives/pkgconfig)
  find_program(make NAMES gmake make)
  find_program(python python3)
  if(make AND python AND EXISTS ${top}/Makefile)
    run(${make} -C ${top} stage NN=03 "DEST=${work}/a stage")
    if(NOT EXISTS "${work}/a stage/naglfar/scheduler.hpp")
      message(FATAL_ERROR "make stage has exported to another folder")
    endif()
  endif()

else()
  message(FATAL_ERROR "WAY is not `${WAY}'")
endif()
