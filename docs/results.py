"""Results: what a run wrote with --json, as text for the book.

Each chapter keeps the result of its run in chapters/NN-name/run.json. A page
shows it as the program's own report, as a ledger beside those of other
chapters, or as single numbers in a sentence. What else was measured is in
chapters/NN-name/results/NAME.json: some fields about all of it, and rows by
name in `runs`. A page shows such a result as a table, or as single numbers.
What an exhibit prints is kept in a text file beside it.

Invariant: nothing here measures or rounds twice; every figure on a page is
one figure of a committed file, formatted once.
"""

import json
import re


MEMORY = "peak memory, KiB"
NEEDED = ["clients", "user_s", "kernel_s", "total_s", "peak_kib", "per_client",
          "calls"]


class Unknown(Exception):
    """A page asks for a result that is not there."""


def report(run):
    """The text that the program itself prints (chapters/00-the-run/report.cpp)."""
    minutes, seconds = divmod(run["total_s"], 60)
    busy = run["user_s"] + run["kernel_s"]
    share = 100 * busy / run["total_s"] if run["total_s"] else 0
    return "\n".join([
        f"done {run['clients']}",
        "",
        f"Time spent in user mode   (CPU seconds) : {run['user_s']:.3f}s",
        f"Time spent in kernel mode (CPU seconds) : {run['kernel_s']:.3f}s",
        f"Total time                              : "
        f"{int(minutes)}:{seconds:05.2f}s",
        f"CPU utilisation (percentage)            : {share:.1f}%",
        "",
        "The ledger, per client",
        *(f"  {name.replace('_', ' '):<20} {value:8.2f}"
          for name, value in run["per_client"].items()),
        *(f"    {name:<18} {total / (run['clients'] or 1):8.2f}"
          for name, total in run["calls"].items() if total),
        f"Peak memory: {run['peak_kib'] / 1024:.1f} MiB",
    ])


def ledger(runs, titles):
    """Counts per client: a column for each run, a row for each count.

    A row that reads 0.00 for all of them says nothing and is left out.
    """
    columns = [ledger_rows(run) for run in runs]
    labels = list(dict.fromkeys(label for rows in columns for label in rows))
    labels.sort(key=lambda label: label == MEMORY)  # it is no call: below them
    table = [["per client", *titles]]
    for label in labels:
        cells = [rows.get(label, "-") for rows in columns]
        if any(cell.strip("-0.") for cell in cells):
            table.append([label, *cells])
    first = max(len(row[0]) for row in table)
    other = max(len(cell) for row in table for cell in row[1:])
    return "\n".join(
        f"{row[0]:<{first}}" + "".join(f"  {cell:>{other}}" for cell in row[1:])
        for row in table)


def ledger_rows(run):
    """Label and text of each count of one run, in the order of its file."""
    clients = run["clients"] or 1
    rows = {"clients": f"{run['clients']:,}"}
    for name, value in run["per_client"].items():
        rows[name.replace("_", " ")] = f"{value:.2f}"
    for name, total in run["calls"].items():
        rows[f"  {name}"] = f"{total / clients:.2f}"
    rows[MEMORY] = f"{run['peak_kib'] / clients:.2f}"
    return rows


def output(path):
    """What an exhibit prints, below the command that runs it."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise Unknown(f"no output '{path.name}' (`make exhibits` keeps it)"
                      ) from None
    return f"$ build/bin/exhibits/{path.stem}\n{text}".rstrip("\n")


def additions(root, number):
    """What a chapter adds to the stage before: its files and their lines.

    A file is a chapter's if the chapter's pages show it: each is shown once.
    Exhibits and the demos of steps are shown, too, but do not go on.
    """
    pages = sorted(root.glob(f"chapters/{number}-*/*.md"))
    shown = [path for page in pages for path in re.findall(
        r"^`{3,}\S+ file=([^\s#]+)$", page.read_text(), re.MULTILINE)]
    lines = {path: len((root / path).read_text().splitlines())
             for path in shown
             if not re.search("/(exhibits|steps)/", path)
             and (root / path).is_file()}
    if not lines:
        raise Unknown(f"chapter {number} adds no files")
    lines["together"] = sum(lines.values())
    width = max(map(len, lines))
    return "\n".join(f"{path:<{width}}  {count:>5,} lines"
                     for path, count in lines.items())


def table(result, kinds, columns):
    """Rows of a result: those of these kinds (`*` for all), with these columns.

    A column is a field's path, and its last name is the heading.
    """
    headings = [column.rpartition(".")[2].replace("_", " ") for column in columns]
    lines = [["", *(f"{int(name):,}" if name.isdigit() else name
                    for name in headings)]]
    for row in result.get("runs", {}).values():
        if kinds == "*" or row["kind"] in kinds.split(","):
            lines.append([row["title"], *(cell(row, column) for column in columns)])
    if len(lines) == 1:
        raise Unknown(f"no row of the kind '{kinds}'")
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns) + 1)]
    return "\n".join(
        f"{line[0]:<{widths[0]}}" + "".join(
            f"  {text:>{width}}" for text, width in zip(line[1:], widths[1:]))
        for line in lines)


def cell(row, column):
    """A field of a row as a table shows it; what the row has not is a dash."""
    value = row
    for name in column.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.2f}" if value < 10 else f"{value:.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class Runs:
    """The committed results of all chapters."""

    def __init__(self, root):
        self.root = root
        self.loaded = {}

    def load(self, path):
        """The result in the file `path`."""
        run = self.read(path)
        for field in NEEDED:
            if field not in run:
                raise Unknown(f"{path} has no '{field}'")
        return run

    def read(self, path):
        """Whatever JSON the file `path` holds."""
        if path not in self.loaded:
            try:
                self.loaded[path] = json.loads((self.root / path).read_text())
            except FileNotFoundError:
                raise Unknown(f"no result '{path}'") from None
            except ValueError as error:
                raise Unknown(f"{path} is no JSON: {error}") from None
        return self.loaded[path]

    def chapter(self, number):
        """The result of the chapter with this number."""
        return self.load(self.find(f"chapters/{number}-*/run.json"))

    def measured(self, name):
        """What else was measured: `08/ladder`."""
        chapter, _, file = name.partition("/")
        return self.read(self.find(f"chapters/{chapter}-*/results/{file}.json"))

    def table(self, target):
        """The table that `08/ladder:peer,stage:ratio,us` asks for."""
        name, *rest = target.split(":")
        if len(rest) != 2:
            raise Unknown(f"'{target}' is not RESULT:KINDS:COLUMNS")
        return table(self.measured(name), rest[0], rest[1].split(","))

    def find(self, pattern):
        """The one file of this pattern."""
        found = sorted(self.root.glob(pattern))
        if len(found) != 1:
            raise Unknown(f"{len(found)} files '{pattern}'" if found
                          else f"no result '{pattern}'")
        return found[0].relative_to(self.root).as_posix()

    def number(self, key):
        """The text for a key such as `06.switches` or `06.total_s:.1f`.

        A key names a field of the result, then one of `per_client`, then a
        system call per client; `06.calls.read` is the run's total. Of another
        result, such as `08/ladder.floor.us`, it names a field of a row, then
        one of the whole, such as `08/bench.ns.asm.switch`. Whole numbers are
        written as they are, others with two decimals, unless a format stands
        behind the colon.
        """
        path, _, form = key.strip().partition(":")
        chapter, *names = path.split(".")
        if "/" in chapter:
            run = self.measured(chapter)
            rows = run.get("runs", {})
            run = rows if names and names[0] in rows else run
        else:
            run = self.chapter(chapter)
        value = run
        if len(names) == 1 and names[0] not in run and "calls" in run:
            value = {name: total / (run["clients"] or 1)
                     for name, total in run["calls"].items()}
            value |= run["per_client"]
        for name in names:
            if not isinstance(value, dict) or name not in value:
                raise Unknown(f"no '{path}' in the results")
            value = value[name]
        if isinstance(value, (dict, list)):
            raise Unknown(f"'{path}' is not one number")
        try:
            return format(value, form or (".2f" if isinstance(value, float) else ""))
        except ValueError:
            raise Unknown(f"'{form}' is no format for {value}") from None
