# The exhibits: small wrong programs. Two read this table: chapters/ makes a
# program of each line, build/bin/exhibits/<name>, and tests/ a test, which
# fails unless the exhibit goes wrong as the line says and prints what is
# kept in <name>.txt beside it. How to write one: docs/README.md.
#
#   exhibit(chapter name expectation [CURED] layers...)
#                             # the file is <chapter>/exhibits/<name>.cpp
#
# An exhibit hangs, spins, crashes, or fails, which means that it finds out by
# itself and ends with status 1; or it works, and shows how something is done.
# CURED: with that macro defined, the same file makes <name>-cured, and works.

exhibit(00-the-run says-done      fails   CURED sys)
exhibit(00-the-run leaks-on-throw fails   CURED sys)
exhibit(00-the-run closed-twice   fails   CURED sys)
exhibit(00-the-run lost-addition  fails   CURED sys)
exhibit(00-the-run counts-in-vain fails   CURED sys)
exhibit(00-the-run own-write-end  hangs   CURED sys)
exhibit(00-the-run killed-by-peer crashes CURED sys)
exhibit(00-the-run cannot-stop    hangs         sys)

exhibit(01-readiness waits-for-one  hangs         sys)
exhibit(01-readiness asks-everyone  spins         sys)
exhibit(01-readiness first-epoll    works         sys)
exhibit(01-readiness level-and-edge works         sys)
exhibit(01-readiness half-read      hangs   CURED sys)
exhibit(01-readiness lost-tail      fails   CURED sys)
exhibit(01-readiness deaf-to-hangup spins         sys)
exhibit(01-readiness heir           fails   CURED sys)
exhibit(01-readiness full-backlog   hangs         sys)
exhibit(01-readiness interrupted    crashes       sys)
exhibit(01-readiness past-the-set   fails         sys)

exhibit(02-coroutines one-stack          fails   CURED sys)
exhibit(02-coroutines saws-its-branch    crashes       sys)
exhibit(02-coroutines no-guard           fails         sys)
exhibit(02-coroutines anothers-exception fails         sys)
exhibit(02-coroutines waits-in-destructor crashes CURED coroutine)

exhibit(03-the-scheduler forgotten             hangs       coroutine poller)
exhibit(03-the-scheduler named-deadlock        fails       scheduler)
exhibit(03-the-scheduler asks-without-end      spins CURED scheduler)
exhibit(03-the-scheduler blocks-the-thread     hangs CURED scheduler)
exhibit(03-the-scheduler a-little-longer       fails CURED scheduler)
exhibit(03-the-scheduler between-look-and-wait hangs CURED sys)
exhibit(03-the-scheduler rounded-down         fails CURED sys)
exhibit(03-the-scheduler handler-that-locks   hangs       sys)

exhibit(04-channels if-for-while     fails CURED scheduler)
exhibit(04-channels wakes-everybody  works       channel)
exhibit(04-channels each-waits-first fails       channel)
exhibit(04-channels never-full       fails CURED channel)

exhibit(05-files     cut-separator  hangs   CURED sys)
exhibit(05-files     half-request   fails   CURED sys)
exhibit(05-files     refused-success fails  CURED sys)
exhibit(05-files     rescan         fails   CURED sys)
exhibit(05-files     short-limit    fails   CURED sys)
exhibit(05-files     both-write-first hangs CURED file)
exhibit(05-files     peek-says-here fails   CURED sys)

exhibit(06-the-server dies-of-one    crashes CURED channel)
exhibit(06-the-server no-number-left spins   CURED poller)
exhibit(06-the-server two-headers    fails   CURED sys)

exhibit(07-three-servers list-of-a-child     fails       http mixins)
exhibit(07-three-servers told-too-early      hangs CURED sys)
exhibit(07-three-servers deaf-thread         hangs CURED file)
exhibit(07-three-servers dies-with-the-mutex hangs CURED sys)
exhibit(07-three-servers forks-among-threads hangs CURED sys)
