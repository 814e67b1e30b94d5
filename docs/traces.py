#!/usr/bin/env python3
"""Timelines: pictures of small runs, drawn from what was recorded of them.

`chapters/recorder.cpp` is linked into the comet programs of chapters 02 to 06
and writes what they do, one event a line: chapters/NN-name/trace.jsonl.

  traces.py record BIN    runs recorded-NN from BIN, keeps traces, draws them
  traces.py draw          draws the pictures: figures/timeline.svg
  traces.py check         prints which picture is not that of its trace
  traces.py compare BIN   records anew and prints what differs in the counts

Invariant: a picture shows what its trace says, and nothing else.
"""

import html
import json
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import groupby
from pathlib import Path

sys.dont_write_bytecode = True

import figures

TOP = Path(__file__).resolve().parent.parent
CHAPTERS = ["02", "03", "04", "05", "06"]
CLIENTS = 3

# ---- Traces ----------------------------------------------------------------


def folder(chapter, top=TOP):
    return next(top.glob(f"chapters/{chapter}-*"))


def read(text):
    return [json.loads(line) for line in text.splitlines()]


def record(binaries, chapter):
    """A new trace of one chapter's program, and its own report."""
    with tempfile.TemporaryDirectory() as place:
        trace = Path(place) / "trace.jsonl"
        done = subprocess.run(
            [Path(binaries) / f"recorded-{chapter}", str(CLIENTS), "--json"],
            env={"TRACE": str(trace)}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            sys.exit(f"recorded-{chapter} failed: {done.stderr}")
        return trace.read_text(), json.loads(done.stdout)


def counts(events):
    """How often each did what: (who, event or call) -> times."""
    return Counter((event["who"], event.get("call", event["event"]))
                   for event in events)


def ledger_of(events):
    """What the program's own ledger must say if the trace is whole."""
    calls = Counter(e["call"] for e in events if e["event"] == "call")
    leaves = sum(e["event"] in ("park", "yield", "suspend", "end")
                 for e in events)
    return dict(calls), leaves + sum(e["event"] == "resume" for e in events)


def differences(chapter, events, report):
    """What a new recording does not share with its ledger."""
    calls, switches = ledger_of(events)
    own = {name: report["calls"].get(name, 0) for name in calls}
    found = [f"{chapter}: {calls[name]} times {name}, the ledger has {own[name]}"
             for name in calls if calls[name] != own[name]]
    told = round(report["per_client"]["switches"] * report["clients"])
    if switches != told:
        found.append(f"{chapter}: {switches} switches, the ledger has {told}")
    return found


def compare(binaries, chapter, tries=3):
    """How a new recording differs from the trace, in counts. On a machine that
    is busy a byte may take a turn longer, so one of a few shall agree."""
    kept = counts(read((folder(chapter) / "trace.jsonl").read_text()))
    for _ in range(tries):
        trace, report = record(binaries, chapter)
        new = counts(read(trace))
        found = differences(chapter, read(trace), report)
        found += [f"{chapter}: {who}, {what}: {kept[who, what]} times in the "
                  f"trace, {new[who, what]} now (make traces)"
                  for who, what in sorted(kept | new)
                  if kept[who, what] != new[who, what]]
        if not found:
            break
    return found


# ---- Turns -----------------------------------------------------------------


TIMES = {2: "twice", 3: "three times"}


class Turn:
    """What one job did from being run until it had nothing to do for now."""

    def __init__(self, who):
        self.who = who
        self.calls = []  # events
        self.woken = []
        self.made = []
        self.ending = ""  # park, yield, suspend, end

    @staticmethod
    def said_of(call):
        name, result = call["call"], call["result"]
        if name == "epoll_wait" and result == 0:
            return "epoll_wait: nothing"
        if name == "read" and result == 0:
            return "read: the end"
        if isinstance(result, str) and result != "EINPROGRESS":
            return f"{name}: {result}"
        return name

    def words(self):
        said = []
        for what, row in groupby(map(self.said_of, self.calls)):
            n = len(list(row))
            said.append(what if n == 1 else f"{what} {TIMES.get(n, f'{n} times')}")
        ends = {"yield": "yields", "unwind": "is unwound"}
        if self.ending in ends:
            said.append(ends[self.ending])
        if not said:
            said.append("ends" if self.ending == "end" else "parks")
        return said


def turns(events):
    found = []
    unwound = set()

    def turn_of(who):
        if not found or found[-1].who != who:
            found.append(Turn(who))
        return found[-1]

    for event in events:
        kind, who = event["event"], event["who"]
        if kind == "call":
            turn_of(who).calls.append(event)
        elif kind == "resume":
            found.append(Turn(who))
        elif kind == "made":
            turn_of(event["by"]).made.append(who)
        elif kind == "wake":
            turn_of(event["by"]).woken.append(who)
        elif kind == "unwind":
            unwound.add(who)
        elif kind in ("park", "yield", "suspend", "end"):
            ended = kind == "end" and who in unwound
            turn_of(who).ending = "unwind" if ended else kind
    return found


def roles(events):
    """A short name for each. What has no name is what it does first."""
    first = {"accept4": "accept loop", "write": "client", "read": "request"}
    names = {"thread": "thread", "poller": "poller"}
    for event in events:
        name, _, number = event["who"].partition(" #")
        if not number:
            continue
        if name == "coroutine":
            if event["event"] != "call":
                continue
            name = first.get(event["call"], name)
        names.setdefault("#" + number, name)
        if not event["who"].startswith("coroutine"):
            names["#" + number] = name  # names may be given late
    return names


# ---- Pictures --------------------------------------------------------------

LANE, SLOT, LINE, LEFT, HEAD = 14, 12, 17, 12, 118


def key(who):
    return "#" + who.partition("#")[2] if "#" in who else who


def lanes(events):
    """The lane of each coroutine; one that has ended leaves its lane free."""
    names = roles(events)
    order = ["thread", "poller", "main", "accept loop", "serveForever",
             "serve_forever", "request", "client"]
    rooms = {name: [] for name in order}  # name -> what is in each lane
    lane = {}
    for event in events:
        who = key(event["who"])
        name = names.get(who, "coroutine")
        room = rooms.setdefault(name, [])
        if event["event"] == "end":
            room[lane[who][1]] = None
        elif who not in lane:
            free = room.index(None) if None in room else len(room)
            room[free:free + 1] = [who]
            lane[who] = (name, free)
    start, place = {}, 0
    titles = []
    for name, room in rooms.items():
        start[name] = place
        place += len(room)
        titles += [name] * len(room)
    return {who: start[name] + n for who, (name, n) in lane.items()}, titles


def wrapped(words, width):
    """The words of a turn in lines of about `width` units."""
    lines = [""]
    for word in words:
        joined = f"{lines[-1]}, {word}" if lines[-1] else word
        if lines[-1] and 8 * len(joined) > width:
            lines[-1] += ","
            lines.append(word)
        else:
            lines[-1] = joined
    return lines


def draw(chapter, events):
    """The picture of a trace, as SVG without its style."""
    rows = turns(events)
    lane, titles = lanes(events)
    # Not those that are only watched and closed: the ends that signals use.
    fds = sorted({e["fd"] for e in events if e["event"] == "call"
                  and e["call"] not in ("epoll_ctl", "close")})
    x_of = {who: LEFT + LANE * n + LANE / 2 for who, n in lane.items()}
    fd_x = LEFT + LANE * len(titles) + 8
    f_of = {fd: fd_x + SLOT * n + SLOT / 2 for n, fd in enumerate(fds)}
    text_x = fd_x + SLOT * len(fds) + 8
    width = 480
    y = HEAD
    tops, said = [], []
    for row in rows:
        said.append(wrapped(row.words(), width - text_x - 6))
        tops.append(y)
        y += LINE * len(said[-1]) + 3
    bottom = y
    middle = [top + LINE / 2 + 1 for top in tops]
    out = []
    add = out.append

    # The heads.
    for n, title in enumerate(titles):
        x = LEFT + LANE * n + LANE / 2 + 5
        add(f'<text transform="translate({x:g} {HEAD - 8}) rotate(-90)">'
            f'{html.escape(title)}</text>')
    for fd, x in f_of.items():
        add(f'<text class="code" transform="translate({x + 5:g} {HEAD - 8}) '
            f'rotate(-90)">{fd}</text>')

    # Coroutines: a line while they are, a hollow bar while they are queued.
    born, queued, gone = {}, {}, {}
    bars, life, steps = [], [], []
    for number, row in enumerate(rows):
        me = key(row.who)
        born.setdefault(me, middle[number])
        if me in queued:
            bars.append((me, queued.pop(me), middle[number]))
        for who in [*row.made, *row.woken]:
            who = key(who)
            born.setdefault(who, middle[number])
        for who in row.woken:
            queued.setdefault(key(who), middle[number])
        if row.ending == "yield":
            queued.setdefault(me, middle[number])
        if row.ending in ("end", "unwind"):
            gone[me] = middle[number]
    for who, y0 in queued.items():
        bars.append((who, y0, bottom - 4))
    for who, y0 in born.items():
        x = x_of[who]
        add(f'<path class="line" d="M{x:g} {y0:g}V{gone.get(who, bottom - 4):g}"/>')
    for who, y0, y1 in bars:
        add(f'<rect class="box" x="{x_of[who] - 3:g}" y="{y0:g}" width="6" '
            f'height="{y1 - y0:g}"/>')
    for number, row in enumerate(rows):
        x = x_of[key(row.who)]
        for who in row.woken:
            if key(who) != key(row.who):
                to = x_of[key(who)]
                add(f'<path class="line refers" d="M{x:g} {middle[number]:g}'
                    f'H{to:g}"/>')
    for number, row in enumerate(rows):
        x = x_of[key(row.who)]
        add(f'<rect class="news" x="{x - 6:g}" y="{middle[number] - 7:g}" '
            'width="12" height="14"/>')

    # Descriptors: a line while open, a dot for a call, a ring for news.
    opened, marks = {}, []
    for number, row in enumerate(rows):
        for call in row.calls:
            fd, name, result = call["fd"], call["call"], call["result"]
            if fd not in f_of:
                continue
            opened.setdefault(fd, middle[number])
            marks.append((fd, middle[number], "dot"))
            if name == "accept4" and isinstance(result, int):
                opened[result] = middle[number]
                marks.append((result, middle[number], "dot"))
            if name == "close":
                add(f'<path class="line" d="M{f_of[fd]:g} {opened.pop(fd):g}'
                    f'V{middle[number]:g}"/>')
            for told in call.get("fds", []):
                if told in f_of:
                    marks.append((told, middle[number], "ring"))
    for fd, y0 in opened.items():
        add(f'<path class="line" d="M{f_of[fd]:g} {y0:g}V{bottom - 4:g}"/>')
    for fd, y0, mark in dict.fromkeys(marks):
        shape = ("head", 3.5) if mark == "dot" else ("box news", 4.5)
        add(f'<circle class="{shape[0]}" cx="{f_of[fd]:g}" cy="{y0:g}" '
            f'r="{shape[1]}"/>')

    for lines, top in zip(said, tops):
        for n, line in enumerate(lines):
            add(f'<text x="{text_x:g}" y="{top + LINE * (n + 1) - 3:g}">'
                f'{html.escape(line)}</text>')
    height = round(bottom + 8)
    title = (f"What runs, what is queued, and what is open: the run of chapter "
             f"{chapter} with {CLIENTS} clients, as it was recorded")
    body = "\n".join("  " + part for part in out)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} '
            f'{height}" width="{width}" height="{height}" role="img">\n'
            f"  <title>{title}</title>\n  <style></style>\n"
            f'  <rect class="sheet" width="{width}" height="{height}" rx="6"/>\n'
            f"{body}\n</svg>\n")


def picture(chapter, top=TOP):
    css = (top / "docs/figures.css").read_text()
    trace = (folder(chapter, top) / "trace.jsonl").read_text()
    return figures.styled(draw(chapter, read(trace)), css)


# ---- Commands --------------------------------------------------------------


def main():
    command, *rest = sys.argv[1:] or [""]
    problems = []
    if command == "record" and rest:
        for chapter in CHAPTERS:
            trace, report = record(rest[0], chapter)
            problems += differences(chapter, read(trace), report)
            (folder(chapter) / "trace.jsonl").write_text(trace)
    if command in ("record", "draw"):
        for chapter in CHAPTERS:
            place = folder(chapter) / "figures"
            place.mkdir(exist_ok=True)
            (place / "timeline.svg").write_text(picture(chapter))
    elif command == "check":
        for chapter in CHAPTERS:
            drawn = folder(chapter) / "figures/timeline.svg"
            if not drawn.exists() or drawn.read_text() != picture(chapter):
                problems.append(f"{drawn.relative_to(TOP)} is not that of its "
                                "trace (make traces)")
    elif command == "compare" and rest:
        for chapter in CHAPTERS:
            problems += compare(rest[0], chapter)
    else:
        sys.exit(__doc__)
    print(*problems, sep="\n", end="\n" if problems else "")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
