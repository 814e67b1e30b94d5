"""What a reader of chapter 03 sees who types the scheduler: the folder to type
in, and what `small-03 --check` tells of a mistake.

test_check.py COMPILER POLLER libcomet_harness.a libnaglfar_sys.a

Each mistake is planted in a copy of the finished header, as a reader may make
it, and the chapter's run is built with that.
"""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "chapters"))
import steps  # noqa: E402

CHAPTER = steps.folder_of("03")
COMPILER, POLLER, *LIBRARIES = sys.argv[1:]


class Check(unittest.TestCase):

    def check(self, right, wrong):
        """Plants a mistake. Returns what the run under --check says."""
        with tempfile.TemporaryDirectory() as folder:
            steps.extract(CHAPTER, steps.steps_of(CHAPTER), Path(folder))
            header = Path(folder, "naglfar/scheduler.hpp")
            text = header.read_text()
            self.assertEqual(text.count(right), 1, right)
            header.write_text(text.replace(right, wrong))
            program = Path(folder, "small-03")
            subprocess.run(
                [COMPILER, "-std=c++20", "-I", folder, "-I", TOP / "src",
                 "-I", TOP / "chapters/00-the-run",
                 "-I", TOP / "chapters/02-coroutines",
                 f"-DNAGLFAR_{POLLER.upper()}", '-DNAGLFAR_PROGRAM="small-03"',
                 steps.run_of(CHAPTER), "-o", program, *LIBRARIES,
                 "-pthread"], check=True)
            return subprocess.run([program, "--check"], capture_output=True,
                                  text=True, timeout=60)

    def test_a_right_scheduler_passes(self):
        said = self.check("ready_.append(self());", "ready_.append(self());")
        self.assertEqual(said.returncode, 0, said.stderr)
        self.assertIn("done 300", said.stdout)

    def fails(self, right, wrong, *words):
        said = self.check(right, wrong)
        self.assertEqual(said.returncode, 1, said.stdout)
        for word in words:
            self.assertIn(word, said.stderr)
        return said.stderr

    def test_what_is_never_woken_sleeps(self):
        self.fails("void wake(Job& job) { ready_.append(job); }",
                   "void wake(Job&) {}",
                   "sleeps", "0 of 300 got their answers",
                   "woken by its own message")

    def test_what_never_suspends_spins(self):
        self.fails("    Coroutine::suspend();\n    self.waitsFor = nullptr;",
                   "    self.waitsFor = nullptr;", "spins")

    def test_a_deadlock_is_told_in_few_lines(self):
        said = self.fails("    ready_.append(pollerJob_);\n    ++ledger.parks;",
                          "    ++ledger.parks;",
                          "deadlock", "and ", " more", "0 of 300 wait")
        self.assertLess(said.count("\n"), 40)

    def test_more_clients_than_one_poll_tells_of(self):
        self.fails("      waits_.erase(waits_.begin());\n    }\n"
                   "    ready_.append(pollerJob_);",
                   "      waits_.erase(waits_.begin());\n    }", "deadlock")

    def test_what_is_typed_where_the_chapter_begins_is_what_runs(self):
        with tempfile.TemporaryDirectory() as folder:
            mine = Path(folder, "mine")
            steps.export(CHAPTER, 0, mine)
            subprocess.run(["cmake", "-S", mine, "-B", mine / "build"],
                           stdout=subprocess.DEVNULL, check=True)
            header = mine / "naglfar/scheduler.hpp"
            self.assertFalse(header.exists())
            finished = steps.files_at(CHAPTER, steps.steps_of(CHAPTER))
            header.write_text("\n".join(
                finished["naglfar/scheduler.hpp"]) + "\n")
            for program, says in ("small-03", "done 10\n"), ("go", "Ada\n"):
                subprocess.run(["cmake", "--build", mine / "build",
                                "--target", program],
                               stdout=subprocess.DEVNULL, check=True)
                said = subprocess.run([mine / "build" / program, "10"],
                                      capture_output=True, text=True)
                self.assertTrue(said.stdout.startswith(says), said)

    def test_a_crash_is_told(self):
        self.fails("    current_ = this;", "", "Segmentation fault", "null")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
