#!/usr/bin/env python3
"""Steps: the small version of the library, as the reader types it in.

The headers of a chapter's folder small/ are grown in steps, and their lines
are marked with the steps between which they stand:

    bool end() {  //[4        stands from step 4 on: with what is indented more,
      return true;            the line that closes it, and the comment above
    }
    int n = 1;  //[4]         this line alone stands from step 4 on
    //[2-3 int n;             stands in steps 2 and 3 only, and is no more than
                              a comment in the finished header; the comment
                              above it belongs to all lines that follow
    //[5                      all lines from here ...
    //]                       ... to here stand from step 5 on

All other lines stand from the chapter's first step on. Without its markers,
each step is a clean header: `extract` writes it, with the headers of the
chapters before and the demos of the step, into a folder of its own.

A demo, steps/*.cpp, says what it prints when it is built with a step, and how
it ends if that is not well. Built with several steps, it shows what the later
ones cure:

    //! 4: 101 calls
    //! 5: 2 calls
    //! 5 ends by SIGSEGV

Invariant: every step compiles, its demo does what it says, and no step adds
more than 25 lines of code. `check` fails if not.
"""

import argparse
import concurrent.futures
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_ADDED = 25  # lines of code in a step, and in a function
MOST_LINES = 950  # lines of code of all chapters
MOST_MARKED = 0.1  # of the lines, those of their own that a marker takes

OLD = re.compile(r"(\s*)//\[(\d+)-(\d+) (.*)")
OPEN = re.compile(r"\s*//\[(\d+)")
CLOSE = re.compile(r"\s*//\]")
MARKED = re.compile(r"(.*\S)\s+//\[(\d+)(\]?)")
SAYS = re.compile(r"//! (\d+)(?:: ?(.*)| ends by (.+))")


class Fault(Exception):
    """What is wrong with a source or a step, in one line."""


# ---- Headers ---------------------------------------------------------------


def chapters():
    """The folders of the chapters that have steps, in order."""
    return sorted(path.parent for path in ROOT.glob("chapters/*/small"))


def folder_of(number):
    found = [path for path in chapters() if path.name.startswith(number + "-")]
    if not found:
        known = ", ".join(path.name[:2] for path in chapters())
        raise Fault(f"chapter {number} has no steps; there are {known}")
    return found[0]


def headers(chapter):
    """The headers that the reader types in a chapter, by their names."""
    folder = chapter / "small"
    return {path.relative_to(folder).as_posix(): path
            for path in sorted(folder.glob("**/*.hpp"))}


def indent_of(text):
    return len(text) - len(text.lstrip())


def end_of(texts, start):
    """The line behind the piece of code that begins with a line.

    The lines that are indented more belong to it, and the lines that close
    what the first has opened.
    """
    indent, end = indent_of(texts[start]), start + 1
    while end < len(texts):
        following = end
        while following < len(texts) and not texts[following].strip():
            following += 1
        if following < len(texts) and indent_of(texts[following]) > indent:
            end = following + 1
        elif re.match(r"\s*[})]", texts[end]) \
                and indent_of(texts[end]) == indent:
            end += 1
        else:
            break
    return end


def read(path):
    """A header's lines: the text, its first step and its last (or None)."""
    texts, marks, old, opened = [], [], [], []
    steps = []  # the blocks around the line
    for number, text in enumerate(path.read_text().splitlines(), 1):
        if match := OLD.fullmatch(text):
            texts.append(match[1] + match[4])
            old.append((int(match[2]), int(match[3])))
            marks.append(None)
        elif match := OPEN.fullmatch(text):
            steps.append((int(match[1]), number))
            continue
        elif CLOSE.fullmatch(text):
            if not steps:
                raise Fault(f"{path}:{number}: //] closes nothing")
            steps.pop()
            continue
        else:
            match = MARKED.fullmatch(text)
            if not match and ("//[" in text or "//]" in text):
                raise Fault(f"{path}:{number}: no marker has this form")
            texts.append(match[1] if match else text)
            marks.append(match and (int(match[2]), match[3] == "]"))
            old.append(None)
        opened.append(steps[-1][0] if steps else 1)
    if steps:
        raise Fault(f"{path}:{steps[-1][1]}: this //[ is not closed")
    # Old lines do not count where the others begin and end.
    kept = [index for index in range(len(texts)) if not old[index]]
    code = [texts[index] for index in kept]
    first = [opened[index] for index in kept]
    for line, index in enumerate(kept):
        if not marks[index]:
            continue
        step, alone = marks[index]
        for inner in range(line, line + 1 if alone else end_of(code, line)):
            first[inner] = max(first[inner], step)
        above = line
        while above > 0 and kept[above - 1] == kept[above] - 1 \
                and re.match(r"\s*(//|template <)", code[above - 1]) \
                and indent_of(code[above - 1]) == indent_of(code[line]):
            above -= 1
            first[above] = max(first[above], step)
    numbers = iter(first)
    return [(text, *was) if was else (text, next(numbers), None)
            for text, was in zip(texts, old)]


def at_step(lines, step):
    """A header as it stands at a step: clean, or empty if it is not there."""
    text = [line for line, first, last in lines
            if first <= step and (last is None or step <= last)]
    clean = []
    for number, line in enumerate(text):
        below = text[number + 1] if number + 1 < len(text) else ""
        above = clean[-1] if clean else ""
        if line or (above and not above.endswith((" public:", " private:"))
                    and not below.startswith("};")):
            clean.append(line)
    return clean


def steps_of(chapter):
    """How many steps a chapter has."""
    return max(first for path in headers(chapter).values()
               for _, first, _ in read(path))


def is_code(line):
    return bool(line.strip()) and not line.strip().startswith("//")


def is_frame(line):
    """Whether a line of code is there for the compiler, with nothing new."""
    return bool(re.match(r"#|namespace |}  // namespace", line))


def files_at(chapter, step):
    """The headers of a chapter as they stand at a step, by their names."""
    texts = {name: at_step(read(path), step)
             for name, path in headers(chapter).items()}
    return {name: text for name, text in texts.items() if text}


# ---- Extraction ------------------------------------------------------------


@dataclass
class Promise:
    """What a demo does when it is built with a step."""

    demo: Path
    prints: list = field(default_factory=list)
    ends_by: str = "status 0"


def promises(chapter):
    """What the demos of a chapter say: lists of promises by their step."""
    found = {}
    for demo in sorted(chapter.glob("steps/*.cpp")):
        said = {}
        for line in demo.read_text().splitlines():
            if match := SAYS.fullmatch(line):
                promise = said.setdefault(int(match[1]), Promise(demo))
                if match[3]:
                    promise.ends_by = match[3]
                else:
                    promise.prints.append(match[2])
        if not said:
            raise Fault(f"{demo}: it does not say what it prints")
        for step, promise in said.items():
            found.setdefault(step, []).append(promise)
    return found


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def extract(chapter, step, dest):
    """Writes the headers of all chapters up to this one, at a step."""
    for earlier in chapters():
        if earlier > chapter:
            break
        last = steps_of(earlier) if earlier != chapter else step
        for name, text in files_at(earlier, last).items():
            write(dest / name, "\n".join(text) + "\n")


# What the reader is given, beside the headers: system calls, lists, the words
# of HTTP, and the run.
GIVEN = ["src/naglfar/job.hpp", "src/naglfar/sys.hpp", "src/naglfar/sys/*"]
GIVEN_06 = ["src/naglfar/http/headers.*"]
RUN = ["00-the-run/harness.*", "00-the-run/check.*", "00-the-run/limits.*", "00-the-run/report.*",
       "00-the-run/allocations.cpp", "01-readiness/loop.hpp",
       "02-coroutines/streams.hpp"]

# What the build of a step and that of a stage have in common.
BUILD_GIVEN = """\
cmake_minimum_required(VERSION 3.20)
project(naglfar CXX)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_EXTENSIONS OFF)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo)
endif()
find_package(Threads REQUIRED)

file(GLOB_RECURSE given given/naglfar/*.cpp)
add_library(given STATIC ${given})
target_include_directories(given PUBLIC . given)
target_link_libraries(given PUBLIC Threads::Threads)
if(CMAKE_SYSTEM_NAME STREQUAL "Linux")
  target_compile_definitions(given PUBLIC NAGLFAR_EPOLL)
else()
  target_compile_definitions(given PUBLIC NAGLFAR_KQUEUE)
endif()
if(APPLE)  # for <ucontext.h>, and for what that hides
  target_compile_definitions(given PUBLIC _XOPEN_SOURCE=700 _DARWIN_C_SOURCE)
endif()
"""

BUILD = """\
# Step {step} of chapter {chapter}: your headers are in naglfar/, what they stand
# on is in given/. Build and run a demo:
#
#     cmake -S . -B build && cmake --build build --target {demo} && build/{demo}

{given}
function(program name)
  add_executable(${{name}} {exclude}${{ARGN}})
  target_compile_options(${{name}} PRIVATE -Wall -Wextra -Wshadow)
  target_link_libraries(${{name}} PRIVATE given)
endfunction()

file(GLOB demos CONFIGURE_DEPENDS *.cpp)
foreach(demo IN LISTS demos)
  cmake_path(GET demo STEM name)
  program(${{name}} ${{demo}})
endforeach()
"""

BUILD_RUN = """
# The chapter's run: build/small-{chapter} 9900
file(GLOB run given/run/*.cpp)
program(small-{chapter} run/{source} ${{run}})
target_include_directories(small-{chapter} PRIVATE given/run)
target_compile_definitions(small-{chapter} PRIVATE
  NAGLFAR_PROGRAM="small-{chapter}" NAGLFAR_POLLER_NAME="your own"
  NAGLFAR_SWITCH_NAME="ucontext")
"""


def run_of(chapter):
    """The program of a chapter's run."""
    post = chapter / "post.cpp"
    return post if post.exists() else chapter / "comet.cpp"


def give(chapter, dest):
    """Writes what the headers of a chapter stand on."""
    for pattern in GIVEN + (GIVEN_06 if chapter.name >= "06" else []):
        for path in sorted(ROOT.glob(pattern)):
            write(dest / "given" / path.relative_to(ROOT / "src"),
                  path.read_text())


def give_run(chapter, dest):
    """Writes the program of a chapter's run, and what it stands on."""
    write(dest / "run" / run_of(chapter).name, run_of(chapter).read_text())
    for pattern in RUN:
        for path in sorted((ROOT / "chapters").glob(pattern)):
            if path.parent.name <= chapter.name:
                write(dest / "given/run" / path.name, path.read_text())


def export(chapter, step, dest):
    """Puts the reader at a step: all that is needed to build and run it.

    Step 0 is where a chapter begins: the headers of the chapters before, and
    all demos, none of which can be built yet."""
    if dest.is_file() or dest.exists() and any(dest.iterdir()):
        raise Fault(f"{dest} is no empty folder")
    extract(chapter, step, dest)
    give(chapter, dest)
    demos = [promise.demo for at, there in sorted(promises(chapter).items())
             for promise in there if step in (0, at)]
    for demo in demos:
        write(dest / demo.name, demo.read_text())
    names = {"chapter": chapter.name[:2], "step": step, "demo": demos[0].stem,
             "source": run_of(chapter).name, "given": BUILD_GIVEN,
             "exclude": "EXCLUDE_FROM_ALL " if step == 0 else ""}
    text = BUILD.format(**names)
    if step in (0, steps_of(chapter)):
        text += BUILD_RUN.format(**names)
        give_run(chapter, dest)
    write(dest / "CMakeLists.txt", text)


# ---- Demos -----------------------------------------------------------------


def build(demo, headers_at, program, options):
    compiler = options.compiler.split()
    command = compiler + [
        "-std=c++20", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic",
        "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror",
        "-I", str(headers_at), "-I", str(ROOT / "src"),
        f"-DNAGLFAR_{options.poller.upper()}", str(demo), "-o", str(program),
        str(options.given / "libnaglfar_headers.a"),
        str(options.given / "libnaglfar_sys.a"), "-pthread"]
    result = subprocess.run(command, capture_output=True, text=True)
    return result.stderr if result.returncode != 0 else ""


def run(program, promise):
    """What is wrong with a run of a demo, or nothing."""
    try:
        result = subprocess.run([str(program)], stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, timeout=60)
    except subprocess.TimeoutExpired:
        return "it does not end"
    code = result.returncode
    end = signal.Signals(-code).name if code < 0 else f"status {code}"
    problems = ""
    if end != promise.ends_by:
        problems += f"it ends by {end}, not by {promise.ends_by}\n"
    printed = result.stdout.decode(errors="replace").splitlines()
    if printed != promise.prints:
        problems += "it prints\n" + "".join(f"    {line}\n" for line in printed)
        problems += "and not\n" + "".join(f"    {line}\n"
                                             for line in promise.prints)
    return problems


def try_step(chapter, step, demos, options):
    """Builds a step and runs its demos. Returns what is wrong."""
    if not demos:
        return "no demo in steps/ is built with it"
    for promise in demos:
        with tempfile.TemporaryDirectory() as folder:
            extract(chapter, step, Path(folder))
            program = Path(folder) / "demo"
            problem = (build(promise.demo, folder, program, options)
                       or run(program, promise))
        if problem:
            return f"{promise.demo.name}: {problem}"
    return ""


# ---- What must hold --------------------------------------------------------


def sizes(chapter):
    """For each step of a chapter, the lines of code that it adds."""
    counts = {}
    for path in headers(chapter).values():
        for line, first, _ in read(path):
            counts[first] = (counts.get(first, 0) + is_code(line)
                             - is_frame(line))
    return counts


def longest_function(text):
    """The most lines of a function body, by its braces' indentation."""
    most, where, start = 0, "", None
    for number, line in enumerate(text):
        if start is None and line.endswith("{") and not re.match(
                r"\s*(namespace|class|struct|enum|template|///?)", line):
            start, indent = number, re.match(r"\s*", text[number])[0]
        elif start is not None and re.match(re.escape(indent) + r"\}", line):
            if "catch" in line:
                continue
            lines = sum(map(is_code, text[start:number + 1]))
            if lines > most:
                most, where = lines, text[start].strip()
            start = None
    return most, where


def check_form():
    """The limits on sizes. Returns the problems."""
    problems, total, written, marked = [], 0, 0, 0
    for chapter in chapters():
        for step, added in sizes(chapter).items():
            if added > MOST_ADDED:
                problems.append(f"{chapter.name}: step {step} adds {added} "
                                f"lines of code, more than {MOST_ADDED}")
        for name, path in headers(chapter).items():
            lines = read(path)
            text = at_step(lines, steps_of(chapter))
            total += sum(map(is_code, text))
            written += len(path.read_text().splitlines())
            marked += sum(bool(OPEN.fullmatch(line) or CLOSE.fullmatch(line))
                          for line in path.read_text().splitlines())
            for line in text:
                if len(line) > 78:
                    problems.append(f"{name}: longer than 78: {line}")
            most, where = longest_function(text)
            if most > MOST_ADDED:
                problems.append(f"{name}: a function has {most} lines: "
                                f"{where}")
    if total > MOST_LINES:
        problems.append(f"{total} lines of code, more than {MOST_LINES}")
    if marked > MOST_MARKED * written:
        problems.append(f"markers take {marked} of {written} lines")
    print(f"{total} lines of code in {sum(map(steps_of, chapters()))} steps; "
          f"markers take {marked} of {written} lines")
    return problems


def check_layout(options):
    """Each step must look as the formatter would have it."""
    if shutil.which(options.format) is None:
        return []
    problems = []
    style = f"--style=file:{ROOT}/.clang-format"
    for chapter in chapters():
        for step in range(1, steps_of(chapter) + 1):
            for name, text in files_at(chapter, step).items():
                source = "\n".join(text) + "\n"
                result = subprocess.run(
                    [options.format, style, "--assume-filename=x.hpp"],
                    input=source, capture_output=True, text=True, check=True)
                if result.stdout != source:
                    problems.append(f"{chapter.name}, step {step}: {name} is "
                                    f"not as {options.format} lays it out")
                    if options.verbose:
                        import difflib
                        problems.append("\n".join(difflib.unified_diff(
                            text, result.stdout.splitlines(), lineterm="")))
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    parse = commands.add_parser("extract", help="writes a step into a folder")
    parse.add_argument("chapter", help="such as 03")
    parse.add_argument("dest", type=Path)
    parse.add_argument("--step", type=int)
    parse = commands.add_parser("form", help="checks sizes and layout")
    parse.add_argument("--format", default="clang-format-14")
    parse.add_argument("--verbose", action="store_true")
    parse = commands.add_parser("run", help="builds and runs all demos")
    parse.add_argument("--compiler", default=os.environ.get("CXX", "g++"))
    parse.add_argument("--given", type=Path, default=ROOT / "build/src",
                       help="where the archives of sys and headers are")
    parse.add_argument("--poller", default="epoll")
    parse.add_argument("--jobs", type=int, default=os.cpu_count())
    parse.add_argument("--only", default="", help="NN or NN/STEP")
    options = parser.parse_args()
    try:
        if options.command == "extract":
            chapter = folder_of(options.chapter)
            last = steps_of(chapter)
            step = options.step if options.step is not None else last
            if not 0 <= step <= last:
                raise Fault(f"chapter {options.chapter} has the steps 1 to "
                            f"{last}, and begins at 0")
            export(chapter, step, options.dest)
            print(f"step {step} of {last} of {chapter.name} is in "
                  f"{options.dest}")
            return
        if options.command == "form":
            problems = check_form() + check_layout(options)
        else:
            work = [(chapter, step, promises(chapter).get(step))
                    for chapter in chapters() for step in range(1, steps_of(chapter) + 1)
                    if f"{chapter.name[:2]}/{step}/".startswith(
                        options.only and options.only.rstrip("/") + "/")]
            if not work:
                raise Fault(f"no step is {options.only}")
            with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
                tried = pool.map(lambda item: try_step(*item, options), work)
                problems = [f"{chapter.name}, step {step}: {problem}"
                            for (chapter, step, _), problem in zip(work, tried)
                            if problem]
            print(f"{len(work) - len(problems)} of {len(work)} steps build "
                  "and run as they say")
    except Fault as fault:
        sys.exit(f"steps: {fault}")
    for problem in problems:
        print(f"steps: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
