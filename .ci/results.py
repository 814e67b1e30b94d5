#!/usr/bin/env python3
"""The committed results of the chapters' runs: chapters/NN-name/run.json.

  results.py measure 03-the-scheduler ...  runs small-03 and keeps its result
  results.py check 03-the-scheduler ...    runs it and compares the counts

Seconds, memory and page faults depend on the machine; what the program did
does not. So a check compares switches, parks and system calls by kind, each
per client. They may differ by 0.02, and by 2 in a hundred: when one asks the
server again and again until it says N, how often is a matter of luck.

The run of chapters 01 to 05 is that of the small version. The finished
programs, those of chapters 06 and 07, are on the library; before chapter 08 it
has the switch by ucontext(3), so they are those of build/ucontext. The run of
chapter 08 is chapter 06's program as it is now.

Chapter 08 begins with another program, the naive one, whose result is kept in
its results/naive.json.

In chapter 07 servers run beside their clients, in threads and processes of
their own. Who finds the other's answer there already is luck, and with it how
often one waits; so of that chapter only what cannot depend on it is compared.
To measure it measures each of its servers by itself, too, which is kept in
results/servers.json.
"""

import json
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BIN = TOP / "build" / "bin"
BEFORE = TOP / "build" / "ucontext" / "bin"
MOST = 10000  # the clients of the book's run
ABSOLUTE = 0.02
RELATIVE = 0.02
SERVERS = {"scheduled": "a coroutine each", "threading": "a thread each",
           "forking": "a process each"}
SERVER_CLIENTS = 200
SERVER_RUNS = 9
BESIDE = {"07": {"socket", "bind", "listen", "write", "close", "fork"}}


def program(number):
    """The program of a chapter's run."""
    if number == "08":
        return BIN / "comet-06"
    return BEFORE / f"{'small' if '00' < number < '06' else 'comet'}-{number}"


def run(number, clients, more):
    return run_program(program(number), clients, more)


def run_program(program, clients, more):
    # By a shell, for the peak memory of a process is never less than that of
    # the one it was forked from, and this one is all of Python.
    command = ["sh", "-c", '"$@"; exit $?', "sh", program, str(clients),
               "--json", *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, timeout=600)
    if done.returncode != 0:
        sys.exit(f"results: {program.name} {clients} has failed")
    return json.loads(done.stdout)


def largest(option="--largest"):
    done = subprocess.run([BIN / "doctor", option], stdout=subprocess.PIPE,
                          check=True)
    return int(done.stdout)


def counts(result, number):
    """What is compared: counts per client, by name."""
    per_client = {name: result["per_client"][name]
                  for name in ("switches", "parks")}
    for call, count in result["calls"].items():
        per_client[call] = count / result["clients"]
    # How guard pages are made, and in how many calls, is the kernel's to say.
    for call in "process_madvise", "madvise", "mprotect":
        per_client.pop(call, None)
    sure = BESIDE.get(number, per_client)
    return {name: n for name, n in per_client.items() if name in sure}


def check(number, path):
    """True unless the counts have changed."""
    if not path.exists():
        print(f"chapter {number}: no result is kept yet")
        return True
    old = json.loads(path.read_text())
    more = ["--clients-in-child"] if old["clients_in_child"] else []
    most = largest("--largest-in-child" if more else "--largest")
    new = run(number, min(old["clients"], most), more)
    for key in "poller", "switch":
        if new[key] != old[key]:
            print(f"chapter {number}: not compared: the result is one of "
                  f"{old[key]}, this is {new[key]}")
            return True
    was, now = counts(old, number), counts(new, number)
    wrong = [f"  {name}: {was.get(name, 0):.3f} in {path.name}, "
             f"{now.get(name, 0):.3f} now"
             for name in sorted(was | now)
             if abs(was.get(name, 0) - now.get(name, 0)) >
             ABSOLUTE + RELATIVE * was.get(name, 0)]
    if wrong:
        print(f"chapter {number}: per client, these counts have changed:",
              *wrong, "make measure keeps the new ones", sep="\n")
        return False
    print(f"chapter {number}: {len(was)} counts per client agree")
    return True


def measure(number, path):
    result = run(number, min(MOST, largest()), [])
    path.write_text(json.dumps(result, indent=2) + "\n")
    print(f"{program(number).name} {result['clients']}: {result['total_s']:.2f} s, "
          f"kept in {path.relative_to(TOP)}")
    if number == "07":
        measure_servers(path.parent / "results" / "servers.json")
    if number == "08":
        naive = run_program(BEFORE / "naive", result["clients"], [])
        (path.parent / "results" / "naive.json").write_text(
            json.dumps(naive, indent=2) + "\n")
    return True


def measure_servers(path):
    """Of several runs of each, the one in the middle."""
    middle = {}
    for name in SERVERS:
        results = [run("07", SERVER_CLIENTS, ["--server", name])
                   for _ in range(SERVER_RUNS)]
        results.sort(key=lambda result: result["per_client"]["system_calls"])
        middle[name] = results[SERVER_RUNS // 2]
    one = middle["scheduled"]
    path.write_text(json.dumps({
        "machine": one["machine"], "clients": SERVER_CLIENTS,
        "runs_each": SERVER_RUNS,
        "kept": "the run with the median of system calls",
        "switch": one["switch"], "poller": one["poller"],
        "runs": {name: of_server(title, middle[name])
                 for name, title in SERVERS.items()}}, indent=1) + "\n")
    print(f"comet-07 --server NAME {SERVER_CLIENTS}: "
          f"kept in {path.relative_to(TOP)}")


def of_server(title, result):
    """What the page's table shows, per client."""
    each = {name: result["per_client"][name]
            for name in ("switches", "parks", "page_faults", "system_calls")}
    for call in ("accept4", "read", "close", "epoll_ctl", "epoll_wait", "poll",
                 "fork", "waitpid", "rt_sigprocmask"):
        each[call] = result["calls"].get(call, 0) / result["clients"]
    each["other_calls"] = round(each["system_calls"] - each["rt_sigprocmask"], 3)
    return {"title": title, "kind": "server", **each}


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("measure", "check"):
        sys.exit(__doc__)
    task = {"measure": measure, "check": check}[sys.argv[1]]
    good = [task(chapter[:2], TOP / "chapters" / chapter / "run.json")
            for chapter in sys.argv[2:]]
    sys.exit(0 if all(good) else 1)


main()
