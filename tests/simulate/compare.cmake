# Runs the scripts on both kernels: cmake -DREAL=... -DSIMULATED=... A real
# kernel that is busy may deliver late, so where they differ it gets time.

function(answers program variable)
  execute_process(COMMAND ${program} ${ARGN} OUTPUT_VARIABLE said
                  COMMAND_ERROR_IS_FATAL ANY)
  set(${variable} "${said}" PARENT_SCOPE)
endfunction()

foreach(hundred RANGE 0 19)
  set(first ${hundred}01)
  math(EXPR last "${first} + 99")
  answers(${SIMULATED} simulated ${first} ${last})
  answers(${REAL} real ${first} ${last})
  if(NOT real STREQUAL simulated)
    answers(${REAL} real ${first} ${last} --slow)
  endif()
  if(NOT real STREQUAL simulated)
    message(FATAL_ERROR "the kernels disagree: compare the output of "
            "`${REAL} ${first} ${last}' and `${SIMULATED} ${first} ${last}'")
  endif()
endforeach()
