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
STAGES = {"00", "01", "02", "03", "04", "05", "06"}
NAIVE = {f"naive-{steps}" for steps in range(6)}


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
            self.assertLessEqual({"floor"} | STAGES | NAIVE,
                                 set(self.rows(name)), name)
            self.assertIn("cpu", self.results[name]["machine"])

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
