# The layers of the library, lowest first. Two read this table: CMakeLists.txt
# makes a target of each line, and tests/stage/export.cmake copies the files
# of the lines up to a chapter.
#
#   naglfar_layer(name chapter HEADERS ... SOURCES ... LINKS lower layers)
#
# A layer that is APART is no part of naglfar::naglfar.
#
# ${poller} and ${switch} are what the build has chosen, or * for all;
# ${assembly} is what the switch has besides.

naglfar_layer(sys 00
  HEADERS ledger.hpp sys.hpp
  SOURCES ledger.cpp sys.cpp sys_kernel.cpp sys_process.cpp)

naglfar_layer(poller 01
  HEADERS poller.hpp
  SOURCES poller.cpp poller_${poller}.cpp
  LINKS sys)

naglfar_layer(coroutine 02
  HEADERS coroutine.hpp fiber_hooks.hpp stack_pool.hpp switch.hpp
  SOURCES coroutine.cpp stack_pool.cpp switch_${switch}.cpp ${assembly}
  LINKS poller)

naglfar_layer(scheduler 03
  HEADERS scheduler.hpp signals.hpp timer_heap.hpp
  SOURCES scheduler.cpp signals.cpp
  LINKS coroutine poller)

naglfar_layer(channel 04
  HEADERS channel.hpp
  LINKS scheduler)

naglfar_layer(io 05
  HEADERS io.hpp
  SOURCES io.cpp
  LINKS scheduler)

naglfar_layer(file 05
  HEADERS scheduled_file.hpp
  SOURCES scheduled_file.cpp
  LINKS io)

naglfar_layer(server 06
  HEADERS server.hpp waiters.hpp
  SOURCES server.cpp
  LINKS channel file)

naglfar_layer(http 06
  HEADERS http.hpp http_message.hpp
  SOURCES http.cpp http_message.cpp http_response.cpp
  LINKS server)

naglfar_layer(mixins 07
  HEADERS forking_mix_in.hpp shared_waiters.hpp threading_mix_in.hpp
  SOURCES shared_waiters.cpp
  LINKS server)

# In place of sys_kernel.cpp: named first by a program that wants it, it
# answers the calls, and the linker has no use for the other.
if(sim)
  naglfar_layer(sys_sim 08 APART
    HEADERS sim.hpp
    SOURCES sim_files.hpp sim_files.cpp sim_kernel.cpp sim_sockets.cpp
          sys_sim.cpp
    LINKS sys)
endif()
