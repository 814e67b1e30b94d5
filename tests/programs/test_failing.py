"""The comet programs, when a system call fails: a run that fails ends with
status 1 and a message, and leaves no process behind.

test_failing.py inject.so build/bin/comet-06: the library is inject.cpp's.
"""

import errno
import os
import resource
import signal
import subprocess
import sys

import program

N = 40
SURVIVE = "-06", "-07"  # how the names end of those with the accept loop
# of a server: it survives a lack of descriptors
LIBRARY = sys.argv.pop(1)
NO_EXCEPTION = "terminate called without an active exception\n"


class Failing(program.TestCase):

    def runs(self):
        """The arguments of all runs: with each server, and with the clients
        in the same process or in a child."""
        servers = ([["--server", server]
                    for server in ("forking", "threading", "scheduled")]
                   if program.name() == "comet-07" else [[]])
        for server in servers:
            for child in [], ["--clients-in-child"]:
                yield [str(N), *server, *child]

    def run_to_the_end(self, arguments, environment, **options):
        """Waits until no process has the program's output any more."""
        return subprocess.run(
            [*program.command, *arguments], text=True, capture_output=True,
            timeout=program.LIMIT, env={**os.environ, **environment},
            **options)

    def injected(self, call, error, nth, arguments):
        return self.run_to_the_end(arguments, {
            "LD_PRELOAD": LIBRARY, "NAGLFAR_INJECT": f"{call} {error} {nth}"})

    def each(self, call, error, nth, check):
        for arguments in self.runs():
            with self.subTest(call=call, error=error, nth=nth,
                              arguments=arguments):
                check(self.injected(call, error, nth, arguments))

    def failed(self, result):
        self.assertEqual(result.returncode, 1, result.stderr)
        self.assertEqual(result.stdout, "")
        self.assertRegex(result.stderr, f"(?m)^{program.name()}: ")

    def done(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, "^done ")

    def ended(self, result):
        if result.returncode != 0:
            self.failed(result)

    def survived_or_said(self, result):
        if program.name().endswith(SURVIVE):
            self.done(result)
        else:
            self.failed(result)
            self.assertIn("descriptors", result.stderr)

    def test_an_aborted_connection_ends_no_run(self):
        self.each("accept4", errno.ECONNABORTED, 5, self.done)

    def test_a_lack_of_descriptors_is_survived_or_said(self):
        self.each("accept4", errno.EMFILE, 5, self.survived_or_said)

    def test_a_listener_that_does_not_work_ends_the_run(self):
        self.each("accept4", errno.EOPNOTSUPP, 0, self.failed)

    def test_a_reset_ends_the_run_or_is_survived(self):
        for nth in 1, 2, 10, N, N + 10, 2 * N:
            self.each("read", errno.ECONNRESET, nth, self.ended)

    def test_a_run_that_is_killed_leaves_no_process(self):
        for number in signal.SIGTERM, signal.SIGKILL:
            for nth in 10, N:
                self.each("read", -number, nth, lambda result: self.assertIn(
                    result.returncode, (-number, 0, 1)))

    def test_little_memory_ends_the_run_with_a_message(self):
        for mebibytes in 6, 8, 12, 16, 24, 40, 64, 100:
            limit = mebibytes << 20
            for arguments in self.runs():
                with self.subTest(mebibytes=mebibytes, arguments=arguments):
                    result = self.run_to_the_end(
                        arguments, {}, preexec_fn=lambda: resource.setrlimit(
                            resource.RLIMIT_AS, (limit, limit)))
                    if result.returncode == 127:
                        continue  # too little for the loader of programs
                    if result.returncode == 2:  # before the run
                        self.assertRegex(result.stderr,
                                         f"^{program.name()}: ")
                    elif result.returncode == -signal.SIGABRT:
                        # No memory even for an exception: the C++ runtime
                        # ends the process, and nothing is left behind.
                        self.assertEqual(result.stderr, NO_EXCEPTION)
                    elif result.returncode != 0:
                        self.failed(result)


program.main()
