#!/usr/bin/env python3
"""Clients that stay: the hello server under wrk, beside nginx and others.

  wrk.py                      measures, for about two minutes
  wrk.py --rounds 1 --seconds 0.5 --to FOLDER   for a test of this program

wrk holds 64 connections and asks again as soon as it is answered. Each server
has one processor, wrk another. They take turns, round after round; kept are
the medians, in results/wrk.json. On a machine with others at work a server
has less than its processor, so what a request costs it in CPU time is
measured, too: that is what can be compared.

A server whose tool is not there is left out, with a line.
"""

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bill import BIN, HERE, PEERS, Skip, build, need, say, show

CONNECTIONS = 64
ROUNDS, SECONDS = 7, 2
SERVER, CLIENT = {0}, {1}  # their processors
ANSWER = b"Hello, world\n"
KIND = {"recvfrom": "read", "writev": "write", "sendmsg": "write",
        "epoll_pwait": "epoll_wait", "total": "all"}  # of a system call


# ---- The servers: each a command that lacks nothing but the port -------------


def ours(port):
    return [BIN / "keep-alive-server", "--port", port]


def nginx(port):
    text = (HERE / "peers" / "hello.nginx.conf").read_text()
    folder = PEERS / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hello.conf").write_text(text.replace("PORT", str(port)))
    return [need("nginx"), "-p", folder, "-c", "hello.conf"]


def beast(port):
    target = PEERS / "hello_beast"
    compiler = os.environ.get("CXX") or need("c++")
    return [build([compiler, "-O2", "-std=c++20", "-pthread", "-o", target,
                   HERE / "peers" / "hello_beast.cpp"], target), port]


def go(port):
    target = PEERS / "hello_go"
    return [build([need("go"), "build", "-o", target,
                   HERE / "peers" / "hello.go"], target), port]


def node(port):
    return [need("node"), HERE / "peers" / "hello.js", port]


SERVERS = {"ours": ("this server", ours), "nginx": ("nginx", nginx),
           "beast": ("Boost.Beast, C++20", beast), "go": ("Go, net/http", go),
           "node": ("Node.js, http", node)}


# ---- One load ----------------------------------------------------------------


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def on(processors):
    return lambda: os.sched_setaffinity(0, processors)


def answers(port):
    """Whether a server answers there as all of them shall."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.settimeout(5)
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n"
                           b"Connection: close\r\n\r\n")
            received = b"".join(iter(lambda: client.recv(4096), b""))
    except ConnectionRefusedError:
        return False
    head, _, body = received.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 ") or ANSWER not in body:
        raise Skip(f"it answers {received[:100]!r}")
    return True


def processes(pid):
    """A process and its children: nginx works in one."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *map(int, children)]


def cpu(pid):
    """Nanoseconds of CPU time that all threads have had."""
    return sum(int(file.read_text().split()[0])
               for process in processes(pid)
               for file in Path(f"/proc/{process}/task").glob("*/schedstat"))


@contextlib.contextmanager
def serving(command, port):
    """A server, from its first answer on, with GOMAXPROCS=1 for Go."""
    with tempfile.TemporaryFile() as said, subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=said,
            stderr=said, env=os.environ | {"GOMAXPROCS": "1"},
            preexec_fn=on(SERVER)) as server:
        try:
            until = time.monotonic() + 10
            while not answers(port):
                if server.poll() is not None or time.monotonic() > until:
                    said.seek(0)
                    raise Skip(f"it does not serve and says: {said.read()[-200:]!r}")
                time.sleep(0.05)
            yield server.pid
        finally:
            server.terminate()


def wrk(port, seconds):
    """What wrk says at the end."""
    done = subprocess.run(
        [need("wrk"), "-t", "1", "-c", str(CONNECTIONS), "-d", f"{seconds}s",
         "--timeout", "10s", "-s", HERE / "peers" / "hello.lua", f"http://127.0.0.1:{port}/"],
        stdout=subprocess.PIPE, text=True, timeout=seconds + 20, check=True,
        preexec_fn=on(CLIENT))
    told = json.loads(done.stdout.splitlines()[-1])
    if told["errors"] or not told["requests"]:
        raise Skip(f"wrk says: {told}")
    return told


def load(command, port, seconds):
    """What wrk says of a server, and what a request costs that."""
    with serving(command, port) as pid:
        wrk(port, 1)  # whoever compiles what is used often has done so then
        before, start = cpu(pid), time.monotonic()
        told = wrk(port, seconds)
        spent, elapsed = cpu(pid) - before, time.monotonic() - start
    return {"requests_a_second": told["requests"] / told["us"] * 1e6,
            "p50_us": told["p50_us"], "p99_us": told["p99_us"],
            "us": spent / 1000 / told["requests"],
            "busy": spent / 1e7 / elapsed}


def calls(command, port):
    """System calls a request, as strace counts them for one second."""
    try:
        with serving(command, port) as pid, \
                tempfile.NamedTemporaryFile("r") as counts:
            pids = [word for process in processes(pid)
                    for word in ("-p", str(process))]
            strace = subprocess.Popen(
                [need("strace"), "-f", "-c", "-o", counts.name, *pids],
                stderr=subprocess.DEVNULL)
            time.sleep(0.5)  # it attaches
            told = wrk(port, 1)
            strace.send_signal(signal.SIGINT)
            strace.wait(10)
            return {KIND.get(fields[-1], fields[-1]): round(int(fields[3]) / told["requests"], 2)
                    for fields in map(str.split, counts.read().splitlines())
                    if len(fields) > 4 and fields[3].isdigit()
                    and int(fields[3]) > told["requests"] / 100}
    except Skip as why:
        say(f"calls are not counted: {why}")
        return {}


# ---- All of them -------------------------------------------------------------


def measure(rounds, seconds):
    loads, skipped = {name: [] for name in SERVERS}, {}
    for number in range(1, rounds + 1):
        for name, (title, command) in SERVERS.items():
            if name in skipped:
                continue
            show(f"round {number} of {rounds}: {title}")
            try:
                port = free_port()
                loads[name].append(load(command(port), port, seconds))
            except Skip as why:
                show("")
                say(f"{title}: skipped, {why}")
                skipped[name] = str(why)
    show("")
    rows = {}
    for name, (title, command) in SERVERS.items():
        if name not in skipped:
            row = rows[name] = {
                "title": title, "kind": "ours" if name == "ours" else "peer"}
            for key in loads[name][0]:
                middle = statistics.median(one[key] for one in loads[name])
                row[key] = round(middle, 2) if key == "us" else round(middle)
            port = free_port()
            row["calls"] = calls(command(port), port)
            say(f"{title:20} {row['requests_a_second']:>8,} requests a second, "
                f"{row['us']:5.1f} us of CPU each, p99 {row['p99_us']:,} us")
    return rows, skipped


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--to", type=Path, default=HERE / "results")
    arguments = parser.parse_args()
    try:
        need("wrk")
        if not SERVER | CLIENT <= os.sched_getaffinity(0):
            raise Skip("a server and wrk need two processors")
    except Skip as why:
        return say(f"wrk: skipped, {why}")
    rows, skipped = measure(arguments.rounds, arguments.seconds)
    if "ours" not in rows:
        sys.exit("wrk: nothing to compare with")
    machine = json.loads(subprocess.run(
        [BIN / "comet-00", "1", "--json"], stdout=subprocess.PIPE,
        check=True).stdout)["machine"]
    result = {"machine": machine, "connections": CONNECTIONS,
              "rounds": arguments.rounds, "seconds": arguments.seconds,
              "skipped": skipped, "runs": rows}
    arguments.to.mkdir(parents=True, exist_ok=True)
    (arguments.to / "wrk.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
