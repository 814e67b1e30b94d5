"""The pages about the pages: what they name exists, and nothing is left out.

Run: python3 tests/docs/test_pages.py
"""

import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "docs"))

import figures  # noqa: E402


def test_names():
    """The names of all tests and suites in C++, as their files say them."""
    case = re.compile(r'TEST_(?:CASE|SUITE)(?:_FIXTURE\(\s*\w+,|\()\s*'
                      r'((?:"[^"]*"\s*)+)')
    names = set()
    for file in (TOP / "tests").rglob("*.cpp"):
        for pieces in case.findall(file.read_text()):
            names.add("".join(re.findall(r'"([^"]*)"', pieces)))
    return names


def exhibits():
    """Chapter, name and expectation of each line of chapters/exhibits.cmake."""
    table = (TOP / "chapters/exhibits.cmake").read_text()
    return re.findall(r"^exhibit\((\S+)\s+(\S+)\s+(\S+)", table, re.MULTILINE)


def page(path):
    return (TOP / path).read_text()


class Exhibits(unittest.TestCase):
    def test_every_file_has_a_line_in_the_table(self):
        listed = {(chapter, name) for chapter, name, _ in exhibits()}
        there = {(file.parts[-3], file.stem)
                 for file in TOP.glob("chapters/*/exhibits/*.cpp")}
        # Some are measured, and have nothing wrong to prove.
        measured = set(re.findall(r"naglfar_program\(\S+\s+(\S+)/exhibits/(\S+)"
                                  r"\.cpp", page("chapters/CMakeLists.txt")))
        self.assertEqual(there, listed | measured)

    def test_every_output_belongs_to_one(self):
        for file in TOP.glob("chapters/*/exhibits/*.txt"):
            source = file.with_name(file.stem.removesuffix("-cured") + ".cpp")
            self.assertTrue(source.exists(), file.name)


class OtherLines(unittest.TestCase):
    """chapters/*/steps.md: what the library has more, and where that shows."""

    HEAD = "## What the library's other lines buy"

    def named(self, kind):
        """What stands behind `kind` in the brackets of all lists."""
        names = []
        for steps in TOP.glob("chapters/*/steps.md"):
            before, head, rows = steps.read_text().partition(self.HEAD)
            self.assertTrue(head, steps)
            for found in re.findall(rf"\b{kind}s? ((?:`[^`]*`(?:, )?)+)",
                                    " ".join(rows.split())):
                names += re.findall(r"`(.*?)`", found)
        return names

    def test_each_claim_is_in_one_list(self):
        claims = re.findall(r"#define CLAIMS_(\w+)\(\)",
                            page("tests/claims.hpp"))
        self.assertEqual(sorted(self.named("claim")), sorted(claims))

    def test_each_names_what_exists(self):
        there = {"test": test_names(),
                 "exhibit": {name for _, name, _ in exhibits()}}
        for kind, names in there.items():
            self.assertEqual(set(self.named(kind)) - names, set())


class Pitfalls(unittest.TestCase):
    """docs/pitfalls.md: | pitfall | exhibit | test | chapter |"""

    def setUp(self):
        lines = page("docs/pitfalls.md").splitlines()
        self.rows = [[cell.strip() for cell in line.strip("|").split("|")]
                     for line in lines if line.startswith("|")][2:]
        self.assertTrue(self.rows)

    def test_each_names_what_exists(self):
        names = {name: chapter for chapter, name, _ in exhibits()}
        tests = test_names()
        for row in self.rows:
            with self.subTest(row[0]):
                self.assertEqual(len(row), 4)
                exhibit, test = (cell.strip("`") for cell in row[1:3])
                self.assertNotEqual((exhibit, test), ("–", "–"))
                number, link = re.fullmatch(r"\[(\d\d)\]\((.*)\)", row[3]).groups()
                told = (TOP / "docs" / link).resolve()
                self.assertTrue(told.name == "README.md" and told.exists(), link)
                self.assertEqual(told.parent.name[:2], number)
                if exhibit != "–":
                    self.assertEqual(names.get(exhibit), told.parent.name)
                if test != "–":
                    self.assertIn(test, tests)

    def test_every_wrong_exhibit_is_there(self):
        told = {row[1].strip("`") for row in self.rows}
        wrong = {name for _, name, ending in exhibits() if ending != "works"}
        self.assertEqual(wrong - told, set())

    def test_tests_that_pages_name_exist(self):
        """A code span that reads like a sentence names a test."""
        tests = test_names()
        for file in TOP.glob("chapters/*/*.md"):
            prose = re.sub(r"^```.*?^```", "", file.read_text(),
                           flags=re.MULTILINE | re.DOTALL)
            for span in re.findall(r"`([^`]+)`", prose):
                name = " ".join(span.split())
                if re.fullmatch(r"[a-z][\w ':,]*", name) and name.count(" ") > 3:
                    self.assertIn(name, tests, file)


class Defects(unittest.TestCase):
    """docs/defects.md: | number | where | what | decision | test | chapter |"""

    def test_each_has_a_test_that_exists(self):
        rows = [[cell.strip() for cell in line.strip("|").split("|")]
                for line in page("docs/defects.md").splitlines()
                if re.match(r"\| \d", line)]
        self.assertEqual([row[0] for row in rows], [str(n) for n in range(1, 25)])
        for row in rows:
            with self.subTest(row[0]):
                self.assertEqual(len(row), 6)
                name = row[4].strip("`")
                self.assertIn(name, test_names())
                number, link = re.fullmatch(r"\[(\d\d)\]\((.*)\)", row[5]).groups()
                told = (TOP / "docs" / link).resolve()
                self.assertTrue(told.exists() and told.parent.name[:2] == number)


class Glossary(unittest.TestCase):
    def setUp(self):
        text = page("docs/glossary.md")
        self.letters = re.findall(r"^## (.*)$", text, re.MULTILINE)
        parts = re.split(r"^### (.*)$", text, flags=re.MULTILINE)[1:]
        self.entries = dict(zip(parts[::2], parts[1::2]))

    def test_in_alphabetical_order(self):
        words = list(self.entries)
        self.assertEqual(words, sorted(words, key=str.lower))
        self.assertEqual(self.letters, sorted({w[0].upper() for w in words}))

    def test_each_chapter_links_its_words(self):
        for word, text in self.entries.items():
            with self.subTest(word):
                needs = re.search(r"Chapter\s+\[\d\d\]\(\.\./(chapters/.*?)\)|"
                                  r"\[How do\s+we\s+know\?\]\((how-do.*?)\)",
                                  text)
                self.assertTrue(needs, "no `Chapter [NN](...)`")
                anchor = word.lower().replace(" ", "-")
                link, first = ((f"../../docs/glossary.md#{anchor})", needs[1])
                               if needs[1] else
                               (f"(glossary.md#{anchor})", "docs/" + needs[2]))
                self.assertIn(link, page(first))

    def test_links_lead_to_words(self):
        known = {word.lower().replace(" ", "-") for word in self.entries}
        for file in [*TOP.glob("chapters/*/README.md"), *TOP.glob("docs/*.md")]:
            for anchor in re.findall(r"glossary\.md#([\w-]+)", file.read_text()):
                self.assertIn(anchor, known, file)


GOOD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 480 200"
     width="480" height="200" role="img">
  <title>A thing</title>
  <style></style>
  <rect class="sheet" width="480" height="200"/>
  <text class="mid" x="1" y="1">a</text>
</svg>
"""


class Figures(unittest.TestCase):
    def test_all_keep_the_rules(self):
        done = subprocess.run([sys.executable, "-B", TOP / "docs/figures.py",
                               "check"], capture_output=True, text=True)
        self.assertEqual((done.stdout, done.stderr, done.returncode), ("", "", 0))

    def test_all_are_shown(self):
        for figure in figures.figures():
            pages = [p.read_text() for p in figure.parent.parent.glob("*.md")]
            shown = any(f"(figures/{figure.name})" in p for p in pages)
            path = figure.relative_to(TOP).as_posix()
            self.assertTrue(shown or f"({path})" in page("README.md")
                            or f"(../{path})" in page("docs/timelines.md"),
                            path)

    def test_each_rule_is_kept_by_force(self):
        css = ".sheet { fill: #fff; }\n.mid { text-anchor: middle; }\n"
        good = figures.styled(GOOD, css)
        self.assertEqual(self.problems(good, css), [])
        for old, new, said in (
                ("#fff", "#eee", "style is not"), ("480 200", "500 200", "viewBox"),
                ('width="480"', 'width="400"', "width and height"),
                ("A thing", " ", "no title"), ('"sheet"', '"mid"', "no sheet"),
                ('x="1"', 'fill="red"', "text has its own fill"),
                ('"mid"', '"wide"', "no class wide"), ("</svg>", "", "no SVG")):
            found = self.problems(good.replace(old, new, 1), css)
            self.assertEqual(len(found), 1, (old, found))
            self.assertIn(said, found[0])

    def problems(self, text, css):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.svg"
            path.write_text(text)
            return figures.problems(path, css)


if __name__ == "__main__":
    unittest.main()
