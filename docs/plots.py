#!/usr/bin/env python3
"""Plots: the results of chapter 08 as pictures.

  plots.py         draws chapters/08-*/plot-*.svg from chapters/08-*/results/
  plots.py check   fails if one of them is not what it would draw

One language for all: a row for each program, its name above its bar; blue is
the kernel's time, ochre the program's own; a dot is one measured pair. A
picture is as wide as a phone needs it and has its own paper, light or dark, so
that it can be read on any page.

Invariant: nothing is measured or rounded here but for drawing.
"""

import html
import json
import math
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
WIDTH, MARGIN = 480, 14
INNER = WIDTH - 2 * MARGIN

# Name: light, dark. Those behind "kernel" are for kinds of system call.
COLOURS = {
    "paper": ("#fdfcf9", "#17191c"), "ink": ("#1e2022", "#d9d9d4"),
    "soft": ("#5e6166", "#9da1a6"), "line": ("#dcd8cd", "#363a40"),
    "kernel": ("#3c6fa5", "#6f9fd1"), "user": ("#c98a3a", "#dcaa62"),
    "a": ("#274c77", "#5b8fd0"), "b": ("#6096ba", "#8fc1e3"),
    "c": ("#4f7a5b", "#7fb58d"), "d": ("#9bbf8a", "#b9dba6"),
    "e": ("#8a5a83", "#c08fba"), "f": ("#c3a0bf", "#e2c6de"),
    "g": ("#a04e3c", "#d98672"), "h": ("#e0a98f", "#f0c9b4"),
    "rest": ("#b9b4a6", "#5c6168"),
}


def style():
    def rules(which):
        return "".join(
            f".{name}{{fill:{colour[which]}}}.s-{name}{{stroke:{colour[which]}}}"
            for name, colour in COLOURS.items()
        ) + f"text{{stroke:{COLOURS['paper'][which]}}}"
    return ("<style>text{font:13px system-ui,-apple-system,'Segoe UI',"
            "'Noto Sans','DejaVu Sans',sans-serif;paint-order:stroke;"
            "stroke-width:3px;stroke-linejoin:round}"
            ".small{font-size:12px}.end{text-anchor:end}"
            ".middle{text-anchor:middle}.bold{font-weight:600}"
            ".curve{fill:none;stroke-width:2}"
            + rules(0) + "@media(prefers-color-scheme:dark){" + rules(1)
            + "}</style>")


class Picture:
    """An SVG that grows downwards."""

    def __init__(self, title):
        self.title, self.parts, self.y = title, [], 26
        self.text(MARGIN, self.y, title, "ink bold")
        self.y += 10

    def add(self, part):
        self.parts.append(part)

    def text(self, x, y, words, classes="ink"):
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}">'
                 f"{html.escape(words)}</text>")

    def bar(self, x, y, width, colour, height=9):
        if width > 0:
            self.add(f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
                     f'height="{height}" class="{colour}"/>')

    def dot(self, x, y, colour="ink", radius=2.6):
        self.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" '
                 f'class="{colour} s-paper"/>')

    def rule(self, x1, y1, x2, y2, colour="line"):
        self.add(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" '
                 f'class="s-{colour}"/>')

    def legend(self, entries):
        """Coloured squares and what they mean, in as many lines as needed."""
        x, self.y = MARGIN, self.y + 14
        for colour, words in entries:
            width = 17 + 7.1 * len(words) + 12
            if x + width > WIDTH and x > MARGIN:
                x, self.y = MARGIN, self.y + 18
            if colour == "dot":
                self.dot(x + 5, self.y - 4)
            else:
                self.bar(x, self.y - 9, 10, colour, 10)
            self.text(x + 15, self.y, words, "soft small")
            x += width
        self.y += 8

    def axis(self, ticks, scale, top, unit):
        """Thin lines from `top` to here behind everything, and their values."""
        for tick in ticks:
            x = MARGIN + scale * tick
            self.parts.insert(0, f'<path d="M{x:.1f} {top:.1f}L{x:.1f} '
                                 f'{self.y:.1f}" class="s-line"/>')
            place = ("end" if x > WIDTH - 30 else
                     "middle" if x > MARGIN + 5 else "")
            self.text(x, self.y + 14, f"{tick:g}", f"soft small {place}")
        self.y += 30
        self.text(MARGIN, self.y, unit, "soft small")
        self.y += 4

    def svg(self):
        height = math.ceil(self.y + 10)
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" '
                f'height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">'
                f"<title>{html.escape(self.title)}</title>{style()}"
                f'<rect width="{WIDTH}" height="{height}" rx="5" class="paper"/>'
                + "\n".join(self.parts) + "</svg>\n")


def ticks_to(most):
    """Round values from 0 to at least `most`, and the last of them."""
    step = next(s for s in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)
                if most / s <= 6)
    last = math.ceil(most / step - 1e-9)
    return [i * step for i in range(last + 1)]


def ladder(title, rows):
    """CPU time in multiples of the floor's: kernel, user, and each pair."""
    picture = Picture(title)
    picture.legend([("kernel", "kernel"), ("user", "user"), ("dot", "one pair")])
    ticks = ticks_to(max(max(row["ratios"]) for row in rows))
    scale = INNER / ticks[-1]
    top = picture.y + 6
    for row in rows:
        picture.y += 20
        # Kernel and user share the median ratio as they share the CPU time.
        kernel = row["ratio"] * row["kernel_us"] / row["us"]
        user = row["ratio"] - kernel
        picture.text(MARGIN, picture.y, row["title"])
        picture.text(WIDTH - MARGIN, picture.y,
                     f"{row['ratio']:.2f}  ({row['us']:.0f} µs)", "soft end")
        picture.y += 6
        picture.bar(MARGIN, picture.y, scale * kernel, "kernel")
        picture.bar(MARGIN + scale * kernel, picture.y, scale * user, "user")
        if row["kind"] != "floor":
            for ratio in row["ratios"]:
                picture.dot(MARGIN + scale * ratio, picture.y + 4.5)
        picture.y += 12
    picture.y += 6
    picture.axis(ticks, scale, top, "CPU time of a run, in multiples of the floor's")
    x = MARGIN + scale  # the floor
    picture.parts.insert(0, f'<path d="M{x:.1f} {top:.1f}L{x:.1f} '
                            f'{picture.y - 34:.1f}" class="s-soft"/>')
    return picture


def bars(title, rows, value, unit, label):
    """One bar for each row."""
    picture = Picture(title)
    ticks = ticks_to(max(row[value] for row in rows))
    scale = INNER / ticks[-1]
    top = picture.y + 4
    for row in rows:
        picture.y += 20
        picture.text(MARGIN, picture.y, row["title"])
        picture.text(WIDTH - MARGIN, picture.y, label(row), "soft end")
        picture.y += 6
        picture.bar(MARGIN, picture.y, max(scale * row[value], 1), "kernel")
        picture.y += 12
    picture.y += 6
    picture.axis(ticks, scale, top, unit)
    return picture


def call_times(title, rows, totals):
    """Where the time of each program goes, by kind of system call."""
    names = {"connect": "a", "close": "b", "write": "c", "read": "d",
             "socket": "e", "accept4": "f", "epoll_ctl": "g", "epoll_wait": "g",
             "stacks": "h"}
    shown = {"epoll_ctl": "epoll", "stacks": "stacks (mmap and such)"}
    picture = Picture(title)
    picture.legend([*((colour, shown.get(name, name))
                      for name, colour in names.items() if name != "epoll_wait"),
                    ("rest", "all else")])
    ticks = ticks_to(max(totals.values()))
    scale = INNER / ticks[-1]
    top = picture.y + 4
    for name, row in rows.items():
        picture.y += 20
        picture.text(MARGIN, picture.y, row["title"])
        picture.text(WIDTH - MARGIN, picture.y, f"{totals[name]:.0f} µs",
                     "soft end")
        picture.y += 6
        x = MARGIN
        for call, colour in names.items():
            width = scale * max(row["us"].get(call, 0), 0)
            picture.bar(x, picture.y, width, colour, 12)
            x += width
        picture.bar(x, picture.y, MARGIN + scale * totals[name] - x, "rest", 12)
        picture.y += 15
    picture.y += 6
    picture.axis(ticks, scale, top, "microseconds of CPU time a client")
    return picture


def growth(title, rows, unit):
    """CPU time a client for several numbers of clients, which grow by ratio."""
    def points(row):
        return sorted((int(key), value) for key, value in row.items()
                      if key.isdigit())
    colours = ["kernel", "user", "c", "g", "e", "a"]
    picture = Picture(title)
    sizes = [size for size, _ in points(rows[0])]
    ticks = ticks_to(max(value for row in rows for _, value in points(row)))
    left, right, top, high = 40, WIDTH - 182, picture.y + 14, 200
    picture.y = top + high

    def place(size, value):
        share = math.log(size / sizes[0]) / math.log(sizes[-1] / sizes[0])
        return (left + 8 + share * (right - left - 12),
                picture.y - high * value / ticks[-1])

    for tick in ticks:
        _, y = place(sizes[0], tick)
        picture.rule(left, y, right, y)
        picture.text(left - 6, y + 4, f"{tick:g}", "soft small end")
    for size in sizes:
        picture.text(place(size, 0)[0], picture.y + 16, f"{size:,}",
                     "soft small middle")
    ends = []
    for row, colour in zip(rows, colours):
        path = "L".join("{:.1f} {:.1f}".format(*place(*p)) for p in points(row))
        picture.add(f'<path d="M{path}" class="curve s-{colour}"/>')
        for point in points(row):
            picture.dot(*place(*point), colour, 3)
        ends.append([place(*points(row)[-1])[1] + 4, row["title"], colour])
    lowest = math.inf  # names do not cover each other
    for y, words, colour in sorted(ends, reverse=True):
        lowest = min(y, lowest - 16)
        picture.text(right + 6, lowest, words, f"{colour} small bold")
    picture.y += 34
    picture.text(MARGIN, picture.y, unit, "soft small")
    picture.y += 2
    return picture


def pictures(folder):
    """The pictures by name."""
    def rows(name):
        return json.loads((folder / "results" / f"{name}.json").read_text())["runs"]

    def of(runs, *kinds):
        return [row for row in runs.values() if row["kind"] in kinds]

    def named(runs, *names):
        return {name: runs[name] for name in names if name in runs}

    runs, kib, kinds, grown = (rows("ladder"), rows("memory"), rows("calls"),
                               rows("growth"))
    kinds["naive-5"]["title"] = "the naive version, without its habits"
    last = "comet-06" if "comet-06" in runs else "comet-06-ucontext"
    few = named(kinds, "floor", "small-01", "small-02", "small-06", last,
                "naive-5", "naive-0")
    sizes = named(kib, "floor", "naive-0", "comet-00", "small-01", "small-02",
                  "small-03", "small-04", "small-05", "small-06",
                  "small-06-asm", "comet-06-ucontext", "comet-06")
    return {
        "steps": ladder("From the naive version to the floor",
                        [*of(runs, "naive"), runs["floor"]]),
        "ladder": ladder("What each layer costs",
                         of(runs, "floor", "small", "library")),
        "peers": ladder("The same run elsewhere",
                        sorted([*named(runs, "floor", "small-06", last,
                                       "comet-00").values(),
                                *of(runs, "peer")], key=lambda r: r["ratio"])),
        "growth": growth("CPU time a client, and the number of clients",
                         list(named(grown, "floor", "small-01", "small-03",
                                    "small-06", last, "naive-0").values()),
                         "microseconds of CPU time a client; clients"),
        "memory": bars("Memory a client",
                       sorted([*sizes.values(), *of(kib, "peer")],
                              key=lambda row: row["kib"]), "kib",
                       "KiB of the process's memory for each client more",
                       lambda row: f"{row['kib']:.2f} KiB"),
        "calls": call_times("Where the time goes", few,
                            {name: runs[name]["us"] for name in few}),
    }


def main():
    checking = sys.argv[1:] == ["check"]
    if sys.argv[1:] and not checking:
        sys.exit(__doc__)
    stale = []
    for folder in TOP.glob("chapters/08-*/"):
        for name, picture in pictures(folder).items():
            file = folder / f"plot-{name}.svg"
            if not file.exists() or file.read_text() != picture.svg():
                stale.append(file.relative_to(TOP))
                if not checking:
                    file.write_text(picture.svg())
    for file in stale:
        print(f"{file} is stale (`make plots` draws it)" if checking
              else f"drawn: {file}")
    sys.exit(bool(stale) and checking)


if __name__ == "__main__":
    main()
