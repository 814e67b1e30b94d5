"""docs/rfc-conformance.md: each demand has a test that exists, or a reason.

Run: python3 tests/docs/test_conformance.py BUILD-FOLDER
"""

import re
import unittest
from pathlib import Path

import test_promises  # takes BUILD-FOLDER

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rfc-conformance.md"
LEVELS = {"MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "ought"}
REASONS = ("*the handler*", "*not sent*", "*not kept*")


def rows(page):
    """The rows of all tables: each a list of its cells."""
    lines = [line for line in page.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")]
             for line in lines]
    return [row for row in cells if row[0] != "section"
            and not row[0].startswith("---")]


def problems(page, tests):
    """What is wrong with the page, if these tests exist."""
    found = [] if rows(page) else ["there is no table"]
    for row in rows(page):
        if len(row) != 4 or not re.match(r"[0-9C]", row[0]) or \
                row[1] not in LEVELS:
            found.append(f"no section, level, demand and test: {row}")
            continue
        # A test has a group and a colon; other names are of the library.
        names = [name for name in re.findall("`([^`]+)`", row[3])
                 if re.match(r"[a-z]+:", name)]
        if not names and not any(reason in row[3] for reason in REASONS):
            found.append(f"neither a test nor a reason: {row[2]}")
        found += [f"there is no test `{name}'"
                  for name in names if name not in tests]
    return found


class Conformance(unittest.TestCase):
    HEAD = "| section | level | demand | shown by |\n|---|---|---|---|\n"

    def test_a_name_that_is_no_test_is_found(self):
        page = self.HEAD + "| 2.2 | MUST | skip | `http:a`, `fuzz: b` |\n"
        self.assertEqual(problems(page, {"http:a", "fuzz: b"}), [])
        self.assertEqual(problems(page, {"http:a"}),
                         ["there is no test `fuzz: b'"])

    def test_a_demand_without_test_and_reason_is_found(self):
        page = self.HEAD + "| 2.2 | MUST | skip | we hope, `do_GET()` |\n"
        self.assertEqual(problems(page, set()),
                         ["neither a test nor a reason: skip"])
        self.assertEqual(problems(page.replace("we", "*the handler*"), set()),
                         [])

    def test_a_row_of_another_form_is_found(self):
        for row in "| 2.2 | MAY | a | `http:a` |", "| 2.2 | MUST | `http:a` |":
            self.assertEqual(len(problems(self.HEAD + row, {"http:a"})), 1)
        self.assertEqual(problems("# A\n", set()), ["there is no table"])

    def test_the_tests_of_the_page_exist(self):
        self.assertEqual(problems(PAGE.read_text(), test_promises.listed()),
                         [])


if __name__ == "__main__":
    unittest.main()
