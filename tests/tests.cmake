# The test files. Two read this table: CMakeLists.txt makes a program of each
# line, and tests/stage/export.py gives a stage the SMALL files of its chapter.
# A new file is a new line.
#
#   naglfar_test(name chapter layers...)      # the file is test_<name>.cpp
#
# A SMALL file is compiled with the small version, too: it makes small_<name>.

naglfar_test(sys            00 sys)
naglfar_test(poller         01 poller SMALL)
naglfar_test(switch         02 coroutine SMALL)
naglfar_test(coroutine      02 coroutine SMALL)
naglfar_test(scheduler      03 scheduler SMALL)
naglfar_test(timer_heap     03 scheduler)
naglfar_test(tasks          06 http)
naglfar_test(channel        04 channel SMALL)
naglfar_test(io             05 io SMALL)
naglfar_test(closed         05 io)
naglfar_test(scheduled_file 05 file channel SMALL)
naglfar_test(turns          06 http)
naglfar_test(server         06 http SMALL)
naglfar_test(http           06 http SMALL)
naglfar_test(framing        06 http)
naglfar_test(hostile        06 http)
naglfar_test(mixins         07 http mixins)
naglfar_test(waiters        07 http mixins)
naglfar_test(end            07 http mixins)
naglfar_test(extremes       07 http mixins)
naglfar_test(refusals       05 io channel)
naglfar_test(refusals_file  05 file)
naglfar_test(refusals_server 06 http)
naglfar_test(refusals_mixins 07 http mixins)
naglfar_test(simulation     08 sys_sim http)
naglfar_test(found          08 sys_sim http)
naglfar_test(explore        08 sys_sim http)
