"""Runs one of the book's programs as a user does, and looks at what he sees.

A test file is called with the program: test_comet.py build/bin/comet-06. An
emulator may stand before it.
"""

import os
import re
import resource
import subprocess
import sys
import unittest

LIMIT = 100  # seconds; whoever takes longer hangs

command = []  # the program, as a list


def name():
    return os.path.basename(command[-1])


def run(*arguments, **options):
    """Runs it to its end. A shell starts it: the peak memory of a process is
    never less than that of the one it was forked from, which for a child of
    this one is all of Python."""
    done = subprocess.run(["sh", "-c", '"$@"; exit $?', "sh", *command,
                           *map(str, arguments)], text=True,
                          capture_output=True, timeout=LIMIT, **options)
    # What AddressSanitizer says to every program that has coroutines.
    done.stderr = re.sub("==.*ASan doesn't fully support makecontext.*\n", "",
                         done.stderr)
    return done


def descriptors(limit):
    """For the program to be started: how many descriptors it may have."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


class TestCase(unittest.TestCase):
    """What holds for every program."""

    def test_help_is_printed(self):
        result = run("--help")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn(f"usage: {name()}", result.stdout)
        self.assertEqual(result.stderr, "")

    def test_an_unknown_option_is_refused(self):
        self.refused("--no-such-option")

    def refused(self, *arguments, **options):
        """One line that says why, and exit status 2."""
        result = run(*arguments, **options)
        self.assertEqual(result.returncode, 2, (arguments, result.stderr))
        self.assertEqual(result.stdout, "")
        self.assertTrue(result.stderr.startswith(name() + ": "),
                        result.stderr)
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        return result.stderr


def main():
    command.extend(sys.argv[1:])
    unittest.main(module="__main__", argv=sys.argv[:1])
