#!/usr/bin/env python3
"""The bill: runs the small version at each chapter, the library, the floor, the
naive version and the same run in other languages, and keeps what each cost in
results/*.json.

  bill.py               measures all of it, for about ten minutes
  bill.py --clients 50  with so few clients; for a test of this program
  bill.py peers         builds the peers and runs each once, with 100 clients

Each run is paired with one of the floor just before it, so that what the
machine does besides concerns both; what is kept is the median of the ratios.
Each has a network namespace of its own where the system allows that, so that
the connections in TIME_WAIT of one run are not there in the next.

A peer whose compiler or interpreter is not there is left out, with a line.
What could not be measured in time is left out, too, and `pairs` says how many
pairs there are. Only Python's standard library is needed.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
BIN = Path(os.environ.get("NAGLFAR_BIN", TOP / "build" / "bin"))
UCONTEXT = TOP / "build" / "ucontext" / "bin"  # built with that switch
PEERS = TOP / "build" / "peers"
PYTHON = "/usr/bin/python3" if Path("/usr/bin/python3").exists() else "python3"

MOST = 10000  # the clients of the book's run
SPARE = 64  # descriptors that other languages need beside the connections
LIMIT = 100  # seconds; a run that takes longer is ended
PAIRS = 7
PAIRS_END = 360  # seconds from the start; then no further pair is begun
END = 600  # then no further simulated run is begun
SIZES = [1000, 2000, 5000]
SIMULATED = [1000, 10000, 100000, 1000000]
SIMULATED_RUNS = 3
BYTES_A_SIMULATED_CLIENT = 8000


class Program:
    """One row of the bill. `command` lacks the number of clients."""

    def __init__(self, name, kind, title, *command):
        self.name, self.kind, self.title = name, kind, title
        self.command = list(map(str, command))
        self.json = kind != "peer"  # it can tell its ledger


FLOOR = Program("floor", "floor", "the floor", BIN / "floor")
SMALL = ["state machines", "coroutines by hand", "the scheduler", "channels",
         "files", "the server"]
STEPS = ["the naive version", "stacks from a pool", "try first, then wait",
         "registered once", "one buffer for all", "answer and end together"]
LAST = "the switch in assembly"
# The post's program on the small version and on the library, for each switch.
SAME = {"ucontext": ("by ucontext(3)", "small-06", "library-06-ucontext"),
        "asm": ("in assembly", "small-06-asm", "library-06")}


def own_programs(switch):
    """The naive version, its steps, threads, the small version, the library.

    The small version has the switch by ucontext, except for small-NN-asm. The
    naive version and the library have the switch of their build, so they are
    run from both builds where both are there. What has ucontext comes first.
    """
    before = BIN
    if switch != "ucontext":
        if (UCONTEXT / "naive").exists() and "NAGLFAR_BIN" not in os.environ:
            before = UCONTEXT
        else:
            say("the library and the naive version have the switch of this "
                f"build, {switch}")
    programs = [Program(f"naive-{number}", "naive", title, before / "naive",
                        "--steps", number)
                for number, title in enumerate(STEPS)]
    if before != BIN:
        programs.append(Program("naive-6", "naive", LAST, BIN / "naive",
                                "--steps", 5))
    programs.append(Program("comet-00", "threads", "comet-00, threads",
                            BIN / "comet-00"))
    programs += [Program(f"small-0{number}", "small",
                         f"small-0{number}, {title}", BIN / f"small-0{number}")
                 for number, title in enumerate(SMALL, 1)]
    if before != BIN or switch == "ucontext":
        programs += library("-ucontext", "by ucontext", before)
    if switch == "asm":
        programs += [Program(f"small-0{number}-asm", "small",
                             f"small-0{number} in assembly",
                             BIN / f"small-0{number}-asm")
                     for number in range(2, len(SMALL) + 1)]
        programs += library("", "in assembly", BIN)
    return programs


def library(ending, switch, folder):
    """The post's program on the library, and the book's last program."""
    return [Program(name + ending, "library", f"{name} {switch}", folder / name)
            for name in ("library-06", "comet-06")]


class Skip(Exception):
    """Something is not there, and the rest goes on without it."""


def say(*words):
    print(*words, flush=True)


# ---- Peers -------------------------------------------------------------------


def need(tool):
    if shutil.which(tool) is None:
        raise Skip(f"there is no {tool}")
    return shutil.which(tool)


def build(command, target):
    """Makes a program of a peer's source, unless it is newer."""
    source = Path(command[-1])
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return target
    PEERS.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(list(map(str, command)), cwd=PEERS, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        lines = done.stdout.splitlines() or ["nothing was said"]
        wrong = next((line for line in lines if "error" in line), lines[-1])
        raise Skip(f"it cannot be built: {wrong.strip()[:200]}")
    return target


def asio():
    compiler = os.environ.get("CXX") or need("c++")
    target = PEERS / "comet_asio"
    return [build([compiler, "-O2", "-std=c++20", "-pthread", "-o", target,
                   HERE / "peers" / "comet_asio.cpp"], target)]


def go():
    target = PEERS / "comet_go"
    return [build([need("go"), "build", "-o", target,
                   HERE / "peers" / "comet.go"], target)]


def node():
    return [need("node"), HERE / "peers" / "comet.js"]


def asyncio():
    return [PYTHON, HERE / "peers" / "comet_asyncio.py"]


def greenlet():
    if subprocess.run([PYTHON, "-c", "import greenlet"],
                      stderr=subprocess.DEVNULL).returncode:
        raise Skip("there is no greenlet for Python")
    return [PYTHON, HERE / "peers" / "comet_2009.py"]


def peers():
    """The peers that are there, and why the others are not, by name."""
    found, skipped = [], {}
    for name, title, command in [
            ("asio", "Boost.Asio, C++20", asio), ("go", "Go", go),
            ("node", "Node.js", node), ("asyncio", "Python, asyncio", asyncio),
            ("2009", "Python, as in 2009", greenlet)]:
        try:
            found.append(Program(name, "peer", title, *command()))
        except Skip as why:
            say(f"{title}: skipped, {why}")
            skipped[name] = str(why)
    return found, skipped


# ---- Runs --------------------------------------------------------------------

ALONE = ["unshare", "--map-root-user", "--net", "sh", "-c",
         'ip link set lo up && exec "$@"', "sh"]


def can_be_alone():
    try:
        return subprocess.run([*ALONE, "true"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0
    except FileNotFoundError:
        return False


class Bench:
    """How programs are run here."""

    def __init__(self):
        self.alone = can_be_alone()
        if not self.alone:
            say("no network namespaces here: the runs share one, and what is "
                "in TIME_WAIT")

    def run(self, program, clients, json_report=False, **environment):
        """What one run cost: user_s, kernel_s, peak_kib, and its report."""
        command = [*(ALONE if self.alone else []), BIN / "measure", LIMIT,
                   *program.command, clients,
                   *(["--json"] if json_report else [])]
        done = subprocess.run(list(map(str, command)), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=os.environ | environment)
        *output, last = done.stdout.splitlines() or [""]
        cost = json.loads(last) if last.startswith("{") else {"status": "?"}
        if cost["status"] != 0:
            said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
            raise Skip(f"it ended with status {cost['status']} and said: "
                       f"{said[:200]}")
        report = "\n".join(output)
        if json_report:
            cost["report"] = json.loads(report)
        elif f"done {clients}" not in report:
            raise Skip("it did not say that it is done")
        cost["stderr"] = done.stderr
        return cost


def micro(cost, clients):
    """CPU time of a run in microseconds a client: all, user, kernel."""
    user, kernel = cost["user_s"] * 1e6 / clients, cost["kernel_s"] * 1e6 / clients
    return {"us": user + kernel, "user_us": user, "kernel_us": kernel,
            "kernel_share": 100 * kernel / (user + kernel)}


def medians(rows):
    """The median of each field of several dicts. Of runs it is all of the one
    in the middle, so that its user and kernel time are its CPU time."""
    if "us" in rows[0]:
        rows = [sorted(rows, key=lambda row: row["us"])[len(rows) // 2]]
    return {key: round(statistics.median(row[key] for row in rows), 4)
            for key in rows[0]}


def spread(values):
    """The median of ratios, and between which two all of them are."""
    return {"pairs": len(values), "ratio": round(statistics.median(values), 4),
            "lowest": min(values), "highest": max(values)}


# ---- What is measured --------------------------------------------------------


def ladder(bench, programs, clients, pairs, until):
    """Each program paired with the floor, round after round."""
    costs = {program.name: [] for program in programs}
    floors, failed = [], {}
    for number in range(1, pairs + 1):
        for program in programs:
            if program.name in failed or (number > 1 and time.monotonic() > until):
                continue
            show(f"pair {number} of {pairs}: {program.title}")
            try:
                cost = bench.run(program, clients)
                floor = bench.run(FLOOR, clients)
            except Skip as why:
                show("")
                say(f"{program.title}: {why}")
                failed[program.name] = str(why)
                continue
            floors.append(floor)
            mine, least = micro(cost, clients), micro(floor, clients)
            mine["peak_kib"] = cost["peak_kib"]
            costs[program.name].append((mine, mine["us"] / least["us"]))
        show("")
        say(f"pair {number} of {pairs}: measured")
    rows = {"floor": {
        "title": FLOOR.title, "kind": FLOOR.kind, "pairs": len(floors),
        "ratio": 1.0, "ratios": [1.0],
        **medians([micro(floor, clients) | {"peak_kib": floor["peak_kib"]}
                   for floor in floors])}}
    for program in programs:
        if pairs_of := costs[program.name]:
            ratios = [round(ratio, 4) for _, ratio in pairs_of]
            rows[program.name] = {
                "title": program.title, "kind": program.kind,
                **spread(ratios), "ratios": ratios,
                **medians([cost for cost, _ in pairs_of])}
            say(f"{program.title:28} {rows[program.name]['ratio']:6.2f} of the "
                f"floor  {rows[program.name]['us']:7.1f} us a client")
    return rows, failed


def savings(rows):
    """What each step of the naive version saves, in floors, round by round."""
    steps = [row for row in rows.values() if row["kind"] == "naive"]
    for before, row in zip(steps, steps[1:]):
        row["saves"] = round(statistics.median(
            was - now for was, now in zip(before["ratios"], row["ratios"])), 4)


def same_source(rows):
    """The post's program on the small version, in multiples of the same program
    on the library. In each round they ran one after the other."""
    return {switch: {
        "title": title, "kind": "same", "small": rows[small]["ratio"],
        "library": rows[library]["ratio"],
        **spread([round(one / other, 4) for one, other in
                  zip(rows[small]["ratios"], rows[library]["ratios"])])}
        for switch, (title, small, library) in SAME.items()
        if small in rows and library in rows}


def growth(bench, programs, sizes, clients, ladder_rows):
    """CPU time a client, and peak memory, for several numbers of clients."""
    rows = {}
    for program in programs:
        several = program.kind != "peer"
        row = rows[program.name] = {"title": program.title, "kind": program.kind}
        for size in sizes if several else sizes[:1]:
            show(f"growth: {program.title}, {size:,}")
            costs = [bench.run(program, size) for _ in range(3 if several else 1)]
            row |= medians([{str(size): micro(cost, size)["us"],
                             f"peak_kib_{size}": cost["peak_kib"]}
                            for cost in costs])
        row["all"] = row[str(clients)] = ladder_rows[program.name]["us"]
        row["peak_kib_all"] = ladder_rows[program.name]["peak_kib"]
    show("")
    return rows


def memory(growth_rows, fewest, clients):
    """KiB that a client takes: what the peak grows by, for each more."""
    return {name: {
        "title": row["title"], "kind": row["kind"],
        "kib": round((row["peak_kib_all"] - row[f"peak_kib_{fewest}"])
                     / (clients - fewest), 3),
        "peak_mib": round(row["peak_kib_all"] / 1024, 2)}
        for name, row in growth_rows.items()}


def calls(bench, programs, clients):
    """System calls a client by kind, and the time that is spent in them."""
    rows = {}
    for program in programs:
        show(f"calls: {program.title}")
        report = bench.run(program, clients, True)["report"]
        row = {"title": program.title, "kind": program.kind, "counts": {
            name: round(total / clients, 4)
            for name, total in report["calls"].items()}}
        row["counts"]["all"] = round(report["per_client"]["system_calls"], 4)
        row |= {key: report["per_client"][key]
                for key in ("switches", "parks", "page_faults", "allocations")}
        if program.kind != "threads":
            times = []
            for _ in range(3):
                cost = bench.run(program, clients,
                                 LD_PRELOAD="calltimes.so",  # no path: a
                                 LD_LIBRARY_PATH=str(BIN))   # space ends it
                found = [json.loads(line)["call_times"]
                         for line in cost["stderr"].splitlines()
                         if line.startswith('{"call_times"')]
                found = max(found, key=lambda one: one["socket"]["calls"])
                times.append({name: one["ns"] / 1000 / clients
                              for name, one in found.items()})
            row["us"] = medians(times)
            row["us"]["all"] = round(sum(row["us"].values()), 4)
        rows[program.name] = row
    show("")
    return rows


def available_memory():
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) << 10
    return 0


def simulated(sizes, until):
    """The server alone, on the simulated kernel."""
    rows = {}
    for size in sizes:
        needed = size * BYTES_A_SIMULATED_CLIENT
        free = available_memory()
        if needed > free:
            say(f"{size:,} simulated clients: skipped, they need "
                f"{needed >> 20} MiB and {free >> 20} are free")
            break
        if rows and time.monotonic() > until:
            say(f"{size:,} simulated clients: skipped, time is up")
            break
        show(f"simulated: {size:,}")
        costs = []
        for _ in range(SIMULATED_RUNS):
            done = subprocess.run([BIN / "measure", str(3 * LIMIT), BIN / "simulate",
                                   "--comet", str(size)],
                                  stdout=subprocess.PIPE, text=True)
            *output, last = done.stdout.splitlines() or [""]
            costs.append(json.loads(last))
        bad = [cost["status"] for cost in costs if cost["status"] != 0]
        if bad:
            show("")
            say(f"{size:,} simulated clients: it ended with {bad[0]}")
            break
        each = re.search(r"(\d+) bytes, (\d+) of", " ".join(output))
        rows[str(size)] = {
            "title": f"{size:,} clients", "kind": "simulated",
            **medians([micro(cost, size) for cost in costs]),
            "bytes": int(each[1]), "simulation": int(each[2]),
            "library": int(each[1]) - int(each[2])}
    show("")
    return rows


def show(text):
    """What is being done now, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r{text:<60}", end="\r", file=sys.stderr, flush=True)


# ---- The bill ----------------------------------------------------------------


def measure(arguments):
    bench = Bench()
    most = (int(subprocess.run([BIN / "doctor", "--largest"], check=True,
                               stdout=subprocess.PIPE).stdout) - SPARE // 2)
    clients = min(arguments.clients or MOST, most)
    small = clients < SIZES[-1]
    pairs = arguments.pairs or PAIRS
    start = time.monotonic()
    report = bench.run(FLOOR, clients, True)["report"]
    others, skipped = ([], {}) if arguments.without_peers else peers()
    programs = [*own_programs(report["switch"]), *others]
    say(f"{clients:,} clients, {pairs} pairs of each")

    rows, failed = ladder(bench, programs, clients, pairs, start + PAIRS_END)
    own = [program for program in programs if program.kind != "peer"]
    if broken := [p.title for p in own if p.name in failed]:
        sys.exit(f"bill: no bill without: {', '.join(broken)}")
    savings(rows)
    alive = [p for p in programs if p.name in rows]
    sizes = [clients // 2] if small else SIZES
    say("growth, memory, system calls, simulated clients")
    grown = growth(bench, [FLOOR, *alive], sizes, clients, rows)
    kinds = calls(bench, [FLOOR, *own], clients)
    head = {"machine": report["machine"], "clients": clients,
            "switch": report["switch"], "poller": report["poller"],
            "namespaces": bench.alone}
    folder = Path(arguments.to)
    folder.mkdir(parents=True, exist_ok=True)
    results = {"ladder": head | {"skipped": skipped | failed, "runs": rows},
               "same": head | {"runs": same_source(rows)},
               "growth": head | {"runs": grown},
               "memory": head | {"runs": memory(grown, sizes[0], clients)},
               "calls": head | {"runs": kinds}}
    if not small:
        alone = simulated(SIMULATED, start + END)
        if len(alone) == len(SIMULATED):
            results["simulated"] = head | {"runs": alone}
        else:
            say("simulated.json stays as it was")
    for name, result in results.items():
        (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    say(f"done: {len(results)} results, in {time.monotonic() - start:.0f} s")


def try_peers():
    """Runs what is there once, with few clients."""
    bench = Bench()
    bad = False
    for program in peers()[0]:
        try:
            cost = micro(bench.run(program, 100), 100)
            say(f"{program.title}: done 100, {cost['us']:.0f} us of CPU a client, "
                "its start included")
        except Skip as why:
            say(f"{program.title}: {why}")
            bad = True
    sys.exit(bad)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="?", choices=["measure", "peers"],
                        default="measure")
    parser.add_argument("--clients", type=int)
    parser.add_argument("--pairs", type=int)
    parser.add_argument("--without-peers", action="store_true")
    parser.add_argument("--to", default=HERE / "results")
    arguments = parser.parse_args()
    try_peers() if arguments.task == "peers" else measure(arguments)


if __name__ == "__main__":
    main()
