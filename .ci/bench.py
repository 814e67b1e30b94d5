#!/usr/bin/env python3
"""What the library's own steps cost: chapters/08-the-bill/results/bench.json.

Runs chapters/08-the-bill/bench.cpp as it was built with each switch: build/bin
and build/ucontext/bin. Kept is the median of several repetitions, in
nanoseconds of CPU time of an iteration, and how far apart they were. CPU time,
for on a machine with others at work the rest of the time is theirs.
"""

import json
import statistics
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BUILDS = {"asm": TOP / "build", "ucontext": TOP / "build" / "ucontext"}
RESULT = TOP / "chapters" / "08-the-bill" / "results" / "bench.json"
REPETITIONS = 11


def run(build):
    """The CPU times of all repetitions, by the benchmark's name."""
    done = subprocess.run(
        [build / "bin" / "bench", "--benchmark_format=json",
         f"--benchmark_repetitions={REPETITIONS}",
         "--benchmark_min_time=0.05",
         "--benchmark_enable_random_interleaving=true"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=600,
        check=True)
    times = {}
    for one in json.loads(done.stdout)["benchmarks"]:
        if one["run_type"] == "iteration":
            name = one["run_name"].replace("/", "_")
            times.setdefault(name, []).append(one["cpu_time"])
    return dict(sorted(times.items()))  # they ran in any order


def machine(build):
    """As the runs describe it."""
    done = subprocess.run([build / "bin" / "comet-00", "1", "--json"],
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["machine"]


def main():
    result = {"program": "bench", "repetitions": REPETITIONS,
              "machine": machine(BUILDS["asm"]), "ns": {}, "spread_ns": {}}
    for switch, build in BUILDS.items():
        times = run(build)
        result["ns"][switch] = {name: round(statistics.median(all), 2)
                                for name, all in times.items()}
        result["spread_ns"][switch] = {
            name: [round(min(all), 2), round(max(all), 2)]
            for name, all in times.items()}
    print(f"{'CPU ns, median':<32}", *(f"{switch:>10}" for switch in result["ns"]))
    for name in result["ns"]["asm"]:
        print(f"{name:<32}", *(f"{ns[name]:10.1f}"
                               for ns in result["ns"].values()))
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(f"kept in {RESULT.relative_to(TOP)}")


main()
