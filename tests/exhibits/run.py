#!/usr/bin/env python3
"""Runs an exhibit and compares how it goes wrong with what its page says.

  run.py EXPECTATION KEPT PROGRAM   fails unless the program ends as expected
                                    and prints what the file KEPT says
  run.py --keep BIN                 runs every exhibit that BIN/exhibits has,
                                    and keeps what it prints

EXPECTATION is one of those below. The program stops by itself, whatever it
does: chapters/supervisor.cpp, which is linked into it, sees to that.
"""

import difflib
import subprocess
import sys
from pathlib import Path

STATUS = {"works": 0, "fails": 1, "hangs": 3, "spins": 4, "crashes": 5}
LIMIT = 100  # seconds, should its supervisor be broken
TOP = Path(__file__).resolve().parents[2]


def run(program):
    done = subprocess.run([program], stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, timeout=LIMIT)
    ending = {status: word for word, status in STATUS.items()}
    return ending.get(done.returncode, f"{done.returncode}"), done.stdout


def compare(expectation, kept, program):
    """The problems found: none if the exhibit is as wrong as it should be."""
    ending, output = run(program)
    problems = []
    if ending != expectation:
        problems.append(f"{Path(program).name}: it {ending}, and should be "
                        f"one that {expectation}")
        if ending == "works":
            problems.append("Did you cure it? Then all is well; `git checkout` "
                            "brings the disease back.")
    before = Path(kept).read_text() if Path(kept).exists() else ""
    problems += difflib.unified_diff(
        before.splitlines(), output.splitlines(),
        f"{Path(kept).name} (`make exhibits` keeps it anew)", "what it prints",
        lineterm="")
    return problems


def keep(folder):
    for source in sorted(TOP.glob("chapters/*/exhibits/*.cpp")):
        for name in source.stem, f"{source.stem}-cured":
            program = Path(folder) / "exhibits" / name
            if program.exists():
                ending, output = run(program)
                source.with_name(f"{name}.txt").write_text(output)
                print(f"{ending:<7} {name}")


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--keep":
        keep(sys.argv[2])
    elif len(sys.argv) == 4 and sys.argv[1] in STATUS:
        problems = compare(*sys.argv[1:])
        print(*problems, sep="\n")
        sys.exit(1 if problems else 0)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
