#!/usr/bin/env python3
"""What each stage adds to the stage before: docs/stages.md.

  stages.py refresh   exports all stages and writes the page
  stages.py check     fails if the page is stale, or if a stage changes or lacks
                      a header of the stage before

The lines on the page are lines of code, without blank lines and comments, of
what tests/stage/export.py writes.
"""

import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "tests" / "stage"))
import export  # noqa: E402

PAGE = TOP / "docs" / "stages.md"
HEAD = """\
# Stage by stage

A stage is the small version as it is at the end of a chapter. `make stage NN=03`
exports one into `build/stage-03`, or into the folder that you name by `DEST=`. The
folder stands alone, and its `README.md` says how to build, test and run it:

| folder | what is in it |
|---|---|
| `naglfar/` | the headers that you type in, of all chapters up to this one, without the marks of the steps |
| `run/` | the program of the chapter's run |
| `tests/` | the tests of the chapter, which are those of the library, without what the small version [does not claim](../tests/claims.hpp) and without the suite `reference` |
| `given/` | the system calls, the clients and checks of the run, and what the tests have in common |

A stage adds headers to the stage before, and changes none. The table counts lines of
code, without blank lines and comments. What a chapter adds to read, which is its
headers and its tests, is always fewer than {limit:,} lines: `make stage` refuses to export
more. `given/` is not counted, because you need not read it, and neither are the
headers of the chapters before; all headers together are in the column *so far*.

"""
FOOT = """
`diff` shows what is new:

    make stage NN=02 && make stage NN=03 && diff -r build/stage-02 build/stage-03

Chapters 07 and 08 have no stage, because their programs stand on the library. You
work on them in the project itself, and the [annotated source](source/README.md)
shows the lines of the library. `docs/stages.py refresh` writes this page.
"""


def links(paths):
    return ", ".join(f"[`{name}`](../{path})" for name, path in paths)


def page():
    """The page, and what is wrong with the stages."""
    lines = ["| stage | headers | lines | so far | tests | lines | headers and tests |",
             "|---|---|---|---|---|---|---|"]
    problems, before, so_far = [], {}, 0
    for chapter in export.stages():
        number = chapter.name[:2]
        with tempfile.TemporaryDirectory() as folder:
            export.export(number, Path(folder))
            files = {path.relative_to(folder).as_posix(): path.read_text()
                     for path in sorted(Path(folder).glob("naglfar/**/*.hpp"))}
            tests = {path.name: path.read_text()
                     for path in sorted(Path(folder).glob("tests/*.cpp"))}
        problems += [f"stage {number} has another {name} than the stage before"
                     for name in before if files.get(name) != before[name]]
        added = sum(export.code_of(files[name])
                    for name in files if name not in before)
        tested = sum(map(export.code_of, tests.values()))
        so_far += added
        small = chapter.relative_to(TOP) / "small"
        headers = links((name.removeprefix("naglfar/"), small / name)
                        for name in files if name not in before)
        lines.append(f"| [{number}](../chapters/{chapter.name}/README.md) "
                     f"| {headers or 'none'} | {added} | {so_far} "
                     f"| {links((name, f'tests/{name}') for name in tests)} "
                     f"| {tested:,} | {added + tested:,} |")
        before = files
    return (HEAD.format(limit=export.MOST_LINES) + "\n".join(lines) + "\n"
            + FOOT), problems


def main():
    if sys.argv[1:] not in (["refresh"], ["check"]):
        sys.exit(__doc__)
    try:
        text, problems = page()
    except export.steps.Fault as fault:
        sys.exit(f"stages: {fault}")
    if sys.argv[1] == "refresh":
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        problems.append("docs/stages.md is stale: make listings")
    sys.exit("\n".join(problems) or 0)


if __name__ == "__main__":
    main()
