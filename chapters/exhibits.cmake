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
