"""What a client may cost: budgets for the counts of the comet programs.

Seconds depend on the machine; counts do not. A client's cost is the
difference between a run of N and a run of one client, so that what a program
does once, at its beginning and its end, is in no budget.

A budget is what the program needs, with a little slack; a change that makes
the program need more has to say so here. Where main yields after each
connection, in chapters 02 to 04, two of the switches are main's. The small
version maps each stack by itself, which is four of its calls. Not in a budget
are what depends on the build or on the kernel: the rt_sigprocmask(2) of a
switch by ucontext, and the call that makes a guard page.
"""

import json
import mmap
import os
import re
import resource
import sys
import unittest

import program

DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
# The memory of a process differs by 300 KiB from run to run, so that it takes
# thousands of clients to see what one costs.
N = 4000 if DESCRIPTORS >= 8020 else 1000
ALL = 9950
SLACK = 0.05  # of a count: tables that grow, and answers in two pieces

# For a client: system calls in all, epoll_ctl, switches, parks, allocations,
# page faults, and KiB of memory. Of the pages, two are the stacks of the two
# ends.
NAMES = ("system calls", "epoll_ctl", "switches", "parks", "allocations",
         "page faults", "KiB")
BUDGET = {
    "small-01": (13.50, 1, 0, 0, 8.2, 0.15, 0.9),
    "small-02": (17.50, 1, 11, 0, 6.2, 2.10, 8.4),
    "small-03": (17.50, 1, 11, 2.5, 7.75, 2.10, 8.4),
    "small-04": (17.50, 1, 12.1, 3, 9.25, 2.10, 8.4),
    "small-05": (20.00, 1, 14, 5, 14.2, 2.10, 8.5),
    "small-06": (22.00, 2, 14, 5, 17.2, 2.15, 8.6),
    "comet-06": (13.10, 1, 8.25, 2.05, 7, 2.15, 8.6),
}

with_memory = True


def run(n):
    result = program.run(n, "--json")
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    return json.loads(result.stdout)


def kernel():
    return tuple(map(int, re.match(r"(\d+)\.(\d+)",
                                   os.uname().release).groups()))


def totals(report):
    """What a run has done, in the order of NAMES."""
    calls = report["calls"]
    left_out = sum(calls.get(call, 0)
                   for call in ("rt_sigprocmask", "madvise", "mprotect"))
    n = report["clients"]
    counts = {name: n * count for name, count in report["per_client"].items()}
    return (counts["system_calls"] - left_out, calls.get("epoll_ctl", 0),
            counts["switches"], counts["parks"], counts["allocations"],
            counts["page_faults"], report["peak_kib"])


class Budget(unittest.TestCase):

    def test_what_a_client_costs(self):
        one, many = run(1), run(N)
        if many["poller"] != "epoll":
            self.skipTest("the budgets are for epoll")
        budget = BUDGET[program.name()]
        sure = len(NAMES) if with_memory else NAMES.index("allocations")
        over = []
        for name, first, last, most in list(
                zip(NAMES, totals(one), totals(many), budget))[:sure]:
            cost = (last - first) / (N - 1)
            print(f"{program.name()}: {name} {cost:.3f} of {most:.2f}")
            if cost > most + SLACK:
                over.append(f"{name}: {cost:.3f}, and the budget is {most}")
        self.assertEqual(over, [])

    def test_the_run_needs_at_most_90_MB(self):
        if not with_memory or program.name() != "comet-06":
            self.skipTest("it is for the server, built as it is meant to run")
        if DESCRIPTORS < 2 * ALL + 20:
            self.skipTest("the limit of descriptors")
        peak = run(ALL)["peak_kib"] * 1024 / 1e6
        print(f"{program.name()}: {peak:.1f} MB of 90")
        self.assertLessEqual(peak, 90)

    def test_the_guards_of_many_stacks_are_one_call(self):
        calls = run(N)["calls"]
        if program.name() != "comet-06" or not with_memory or kernel() < (6, 18):
            self.skipTest("no pool of stacks, or a kernel that takes no list")
        self.assertEqual(calls.get("madvise", 0) + calls.get("mprotect", 0), 0)
        self.assertLess(calls.get("process_madvise", N), N / 32)


if "--without-memory" in sys.argv:
    sys.argv.remove("--without-memory")
    with_memory = False
with_memory = with_memory and mmap.PAGESIZE == 4096

program.main()
