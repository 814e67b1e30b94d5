"""The table of promises in README.md names tests, and each of them exists.

Run: python3 tests/docs/test_promises.py BUILD-FOLDER
"""

import re
import subprocess
import sys
import unittest
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "README.md"
BUILD = sys.argv.pop() if len(sys.argv) > 1 else "build"


def rows(page):
    """The rows of the table: each a list of its cells."""
    section = page.partition("\n## What the server promises\n")[2]
    section = section.partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")]
            for line in lines[2:]]


def problems(page, tests):
    """What is wrong with the table, if these tests exist."""
    found = [] if rows(page) else ["there is no table of promises"]
    for row in rows(page):
        names = re.findall("`([^`]+)`", row[-1])
        if not names:
            found.append(f"no test shows: {row[0]}")
        found += [f"there is no test `{name}'"
                  for name in names if name not in tests]
    return found


def listed():
    """The tests' names, as CTest lists them."""
    text = subprocess.run(["ctest", "--test-dir", BUILD, "-N"], check=True,
                          capture_output=True, text=True).stdout
    return set(re.findall(r"^ +Test +#\d+: (.*)$", text, re.M))


class Promises(unittest.TestCase):
    PAGE = ("# A\n\n| x | `no:test` |\n\n## What the server promises\n\n"
            "| under this | holds | shown by |\n|---|---|---|\n"
            "| a reset | an error | `io:a reset`, `io:another` |\n"
            "\n## Limits\n\n| y | `no:test` |\n")

    def test_a_name_that_is_no_test_is_found(self):
        self.assertEqual(problems(self.PAGE, {"io:a reset", "io:another"}), [])
        self.assertEqual(problems(self.PAGE, {"io:a reset", "io:anothe"}),
                         ["there is no test `io:another'"])

    def test_a_row_without_a_test_is_found(self):
        page = self.PAGE.replace("`io:a reset`, `io:another`", "we hope")
        self.assertEqual(problems(page, set()), ["no test shows: a reset"])

    def test_a_page_without_the_table_is_found(self):
        self.assertEqual(problems("# A\n", set()),
                         ["there is no table of promises"])

    def test_the_tests_of_the_page_exist(self):
        self.assertEqual(problems(PAGE.read_text(), listed()), [])


if __name__ == "__main__":
    unittest.main()
