"""The exhibits' test, tested: whoever is wrong in another way is caught.

Called with the folder of the exhibits: test_run.py build/bin/exhibits
"""

import sys
import tempfile
import unittest
from pathlib import Path

import run

folder = Path(sys.argv.pop())
KEPT = run.TOP / "chapters/01-readiness/exhibits"


def problems(expectation, kept, program):
    return "\n".join(run.compare(expectation, KEPT / f"{kept}.txt",
                                 folder / program))


class Run(unittest.TestCase):
    def test_each_way_to_go_wrong_is_told_from_the_others(self):
        programs = {"works": "first-epoll", "fails": "lost-tail",
                    "hangs": "half-read", "spins": "deaf-to-hangup",
                    "crashes": "interrupted"}
        for ending, program in programs.items():
            self.assertEqual(run.run(folder / program)[0], ending)

    def test_as_expected(self):
        self.assertEqual(problems("fails", "lost-tail", "lost-tail"), "")

    def test_a_cured_one_is_caught(self):
        said = problems("fails", "lost-tail", "lost-tail-cured")
        self.assertIn("it works, and should be one that fails", said)
        self.assertIn("Did you cure it?", said)
        self.assertIn("-(fails)", said)

    def test_another_output_is_caught(self):
        with tempfile.TemporaryDirectory() as temporary:
            kept = Path(temporary) / "kept.txt"
            kept.write_text((KEPT / "heir.txt").read_text().replace("yes", "no"))
            said = "\n".join(run.compare("fails", kept, folder / "heir"))
        self.assertIn("-the second connection has the number of the first: no",
                      said)

    def test_an_output_that_is_not_kept_is_caught(self):
        self.assertIn("+(fails)", problems("fails", "nothing", "heir"))


unittest.main()
