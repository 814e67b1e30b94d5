#!/usr/bin/env python3
"""Exports a stage: the small version as it is at the end of a chapter, in a
folder that stands alone and that builds and tests itself.

  export.py NN DEST     such as 03 build/stage-03

In the folder are the headers of the chapters up to NN (naglfar/), the program
of the chapter's run (run/), and the tests of the chapter (tests/). All that the
reader does not write, and need not read, is in given/.

The test files are those of the library. Of them a stage has what the small
version claims, and nothing that only counts what an implementation does: see
tests/claims.hpp, and the test suite `reference` in CONTRIBUTING.md.

Invariant: what a chapter adds for the reader to read, its headers and its
tests, is fewer than 1,500 lines of code.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "chapters"))
import steps  # noqa: E402

MOST_LINES = 1500  # lines of code of a chapter's headers and tests
LAST = "06"  # the chapters behind it work with the library

# What the small version is compiled with, and never is.
DEFINED = {"NAGLFAR_SMALL": True, "NAGLFAR_SELECT": False,
           "NAGLFAR_SWITCH_ASM": False, "NAGLFAR_SIMULATED": False,
           "NAGLFAR_FAKE_KQUEUE": False}

DIRECTIVE = re.compile(r"\s*#(if|ifdef|ifndef|elif|else|endif)\b\s*(.*)")
CONTINUED = re.compile(r"^(#if.*)\\\n\s*", re.MULTILINE)
REGION = re.compile(r"\s*// \[/?[a-z0-9-]+\]$")
SECTION = re.compile(r"\s*// ---.*---$")
INCLUDE = re.compile(r'#include "([a-z_]+\.hpp)"')
TEST = re.compile(r"^naglfar_test\((\w+) +(\d\d) .*?( SMALL)?\)$",
                  re.MULTILINE)

# Some tests tell the sanitizers of their stacks.
GIVEN_02 = ["coroutine/fiber_hooks.hpp", "coroutine/fiber_hooks.cpp"]

CLAIMS = """\
// A few lines of the tests ask for more of the library than of the small
// version, which claims none of that.

#pragma once

#define CLAIMS(feature) 0
"""

BUILD = """\
# Stage {number} of Naglfar. Build it, test it, run it:
#
#     cmake -B build && cmake --build build --parallel
#     ctest --test-dir build
#     build/{program} 1000

{given}target_sources(given PRIVATE given/run/allocations.cpp)
add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion
                    -Wno-sign-conversion -Werror)
find_package(doctest QUIET)
if(NOT doctest_FOUND)
  message(FATAL_ERROR "The tests need doctest. Install its package: "
                      "doctest-dev on Debian and Ubuntu, elsewhere doctest")
endif()

# The run.
file(GLOB sources run/*.cpp given/run/*.cpp)
add_executable({program} ${{sources}})
target_include_directories({program} PRIVATE given/run)
target_link_libraries({program} PRIVATE given)
target_compile_definitions({program} PRIVATE
  NAGLFAR_PROGRAM="{program}" NAGLFAR_POLLER_NAME="your own"
  NAGLFAR_SWITCH_NAME="ucontext")

# The tests: each file is a program, each test case a test. They are compiled
# without optimisation, which takes half of the time.
enable_testing()
include(doctest)
add_library(main OBJECT given/tests/main.cpp)
target_compile_options(main PUBLIC -O0)
target_link_libraries(main PUBLIC given doctest::doctest)
file(GLOB tests tests/*.cpp)
foreach(test IN LISTS tests)
  cmake_path(GET test STEM name)
  add_executable(${{name}} ${{test}})
  target_include_directories(${{name}} PRIVATE given/tests)
  target_link_libraries(${{name}} PRIVATE main)
  doctest_discover_tests(${{name}} TEST_PREFIX "${{name}}: ")
endforeach()
"""

README = """\
# Stage {number}: {title}

| | |
|---|---|
{own}| `run/` | the program of the chapter's run |
| `tests/` | the tests of the chapter |
| `given/` | what all of it stands on: the system calls, the run's clients and checks, what the tests have in common. You need not read it, and its lines are not counted. |

    cmake -B build && cmake --build build --parallel
    ctest --test-dir build
    build/{program} 1000

Warnings are errors. `cmake --build build --target {test}` builds one of the test
programs alone. `build/{program} --check` says in words what is wrong when the run
does not end.
"""


# ---- Test files ------------------------------------------------------------


def value_of(condition):
    """Whether a condition holds in the small version; None if it depends."""
    if "CLAIMS(" in condition:
        return condition.startswith("!")
    match = re.match(r"(?:defined\()?(\w+)", condition)
    return DEFINED.get(match[1]) if match else None


def resolved(text):
    """A file's lines without those of the library alone."""
    lines, around = [], []  # the values of the conditions around a line
    for line in CONTINUED.sub(r"\1", text).splitlines():
        if match := DIRECTIVE.match(line):
            word, condition = match.groups()
            if word in ("if", "ifdef", "ifndef"):
                value = value_of(condition)
                around.append(value if word != "ifndef" or value is None
                              else not value)
                if value is not None:
                    continue
            elif word == "else" and around[-1] is not None:
                around[-1] = not around[-1]
                continue
            elif word == "endif" and around.pop() is not None:
                continue
        if False not in around:
            lines.append(line)
    return lines


def without_reference(lines):
    """Lines without the tests that count what one implementation does."""
    kept, index = [], 0
    while index < len(lines):
        if 'TEST_SUITE("reference")' not in lines[index] \
                and 'test_suite("reference")' not in lines[index]:
            kept.append(lines[index])
            index += 1
            continue
        start = index
        while not re.match(r"\s*TEST_", lines[start]):
            start -= 1
            kept.pop()
        while kept and re.match(r"\s*//(?! \[| ---)", kept[-1]):
            kept.pop()
        indent = steps.indent_of(lines[start])
        while lines[index][:indent + 1].strip() != "}":
            index += 1
        index += 1
    return kept


def tidied(lines):
    """Lines without marks of regions, and without what is empty now."""
    clean = []
    for line in lines:
        if REGION.match(line) or (not line and clean[-1:] == [""]):
            continue
        if line == "#endif" and clean[-1].startswith("#if"):
            clean.pop()
            continue
        if line == "}" and clean[-1] == "":
            clean.pop()
        while SECTION.match(line) and clean[-2:-1] and SECTION.match(clean[-2]):
            del clean[-2:]
        clean.append(line)
    while clean and (not clean[-1] or clean[-1].startswith("//")):
        clean.pop()
    return clean


def tests_of(number):
    """The names of a chapter's test files, and what they include of tests/."""
    table = TEST.findall((ROOT / "tests/tests.cmake").read_text())
    own = [f"test_{name}.cpp" for name, chapter, small in table
           if chapter == number and (small or number == "00")]
    others, look = {}, own + ["main.cpp"]
    for name in look:
        for include in INCLUDE.findall((ROOT / "tests" / name).read_text()):
            if (ROOT / "tests" / include).exists() and include not in look:
                look.append(include)
    return own, [name for name in look if name not in own]


def test_text(name):
    """A file of tests/ as a stage has it."""
    if name == "claims.hpp":
        return CLAIMS
    text = (ROOT / "tests" / name).read_text()
    return "\n".join(tidied(without_reference(resolved(text)))) + "\n"


# ---- Stages ----------------------------------------------------------------


def stages():
    """The folders of the chapters that are stages."""
    return [path for path in sorted(ROOT.glob("chapters/[0-9]*-*"))
            if path.name[:2] <= LAST]


def stage_of(number):
    for chapter in stages():
        if chapter.name[:2] == number:
            return chapter
    if any(ROOT.glob(f"chapters/{number}-*")) and number.isdigit():
        raise steps.Fault(f"chapter {number} has no stage: its programs stand "
                          "on the library, so work in the project itself")
    raise steps.Fault(f"`{number}' is no stage: NN is one of "
                      + ", ".join(path.name[:2] for path in stages()))


def code_of(text):
    """Lines of code, as they are counted for the steps."""
    return sum(map(steps.is_code, text.splitlines()))


def size(chapter):
    """Lines of code that a stage adds: of headers, and of tests."""
    own = steps.headers(chapter)
    texts = steps.files_at(chapter, steps.steps_of(chapter)) if own else {}
    return (sum(code_of("\n".join(text)) for text in texts.values()),
            sum(code_of(test_text(name))
                for name in tests_of(chapter.name[:2])[0]))


def export(number, dest):
    """Writes a stage into an empty folder."""
    chapter = stage_of(number)
    if dest.is_file() or dest.exists() and any(dest.iterdir()):
        raise steps.Fault(f"{dest} is no empty folder: remove it, or name another "
                          "folder (DEST=folder)")
    if sum(size(chapter)) >= MOST_LINES:
        raise steps.Fault(f"stage {number}: headers and tests have "
                          f"{sum(size(chapter))} lines of code, not fewer "
                          f"than {MOST_LINES}")
    if steps.headers(chapter):
        steps.extract(chapter, steps.steps_of(chapter), dest)
    steps.give(chapter, dest)
    steps.give_run(chapter, dest)
    if number == "02":
        for name in GIVEN_02:
            steps.write(dest / "given/naglfar" / name,
                        (ROOT / "src/naglfar" / name).read_text())
    own, others = tests_of(number)
    for folder, names in (("tests", own), ("given/tests", others)):
        for name in names:
            steps.write(dest / folder / name, test_text(name))
    names = {"number": number, "title": chapter.name[3:].replace("-", " "),
             "program": ("comet-" if number == "00" else "small-") + number,
             "test": own[0].removesuffix(".cpp"), "own": "",
             "given": steps.BUILD_GIVEN}
    if number != "00":
        names["own"] = ("| `naglfar/` | the small version, from chapter 01 "
                        f"to {number} |\n")
    steps.write(dest / "CMakeLists.txt", BUILD.format(**names))
    steps.write(dest / "README.md", README.format(**names))
    steps.write(dest / "LICENSE", (ROOT / "LICENSE").read_text())


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    number, dest = sys.argv[1], Path(sys.argv[2])
    try:
        export(number, dest)
    except steps.Fault as fault:
        sys.exit(f"stage: {fault}")
    print(f"stage {number} is in {dest}")


if __name__ == "__main__":
    main()
