#!/usr/bin/env python3
"""Listings: the book shows the sources themselves, never a copy of them.

A source is cut into regions by comment lines of their own, `// [name]` and
`// [/name]` (`#` instead of `//` where that starts a comment). Regions nest;
the file itself is the outermost one. On a page, a fence such as

    ```cpp file=src/naglfar/poller.hpp#wait

shows one region, and its body is a product of this tool. An inner region
appears in the listing of its outer one as a single comment line.

Invariant: every line of a source that must be shown is shown by exactly one
listing, and a page shows what the compiler reads. The listings of src/ stand
in the annotated source, docs/source/; those of a chapter's programs stand on
the chapter's pages. `check` fails if not; `refresh` makes the bodies true
again. Results of runs and the output of exhibits are treated the same way;
results.py says what they look like.
"""

import argparse
import difflib
import re
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

sys.dont_write_bytecode = True  # a build writes nothing into the sources

import grown
import results

WIDTH = 78  # columns; a listing must fit a page without scrolling
PAGES = ["README.md", "chapters/*/*.md", "docs/*.md", "docs/reference/*.md",
         "docs/source/*.md"]
LIBRARY = "src/"  # its listings stand
ANNOTATED = "docs/source/"  # on the pages of this folder
MUST_SHOW = ["src/**/*", "chapters/*/*.cpp", "chapters/*/*.hpp",
             "chapters/*/*.S", "chapters/*/steps/*.cpp"]
EXHIBITS = ["chapters/*/exhibits/*.cpp"]  # shown, if what they print is kept
OUTPUTS = ["chapters/*/exhibits/*.txt"]  # that
HASH_COMMENTS = {".py", ".cmake", ".txt", ".in", ".sh", ".gdb"}

KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
MARKER = re.compile(r"\s*(//|#) ?\[(/?)([^\[\]]*)\]\s*")
FENCE = re.compile(r"( {0,3})(`{3,}|~{3,})\s*(.*?)\s*")
KINDS = "file|run|ledger|table|output|adds|step|demo"
INFO = re.compile(rf"(\S+)\s+({KINDS})=(\S+)")
NUMBER = re.compile(r"(<!--n (.*?)-->)((?:(?!<!--).)*)(<!--/n-->)?")


@dataclass(frozen=True)
class Problem:
    """One finding, printed as `file:line: message`."""

    path: str
    line: int
    message: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.message}"


# ---- Sources ---------------------------------------------------------------


def see(comment, name):
    """The line that stands for an inner region in the listing around it."""
    return f'{comment} ... see "{name}"'


@dataclass
class Region:
    """A piece of a source. `items` are its own lines and its inner regions."""

    path: str
    name: str  # "" for the whole file
    line: int
    outer: "Region | None" = None
    indent: str = ""
    comment: str = "//"
    items: list = field(default_factory=list)

    @property
    def target(self):
        return f"{self.path}#{self.name}" if self.name else self.path

    def inner(self):
        return [item for item in self.items if isinstance(item, Region)]

    def own_lines(self):
        return [item for item in self.items
                if isinstance(item, str) and item.strip()]

    def body(self):
        """The listing: no markers, no blank edges, moved to the left margin."""
        lines = [item if isinstance(item, str)
                 else item.indent + see(item.comment, item.name)
                 for item in self.items]
        text = textwrap.dedent("\n".join(lines))
        return [line.rstrip() for line in text.strip("\n").split("\n")]


class Source:
    """One source file, read into regions by name."""

    def __init__(self, path, text):
        self.path = path
        self.problems = []
        suffix = Path(path).suffix
        comment = "#" if suffix in HASH_COMMENTS else "//"
        whole = current = Region(path, "", 1, comment=comment)
        self.regions = {"": whole}
        lines = text.splitlines()
        markers = 0
        for number, line in enumerate(lines, 1):
            marker = MARKER.fullmatch(line)
            if not marker or marker[1] != comment:
                current.items.append(line)
                continue
            markers += 1
            name, closing = marker[3], marker[2]
            if not KEBAB.fullmatch(name) or f"{comment} [" not in line:
                self._problem(number, f"not a region marker: {line.strip()}")
            elif closing and current.name == name:
                if not current.own_lines() and not current.inner():
                    self._problem(number, f"region '{name}' is empty")
                current = current.outer
            elif closing:
                what = (f"inside '{current.name}', open since line "
                        f"{current.line}" if current.name
                        else "but no region is open")
                self._problem(number, f"wrongly nested: '/{name}' {what}")
            else:
                if name in self.regions:
                    self._problem(number, f"region '{name}' stands twice, "
                                  f"first in line {self.regions[name].line}")
                indent = line[:len(line) - len(line.lstrip())]
                inner = Region(path, name, number, current, indent, comment)
                current.items.append(inner)
                self.regions.setdefault(name, inner)
                current = inner
        while current.outer:
            self._problem(current.line, f"region '{current.name}' is not closed")
            current = current.outer
        if len(lines) >= 40 and markers * 10 > len(lines):
            self._problem(1, f"{markers} markers in {len(lines)} lines: "
                          "more than a tenth")

    def _problem(self, line, message):
        self.problems.append(Problem(self.path, line, message))


# ---- Pages -----------------------------------------------------------------


@dataclass
class Fence:
    """A fenced block: `lines[start]` opens it, `lines[end]` closes it."""

    start: int
    end: int
    indent: str
    ticks: str
    info: str


def fences(lines):
    """Yields the fenced blocks of a page, outermost ones only."""
    opened = None
    for number, line in enumerate(lines):
        match = FENCE.fullmatch(line)
        if not match:
            continue
        indent, ticks, info = match.groups()
        if opened is None:
            if not (ticks[0] == "`" and "`" in info):
                opened = Fence(number, len(lines), indent, ticks, info)
        elif not info and ticks.startswith(opened.ticks):
            opened.end = number
            yield opened
            opened = None
    if opened:
        yield opened


@dataclass(frozen=True)
class Place:
    """Where a listing stands."""

    page: str
    line: int


class Book:
    """All pages and the sources they show, with every problem found."""

    def __init__(self, root):
        self.root = Path(root)
        self.problems = []
        self.sources = {}
        self.shown = {}  # (path, region name) -> Place
        self.printed = set()  # outputs of exhibits that are shown
        self.chapters = grown.Chapters(self.root)
        self.steps = {}  # ("step" or "demo", "03/4") -> Place
        self.typed = {}  # (header, which line) -> "03/4"
        self.woven = {}  # page -> its text as it should be
        self.unfilled = []  # problems that `refresh` cannot mend
        self.runs = results.Runs(self.root)
        for page in self._glob(PAGES):
            self._weave(page)
        for path in self._glob(MUST_SHOW):
            self._must_show(path)
        for number in self.chapters.folders:
            self._must_show_steps(number)
        for path in self._glob(EXHIBITS):
            if (self.root / path).with_suffix(".txt").exists():
                self._must_show(path)
        for path in sorted(set(self._glob(OUTPUTS)) - self.printed):
            self._problem(path, 1, "this output is shown nowhere in the book")
        for source in self.sources.values():
            if source:
                self.problems += source.problems
        self.problems.sort(key=lambda p: (p.path, p.line))

    def _glob(self, patterns):
        paths = {path for pattern in patterns for path in self.root.glob(pattern)}
        return [path.relative_to(self.root).as_posix() for path in sorted(paths)
                if path.is_file() and not path.name.startswith(".")
                and "__pycache__" not in path.parts]

    def source(self, path):
        """The source at `path`, or None if there is no such file."""
        if path not in self.sources:
            file = self.root / path
            known = file.is_file() and ".." not in Path(path).parts
            self.sources[path] = Source(path, self._text(file)) if known else None
        return self.sources[path]

    @staticmethod
    def _text(file):
        """A source, and of a demo what its own fence does not show."""
        text = file.read_text()
        if file.parent.name == "steps":
            text = "".join(line for line in text.splitlines(keepends=True)
                           if not grown.steps.SAYS.fullmatch(line.rstrip("\n")))
        return text

    def _weave(self, page):
        """Works out what `page` should say and notes where it does not."""
        lines = (self.root / page).read_text().split("\n")
        out, done = [], 0
        for fence in fences(lines):
            out += self._numbers(page, lines, done, fence.start)
            done = min(fence.end + 1, len(lines))
            block = lines[fence.start:done]
            body = self._body(page, fence)
            if body is not None:
                block = self._filled(page, fence, lines, body)
            out += block
        out += self._numbers(page, lines, done, len(lines))
        self.woven[page] = "\n".join(out)

    def _body(self, page, fence):
        """The lines that belong into `fence`, or None if it is none of ours."""
        info = INFO.fullmatch(fence.info)
        line = fence.start + 1
        if not info:
            if re.search(rf"\b({KINDS})=", fence.info):
                self._unfilled(page, line, f"cannot read '{fence.info}'")
            return None
        _, kind, target = info.groups()
        if kind == "file":
            return self._listing(page, line, target)
        if kind in ("step", "demo"):
            return self._step(page, line, kind, target)
        try:
            if kind == "run":
                return results.report(self.runs.load(target)).split("\n")
            if kind == "output":
                self.printed.add(target)
                return results.output(self.root / target).split("\n")
            if kind == "adds":
                return results.additions(self.root, target).split("\n")
            if kind == "table":
                return self.runs.table(target).split("\n")
            runs = [self.runs.chapter(number) for number in target.split(",")]
            return results.ledger(runs, target.split(",")).split("\n")
        except results.Unknown as error:
            self._unfilled(page, line, str(error))
            return None

    def _listing(self, page, line, target):
        path, _, name = target.partition("#")
        source = self.source(path)
        if source is None:
            self._unfilled(page, line, f"no file '{path}'")
            return None
        if name not in source.regions:
            close = difflib.get_close_matches(name, filter(None, source.regions), 1)
            hint = f"; is it '{close[0]}'?" if close else ""
            self._unfilled(page, line, f"no region '{name}' in {path}{hint}")
            return None
        region = source.regions[name]
        if path.startswith(LIBRARY) and not page.startswith(ANNOTATED):
            self._unfilled(page, line, f"{region.target} belongs on a page of "
                           f"{ANNOTATED}, where the library is shown")
        first = self.shown.setdefault((path, name), Place(page, line))
        if first != Place(page, line):
            self._unfilled(page, line, f"{region.target} is shown twice, "
                           f"first in {first.page}:{first.line}")
        body = region.body()
        for text in body:
            if len(text.expandtabs(8)) > WIDTH:
                self._unfilled(page, line, f"{region.target} is wider than "
                               f"{WIDTH} columns: {text.strip()}")
        return body

    def _step(self, page, line, kind, target):
        try:
            chapter, _ = self.chapters.find(target)
            if kind == "demo":
                body = self.chapters.output(target)
            else:
                code = self.chapters.code(target)
                body = [text.text for lines in code.values() for text in lines]
        except grown.Unknown as error:
            self._unfilled(page, line, str(error))
            return None
        if Path(page).parent.name != chapter.name:
            self._unfilled(page, line, f"{kind} {target} belongs on a page of "
                           f"chapters/{chapter.name}/")
        first = self.steps.setdefault((kind, target), Place(page, line))
        if first != Place(page, line):
            self._unfilled(page, line, f"{kind} {target} is shown twice, first "
                           f"in {first.page}:{first.line}")
        elif kind == "step":
            self.typed |= {(chapter / "small" / name, text.number): target
                           for name, lines in code.items()
                           for text in lines if text.kind == "new"}
        for text in body:
            if len(text) > WIDTH:
                self._unfilled(page, line, f"{kind} {target} is wider than "
                               f"{WIDTH} columns: {text.strip()}")
        return body

    def _must_show_steps(self, number):
        chapter = self.chapters.folders[number]
        try:
            headers = self.chapters.headers(chapter)
        except grown.Unknown as error:
            self._problem(f"chapters/{chapter.name}", 1, str(error))
            return
        missing = {}  # step -> where its first line is, and how many
        for name, lines in headers.items():
            path = chapter / "small" / name
            for place, (text, first, _) in enumerate(lines):
                if text.strip() and (path, place) not in self.typed:
                    missing.setdefault(first, []).append(path)
        for step, paths in sorted(missing.items()):
            self._problem(paths[0].relative_to(self.root).as_posix(), 1,
                          f"step {number}/{step} is shown nowhere: lines of the "
                          f"small version that it adds: {len(paths)}")
        for step in range(1, self.chapters.last(chapter) + 1):
            if ("demo", f"{number}/{step}") not in self.steps:
                self._problem(f"chapters/{chapter.name}/steps", 1,
                              f"demo {number}/{step} is shown nowhere")

    def _filled(self, page, fence, lines, body):
        """The whole block with `body` in it; notes if it differs from now."""
        now = [line.removeprefix(fence.indent)
               for line in lines[fence.start + 1:fence.end]]
        if now != body:
            differ = next((number for number, pair in enumerate(zip(now, body))
                           if pair[0] != pair[1]), min(len(now), len(body)))
            self._problem(page, fence.start + 2 + differ,
                          f"stale: '{fence.info}' (`make listings` refreshes)")
        ticks = fence.ticks
        while any(line.lstrip().startswith(ticks) for line in body):
            ticks += ticks[0]
        return ([f"{fence.indent}{ticks}{fence.info}"]
                + [(fence.indent + line).rstrip() for line in body]
                + [f"{fence.indent}{ticks}"])

    def _numbers(self, page, lines, start, end):
        """The prose lines with the numbers that the results say."""
        return [self._numbers_in(page, number + 1, lines[number])
                for number in range(start, end)]

    def _numbers_in(self, page, number, line):
        if re.match(r"[-*> ]*<!--n ", line):
            self._unfilled(page, number, "a number begins the line, which "
                           "would end the paragraph: move a word down to it")
        def fill(match):
            opening, key, text, closing = match.groups()
            if not closing:
                self._unfilled(page, number, f"no '<!--/n-->' behind '{key}'")
                return match[0]
            try:
                value = self.runs.number(key)
            except results.Unknown as error:
                self._unfilled(page, number, str(error))
                return match[0]
            if value != text:
                self._problem(page, number, f"stale: {key} is {value}, "
                              f"not {text} (`make listings` refreshes)")
            return opening + value + closing
        return NUMBER.sub(fill, line)

    def _must_show(self, path):
        for region in self.source(path).regions.values():
            if region.own_lines() and (path, region.name) not in self.shown:
                what = f"region '{region.name}'" if region.name else "this file"
                where = (f"on no page of {ANNOTATED}"
                         if path.startswith(LIBRARY) else "nowhere in the book")
                self._problem(path, region.line, f"{what} is shown {where}")

    def _problem(self, path, line, message):
        self.problems.append(Problem(path, line, message))

    def _unfilled(self, path, line, message):
        self._problem(path, line, message)
        self.unfilled.append(self.problems[-1])


# ---- Commands --------------------------------------------------------------


def refresh(book):
    """Rewrites what is stale. Fails if a fence or a number has no source."""
    for page, text in book.woven.items():
        file = book.root / page
        if file.read_text() != text:
            file.write_text(text)
            print(f"refreshed {page}")
    broken = [p for s in book.sources.values() if s for p in s.problems]
    return fail(book.unfilled + broken)


def check(book):
    """Prints every problem."""
    return fail(book.problems)


def report(book):
    """Prints each region, how many lines of its own it has, and its place."""
    for path, source in sorted(book.sources.items()):
        for region in source.regions.values() if source else []:
            place = book.shown.get((path, region.name))
            where = f"{place.page}:{place.line}" if place else (
                "nowhere" if region.own_lines() else "nothing to show")
            print(f"{len(region.own_lines()):5}  {region.target:<58}  {where}")
    return 0


def fail(problems):
    for problem in problems:
        print(problem)
    return 1 if problems else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("command", choices=["refresh", "check", "report"])
    parser.add_argument("--root", default=Path(__file__).resolve().parent.parent,
                        help="the project's top folder")
    args = parser.parse_args()
    command = {"refresh": refresh, "check": check, "report": report}
    return command[args.command](Book(args.root))


if __name__ == "__main__":
    sys.exit(main())
