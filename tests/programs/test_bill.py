"""The bill of chapter 08, of few clients: that it can be made and is complete.

  test_bill.py build/bin
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
BIN = Path(sys.argv.pop(1)).resolve()
CLIENTS = 200
NAIVE = {f"naive-{steps}" for steps in range(6)}
SMALL = {f"small-0{chapter}" for chapter in range(1, 7)}


class Bill(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            cls.done = subprocess.run(
                [sys.executable, "-B", TOP / "chapters/08-the-bill/bill.py",
                 "--clients", str(CLIENTS), "--pairs", "1", "--without-peers",
                 "--to", folder],
                env=os.environ | {"NAGLFAR_BIN": str(BIN)}, text=True,
                capture_output=True, timeout=100)
            cls.results = {file.stem: json.loads(file.read_text())
                           for file in Path(folder).glob("*.json")}

    def rows(self, name):
        self.assertIn(name, self.results, self.done.stdout + self.done.stderr)
        return self.results[name]["runs"]

    def test_every_program_is_on_it(self):
        for name in "ladder", "growth", "memory", "calls":
            names = {"floor", "comet-00"} | NAIVE | SMALL
            if (BIN / "small-06-asm").exists():
                names |= {f"small-0{chapter}-asm" for chapter in range(2, 7)}
                names |= {"library-06", "comet-06"}
            else:
                names |= {"library-06-ucontext", "comet-06-ucontext"}
            self.assertLessEqual(names, set(self.rows(name)), name)
            self.assertIn("cpu", self.results[name]["machine"])

    def test_the_same_source_runs_on_small_version_and_library(self):
        runs = self.rows("ladder")
        assembly = (BIN / "small-06-asm").exists()
        row = self.rows("same")["asm" if assembly else "ucontext"]
        small, library = (("small-06-asm", "library-06") if assembly else
                          ("small-06", "library-06-ucontext"))
        self.assertEqual(row["pairs"], 1)
        self.assertAlmostEqual(
            row["ratio"], runs[small]["ratio"] / runs[library]["ratio"],
            delta=0.001)

    def test_a_step_saves_what_it_has_less_than_the_step_before(self):
        runs = self.rows("ladder")
        for steps in range(1, 6):
            self.assertAlmostEqual(
                runs[f"naive-{steps}"]["saves"],
                runs[f"naive-{steps - 1}"]["ratio"] -
                runs[f"naive-{steps}"]["ratio"], delta=0.001)

    def test_the_small_version_in_assembly_makes_no_call_to_switch(self):
        kinds = self.rows("calls")
        for chapter in range(2, 7):
            name = f"small-0{chapter}"
            self.assertGreater(kinds[name]["counts"]["rt_sigprocmask"],
                               kinds[name]["switches"], name)
            if f"{name}-asm" in kinds:
                self.assertNotIn("rt_sigprocmask",
                                 kinds[f"{name}-asm"]["counts"], name)

    def test_user_and_kernel_are_all(self):
        for row in self.rows("ladder").values():
            self.assertGreater(row["us"], 0)
            self.assertAlmostEqual(row["us"], row["user_us"] + row["kernel_us"],
                                   delta=0.01)

    def test_the_floor_wastes_no_call(self):
        counts = self.rows("calls")["floor"]["counts"]
        # Ten, and what the run begins with, its status client, and the looks
        # at epoll need.
        self.assertLess(counts["all"], 10.5, counts)

    def test_each_step_gives_a_habit_up(self):
        kinds = self.rows("calls")

        def calls(steps, *names):
            counts = kinds[f"naive-{steps}"]["counts"]
            return sum(counts.get(name, 0) for name in names)

        self.assertLess(calls(1, "mmap", "munmap"), calls(0, "mmap") / 2)
        self.assertLess(kinds["naive-2"]["parks"], kinds["naive-1"]["parks"] - 2)
        self.assertLess(calls(3, "epoll_ctl"), calls(2, "epoll_ctl"))
        self.assertLess(kinds["naive-4"]["page_faults"],
                        kinds["naive-3"]["page_faults"] - 1)

    def test_the_time_in_calls_is_told_by_kind(self):
        row = self.rows("calls")["floor"]
        for name in "connect", "accept4", "read", "write", "close", "epoll_ctl":
            self.assertGreater(row["us"][name], 0, name)


unittest.main()
