# The layers of the library, lowest first. CMakeLists.txt makes a target of
# each line.
#
#   naglfar_layer(name HEADERS ... SOURCES ... LINKS lower layers)
#
# A layer that is APART is no part of naglfar::naglfar.
#
# ${poller} and ${switch} are what the build has chosen; ${assembly} is what
# the switch has besides.

naglfar_layer(sys
  HEADERS sys.hpp sys/ledger.hpp
  SOURCES sys/ledger.cpp sys/sys.cpp sys/kernel.cpp sys/log.cpp
          sys/without_sigpipe.hpp sys/process.cpp)

naglfar_layer(job
  HEADERS job.hpp)

naglfar_layer(poller
  HEADERS poller.hpp
  SOURCES poller/poller.cpp poller/${poller}.cpp
  LINKS job sys)

naglfar_layer(coroutine
  HEADERS coroutine.hpp coroutine/fiber_hooks.hpp coroutine/stack_pool.hpp
          coroutine/switch.hpp coroutine/overflow.hpp
  SOURCES coroutine/coroutine.cpp coroutine/fiber_hooks.cpp
          coroutine/overflow.cpp coroutine/stack_pool.cpp
          coroutine/switch_${switch}.cpp ${assembly}
  LINKS job sys)

naglfar_layer(scheduler
  HEADERS scheduler.hpp scheduler/signals.hpp scheduler/task_group.hpp
          scheduler/timer_heap.hpp scheduler/wait_queue.hpp
  SOURCES scheduler/scheduler.cpp scheduler/signals.cpp
          scheduler/task_group.cpp
  LINKS coroutine poller)

naglfar_layer(channel
  HEADERS channel.hpp channel/input_range.hpp
  LINKS scheduler)

naglfar_layer(io
  HEADERS io.hpp
  SOURCES io/io.cpp
  LINKS scheduler)

naglfar_layer(file
  HEADERS scheduled_file.hpp
  SOURCES file/scheduled_file.cpp
  LINKS channel io)

naglfar_layer(server
  HEADERS server.hpp server/scheduled_mix_in.hpp server/waiters.hpp
  SOURCES server/server.cpp
  LINKS channel file)

naglfar_layer(headers
  HEADERS http/headers.hpp
  SOURCES http/headers.cpp)

naglfar_layer(http
  HEADERS http.hpp http/message.hpp
  SOURCES http/http.cpp http/message.cpp http/response.cpp
  LINKS headers server)

naglfar_layer(mixins
  HEADERS mixins.hpp mixins/forking_mix_in.hpp mixins/shared_waiters.hpp
          mixins/threading_mix_in.hpp
  SOURCES mixins/shared_waiters.cpp
  LINKS server)

naglfar_layer(all
  HEADERS naglfar.hpp
  LINKS http mixins)

# In place of sys/kernel.cpp: a program that wants the simulation names it
# first, so that it answers the calls and the linker has no use for the other.
if(sim)
  naglfar_layer(sys_sim APART
    HEADERS sim.hpp
    SOURCES sim/files.hpp sim/files.cpp sim/kernel.cpp sim/sockets.cpp
            sim/sys.cpp
    LINKS sys)
endif()
