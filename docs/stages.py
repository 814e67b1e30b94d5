#!/usr/bin/env python3
"""What each stage adds to the stage before: docs/stages.md.

  stages.py refresh   exports all stages and writes the page
  stages.py check     fails if the page is stale, or if a stage lacks a file of
                      the stage before

All stages are cut from the same sources: a stage has the layers up to its
chapter. So the difference between two stages is a list of files.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
PAGE = TOP / "docs" / "stages.md"
HEAD = """\
# Stage by stage

A chapter is a stage: the library, the programs and the tests as they are at its end.
`make stage NN=03` exports one as a folder that builds and passes its tests alone.

All stages are cut from the same sources: a stage has the layers up to its chapter,
as they are in the finished library. So a stage adds files to the stage before, and this
page lists what is new:

    make stage NN=02 && make stage NN=03 && diff -rq build/stage-02 build/stage-03

The lines of the library are on the pages of [the annotated
source](source/README.md), those of a chapter's programs on the chapter's page.
`docs/stages.py refresh` writes this page.
"""
KINDS = (("The library", "src/"), ("The chapter", "chapters/"),
         ("Tests", "tests/"), ("Beside them", ""))


def export(number, folder):
    """The files of a stage, by their paths, with what is in them."""
    done = subprocess.run(
        ["cmake", f"-DNN={number}", f"-DDEST={folder}", "-P",
         TOP / "tests" / "stage" / "export.cmake"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"stages: stage {number} cannot be exported: {done.stdout}")
    return {str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name != "CMakeCache.txt"}


def section(chapter, before, files):
    """A stage on the page. Figures, results and outputs are counted only."""
    number, title = chapter[:2], chapter[3:].replace("-", " ")
    new = {path: data for path, data in files.items() if path not in before}
    lines = [f"## {number} {title}", "",
             f"The chapter: [{number}](../chapters/{chapter}/README.md).", ""]
    if not before:
        lines += ["The first stage has the page of system calls, the programs "
                  "that measure, and the build.", ""]
    lines += ["| | file | lines |", "|---|---|---|"]
    told, total = set(), 0
    for kind, prefix in KINDS:
        name = kind
        for path, data in new.items():
            shown = path.endswith((".cpp", ".hpp", ".S", ".inc", ".py", ".h"))
            if path in told or not path.startswith(prefix) or not shown:
                continue
            told.add(path)
            count = data.count(b"\n")
            total += count
            lines.append(f"| {name} | [`{path}`](../{path}) | {count:,} |")
            name = ""
    lines += [f"| together | {len(told)} files | {total:,} |", ""]
    return "\n".join(lines)


def page():
    """The page, and the files of a stage that the next stage lacks."""
    sections, lacking, before = [], [], {}
    with tempfile.TemporaryDirectory() as folder:
        for path in sorted((TOP / "chapters").glob("[0-9]*/README.md")):
            chapter = path.parent.name
            files = export(chapter[:2], Path(folder) / chapter)
            lacking += [f"stage {chapter[:2]} lacks {name}"
                        for name in before if name not in files]
            sections.append(section(chapter, before, files))
            before = files
    return HEAD + "\n" + "\n".join(sections), lacking


def main():
    if sys.argv[1:] not in (["refresh"], ["check"]):
        sys.exit(__doc__)
    text, problems = page()
    if sys.argv[1] == "refresh":
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        problems.append("docs/stages.md is stale: make listings")
    sys.exit("\n".join(problems) or 0)


if __name__ == "__main__":
    main()
