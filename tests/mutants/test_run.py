"""The tool that plants mistakes: each of its verdicts, and what it refuses.

Every test starts from one small project, with a program, two tests and a
mutant. The last ones look at the real patches. Run: test_run.py
"""

import contextlib
import datetime
import io
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import run  # noqa: E402

CMAKE = """\
cmake_minimum_required(VERSION 3.25)
project(small LANGUAGES CXX)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
enable_testing()
add_executable(test_sys src/sum.cpp tests/test_sys.cpp)
foreach(name sums fails)
  add_test(NAME "sys:${name}" COMMAND test_sys ${name})
endforeach()
"""
SUM = """\
int sum(int n) {
  int all = 0;
  for (int i = 1; i <= n; ++i) {
    all += i;
  }
  return all;
}

int other(int n) {
  int all = 1;
  for (int i = 1; i <= n; ++i) {
    all *= i;
  }
  return all;
}
"""
MAIN = """\
#include <string_view>

int sum(int n);

int main(int, char** words) {
  if (words[1] == std::string_view("sums")) return sum(10) == 55 ? 0 : 1;
  return 1;
}
"""
PATCH = """\
Mistake: The sum goes on after its end.
Why: <= and < look alike,
  and so do the results.
2009: 25
Test: sys:sums

--- a/src/sum.cpp
+++ b/src/sum.cpp
@@ -2,4 +2,4 @@
   int all = 0;
-  for (int i = 1; i <= n; ++i) {
+  for (int i = 1; i < n; ++i) {
     all += i;
   }
"""


class Small(unittest.TestCase):
    """A test with a small project."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        self.patches = self.top / "tests" / "mutants"
        self.put("CMakeLists.txt", CMAKE)
        self.put("src/sum.cpp", SUM)
        self.put("tests/test_sys.cpp", MAIN)
        self.put("docs/mutants.md", "<!-- mutants -->\n<!-- /mutants -->\n")

    def put(self, name, text):
        path = self.top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def mutant(self, old="", new="", name="sys-sum"):
        """A mutant, like PATCH but for one thing."""
        if old not in PATCH:
            raise ValueError(old)
        self.put(f"tests/mutants/{name}.patch", PATCH.replace(old, new))

    def read(self):
        mutants, troubles = run.read_mutants(self.patches)
        self.assertEqual(troubles, [])
        return mutants

    def troubles(self):
        mutants, troubles = run.read_mutants(self.patches)
        return "\n".join(troubles + run.check(self.top, mutants))


class Verdicts(Small):
    def judged(self, patience=run.PATIENCE):
        """The verdict on the only mutant, and whether all is well."""
        former, run.PATIENCE = run.PATIENCE, patience
        with contextlib.redirect_stdout(io.StringIO()) as said:
            verdicts = run.run(self.top, self.read(), 1)
            good = run.report(verdicts)
        run.PATIENCE = former
        self.said = said.getvalue()
        self.assertEqual((self.top / "src/sum.cpp").read_text(), SUM)
        copy = self.top / "build/mutants/1/source/src/sum.cpp"
        self.assertEqual(copy.read_text(), SUM)
        self.assertEqual(len(verdicts), 1)
        return verdicts[0].state, good

    def test_a_mistake_is_caught(self):
        self.mutant()
        self.assertEqual(self.judged(), ("caught", True))
        self.assertIn("1 of 1 mutants are caught", self.said)

    def test_what_changes_nothing_survives(self):
        self.mutant("i < n;", "i < n + 1;")
        self.assertEqual(self.judged(), ("SURVIVES", False))
        self.assertIn('sys-sum.patch: "sys:sums" passes', self.said)

    def test_each_test_that_is_named_must_notice(self):
        self.mutant("Test: sys:sums", "Test: sys:sums\nTest: sys:products")
        self.put("CMakeLists.txt", CMAKE + 'add_test(NAME sys:products '
                 'COMMAND test_sys sums)\nset_tests_properties(sys:products '
                 'PROPERTIES DEPENDS sys:sums)\n')
        self.assertEqual(self.judged(), ("caught", True))
        self.put("CMakeLists.txt", CMAKE + 'add_test(NAME sys:products '
                 'COMMAND ${CMAKE_COMMAND} -E true)\n')
        self.assertEqual(self.judged(), ("SURVIVES", False))

    def test_who_does_not_end_is_caught_too(self):
        self.mutant("i < n; ++i", "i <= n;")
        self.assertEqual(self.judged(patience=5), ("hangs", True))

    def test_what_does_not_compile_is_no_mutant(self):
        self.mutant("i < n;", "i << ;")
        self.assertEqual(self.judged(), ("TROUBLE", False))
        self.assertIn("sys-sum.patch: does not compile", self.said)

    def test_nor_what_does_not_apply(self):
        self.mutant("i <= n;", "i <= m;")
        self.assertEqual(self.judged(), ("TROUBLE", False))
        self.assertIn("sys-sum.patch: does not apply: src/sum.cpp has no "
                      "places", self.said)

    def test_a_test_must_be_there(self):
        self.mutant("sys:sums", "sys:summs")
        self.assertEqual(self.judged(), ("TROUBLE", False))
        self.assertIn('there is no test "sys:summs"', self.said)

    def test_and_pass_without_the_mutant(self):
        self.mutant("sys:sums", "sys:fails")
        self.assertEqual(self.judged(), ("TROUBLE", False))
        self.assertIn('"sys:fails" does not pass without a mutant', self.said)

    def test_what_another_machine_would_run_is_left_out(self):
        self.mutant("Test:", "Machine: pdp11\nTest:")
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertEqual(run.for_this_machine(self.read()), [])
        self.assertIn("sys-sum: left out, it is for pdp11", said.getvalue())

    def test_the_small_version_has_programs_of_its_own(self):
        self.put("CMakeLists.txt", CMAKE + """
            add_executable(small_sys src/sum.cpp tests/test_sys.cpp)
            add_test(NAME small_sys:sums COMMAND small_sys sums)""")
        self.mutant("sys:sums", "small_sys:sums", "small-io-sum")
        self.assertEqual(self.judged(), ("caught", True))
        self.assertFalse(
            (self.top / "build/mutants/1/build/bin/test_sys").exists())
        self.mutant("sys:sums", "small_sys:summs", "small-io-sum")
        self.assertEqual(self.judged(), ("TROUBLE", False))
        self.assertIn('there is no test "small_sys:summs"', self.said)

    def test_what_an_interrupted_run_has_left_is_put_right(self):
        self.mutant()
        self.judged()
        self.put("build/mutants/1/source/src/sum.cpp",
                 SUM.replace("<= n", "< n"))
        self.put("build/mutants/1/source/src/more.cpp", "")
        self.assertEqual(self.judged(), ("caught", True))


class Patches(Small):
    def test_the_line_numbers_do_not_matter(self):
        self.put("src/sum.cpp", "// more\n// and more\n\n" + SUM)
        self.mutant()
        new = self.read()[0].applied(self.top)["src/sum.cpp"]
        self.assertEqual(new, "// more\n// and more\n\n" +
                         SUM.replace("<= n", "< n", 1))

    def test_the_edges_of_the_context_may_change(self):
        self.mutant()
        for line, good in [("  int all = 0;", True), ("    all += i;", True),
                           ("  for (int i = 1; i <= n; ++i) {", False)]:
            self.put("src/sum.cpp", SUM.replace(line, line + "  //", 1))
            if good:
                self.assertIn("i < n", self.read()[0].applied(
                    self.top)["src/sum.cpp"])
            else:
                self.assertIn("does not apply", self.troubles())

    def test_two_places_are_refused(self):
        self.put("src/sum.cpp", SUM + SUM)
        self.mutant()
        self.assertIn("sys-sum.patch: does not apply: src/sum.cpp has 2 "
                      "places", self.troubles())

    def test_a_file_that_is_gone_is_named(self):
        self.mutant("src/sum.cpp", "src/summ.cpp")
        self.assertIn("sys-sum.patch: does not apply: there is no "
                      "src/summ.cpp", self.troubles())

    def test_a_patch_that_changes_nothing_is_refused(self):
        self.mutant("i < n;", "i <= n;")
        self.assertIn("sys-sum.patch: changes nothing", self.troubles())

    def test_what_is_missing_is_named(self):
        for old, new, message in [
                ("Mistake: The", "The", 'what is "The sum'),
                ("Why: <= and < look alike,\n  and so do the results.\n", "",
                 "has no Why"),
                ("Test: sys:sums\n", "", "has no Test"),
                (PATCH[PATCH.index("---"):], "", "has no a diff"),
                ("@@ -2,4 +2,4 @@", "", "not a diff"),
        ]:
            self.mutant(old, new)
            self.assertIn(f"sys-sum.patch: {message}", self.troubles())

    def test_a_name_begins_with_a_layer(self):
        self.mutant(name="sum-sys")
        self.assertIn("sum-sys.patch: its name", self.troubles())
        self.mutant(name="small-sum")
        self.assertIn("small-sum.patch: its name", self.troubles())

    def test_the_small_version_is_a_part_of_the_page(self):
        self.mutant()
        self.mutant(name="small-io-sum")
        run.refresh(self.top, self.read())
        page = (self.top / "docs/mutants.md").read_text()
        places = [page.index(text) for text in [
            "\n### sys\n", "| [sys-sum]", "\n## The small version\n",
            "\n### small-io\n", "| [small-io-sum]"]]
        self.assertEqual(places, sorted(places))

    def test_refresh_renews_what_check_refuses(self):
        self.mutant()
        self.put("src/sum.cpp", "// more\n" + SUM)
        self.assertIn("its table is not", self.troubles())
        run.refresh(self.top, self.read())
        self.assertEqual(self.troubles(), "")
        text = (self.patches / "sys-sum.patch").read_text()
        self.assertIn("@@ -2,5 +2,5 @@", text)
        self.assertIn("2009: 25\n", text)
        page = (self.top / "docs/mutants.md").read_text()
        self.assertIn("| [sys-sum](../tests/mutants/sys-sum.patch) | The sum "
                      "goes on after its end. (2009: 25) | sys:sums |", page)
        run.refresh(self.top, self.read())
        self.assertEqual((self.patches / "sys-sum.patch").read_text(), text)
        self.assertEqual((self.top / "docs/mutants.md").read_text(), page)

    @unittest.skipUnless(shutil.which("git"), "there is no git")
    def test_it_is_a_diff_like_others(self):
        self.mutant()
        run.refresh(self.top, self.read())
        applied = subprocess.run(["git", "apply", "--check",
                                  self.patches / "sys-sum.patch"],
                                 cwd=self.top)
        self.assertEqual(applied.returncode, 0)


class Parts(unittest.TestCase):
    def test_each_mutant_is_in_one_part(self):
        mutants, _ = run.read_mutants(HERE)
        for of in 1, 4, 7:
            parts = [run.chosen(mutants, [], f"{k}/{of}", None, HERE)
                     for k in range(1, of + 1)]
            self.assertEqual(sorted(m.name for part in parts for m in part),
                             sorted(m.name for m in mutants))

    def test_a_part_that_is_none_is_refused(self):
        for part in "5/4", "0/4", "1", "1/0", "x/y", "date/0":
            with self.assertRaises(run.Trouble):
                run.chosen([], [], part, None, HERE)

    def test_by_the_date_each_part_has_its_turn(self):
        day = datetime.date(2026, 12, 29)  # over the end of a year, too
        days = [day + datetime.timedelta(n) for n in range(8)]
        self.assertEqual({run.part_of("date/8", day)[0] for day in days},
                         set(range(8)))

    def test_a_name_that_is_none_is_refused(self):
        with self.assertRaisesRegex(run.Trouble, "no mutant sys-nothing"):
            run.chosen([], ["sys-nothing"], None, None, HERE)


@unittest.skipUnless(shutil.which("git"), "there is no git")
class Changed(Small):
    """Two mutants, of two files, in a repository."""

    def setUp(self):
        super().setUp()
        self.put("src/more.cpp", SUM)
        self.mutant()
        self.mutant("src/sum.cpp", "src/more.cpp", "sys-more")
        path = self.patches / "sys-more.patch"
        path.write_text(path.read_text().replace("Test: sys:", "Test: io:"))
        self.git("init", "-q")
        self.commit()

    def git(self, *command):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=b",
                        *command], cwd=self.top, check=True)

    def commit(self):
        self.git("add", ".")
        self.git("commit", "-q", "-m", "A commit")

    def since(self, revision="HEAD", part=None):
        return [m.name for m in run.chosen(self.read(), [], part, revision,
                                           self.top)]

    def test_nothing_has_changed(self):
        self.assertEqual(self.since(), [])

    def test_what_has_changed_concerns_its_mutants(self):
        for path, mutants in [("src/more.cpp", ["sys-more"]),
                              ("tests/test_sys.cpp", ["sys-sum"]),
                              ("tests/test_io.cpp", ["sys-more"]),
                              ("src/other.cpp", [])]:
            self.put(path, SUM + "// changed\n")
            self.assertEqual(self.since(), mutants)  # before the commit
            self.commit()
            self.assertEqual(self.since("HEAD~1"), mutants)
            self.assertEqual(self.since("HEAD"), [])

    def test_both_versions_have_the_same_test_file(self):
        path = self.patches / "sys-sum.patch"
        path.write_text(path.read_text().replace("Test: sys", "Test: small_sys"))
        self.commit()
        self.put("tests/test_sys.cpp", "// changed\n")
        self.assertEqual(self.since(), ["sys-sum"])

    def test_so_does_a_patch(self):
        path = self.patches / "sys-sum.patch"
        path.write_text(path.read_text().replace("look alike", "look the same"))
        self.assertEqual(self.since(), ["sys-sum"])

    def test_a_part_comes_in_addition(self):
        self.put("src/sum.cpp", SUM + "// changed\n")
        both = [self.since("HEAD", part) for part in ("1/2", "2/2")]
        self.assertEqual(sorted(both, key=len),
                         [["sys-sum"], ["sys-more", "sys-sum"]])

    def test_a_revision_that_is_none_is_refused(self):
        with self.assertRaisesRegex(run.Trouble, "no commit nonsense"):
            self.since("nonsense")


class Ours(unittest.TestCase):
    def test_every_patch_applies_and_the_table_is_current(self):
        mutants, troubles = run.read_mutants(HERE)
        self.assertEqual(troubles + run.check(run.TOP, mutants), [])
        self.assertGreaterEqual(len(mutants), 45)

    def test_all_defects_of_2009_are_there(self):
        mutants, _ = run.read_mutants(HERE)
        self.assertEqual({m.defect for m in mutants} - {""},
                         {str(n) for n in range(1, 25)})


if __name__ == "__main__":
    unittest.main()
