"""The book's tools: each failure they must catch is planted, and caught.

Every test starts from one small good tree, which passes, and breaks one thing
in it. Run: python3 tests/docs/test_listings.py
"""

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
TOP = Path(__file__).resolve().parents[2]
TOOL = TOP / "docs" / "listings.py"
sys.path.insert(0, str(TOP / "docs"))

import grown  # noqa: E402

GATE = """\
/// @file gate.hpp
/// A gate.
#pragma once
namespace naglfar {

/// @addtogroup poller
/// @{

// [gate]
/// Opens once.
class Gate {
 public:
  /// Waits.
  void wait();

  // [open]
  /// Opens.
  void open() {
    open_ = true;
  }
  // [/open]

 private:
  bool open_ = false;
};
// [/gate]

/// A gate with a lock.
class LockedGate : public Gate {
 public:
  /// Locks.
  void lock();
};

/// @}
}  // namespace naglfar
"""
COMET = "// The run.\nint main() {}\n"
RUN = {"program": "comet-00", "clients": 100, "clients_in_child": False,
       "user_s": 0.25, "kernel_s": 0.5, "total_s": 61.5, "peak_kib": 2000,
       "per_client": {"switches": 12.5, "parks": 4, "page_faults": 0},
       "calls": {"accept4": 100, "epoll_ctl": 0, "read": 250}}
LADDER = {"clients": 9000, "runs": {
    "floor": {"title": "the floor", "kind": "floor", "us": {"all": 50.25}},
    "asio": {"title": "Asio", "kind": "peer", "ratio": 1.5, "peak_kib": 4096, "1000": 7,
             "us": {"all": 75.0, "read": 2.5}}}}
ANNOTATED = """\
# The layer

```cpp file=src/naglfar/gate.hpp
```
```cpp file=src/naglfar/gate.hpp#gate
```
```cpp file=src/naglfar/gate.hpp#open
```
"""
CHAPTER = """\
# The gate

It makes <!--n 00.switches-->?<!--/n--> switches and <!--n 00.read:.1f-->?<!--/n--> reads.
`Gate::wait` and `open` and `LockedGate::open`, and `Gate::open_` inside.

```cpp file=chapters/00-gate/comet.cpp
```
```text run=chapters/00-gate/run.json
```
```text ledger=00,01
```
```text table=00/ladder:floor,peer:ratio,us.all,us.read,peak_kib,1000
```
Of <!--n 00/ladder.clients:,-->?<!--/n--> it is <!--n 00/ladder.asio.us.read-->?<!--/n-->.

````text
```cpp file=no/such.cpp
```
````
"""

# The small version of a chapter, in two steps, and a demo of both.
DOOR = """\
#pragma once

#include <string>  //[2

/// A door.
class Door {
 public:
  /// Opens.
  //[1-1 void open() { open_ = 1; }
  void open() {  //[2
    open_ = true;
    said_ = "open";
  }

 private:
  //[1-1 int open_ = 0;
  bool open_ = false;  //[2
  std::string said_;   //[2
};
"""
DEMO = """\
// A door is opened.
//! 1: nothing
//! 2: open
//! 2 ends by SIGSEGV

int main() {}
"""
STEPS = """\
# Steps

```cpp step=02/1
```
```cpp file=chapters/02-door/steps/opens.cpp
```
```text demo=02/1
```
```cpp step=02/2
```
```text demo=02/2
```
"""


class Tree(unittest.TestCase):
    """A good tree in a temporary folder."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        self.write("src/naglfar/gate.hpp", GATE)
        self.write("chapters/00-gate/comet.cpp", COMET)
        self.write("chapters/00-gate/README.md", CHAPTER)
        self.write("docs/source/poller.md", ANNOTATED)
        self.write("chapters/00-gate/run.json", json.dumps(RUN))
        self.write("chapters/00-gate/results/ladder.json", json.dumps(LADDER))
        self.write("chapters/01-more/run.json", json.dumps(
            RUN | {"calls": {"accept4": 100, "epoll_ctl": 200}}))
        self.write("chapters/02-door/README.md", "# Door\n")
        self.write("chapters/02-door/steps.md", STEPS)
        self.write("chapters/02-door/small/naglfar/door.hpp", DOOR)
        self.write("chapters/02-door/steps/opens.cpp", DEMO)
        self.write("README.md", "# Book\n\n[gate](chapters/00-gate/README.md)\n")
        self.tool("refresh", status=0)

    def write(self, path, text):
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def read(self, path):
        return (self.root / path).read_text()

    def edit(self, path, old, new):
        text = self.read(path)
        self.assertIn(old, text)
        self.write(path, text.replace(old, new, 1))

    def tool(self, command, status):
        result = subprocess.run(
            [sys.executable, TOOL, command, "--root", self.root],
            capture_output=True, text=True)
        self.assertEqual(result.stderr, "")
        self.assertEqual(result.returncode, status, result.stdout)
        return result.stdout

    def assertCaught(self, message):
        """`check` fails with exactly one problem, which reads like this."""
        lines = self.tool("check", status=1).splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertRegex(lines[0], r"^[^:]+:\d+: ")
        self.assertIn(message, lines[0])


PAGE = "chapters/00-gate/README.md"
LAYER = "docs/source/poller.md"
OUTPUT = "chapters/00-gate/exhibits/wrong.txt"
DOOR_PAGE = "chapters/02-door/steps.md"
SMALL = "chapters/02-door/small/naglfar/door.hpp"
SOURCE = "src/naglfar/gate.hpp"


class GoodTree(Tree):
    def test_passes(self):
        self.assertEqual(self.tool("check", status=0), "")

    def test_refresh_is_repeatable(self):
        before = self.read(PAGE)
        self.assertEqual(self.tool("refresh", status=0), "")
        self.assertEqual(self.read(PAGE), before)

    def test_inner_region_is_one_line_and_no_marker_is_printed(self):
        page = self.read(LAYER)
        self.assertIn('\n  // ... see "open"\n', page)
        self.assertIn("\nnamespace naglfar {\n", page)
        self.assertNotIn("// [", page)

    def test_indented_region_stands_at_the_left_margin(self):
        self.assertIn("#open\n/// Opens.\nvoid open() {\n  open_ = true;\n}\n```",
                      self.read(LAYER))

    def test_hash_comments(self):
        self.write("src/naglfar/a.py", "# [one]\nx = 1\n# [/one]\n")
        self.edit(LAYER, "# The layer\n",
                  "# The layer\n\n```python file=src/naglfar/a.py#one\n```\n")
        self.tool("refresh", status=0)
        self.assertIn("\nx = 1\n```", self.read(LAYER))
        self.tool("check", status=0)

    def test_a_fence_in_a_listing_gets_a_longer_fence_around(self):
        self.write("chapters/00-gate/comet.cpp", "// ```\n/*\n```\n*/\n")
        self.tool("refresh", status=0)
        self.assertIn("````cpp file=chapters/00-gate/comet.cpp\n",
                      self.read(PAGE))
        self.tool("check", status=0)
        self.assertEqual(self.tool("refresh", status=0), "")

    def test_output_of_an_exhibit(self):
        self.write(OUTPUT, "gone\n(fails)\n")
        self.edit(PAGE, "# The gate\n",
                  f"# The gate\n\n```text output={OUTPUT}\n```\n")
        self.tool("refresh", status=0)
        self.assertIn("$ build/bin/exhibits/wrong\ngone\n(fails)\n```",
                      self.read(PAGE))
        self.tool("check", status=0)

    def test_what_a_chapter_adds(self):
        self.write("chapters/00-gate/exhibits/wrong.cpp", "int main() {}\n")
        self.edit(PAGE, "# The gate\n", """# The gate

```cpp file=chapters/00-gate/exhibits/wrong.cpp
```
```text adds=00
```
""")
        self.tool("refresh", status=0)
        self.assertIn("""
chapters/00-gate/comet.cpp      2 lines
together                        2 lines
""", self.read(PAGE))
        self.tool("check", status=0)
        self.edit("chapters/00-gate/comet.cpp", "int main", "\nint main")
        self.assertIn("stale: 'text adds=00'", self.tool("check", status=1))

    def test_report_names_regions_and_places(self):
        report = self.tool("report", status=0)
        self.assertRegex(report, r"\b4  src/naglfar/gate.hpp#open +"
                         r"docs/source/poller.md:\d+")

    def test_report_of_a_run(self):
        self.assertIn("""run.json
done 100

Time spent in user mode   (CPU seconds) : 0.250s
Time spent in kernel mode (CPU seconds) : 0.500s
Total time                              : 1:01.50s
CPU utilisation (percentage)            : 1.2%

The ledger, per client
  switches                12.50
  parks                    4.00
  page faults              0.00
    accept4                1.00
    read                   2.50
Peak memory: 2.0 MiB
```
""", self.read(PAGE))

    def test_ledger_side_by_side(self):
        page = self.read(PAGE).partition("ledger=")[2]
        for row in (r"per client +00 +01", r"switches +12\.50 +12\.50",
                    r"  epoll_ctl +0\.00 +2\.00", r"  read +2\.50 +-"):
            self.assertRegex(page, "\n" + row + "\n")
        self.assertNotIn("page faults", page)  # none in either run

    def test_numbers(self):
        self.assertIn("<!--n 00.switches-->12.50<!--/n--> switches and "
                      "<!--n 00.read:.1f-->2.5<!--/n--> reads", self.read(PAGE))

    def test_numbers_of_another_result(self):
        self.assertIn("Of <!--n 00/ladder.clients:,-->9,000<!--/n--> it is "
                      "<!--n 00/ladder.asio.us.read-->2.50<!--/n-->.",
                      self.read(PAGE))

    def test_table(self):
        self.assertIn("""peak_kib,1000
           ratio   all  read  peak kib  1,000
the floor      -  50.2     -         -      -
Asio        1.50  75.0  2.50     4,096      7
```
""", self.read(PAGE))

    def test_a_step_that_begins_a_header(self):
        self.assertIn("""step=02/1
// naglfar/door.hpp, a new file
#pragma once

/// A door.
class Door {
 public:
  /// Opens.
  void open() { open_ = 1; }

 private:
  int open_ = 0;
};
```
""", self.read(DOOR_PAGE))

    def test_a_step_shows_what_it_changes_and_where(self):
        self.assertIn("""step=02/2
// naglfar/door.hpp
#pragma once

#include <string>

/// A door.
class Door {
 public:
  /// Opens.
  // gone: void open() { open_ = 1; }
  void open() {
    open_ = true;
    said_ = "open";
  }

 private:
  // gone: int open_ = 0;
  bool open_ = false;
  std::string said_;
};
```
""", self.read(DOOR_PAGE))

    def test_pieces_that_lie_apart(self):
        self.edit(SMALL, " private:\n", "  int one();\n  int two();\n"
                  "  int three();\n  int four();\n\n private:\n")
        self.tool("refresh", status=0)
        self.assertIn("""
    said_ = "open";
  }

  int one();
// ... in class Door
 private:
  // gone: int open_ = 0;
""", self.read(DOOR_PAGE))

    def test_a_piece_at_the_end_of_a_header(self):
        self.write(SMALL, DOOR + "int more();  //[2\n")
        self.tool("refresh", status=0)
        self.assertIn("\n};\nint more();\n// the end of the file\n```\n",
                      self.read(DOOR_PAGE))

    def test_a_long_line_that_goes_is_wrapped(self):
        self.edit(SMALL, "//[1-1 int open_ = 0;", "//[1-1 int open_ = one("
                  + ", ".join("12345" for _ in range(8)) + ");")
        self.tool("refresh", status=0)
        self.assertRegex(self.read(DOOR_PAGE),
                         r"\n  // gone: int open_ = one\(.*\n  //         12345")

    def test_output_of_a_demo(self):
        page = self.read(DOOR_PAGE)
        self.assertIn("demo=02/1\n$ build/opens  # step 1\nnothing\n```", page)
        self.assertIn("""demo=02/2
$ build/opens  # step 1
nothing
$ build/opens  # step 2
open
(ends by SIGSEGV)
```
""", page)
        self.assertIn("// A door is opened.\n\nint main() {}\n", page)
        self.assertNotIn("//!", page)

    def test_a_demo_that_was_there_before_comes_first(self):
        self.write("chapters/02-door/steps/creaks.cpp", "//! 2: creak\nint x;\n")
        self.edit(DOOR_PAGE, "# Steps\n", "# Steps\n\n```cpp "
                  "file=chapters/02-door/steps/creaks.cpp\n```\n")
        self.tool("refresh", status=0)
        self.assertIn("SIGSEGV)\n$ build/creaks  # step 2\ncreak\n",
                      self.read(DOOR_PAGE))

    def test_a_demo_is_no_addition(self):
        self.edit(DOOR_PAGE, "# Steps\n", "# Steps\n\n```text adds=02\n```\n")
        self.assertIn("chapter 02 adds no files", self.tool("check", status=1))


class Caught(Tree):
    def test_stale_body(self):
        self.edit(LAYER, "  open_ = true;\n", "  open_ = false;\n")
        line = self.read(LAYER).split("\n").index("  open_ = false;") + 1
        self.assertCaught(f"poller.md:{line}: stale: "
                          "'cpp file=src/naglfar/gate.hpp#open'")
        self.tool("refresh", status=0)
        self.tool("check", status=0)

    def test_stale_after_the_source_changed(self):
        self.edit(SOURCE, "open_ = true", "open_ = !false")
        self.assertCaught("stale: 'cpp file=src/naglfar/gate.hpp#open'")

    def test_stale_by_a_missing_last_line(self):
        self.edit(PAGE, "int main() {}\n", "")
        line = self.read(PAGE).split("\n").index("// The run.") + 2
        self.assertCaught(f"README.md:{line}: stale: 'cpp file=chapters/00-gate/comet.cpp'")

    def test_unknown_file(self):
        self.edit(LAYER, "# The layer\n",
                  "# The layer\n\n```cpp file=src/no.hpp\n```\n")
        self.assertCaught("no file 'src/no.hpp'")
        self.tool("refresh", status=1)

    def test_file_outside_the_project(self):
        self.edit(PAGE, "# The gate\n",
                  "# The gate\n\n```cpp file=../../../etc/passwd\n```\n")
        self.assertCaught("no file")

    def test_unknown_region(self):
        self.edit(LAYER, "# The layer\n", "# The layer\n\n"
                  "```cpp file=src/naglfar/gate.hpp#opne\n```\n")
        self.assertCaught("no region 'opne' in src/naglfar/gate.hpp; is it 'open'?")

    def test_unreadable_info(self):
        self.edit(PAGE, "# The gate\n",
                  "# The gate\n\n```cpp  file = src/x.hpp file=a b\n```\n")
        self.assertCaught("cannot read")

    def test_unclosed_region(self):
        self.write("src/naglfar/gate.hpp", GATE.replace("// [/gate]\n", ""))
        self.tool("refresh", status=1)
        self.assertCaught("region 'gate' is not closed")

    def test_wrongly_nested_region(self):
        text = GATE.replace("  // [/open]\n", "")
        self.write("src/naglfar/gate.hpp",
                   text.replace("// [/gate]\n", "// [/gate]\n// [/open]\n"))
        problems = self.tool("refresh", status=1)
        self.assertIn("gate.hpp:25: wrongly nested: '/gate' inside 'open', "
                      "open since line 16", problems)

    def test_closing_without_opening(self):
        self.edit(SOURCE, "#pragma once\n", "#pragma once\n// [/x]\n")
        self.assertCaught("wrongly nested: '/x' but no region is open")

    def test_duplicate_region(self):
        self.edit(SOURCE, "/// A gate with", "// [open]\n// x\n// [/open]\n"
                  "/// A gate with")
        self.tool("refresh", status=1)
        self.assertCaught("region 'open' stands twice, first in line 16")

    def test_empty_region(self):
        self.edit(SOURCE, "#pragma once\n", "#pragma once\n// [x]\n// [/x]\n")
        self.assertIn("region 'x' is empty", self.tool("check", status=1))

    def test_name_that_is_not_kebab_case(self):
        self.edit(SOURCE, "#pragma once\n", "#pragma once\n// [Run_Queue]\n")
        self.assertCaught("not a region marker: // [Run_Queue]")

    def test_shown_twice(self):
        page = self.read(PAGE)
        start = page.index("```cpp file=chapters")
        end = page.index("```\n", start + 3) + 4
        self.write(PAGE, page + page[start:end])
        self.assertCaught("chapters/00-gate/comet.cpp is shown twice, first in "
                          "chapters/00-gate/README.md:")

    def test_region_shown_nowhere(self):
        self.edit(SOURCE, "  /// Locks.\n  void lock();\n",
                  "  // [lock]\n  /// Locks.\n  void lock();\n  // [/lock]\n")
        self.tool("refresh", status=0)
        self.assertCaught("gate.hpp:31: region 'lock' is shown on no page of docs/source/")

    def test_source_shown_nowhere(self):
        self.write("src/naglfar/deep/new.cpp", "int x;\n")
        self.assertCaught("src/naglfar/deep/new.cpp:1: this file is shown on no page")

    def test_the_library_on_a_page_of_a_chapter(self):
        """The listing is moved from the annotated source to the chapter."""
        layer = self.read(LAYER)
        start = layer.index("```cpp file=src/naglfar/gate.hpp#open\n")
        end = layer.index("```\n", start + 3) + 4
        self.write(LAYER, layer[:start] + layer[end:])
        self.edit(PAGE, "# The gate\n", "# The gate\n\n" + layer[start:end])
        self.assertCaught("README.md:3: src/naglfar/gate.hpp#open belongs on a "
                          "page of docs/source/")
        self.tool("refresh", status=1)

    def test_chapter_sources_shown_nowhere(self):
        for name in ("other.cpp", "other.hpp", "switch.S"):
            self.write(f"chapters/00-gate/{name}", "int x;\n")
            self.assertCaught(f"{name}:1: this file is shown nowhere")
            (self.root / "chapters/00-gate" / name).unlink()

    def test_exhibit_shown_nowhere(self):
        self.write("chapters/00-gate/exhibits/wrong.cpp", "int main() {}\n")
        self.tool("check", status=0)  # what it prints is not kept
        self.write(OUTPUT, "gone\n")
        self.edit(PAGE, "# The gate\n",
                  f"# The gate\n\n```text output={OUTPUT}\n```\n")
        self.tool("refresh", status=0)
        self.assertCaught("exhibits/wrong.cpp:1: this file is shown nowhere")

    def test_output_shown_nowhere(self):
        self.write(OUTPUT, "gone\n")
        self.assertCaught("wrong.txt:1: this output is shown nowhere")

    def test_stale_output(self):
        self.write(OUTPUT, "gone\n")
        fence = (f"\n```text output={OUTPUT}\n"
                 "$ build/bin/exhibits/wrong\nhere\n```\n")
        self.edit(PAGE, "# The gate\n", "# The gate\n" + fence)
        self.assertCaught(f"stale: 'text output={OUTPUT}'")

    def without(self, info):
        """Takes a fence out of the page of steps."""
        page = self.read(DOOR_PAGE)
        start = page.index(f"```{info}\n")
        self.write(DOOR_PAGE, page[:start]
                   + page[page.index("```\n", start + 3) + 4:])

    def test_step_shown_nowhere(self):
        self.without("cpp step=02/2")
        self.assertCaught("small/naglfar/door.hpp:1: step 02/2 is shown nowhere: "
                          "lines of the small version that it adds: 7")

    def test_what_a_demo_prints_shown_nowhere(self):
        self.without("text demo=02/2")
        self.assertCaught("demo 02/2 is shown nowhere")

    def test_demo_shown_nowhere(self):
        self.without("cpp file=chapters/02-door/steps/opens.cpp")
        self.assertCaught("steps/opens.cpp:1: this file is shown nowhere")

    def test_step_shown_twice(self):
        for kind in ("cpp step=02/2", "text demo=02/2"):
            page = self.read(DOOR_PAGE)
            self.write(DOOR_PAGE, page + f"```{kind}\n```\n")
            self.tool("refresh", status=1)
            self.assertCaught(f"{kind.split()[1].replace('=', ' ')} is shown twice, "
                              "first in chapters/02-door/steps.md:")
            self.write(DOOR_PAGE, page)

    def test_step_on_a_page_of_another_chapter(self):
        self.without("cpp step=02/2")
        self.edit(PAGE, "# The gate\n", "# The gate\n\n```cpp step=02/2\n```\n")
        self.tool("refresh", status=1)
        self.assertCaught("step 02/2 belongs on a page of chapters/02-door/")

    def test_unknown_step(self):
        for target, message in (
                ("02/3", "no step '02/3'; chapter 02 has the steps 1 to 2"),
                ("02/0", "no step '02/0'; chapter 02 has the steps 1 to 2"),
                ("00/1", "no step '00/1'; it is CHAPTER/STEP, of 02"),
                ("02", "no step '02'; it is CHAPTER/STEP, of 02")):
            for kind in ("cpp step", "text demo"):
                fence = f"```{kind}={target}\n```\n"
                self.edit(DOOR_PAGE, "# Steps\n\n", "# Steps\n\n" + fence)
                self.assertCaught(message)
                self.edit(DOOR_PAGE, fence, "")

    def test_stale_step(self):
        self.edit(DOOR_PAGE, "    open_ = true;\n", "    open_ = false;\n")
        self.assertCaught("stale: 'cpp step=02/2'")
        self.tool("refresh", status=0)
        self.tool("check", status=0)

    def test_stale_after_the_small_version_changed(self):
        self.edit(SMALL, "open_ = 1", "open_ = 2")
        problems = self.tool("check", status=1)  # it comes, and it goes
        self.assertIn("stale: 'cpp step=02/1'", problems)
        self.assertIn("stale: 'cpp step=02/2'", problems)

    def test_stale_output_of_a_demo(self):
        self.edit("chapters/02-door/steps/opens.cpp", "2: open", "2: shut")
        self.assertCaught("stale: 'text demo=02/2'")

    def test_step_without_a_demo(self):
        self.edit("chapters/02-door/steps/opens.cpp",
                  "//! 2: open\n//! 2 ends by SIGSEGV\n", "")
        self.assertIn("no demo in steps/ is built with step 02/2",
                      self.tool("check", status=1))

    def test_wide_line_of_a_step(self):
        self.edit(SMALL, "  bool open_", "  // " + "x" * 73 + "\n  bool open_")
        self.tool("refresh", status=0)
        self.edit(SMALL, "  // xx", "  // xxx")
        self.tool("refresh", status=1)
        self.assertCaught("step 02/2 is wider than 78 columns")

    def test_marker_that_cannot_be_read(self):
        self.edit(SMALL, "/// A door.\n", "/// A door.\n//[2\n")
        self.assertIn("this //[ is not closed", self.tool("check", status=1))

    def test_missing_output(self):
        self.edit(PAGE, "# The gate\n",
                  f"# The gate\n\n```text output={OUTPUT}\n```\n")
        self.assertCaught("no output 'wrong.txt'")

    def test_a_chapter_that_adds_nothing(self):
        self.edit(PAGE, "# The gate\n", "# The gate\n\n```text adds=05\n```\n")
        self.assertCaught("chapter 05 adds no files")

    def test_lines_outside_all_regions_shown_nowhere(self):
        page = self.read(LAYER)
        start = page.index("```cpp file=src/naglfar/gate.hpp\n")
        end = page.index("```\n", start + 3) + 4
        self.write(LAYER, page[:start] + page[end:])
        self.assertCaught("gate.hpp:1: this file is shown on no page")

    def test_too_many_markers(self):
        regions = "".join(f"// [r{n}]\nint x{n};\n// [/r{n}]\n" for n in range(3))
        fences = "".join("```cpp file=chapters/00-gate/comet.cpp#r%d\n```\n" % n
                         for n in range(3))
        self.edit(PAGE, "# The gate\n", "# The gate\n\n" + fences)
        self.write("chapters/00-gate/comet.cpp", regions + "int y;\n" * 51)
        self.tool("refresh", status=0)
        self.tool("check", status=0)  # 6 of 60 is a tenth
        self.write("chapters/00-gate/comet.cpp", regions + "int y;\n" * 50)
        self.tool("refresh", status=1)
        self.assertCaught("6 markers in 59 lines")
        self.write("chapters/00-gate/comet.cpp", regions + "int y;\n" * 30)
        self.tool("refresh", status=0)
        self.tool("check", status=0)  # 39 lines: too short to count

    def test_wide_line(self):
        wide = "// " + "x" * 75
        self.write("chapters/00-gate/comet.cpp", wide + "\n")
        self.tool("refresh", status=0)
        self.tool("check", status=0)
        self.write("chapters/00-gate/comet.cpp", wide + "x\n")
        self.tool("refresh", status=1)
        self.assertCaught("wider than 78 columns")

    def test_stale_number(self):
        self.edit(PAGE, "-->12.50<!", "-->12.51<!")
        self.assertCaught("stale: 00.switches is 12.50, not 12.51")
        self.tool("refresh", status=0)
        self.tool("check", status=0)

    def test_second_number_of_a_line(self):
        self.edit(PAGE, "-->2.5<!", "-->2.6<!")
        self.assertCaught("stale: 00.read:.1f is 2.5, not 2.6")

    def test_unknown_number(self):
        for key, message in (
                ("00.nothing", "no '00.nothing' in the results"),
                ("00.calls.nothing", "no '00.calls.nothing' in the results"),
                ("00.switches.more", "no '00.switches.more' in the results"),
                ("02.switches", "no result 'chapters/02-*/run.json'"),
                ("00.calls", "'00.calls' is not one number"),
                ("00", "'00' is not one number"),
                ("00/ladder.go.us", "no '00/ladder.go.us' in the results"),
                ("00/ladder.asio.us", "'00/ladder.asio.us' is not one number"),
                ("00/more.asio.us", "no result 'chapters/00-*/results/more.json'"),
                ("00.switches:q", "'q' is no format for 12.5")):
            number = f"\nIt is <!--n {key}-->1<!--/n-->\n"
            self.edit(PAGE, "# The gate\n", "# The gate\n" + number)
            self.assertCaught(message)
            self.edit(PAGE, number, "")

    def test_number_without_end(self):
        self.edit(PAGE, "2.5<!--/n-->", "2.5")
        self.assertCaught("no '<!--/n-->' behind '00.read:.1f'")

    def test_number_at_the_start_of_a_line(self):
        self.edit(PAGE, "It makes <!--n", "It makes\n<!--n")
        self.assertCaught("a number begins the line")

    def test_stale_report(self):
        self.edit(PAGE, "0.250s", "0.240s")
        self.assertCaught("stale: 'text run=chapters/00-gate/run.json'")

    def test_stale_ledger(self):
        self.edit("chapters/01-more/run.json", '"parks": 4', '"parks": 5')
        self.assertCaught("stale: 'text ledger=00,01'")

    def test_stale_table(self):
        self.edit("chapters/00-gate/results/ladder.json", "50.25", "51.25")
        self.assertCaught("stale: 'text table=00/ladder:floor,peer:")

    def test_table_that_cannot_be(self):
        for target, message in (
                ("00/ladder:stage:ratio", "no row of the kind 'stage'"),
                ("00/ladder:*", "'00/ladder:*' is not RESULT:KINDS:COLUMNS"),
                ("00/more:*:ratio", "no result 'chapters/00-*/results/more.json'")):
            fence = f"\n```text table={target}\n```\n"
            self.edit(PAGE, "# The gate\n", "# The gate\n" + fence)
            self.assertCaught(message)
            self.edit(PAGE, fence, "")

    def test_missing_result(self):
        (self.root / "chapters/01-more/run.json").unlink()
        self.assertCaught("no result 'chapters/01-*/run.json'")

    def test_missing_result_of_a_report(self):
        self.edit(PAGE, "run=chapters/00-gate/run.json", "run=chapters/00/run.json")
        self.assertCaught("no result 'chapters/00/run.json'")

    def test_broken_result(self):
        self.write("chapters/01-more/run.json", "{")
        self.assertCaught("is no JSON")

    def test_incomplete_result(self):
        self.write("chapters/01-more/run.json", json.dumps({k: RUN[k] for k in RUN if k != "calls"}))
        self.assertCaught("01-more/run.json has no 'calls'")


class TheSmallVersion(unittest.TestCase):
    """What the project's own steps say to a reader who types them in."""

    def test_each_step_leads_from_the_step_before_to_the_next(self):
        """Piece by piece, from the top of a header to its end."""
        chapters = grown.Chapters(TOP)
        self.assertTrue(chapters.folders)
        for number, folder in chapters.folders.items():
            typed = {}
            for step in range(1, chapters.last(folder) + 1):
                with self.subTest(f"{number}/{step}"):
                    for name, listing in chapters.code(f"{number}/{step}").items():
                        typed[name] = self.follow(typed.get(name, []), listing)
                    self.assertEqual(typed, {
                        name: [line for line in lines if line]
                        for name, lines in grown.steps.files_at(folder, step).items()})

    def follow(self, before, listing):
        """A header after a step, without its blank lines."""
        after, place = [], 0
        for is_name, piece in itertools.groupby(
                listing, key=lambda line: line.kind == "name"):
            piece = [line for line in piece if line.text and not (
                line.kind == "gone" and "// gone: " not in line.text)]
            if is_name:
                continue
            stood = [line for line in piece if line.kind != "new"]
            at = next(at for at in range(place, len(before) + 1) if all(
                line.kind == "gone" or before[at + n:at + n + 1] == [line.text]
                for n, line in enumerate(stood)))
            after += before[place:at]
            after += [line.text for line in piece if line.kind != "gone"]
            place = at + len(stood)
        return after + before[place:]


@unittest.skipUnless(shutil.which("sphinx-build") and shutil.which("doxygen"),
                     "needs sphinx-build and doxygen")
class TheBook(Tree):
    """docs/build.sh on the small tree, with the project's own docs/."""

    def setUp(self):
        super().setUp()
        shutil.copytree(TOP / "docs", self.root / "docs",
                        ignore=shutil.ignore_patterns("__pycache__", "source"),
                        dirs_exist_ok=True)
        (self.root / "chapters/steps.py").write_text(
            (TOP / "chapters/steps.py").read_text())
        # Its pages show this project's sources and link to its chapters. There
        # they are empty.
        for path in (TOP / "docs").glob("*.md"):
            self.write(f"docs/{path.name}", f"# {path.stem}\n")
        self.write("chapters/01-more/README.md", "# More\n")

    def build(self, status=0):
        result = subprocess.run(
            ["sh", self.root / "docs/build.sh", self.root / "out"],
            capture_output=True, text=True, env=os.environ | {"LC_ALL": "C.UTF-8"})
        text = result.stdout + result.stderr
        self.assertEqual(result.returncode, status, text)
        return text

    def html(self, page="chapters/00-gate/README.html"):
        return self.read(f"out/docs/html/{page}")

    def test_good_tree(self):
        before = sorted(p for p in self.root.rglob("*"))
        self.build()
        after = sorted(p for p in self.root.rglob("*")
                       if p.relative_to(self.root).parts[0] != "out")
        self.assertEqual(before, after)  # nothing written into the sources
        page = self.html()
        link = 'reference/poller.html#_CPPv4N7naglfar4Gate'
        self.assertRegex(page, f'href="[^"]*{link}4waitEv"[^>]*><code')
        self.assertNotRegex(page, "<a[^>]*><code[^>]*><span[^>]*>open<")
        layer = self.html("docs/source/poller.html")
        self.assertIn('href="#listing-src-naglfar-gate-hpp-open"', layer)
        self.assertIn('id="listing-src-naglfar-gate-hpp-open"', layer)
        self.assertRegex(self.html("docs/reference/poller.html"),
                         'href="[^"]*source/poller.html#listing-src-naglfar-gate')
        self.assertIn('<span class="kt">void</span>', layer)
        self.assertEqual(self.html("index.html"), self.html("README.html"))
        self.assertIn('href="chapters/00-gate/README.html"', self.html("index.html"))
        for file in (self.root / "out/docs/html").rglob("*.html"):
            self.assertNotRegex(file.read_text(), r'(src|<link[^>]*href)="https?:')

    def test_old_lines_of_a_step_are_marked(self):
        self.build()
        page = self.html("chapters/02-door/steps.html")
        self.assertRegex(page, r'<span class="old">.*gone: int open_ = 0;')
        self.assertRegex(page, r'<span class="old">.*class.*Door')
        self.assertNotRegex(page, r'<span class="old">.*said_')
        self.assertRegex(page, r'<span class="new">.*said_')
        self.assertIn('id="step-02-1"', page)

    def test_stale_listing(self):
        self.edit(LAYER, "  open_ = true;\n", "  open_ = false;\n")
        self.assertIn("stale: 'cpp file=src/naglfar/gate.hpp#open'", self.build(1))

    def test_names_of_the_namespace_below(self):
        self.write("src/naglfar/gate.hpp", GATE.replace("/// @}\n", """/// @}
namespace sys {
/// @addtogroup sys
/// @{

/// Looks.
int look();
/// An owner.
struct Fd {
  /// Says.
  int get();
};
/// @}
}
"""))
        self.edit(PAGE, "`Gate::wait`", "`sys::look()`, `Fd::get`, `look`,")
        self.tool("refresh", status=0)
        self.build()
        page = self.html()
        self.assertRegex(page, r'#_CPPv4N7naglfar3sys4lookEv"[^>]*><code[^>]*>'
                         "<span[^>]*>sys::look")
        self.assertRegex(page, r'#_CPPv4N7naglfar3sys2Fd3getEv"[^>]*><code')
        self.assertNotRegex(page, "<a[^>]*><code[^>]*><span[^>]*>look<")

    def test_unknown_member(self):
        self.edit(PAGE, "`Gate::wait`", "`Gate::wait` `Gate::close`")
        self.assertIn("`Gate::close` names no member", self.build(1))

    def test_unknown_member_of_a_derived_class(self):
        self.edit(PAGE, "`Gate::wait`", "`naglfar::LockedGate::unlock()`")
        self.assertIn("`naglfar::LockedGate::unlock()` names no member",
                      self.build(1))

    def test_member_named_in_a_comment_only(self):
        self.edit(PAGE, "`Gate::wait`", "`Gate::Opens`")
        self.assertIn("`Gate::Opens` names no member", self.build(1))

    def test_undocumented_declaration(self):
        for text in ("  /// Locks.\n", "/// A gate with a lock.\n"):
            self.write("src/naglfar/gate.hpp", GATE.replace(text, ""))
            self.tool("refresh", status=0)
            self.assertIn("is not documented", self.build(1))

    def test_declaration_in_no_group(self):
        self.edit(SOURCE, "/// @}\n", "/// @}\n\n/// Stray.\nint stray();\n")
        self.tool("refresh", status=0)
        self.assertIn("naglfar::stray is in no group", self.build(1))

    def test_picture_without_a_text(self):
        self.write("chapters/00-gate/a.svg",
                   '<svg xmlns="http://www.w3.org/2000/svg"/>')
        self.edit(PAGE, "# The gate\n", "# The gate\n\n![A gate](a.svg)\n")
        self.build()
        self.edit(PAGE, "![A gate]", "![]")
        self.assertIn("picture without a text", self.build(1))

    def test_broken_link(self):
        self.edit(PAGE, "# The gate\n", "# The gate\n\n[x](../02-no/README.md)\n")
        self.assertIn("not found", self.build(1))


if __name__ == "__main__":
    unittest.main()
