#!/usr/bin/env python3
"""Mutants: mistakes that people make, planted one at a time in the library, and
in the small version of the chapters (small-*.patch).

Each tests/mutants/*.patch is one mistake: a header that tells of it, and a
unified diff of the sources. The test that the header names must fail on it. A
mutant that survives is a test that is missing.

  run.py                  all mutants; --only NAME for some, by a part of it
  run.py --part 1/4       a quarter of them; date/4: which one, the date says
  run.py --since REVISION those whose files, tests or patch have changed since
                          then; with --part, those and the part
  run.py --check          only looks: are the headers whole, does each patch
                          apply, is the table of docs/mutants.md current?
  run.py --refresh        renews line numbers and context of the patches, and
                          the table

Invariants:
- Nothing is changed outside build/mutants (but by --refresh). There, each
  worker has a copy of the tree, and the copy is as the tree is except while a
  mutant stands in it.
- Before a mutant counts as caught by a test, that test has passed without it.
"""

import argparse
import datetime
import difflib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
LAYERS = ["sys", "job", "poller", "coroutine", "scheduler", "channel", "io",
          "file", "server", "http", "mixins"]
SMALL = [f"small-{layer}" for layer in
         ["poller", "coroutine", "scheduler", "channel", "io", "file",
          "server", "http"]]
# How long a test may take with a mutant before it counts as hanging: so many
# seconds, and ten times what it takes without.
PATIENCE = 10
# Nothing is inlined, so little has to be compiled anew. No assertions: in the
# release that people run there are none either, and a test has to do alone.
BUILD = ["-DCMAKE_BUILD_TYPE=Release", "-DNAGLFAR_TESTS=ON",
         "-DCMAKE_CXX_FLAGS_RELEASE=-O0 -DNDEBUG"]
COPIED = ["CMakeLists.txt", "src", "chapters", "tests"]


class Trouble(Exception):
    """What keeps a mutant, or all of this, from being judged."""


# ---- Patches ---------------------------------------------------------------

FIELD = re.compile(r"(Mistake|Why|2009|Machine|Build|Test): +(.*)")
# How many of its first and last lines of context a hunk can do without.
LOST = [(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2)]
HUNK = re.compile(r"@@ -\d+(,\d+)? \+\d+(,\d+)? @@.*")


@dataclass
class Mutant:
    """One patch. `files` has for each file the hunks: what stands there, and
    what the mistake makes of it."""

    path: Path
    mistake: str = ""
    why: str = ""
    defect: str = ""  # its number in the list of the 2009 library's, or ""
    machine: str = ""  # whose assembly it is in, as platform.machine() says
    options: tuple = ()  # for CMake, where the usual build has not that code
    tests: list = field(default_factory=list)
    files: dict = field(default_factory=dict)

    @property
    def name(self):
        return self.path.stem

    @property
    def layer(self):
        return re.match("(small-)?[^-]*", self.name)[0]

    @property
    def programs(self):
        """What stands before the colon in the names of its tests."""
        return [test.partition(":")[0] for test in self.tests]

    def __post_init__(self):
        header, diff = [], []
        for line in self.path.read_text().splitlines():
            (diff if diff or line.startswith("--- ") else header).append(line)
        self.read_header(header)
        self.read_diff(diff)
        missing = [what for what, there in
                   [("Mistake", self.mistake), ("Why", self.why),
                    ("Test", self.tests), ("a diff", self.files)] if not there]
        if missing:
            raise Trouble(f"{self.path.name}: has no {', no '.join(missing)}")
        if self.layer not in LAYERS + SMALL:
            raise Trouble(f"{self.path.name}: its name does not begin with a "
                          f"layer ({', '.join(LAYERS + SMALL)})")

    def read_header(self, lines):
        fields = []
        for line in filter(str.strip, lines):
            start = FIELD.fullmatch(line)
            if start:
                fields.append([start[1], start[2]])
            elif line.startswith(" ") and fields:
                fields[-1][1] += " " + line.strip()
            else:
                raise Trouble(f"{self.path.name}: what is \"{line}\"?")
        for name, text in fields:
            if name == "Test":
                self.tests.append(text)
            elif name == "Build":
                self.options = tuple(f"-D{word}" for word in text.split())
            else:
                setattr(self, {"2009": "defect"}.get(name, name.lower()), text)

    def read_diff(self, lines):
        hunks = None
        for line in lines:
            if line.startswith("--- "):
                continue
            if line.startswith("+++ b/"):
                hunks = self.files.setdefault(line[6:].strip(), [])
            elif HUNK.fullmatch(line) and hunks is not None:
                hunks.append(([], []))
            elif line[:1] in ("", " ", "-", "+") and hunks:
                before, after = hunks[-1]
                if line[:1] != "+":
                    before.append(line[1:])
                if line[:1] != "-":
                    after.append(line[1:])
            else:
                raise Trouble(f"{self.path.name}: not a diff: \"{line}\"")

    def applied(self, top):
        """What its files become, by path. A hunk goes where its lines stand,
        whatever their number by now is; there must be one such place. As with
        patch(1), the outermost lines of context may have changed."""
        texts = {}
        for name, hunks in self.files.items():
            path = top / name
            if not path.is_file():
                raise Trouble(f"{self.path.name}: does not apply: there is no "
                              f"{name}")
            lines = path.read_text().splitlines()
            for hunk in hunks:
                for lost in LOST:
                    before, after = without_edges(*hunk, *lost)
                    places = [i for i in range(len(lines) - len(before) + 1)
                              if before and lines[i:i + len(before)] == before]
                    if places:
                        break
                if len(places) != 1:
                    raise Trouble(
                        f"{self.path.name}: does not apply: {name} has "
                        f"{len(places) or 'no'} places that are\n" +
                        "\n".join(f"    {line}" for line in hunk[0]))
                lines[places[0]:places[0] + len(before)] = after
            texts[name] = "\n".join(lines) + "\n"
        return texts

    def refreshed(self, top):
        """The patch with true line numbers, and as little context as tells
        the place."""
        text = []
        for name, value in [("Mistake", self.mistake), ("Why", self.why),
                            ("2009", self.defect),
                            ("Machine", self.machine),
                            ("Build", " ".join(o[2:] for o in self.options)),
                            *(("Test", test) for test in self.tests)]:
            if value and name in ("Test", "Build"):
                text.append(f"{name}: {value}")
            elif value:
                text += textwrap.wrap(f"{name}: {value}", 78,
                                      subsequent_indent="  ",
                                      break_on_hyphens=False)
        header = "\n".join(text) + "\n\n"
        for context in range(2, 20):
            diff = []
            for name, new in self.applied(top).items():
                old = (top / name).read_text()
                diff += difflib.unified_diff(
                    old.splitlines(), new.splitlines(), f"a/{name}",
                    f"b/{name}", n=context, lineterm="")
            candidate = header + "\n".join(diff) + "\n"
            probe = self.path.with_suffix(".new")
            probe.write_text(candidate)
            try:
                Mutant(probe).applied(top)
                return candidate
            except Trouble:
                continue
            finally:
                probe.unlink()
        raise Trouble(f"{self.path.name}: no context tells its place")


def without_edges(before, after, lead, trail):
    """The two sides of a hunk without so many of its lines of context."""
    def context(one, other):
        same = [a == b for a, b in zip(one, other)]
        return (same + [False]).index(False)

    lead = min(lead, context(before, after))
    trail = min(trail, context(before[::-1], after[::-1]))
    return before[lead:len(before) - trail], after[lead:len(after) - trail]


def read_mutants(folder):
    """All of them, by layer and name; troubles instead of those that are not
    to be read."""
    mutants, troubles = [], []
    for path in sorted(folder.glob("*.patch")):
        try:
            mutants.append(Mutant(path))
        except Trouble as trouble:
            troubles.append(str(trouble))
    mutants.sort(key=lambda m: ((LAYERS + SMALL).index(m.layer), m.name))
    return mutants, troubles


# ---- The page --------------------------------------------------------------

TABLE = re.compile(r"(<!-- mutants -->\n).*?(<!-- /mutants -->)", re.DOTALL)


def table(mutants):
    """The mutants of the page, for each layer a table. Those of the small
    version are a part of their own."""
    lines = []
    for layer in LAYERS + SMALL:
        rows = [m for m in mutants if m.layer == layer]
        if not rows:
            continue
        if layer in SMALL and "## The small version" not in lines:
            lines += ["", "## The small version", "",
                      "These stand in the headers that the reader types in, "
                      "`chapters/*/small`. Their tests are the",
                      "same as the library's, compiled with those headers."]
        lines += ["", f"### {layer}", "",
                  "| mutant | the mistake | caught by |", "|---|---|---|"]
        for m in rows:
            since = f" (2009: {m.defect})" if m.defect else ""
            lines.append(
                f"| [{m.name}](../tests/mutants/{m.name}.patch) "
                f"| {m.mistake}{since} | {'; '.join(m.tests)} |".replace(
                    "\\", "\\\\"))
    return "\n".join(lines) + "\n\n"


def with_table(page, mutants):
    if not TABLE.search(page):
        raise Trouble("docs/mutants.md: has no <!-- mutants --> and "
                      "<!-- /mutants -->")
    return TABLE.sub(lambda found: found[1] + table(mutants) + found[2], page)


def check(top, mutants):
    """Looks, without a compiler: what would be in the way of a run?"""
    troubles = []
    for mutant in mutants:
        try:
            for name, new in mutant.applied(top).items():
                if new == (top / name).read_text():
                    raise Trouble(f"{mutant.path.name}: changes nothing")
        except Trouble as trouble:
            troubles.append(str(trouble))
    page = top / "docs" / "mutants.md"
    if page.exists():
        text = page.read_text()
        if with_table(text, mutants) != text:
            troubles.append("docs/mutants.md: its table is not that of the "
                            "patches; `run.py --refresh` renews it")
    return troubles


def refresh(top, mutants):
    for mutant in mutants:
        text = mutant.refreshed(top)
        if text != mutant.path.read_text():
            mutant.path.write_text(text)
    page = top / "docs" / "mutants.md"
    if page.exists():
        page.write_text(with_table(page.read_text(), mutants))


# ---- Running ---------------------------------------------------------------


@dataclass
class Verdict:
    """What became of a mutant."""

    mutant: Mutant
    state: str  # "caught", "hangs", "SURVIVES" or "TROUBLE"
    seconds: float
    message: str = ""

    @property
    def good(self):
        return self.state in ("caught", "hangs")


def mirror(source, target):
    """Makes `target` what `source` is. What is the same already keeps its
    time, so that little is built anew."""
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
        here = {entry.name for entry in source.iterdir()} - {"__pycache__"}
        for entry in list(target.iterdir()):
            if entry.name not in here:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        for name in here:
            mirror(source / name, target / name)
    elif not target.exists() or source.read_bytes() != target.read_bytes():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
        os.utime(target)


running = set()  # process groups, to be ended when this is interrupted


def end(group):
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def ended(command, seconds, log, folder=None, environment=None):
    """Runs a command and all that it starts: its exit status, or None if it
    had to be ended."""
    with open(log, "ab") as output:
        output.write(f"$ {' '.join(map(str, command))}\n".encode())
        output.flush()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True)
        running.add(process.pid)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            end(process.pid)
            process.wait()
            running.discard(process.pid)


class Worker:
    """One copy of the tree, and what is built from it."""

    def __init__(self, top, number, mutants):
        self.folder = top / "build" / "mutants" / str(number)
        self.source = self.folder / "source"
        self.mutants = mutants  # all that are asked for
        self.builds = {}  # options -> folder
        self.sound = {}  # (options, target) -> tests by name, if it is built
        self.patience = {}  # with which test, once it has passed
        for name in COPIED:
            if (top / name).exists():
                mirror(top / name, self.source / name)
        self.environment = dict(os.environ)
        if shutil.which("ccache"):
            self.environment.setdefault("CCACHE_DIR",
                                        str(top / "build" / "ccache"))
            self.environment.update(CMAKE_CXX_COMPILER_LAUNCHER="ccache",
                                    CCACHE_BASEDIR=str(self.folder),
                                    CCACHE_NOHASHDIR="1")

    def make(self, command, log):
        return ended(command, None, log, self.folder, self.environment) == 0

    def build_folder(self, options, log):
        if options not in self.builds:
            name = "-".join(["build", *(o.rpartition("=")[2] for o in options)])
            folder = self.folder / name
            if not self.make(["cmake", "-S", self.source, "-B", folder,
                              *BUILD, *options], log):
                raise Trouble(f"CMake fails; see {log}")
            self.builds[options] = folder
        return self.builds[options]

    def tests_of(self, folder):
        """What ctest knows by now: for each test its command and folder."""
        listed = subprocess.run(
            ["ctest", "--test-dir", folder, "--show-only=json-v1"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        found = {}
        for test in json.loads(listed.stdout)["tests"]:
            where = next((p["value"] for p in test["properties"]
                          if p["name"] == "WORKING_DIRECTORY"), folder)
            found[test["name"]] = (test.get("command"), where)
        return found

    def target_of(self, options, test, log):
        """Which program a test runs. The tests of a test_<name>, or of a
        small_<name>, are not known to ctest before that is built."""
        folder = self.build_folder(options, log)
        known = self.tests_of(folder)
        if test in known and known[test][0]:
            for word in known[test][0]:
                if Path(word).parent == folder / "bin":
                    return Path(word).name
        name = test.partition(":")[0]
        return name if name.startswith("small_") else f"test_{name}"

    def prepare(self, options, test, log):
        """Sees to it that the target of a test is built as it should be, and
        that all tests of it that are to catch somebody pass."""
        target = self.target_of(options, test, log)
        key = (options, target)
        if key in self.sound:
            return target
        folder = self.build_folder(options, log)
        if not self.make(["cmake", "--build", folder, "--target", target],
                         log):
            raise Trouble(f"{target} does not build without a mutant; see "
                          f"{log}")
        tests = self.tests_of(folder)
        names = {t for m in self.mutants if m.options == options
                 for t in m.tests if t in tests
                 and t.partition(":")[0] == test.partition(":")[0]}
        for name in sorted(names | {test}):
            if name not in tests:
                raise Trouble(f"there is no test \"{name}\"")
            command, where = tests[name]
            start = time.monotonic()
            if ended(command, 12 * PATIENCE, log, where) != 0:
                raise Trouble(f"\"{name}\" does not pass without a mutant; "
                              f"see {log}")
            self.patience[name] = 10 * (time.monotonic() - start) + PATIENCE
        self.sound[key] = tests
        return target

    def judge(self, mutant):
        """Plants the mutant, and looks whether its tests notice."""
        log = self.folder / f"{mutant.name}.log"
        log.unlink(missing_ok=True)
        start = time.monotonic()
        before = {}
        try:
            targets = {test: self.prepare(mutant.options, test, log)
                       for test in mutant.tests}
            start = time.monotonic()
            new = mutant.applied(self.source)
            before = {name: (self.source / name).read_text() for name in new}
            for name, text in new.items():
                (self.source / name).write_text(text)
            return self.look(mutant, targets, log, start)
        except Trouble as trouble:
            return Verdict(mutant, "TROUBLE", time.monotonic() - start,
                           str(trouble))
        finally:
            for name, text in before.items():
                (self.source / name).write_text(text)

    def look(self, mutant, targets, log, start):
        folder = self.builds[mutant.options]
        for target in sorted(set(targets.values())):
            if not self.make(["cmake", "--build", folder, "--target", target],
                             log):
                raise Trouble(f"{mutant.path.name}: does not compile; see "
                              f"{log}")
        state = "caught"
        for test, target in targets.items():
            known = self.sound[mutant.options, target]
            if test not in known:
                raise Trouble(f"there is no test \"{test}\"")
            command, where = known[test]
            status = ended(command, self.patience[test], log, where)
            if status == 0:
                return Verdict(mutant, "SURVIVES", time.monotonic() - start,
                               f"{mutant.path.name}: \"{test}\" passes")
            if status is None:
                state = "hangs"
        return Verdict(mutant, state, time.monotonic() - start)


class Queue:
    """Hands out the mutants. Those of one test program go to one worker, as
    long as there is enough to do, so that it is compiled once."""

    def __init__(self, mutants):
        self.lock = threading.Lock()
        self.left = {}
        for mutant in mutants:
            key = (mutant.options, mutant.programs[0])
            self.left.setdefault(key, []).append(mutant)
        self.owners = {}

    def take(self, worker):
        with self.lock:
            open_groups = [key for key, group in self.left.items() if group]
            if not open_groups:
                return None
            key = min(open_groups, key=lambda k: (
                [worker, None].index(self.owners.get(k))
                if self.owners.get(k) in (worker, None) else 2,
                -len(self.left[k])))
            self.owners.setdefault(key, worker)
            return self.left[key].pop(0)


def run(top, mutants, jobs, say=print):
    """Judges all of them; the verdicts in the order of the mutants."""
    queue = Queue(mutants)
    verdicts = {}
    (top / "build" / "mutants").mkdir(parents=True, exist_ok=True)

    def work(number):
        worker = Worker(top, number, mutants)
        while mutant := queue.take(number):
            verdict = worker.judge(mutant)
            verdicts[mutant.name] = verdict
            say(f"[{len(verdicts)}/{len(mutants)}] {verdict.state:8} "
                f"{mutant.name} {verdict.seconds:.1f} s")

    threads = [threading.Thread(target=work, args=(number,))
               for number in range(1, jobs + 1)]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            thread.join()
    except KeyboardInterrupt:
        queue.left.clear()
        for group in list(running):
            end(group)
        raise
    return [verdicts.get(m.name) or Verdict(m, "TROUBLE", 0, "was not judged")
            for m in mutants]


def report(verdicts):
    width = max(len(v.mutant.name) for v in verdicts)
    print()
    for v in verdicts:
        print(f"{v.state:8} {v.mutant.name:{width}} {v.seconds:5.1f} s  "
              f"{v.mutant.tests[0]}")
    bad = [v for v in verdicts if not v.good]
    for v in bad:
        print(f"\n{v.state}: {v.mutant.name}: {v.message}")
    print(f"\n{len(verdicts) - len(bad)} of {len(verdicts)} mutants are "
          "caught")
    return not bad


# ---- The command -----------------------------------------------------------


def part_of(text, today=None):
    """`1/4` or `date/4`: which part, of how many. By the date each part has
    its turn after so many days, and all commits of a day have the same part:
    a bisection compares like with like."""
    which, _, of = text.partition("/")
    try:
        of = int(of)
        if which == "date":
            today = today or datetime.datetime.now(datetime.timezone.utc).date()
            return today.toordinal() % of, of
        if not 1 <= int(which) <= of:
            raise ValueError
        return int(which) - 1, of
    except (ValueError, ZeroDivisionError):
        raise Trouble(f"--part is like 1/4 or date/4, not {text}") from None


def changed_since(revision, top):
    """The files that differ between a commit and the working tree, and those
    that git does not know yet."""
    def git(*command):
        return subprocess.run(["git", "-c", "core.quotePath=false", *command],
                              cwd=top, stdout=subprocess.PIPE, check=True,
                              stderr=subprocess.DEVNULL,
                              text=True).stdout.splitlines()
    try:
        return {*git("diff", "--name-only", "--no-renames", "--relative",
                     revision, "--"),
                *git("ls-files", "--others", "--exclude-standard")}
    except (OSError, subprocess.CalledProcessError):
        raise Trouble(f"git knows no commit {revision} here") from None


def touched(mutants, changed):
    """Those which concern one of these files: they change it, it is their
    test's, or it is their patch."""
    return [m for m in mutants
            if changed & {*m.files, f"tests/mutants/{m.path.name}",
                          *(f"tests/test_{name.removeprefix('small_')}.cpp"
                            for name in m.programs)}]


def chosen(mutants, only, part, since, top):
    """A part is neighbours in the order of the test programs: so few of those
    are needed for it. What has changed since a revision comes in addition."""
    for word in only:
        if not any(word in m.name for m in mutants):
            raise Trouble(f"there is no mutant {word}")
    if only:
        mutants = [m for m in mutants if any(w in m.name for w in only)]
    mine = set()
    if part:
        index, of = part_of(part)
        inorder = sorted(mutants, key=lambda m: (m.options, m.tests[0]))
        mine |= {m.name for m in inorder[len(inorder) * index // of:
                                         len(inorder) * (index + 1) // of]}
    if since:
        mine |= {m.name for m in touched(mutants, changed_since(since, top))}
    if part or since:
        mutants = [m for m in mutants if m.name in mine]
    return mutants


def for_this_machine(mutants):
    ours = []
    for mutant in mutants:
        if mutant.machine in ("", platform.machine()):
            ours.append(mutant)
        else:
            print(f"{mutant.name}: left out, it is for {mutant.machine}")
    return ours


def main():
    parser = argparse.ArgumentParser(
        description="Plants mistakes and looks whether the tests notice.")
    parser.add_argument("--only", metavar="NAME", action="append", default=[])
    parser.add_argument("--part", metavar="K/N")
    parser.add_argument("--since", metavar="REVISION")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--refresh", action="store_true")
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    mutants, troubles = read_mutants(TOP / "tests" / "mutants")
    try:
        if options.refresh and not troubles:
            refresh(TOP, mutants)
        troubles += check(TOP, mutants)
        if troubles:
            raise Trouble("\n".join(troubles))
        if options.check or options.refresh:
            return print(f"{len(mutants)} mutants apply")
        mutants = for_this_machine(
            chosen(mutants, options.only, options.part, options.since, TOP))
        if not mutants and options.since:
            return print(f"no mutant concerns what has changed since "
                         f"{options.since}")
        if not mutants:
            raise Trouble("no mutant was chosen")
        start = time.monotonic()
        good = report(run(TOP, mutants, options.jobs,
                          lambda line: print(line, flush=True)))
        print(f"in {time.monotonic() - start:.0f} s")
        sys.exit(0 if good else 1)
    except Trouble as trouble:
        sys.exit(f"mutants: {trouble}")
    except KeyboardInterrupt:
        sys.exit("mutants: interrupted")


if __name__ == "__main__":
    main()
