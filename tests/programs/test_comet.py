"""The comet programs: a small run, its report, and what they refuse."""

import json
import os
import re
import sys

import program

N = 50
FORKS = 200  # what comet-07 gives its forking server at most


class Comet(program.TestCase):

    def done(self, *arguments):
        result = program.run(*arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, "")
        return result.stdout

    def in_all(self, n=N):
        """How many clients there are: comet-07 has three servers."""
        return 2 * n + min(n, FORKS) if program.name() == "comet-07" else n

    def test_a_small_run(self):
        lines = self.done(N).splitlines()
        self.assertEqual(lines[0], f"done {self.in_all()}")
        self.assertTrue(any("The ledger" in line for line in lines), lines)

    def test_one_client(self):
        output = self.done(1)
        self.assertTrue(output.startswith(f"done {self.in_all(1)}\n"), output)

    def test_with_the_clients_in_a_child(self):
        output = self.done(N, "--clients-in-child")
        self.assertTrue(output.startswith(f"done {self.in_all()}\n"),
                        output)

    def test_a_report_for_machines(self):
        for more in [], ["--clients-in-child"]:
            report = json.loads(self.done(N, "--json", *more))
            self.assertEqual(report["program"], program.name())
            n = self.in_all()
            self.assertEqual(report["clients"], n)
            self.assertEqual(report["clients_in_child"], bool(more))
            calls = sum(report["calls"].values())
            self.assertAlmostEqual(report["per_client"]["system_calls"],
                                   calls / n, places=3)
            # Each client has read its answer, on a connection of its own.
            for call in "connect", "read":
                self.assertGreater(report["calls"][call], n, call)

    def test_bad_numbers_are_refused(self):
        for number in "many", "12x", "0", "-1", "1e4", "", "9" * 30:
            self.assertIn("number", self.refused(number))

    def test_two_numbers_are_refused(self):
        self.refused(1, 2)

    def test_more_than_the_descriptors_allow_is_refused(self):
        said = self.refused(
            100, preexec_fn=lambda: program.descriptors(64))
        for word in "descriptors", "64", "works":
            self.assertIn(word, said)

    def test_descriptors_that_it_was_started_with_count(self):
        """The largest run that it names is one that works."""
        poller = json.loads(self.done(1, "--json"))["poller"]
        if poller == "kqueue" and sys.platform == "linux":
            self.skipTest("the fake of kqueue has descriptors of its own")
        inherited = [os.open(os.devnull, os.O_RDONLY) for _ in range(7)]
        few = {"pass_fds": inherited,
               "preexec_fn": lambda: program.descriptors(128)}
        said = self.refused(1000, **few)
        n = int(re.search(r"What works: \S+ (\d+)", said)[1])
        result = program.run(n, **few)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(n, (128 - 13 - 3 - len(inherited)) // 2)
        for descriptor in inherited:
            os.close(descriptor)


program.main()
