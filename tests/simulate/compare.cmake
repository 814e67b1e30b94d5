# Runs the scripts on both kernels: cmake -DREAL=... -DSIMULATED=... A real
# kernel that is busy may deliver late, so a script whose answers differ is
# run again, with a pause after each call, in milliseconds.

function(answers program variable)
  execute_process(COMMAND ${program} ${ARGN} OUTPUT_VARIABLE said
                  COMMAND_ERROR_IS_FATAL ANY)
  set(${variable} "${said}" PARENT_SCOPE)
endfunction()

function(agree first last pause variable)
  answers(${SIMULATED} simulated ${first} ${last} 0)
  answers(${REAL} real ${first} ${last} ${pause})
  string(COMPARE EQUAL "${real}" "${simulated}" same)
  set(${variable} ${same} PARENT_SCOPE)
endfunction()

foreach(hundred RANGE 0 19)
  set(first ${hundred}01)
  math(EXPR last "${first} + 99")
  agree(${first} ${last} 0 same)
  if(same)
    continue()
  endif()
  foreach(script RANGE ${first} ${last})
    foreach(pause 0 10 100)
      agree(${script} ${script} ${pause} same)
      if(same)
        break()
      endif()
    endforeach()
    if(NOT same)
      message(FATAL_ERROR "the kernels disagree: compare the output of "
              "`${REAL} ${script} ${script} 100' and "
              "`${SIMULATED} ${script} ${script} 0'")
    endif()
  endforeach()
endforeach()
