"""The comet programs: a small run, its report, and what they refuse."""

import json

import program

N = 50


class Comet(program.TestCase):

    def done(self, *arguments):
        result = program.run(*arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(result.stderr, "")
        return result.stdout

    def test_a_small_run(self):
        lines = self.done(N).splitlines()
        self.assertEqual(lines[0], f"done {N}")
        self.assertTrue(any("The ledger" in line for line in lines), lines)

    def test_one_client(self):
        self.assertTrue(self.done(1).startswith("done 1\n"))

    def test_with_the_clients_in_a_child(self):
        output = self.done(N, "--clients-in-child")
        self.assertTrue(output.startswith(f"done {N}\n"), output)

    def test_a_report_for_machines(self):
        for more in [], ["--clients-in-child"]:
            report = json.loads(self.done(N, "--json", *more))
            self.assertEqual(report["program"], program.name())
            self.assertEqual(report["clients"], N)
            self.assertEqual(report["clients_in_child"], bool(more))
            calls = sum(report["calls"].values())
            self.assertAlmostEqual(report["per_client"]["system_calls"],
                                   calls / N, places=3)
            # Each client has read its answer, on a connection of its own.
            for call in "connect", "read":
                self.assertGreater(report["calls"][call], N, call)

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


program.main()
