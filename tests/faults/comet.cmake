# Runs a comet program with faults, seed after seed:
# cmake -DCOMET=... -DPROBABILITY=0.2 -DSEEDS=20 -P comet.cmake

foreach(seed RANGE 1 ${SEEDS})
  set(ENV{NAGLFAR_FAULTS} "${PROBABILITY} ${seed}")
  execute_process(COMMAND ${COMET} 300 OUTPUT_VARIABLE output
                  ERROR_VARIABLE output RESULT_VARIABLE result)
  if(NOT result EQUAL 0 OR NOT output MATCHES "done 300")
    message(FATAL_ERROR "NAGLFAR_FAULTS='${PROBABILITY} ${seed}' ${COMET} 300: "
                        "${result}\n${output}")
  endif()
endforeach()
message(STATUS "${SEEDS} seeds: all held")
