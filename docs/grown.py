"""Grown: what a step of the small version adds, as listings for the book.

A page shows a step as the pieces that it changes: for each header its name,
and each piece between the lines that stand around it. A line that goes is
shown as a comment, `// gone: ...`, so that the piece can be copied as it is.
Another fence shows what the demos of the step print, beside what they printed
one step before.

Invariant: a line of a header is new in the listing of one step, the step in
which it comes, and in no other. chapters/steps.py says which step that is.
"""

import functools
import itertools
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "chapters"))

import steps  # noqa: E402

WIDTH = 78
NEAR = 3  # lines between two pieces that are shown rather than left out


class Unknown(Exception):
    """A page asks for a step that is not there."""


@dataclass(frozen=True)
class Line:
    """A line of a listing."""

    text: str
    kind: str  # "new", "gone", "old", or "name" for a comment of this tool
    number: int = -1  # of a new line: which of its header's lines it is


class Chapters:
    """The chapters that have steps, below a folder."""

    def __init__(self, root):
        self.folders = {path.parent.name[:2]: path.parent
                        for path in sorted(root.glob("chapters/*/small"))}

    def find(self, target):
        """The chapter's folder and the step that `03/4` names."""
        match = re.fullmatch(r"(\d\d)/(\d+)", target)
        if not match or match[1] not in self.folders:
            raise Unknown(f"no step '{target}'; it is CHAPTER/STEP, of "
                          f"{', '.join(self.folders) or 'no chapter'}")
        chapter, step = self.folders[match[1]], int(match[2])
        if not 1 <= step <= self.last(chapter):
            raise Unknown(f"no step '{target}'; chapter {match[1]} has the "
                          f"steps 1 to {self.last(chapter)}")
        return chapter, step

    @functools.cache
    def last(self, chapter):
        return max((first for lines in self.headers(chapter).values()
                    for _, first, _ in lines), default=0)

    @functools.cache
    def headers(self, chapter):
        """Each header's lines, as steps.read() gives them; outer ones first."""
        try:
            found = {name: steps.read(path)
                     for name, path in steps.headers(chapter).items()}
        except steps.Fault as fault:
            raise Unknown(str(fault)) from None
        return dict(sorted(found.items(),
                           key=lambda item: (item[0].count("/"), item[0])))

    def code(self, target):
        """The step's listing: a list of lines for each header, by its name."""
        chapter, step = self.find(target)
        changed = {name: pieces(name, lines, step)
                   for name, lines in self.headers(chapter).items()}
        return {name: lines for name, lines in changed.items() if lines}

    def output(self, target):
        """What the step's demos print, and what they printed before it."""
        chapter, step = self.find(target)
        try:
            promises = steps.promises(chapter)
        except steps.Fault as fault:
            raise Unknown(str(fault)) from None
        before = {promise.demo: promise for promise in promises.get(step - 1, [])}
        lines = []
        # What the step cures comes before what it does not.
        for promise in sorted(promises.get(step, []),
                              key=lambda promise: promise.demo not in before):
            for number, said in ((step - 1, before.get(promise.demo)),
                                 (step, promise)):
                if said:
                    lines += [f"$ build/{said.demo.stem}  # step {number}",
                              *said.prints]
                    if said.ends_by != "status 0":
                        lines.append(f"(ends by {said.ends_by})")
        if not lines:
            raise Unknown(f"no demo in steps/ is built with step {target}")
        return lines


def pieces(name, lines, step):
    """What a step changes in a header, between the lines around."""
    there = []  # what stands at the step or stood before it
    for number, (text, first, last) in enumerate(lines):
        if first == step and text.strip():
            there.append(Line(text, "new", number))
        elif first < step and last == step - 1 and text.strip():
            there.append(Line(text, "gone"))
        elif first <= step and (last is None or last >= step):
            there.append(Line(text, "old"))
    changed = [place for place, line in enumerate(there) if line.kind != "old"]
    if not changed:
        return []
    solid = [place for place, line in enumerate(there) if line.text.strip()]
    shown = around(there, changed, solid)
    listing, last = [], None
    for place in shown:
        if last is None or any(last < other < place for other in solid):
            what = f"// {name}" if last is None else "// ..."
            scope = scope_of(there, next(p for p in changed if p >= place))
            if changed == solid:
                what += ", a new file"
            elif scope:
                what += f", in {scope}" if last is None else f" in {scope}"
            listing.append(Line(what, "name"))
        elif place != last + 1:
            listing.append(Line("", "old"))
        listing.append(there[place])
        last = place
    if last in changed and changed != solid:
        listing.append(Line("// the end of the file", "name"))
    return [line for kind, run in itertools.groupby(
                clean(listing), key=lambda line: line.kind)
            for line in (gone(list(run)) if kind == "gone" else run)]


def clean(listing):
    """Without the blank lines that steps.at_step() leaves out, too."""
    kept = []
    for line, below in zip(listing, [*listing[1:], Line("};", "old")]):
        above = kept[-1].text if kept else ""
        if line.text or (above and not below.text.startswith("};")
                         and not above.endswith((" public:", " private:"))):
            kept.append(line)
    return kept


def around(there, changed, solid):
    """The places to show: what is changed, and the lines next to that."""
    shown = set(changed)
    for place in changed:
        before = [other for other in solid if other < place]
        after = [other for other in solid if other > place]
        shown.update(before[-1:] + after[:1])
        if before and there[before[-1]].text.strip() in ("}", "};", "//]"):
            shown.update(before[-2:])
    near = sorted(shown)
    for left, right in zip(near, near[1:]):
        between = [place for place in solid if left < place < right]
        if len(between) < NEAR:
            shown.update(between)
    return sorted(shown)


def gone(lines):
    """The comments that stand for lines which go."""
    indent = min(steps.indent_of(line.text) for line in lines)
    comments = []
    for line in lines:
        inner = " " * (steps.indent_of(line.text) - indent)
        parts = textwrap.wrap(line.text.strip(), WIDTH - len(inner) - indent - 9,
                              break_long_words=False, break_on_hyphens=False)
        comments += [Line(f"{' ' * indent}// {begin}{inner}{part}", "gone")
                     for begin, part in zip(
                         ["gone: "] + [" " * 8] * len(parts), parts)]
    return comments


def scope_of(there, place):
    """The class and the function around a line, in words."""
    indent = steps.indent_of(there[place].text)
    names = []
    for line in reversed(there[:place]):
        if line.kind == "gone" or not line.text.strip() \
                or steps.indent_of(line.text) >= indent \
                or re.match(r"\s*(//|(public|private|protected):)", line.text):
            continue
        indent = steps.indent_of(line.text)
        if re.match(r"\s*(#|\}|:|if|for|while|do\b|try|else|namespace)",
                    line.text):
            continue
        if match := re.match(r"\s*(class|struct) (\w+)", line.text):
            names.insert(0, match[0].strip())
        elif match := re.search(r"([~\w]+)\(", line.text):
            names.insert(0, f"{match[1]}()")
    return ", ".join(names)
