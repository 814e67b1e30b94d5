"""Both definitions of the checks, .ci/run and the workflow of GitHub, run the
same steps, and each step is a target of the Makefile. Run: test_ci.py"""

import re
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
STEP = re.compile(r"^step +(\S+) +make (\S+)", re.MULTILINE)
CALL = re.compile(r"^ +- run: \.ci/run +(.+)$", re.MULTILINE)
MATRIX = re.compile(r"^        steps:\n((?: {10}- .+\n)+)", re.MULTILINE)
TARGETS = re.compile(r"^([a-z][a-z0-9 -]*):", re.MULTILINE)


class Steps(unittest.TestCase):
    def setUp(self):
        self.steps = STEP.findall((TOP / ".ci/run").read_text())
        self.assertGreater(len(self.steps), 10)

    def test_the_workflow_runs_all_of_them_and_no_other(self):
        workflow = (TOP / ".github/workflows/ci.yml").read_text()
        words = " ".join(CALL.findall(workflow) + MATRIX.findall(workflow))
        words = words.replace("${{ matrix.steps }}", "").replace(" - ", " ")
        self.assertEqual(set(words.split()) - {"-"},
                         {name for name, _ in self.steps})

    def test_each_is_a_target(self):
        targets = " ".join(TARGETS.findall((TOP / "Makefile").read_text()))
        for name, target in self.steps:
            self.assertEqual(name, target)
            self.assertIn(target, targets.split())


if __name__ == "__main__":
    unittest.main()
