#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks the architecture from the real #includes.

    jobs -> alloc -> concurrent -> include          arrows go down only, and files do not include in circles
    jobs sees of alloc one header: alloc/lane.h
    only concurrent knows Concurrency Kit, liburcu, C atomics, threads and futexes
    public headers include framealloc/ and headers of the C standard that C++ has too, .hpp those of the C++ standard as well
    programs (adapters, examples, tests, stress, bench) use the public headers, and files of their own folder;
    tests/test_NOUN.c may also include the internal header of that NOUN, tests those of the adapters and examples they test,
    stress programs those of the examples they run
    only a benchmark that is against liburcu itself knows that (PEERS)
    tests/schedule, tests/model and tests/race run the library's own sources and stand in for what is below them: they may include anything

usage: check_layers.py [ROOT] | --self-test
"""
import os
import re
import tempfile

import command

BELOW = {  # folder -> folders whose headers it may include
    "include": {"include"},
    "concurrent": {"include", "concurrent"},
    "alloc": {"include", "concurrent", "alloc"},
    "jobs": {"include", "concurrent", "alloc", "jobs"},
}
WAIST = "alloc/lane.h"
SEEN = {"tests": {"adapters", "examples"}, "stress": {"examples"}, "bench": {"examples"}}  # programs whose headers others may include
STAND_INS = ("tests/schedule/", "tests/model/", "tests/race/")
PROGRAMS = ("adapters", "examples", "tests", "stress", "bench")
SUBSTRATE = re.compile(r"ck_\w+\.h|urcu\b.*|stdatomic\.h|threads\.h|semaphore\.h|pthread\.h|linux/futex\.h")
FOREIGN = re.compile(r"ck_\w+\.h|urcu\b.*")  # of these, what programs may not use either
PEERS = {"bench/bench_retire.cpp": re.compile(r"urcu\b.*")}  # what a benchmark compares the library with
STANDARD = {name + ".h" for name in
            "assert complex ctype errno fenv float inttypes limits locale math setjmp signal stdarg stdbool stddef "
            "stdint stdio stdlib string tgmath time uchar wchar wctype".split()}
STANDARD_CXX = set("cstddef cstdint memory memory_resource new type_traits utility".split())  # what .hpp may use; extend
SOURCE = (".c", ".h", ".cpp", ".hpp", ".cc")
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include(?:_next)?\b[ \t]*(.*)$", re.M)
COMMENT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)


def without_comments(text):
    def replace(match):
        found = match.group(0)
        return found if found.startswith('"') else "\n" * found.count("\n")
    return COMMENT.sub(replace, text)


def sources(root):
    for folder in (*BELOW, *PROGRAMS):
        for directory, folders, names in os.walk(os.path.join(root, folder)):
            folders.sort()
            for name in sorted(names):
                if name.endswith(SOURCE):
                    yield os.path.relpath(os.path.join(directory, name), root)


def includes(root, path):
    """(line, spelling, system?) of every #include; spelling is None when it is not written out."""
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = without_comments(file.read())
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        written = re.match(r'([<"])([^>"]+)[>"]', match.group(1))
        yield (line, written.group(2), written.group(1) == "<") if written else (line, None, False)


def judge_system(folder, path, name):
    if name.startswith("framealloc/"):
        return None
    if path.startswith(("concurrent/tsan/", *STAND_INS)):
        return None
    if folder == "include":
        allowed = STANDARD | STANDARD_CXX if path.endswith(".hpp") else STANDARD
        return None if name in allowed else "public headers include only framealloc/ and the C standard library"
    if path in PEERS and PEERS[path].fullmatch(name):
        return None
    if folder in PROGRAMS:
        return "programs do not use the library's substrate" if FOREIGN.fullmatch(name) else None
    if folder != "concurrent" and SUBSTRATE.fullmatch(name):
        return "only concurrent/ may include this"
    return None


def judge_own(root, folder, path, name):
    """Returns (what is wrong or None, the file that is meant or None)."""
    if ".." in name.split("/"):
        return "write includes from the top of the tree", None
    exists = os.path.isfile(os.path.join(root, name))
    target = name.split("/")[0]
    if folder in PROGRAMS:
        beside = os.path.join(os.path.dirname(path), name)
        if os.path.isfile(os.path.join(root, beside)):
            return None, beside
        if not exists:
            return "no such file beside it or in the tree", None
        if path.startswith(STAND_INS) or target == folder or target in SEEN.get(folder, ()):
            return None, name
        noun = re.fullmatch(r"tests/test_(\w+)\.c", path)
        if noun and os.path.basename(name) == noun.group(1) + ".h":
            return None, name
        return "programs include public headers and those of their own folder", name
    if folder == "include":
        return "public headers include each other as <framealloc/…>", None
    if not exists:
        return "no such file; write includes from the top of the tree", None
    if target not in BELOW:
        return "no part of the library", name
    if target == "include":
        return "public headers are included as <framealloc/…>", name
    if target not in BELOW[folder]:
        return f"arrows go down only: {folder} may not see {target}", name
    if folder == "jobs" and target == "alloc" and name != WAIST:
        return f"jobs sees alloc through {WAIST} only", name
    return None, name


def circles(arrows):
    state, found = {}, []

    def visit(path, trail):
        state[path] = "open"
        for target in arrows.get(path, ()):
            if state.get(target) == "open":
                start = trail.index(target) if target in trail else len(trail)
                found.append(" -> ".join([*trail[start:], target]))
            elif target not in state:
                visit(target, [*trail, target])
        state[path] = "done"

    for path in arrows:
        if path not in state:
            visit(path, [path])
    return found


def check(root):
    errors, arrows = [], {}
    for path in sources(root):
        folder = path.split("/")[0]
        arrows[path] = []
        for line, name, system in includes(root, path):
            meant = None
            if name is None:
                wrong, name = "write the header's name out", "#include"
            elif system:
                wrong = judge_system(folder, path, name)
                if name.startswith("framealloc/"):
                    meant = "include/" + name
                    if not os.path.isfile(os.path.join(root, meant)):
                        wrong = "no such public header"
            else:
                wrong, meant = judge_own(root, folder, path, name)
            if wrong:
                errors.append(f"{path}:{line}: {name}: {wrong}")
            if meant:
                arrows[path].append(meant)
    errors += [f"files include each other in a circle: {circle}" for circle in circles(arrows)]
    return len(arrows), sum(map(len, arrows.values())), errors


GOOD = {
    "include/framealloc/a.h": "#include <stddef.h>\n",
    "include/framealloc/b.h": "#include <framealloc/a.h>\n",
    "include/framealloc/c.hpp": "#include <framealloc/b.h>\n#include <memory>\n#include <stddef.h>\n",
    "concurrent/inbox.h": "#include <framealloc/a.h>\n#include <ck_stack.h>\n#include <stdatomic.h>\n",
    "alloc/lane.h": '#include "concurrent/inbox.h"\n// #include <pthread.h>\n/* #include "jobs/deque.h" */\n',
    "alloc/pool.h": '#include "alloc/lane.h"\n#include <sys/mman.h>\n',
    "jobs/deque.h": '#include "alloc/lane.h"\n',
    "examples/tick/wad.h": "",
    "stress/stress_tick.c": '#include "examples/tick/wad.h"\n',
    "tests/test_damage.c": '#include "examples/tick/wad.h"\n',
    "tests/support.h": "#include <framealloc/b.h>\n",
    "tests/test_deque.c": '#include "jobs/deque.h"\n#include "support.h"\n#include <pthread.h>\n',
    "tests/schedule/platform.c": '#include "concurrent/inbox.h"\n#include <urcu/urcu-qsbr.h>\n',
    "bench/bench_pool.cpp": "#include <framealloc/a.h>\n#include <benchmark/benchmark.h>\n",
    "bench/bench_retire.cpp": "#include <urcu/urcu-qsbr.h>\n",
}
PLANTED = [  # file, text, words of the message
    ("alloc/heap.c", '#include "jobs/deque.h"\n', "arrows go down only: alloc"),
    ("concurrent/park.c", '#include "alloc/lane.h"\n', "arrows go down only: concurrent"),
    ("jobs/wait.c", '#include "alloc/pool.h"\n', "through alloc/lane.h only"),
    ("alloc/heap.c", "#include <stdatomic.h>\n", "only concurrent/"),
    ("jobs/wait.c", "#  include <urcu/urcu-qsbr.h>\n", "only concurrent/"),
    ("alloc/heap.c", "#include <ck_pr.h>\n", "only concurrent/"),
    ("jobs/wait.c", "#include <pthread.h>\n", "only concurrent/"),
    ("alloc/heap.c", "#include <linux/futex.h>\n", "only concurrent/"),
    ("alloc/heap.c", '/* " */\n#include <pthread.h>\n', "only concurrent/"),
    ("include/framealloc/c.h", "#include <pthread.h>\n", "C standard library"),
    ("include/framealloc/c.h", "#include <stdatomic.h>\n", "C standard library"),
    ("include/framealloc/c.h", "#include <memory>\n", "C standard library"),
    ("include/framealloc/d.hpp", "#include <mutex>\n", "C standard library"),
    ("include/framealloc/c.h", '#include "framealloc/a.h"\n', "<framealloc/"),
    ("include/framealloc/c.h", "#include <framealloc/none.h>\n", "no such public header"),
    ("alloc/heap.c", '#include "pool.h"\n', "from the top of the tree"),
    ("alloc/heap.c", '#include "../jobs/deque.h"\n', "from the top of the tree"),
    ("alloc/heap.c", "#define H <pthread.h>\n#include H\n", "name out"),
    ("alloc/heap.c", '#include "tests/support.h"\n', "no part of the library"),
    ("examples/tick.c", '#include "alloc/pool.h"\n', "own folder"),
    ("bench/bench_deque.cpp", '#include "jobs/deque.h"\n', "own folder"),
    ("tests/test_pool.c", '#include "jobs/deque.h"\n', "own folder"),
    ("stress/stress_inbox.c", '#include "tests/support.h"\n', "own folder"),
    ("stress/stress_inbox.c", "#include <ck_stack.h>\n", "substrate"),
    ("bench/bench_frame.cpp", "#include <urcu/urcu-qsbr.h>\n", "substrate"),
    ("bench/bench_retire.cpp", "#include <ck_stack.h>\n", "substrate"),
    ("alloc/lane.h", '#include "alloc/pool.h"\n', "circle"),
]


def self_test():
    def run(files):
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return check(root)[2]

    failures = []
    if run(GOOD):
        failures.append(f"a right tree was refused: {run(GOOD)}")
    for path, text, words in PLANTED:
        errors = run({**GOOD, path: text})
        if len(errors) != 1 or words not in errors[0]:
            failures.append(f"planted in {path}: {text!r}: expected one '{words}', got {errors}")
    print(*failures, f"check_layers: {len(PLANTED)} planted violations, {len(failures)} failures", sep="\n")
    return bool(failures)


def main():
    arguments = command.parser(__doc__).parse_args()
    if arguments.self_test:
        return self_test()
    files, arrows, errors = check(arguments.root)
    print(*errors, f"check_layers: {files} files, {arrows} arrows, {len(errors)} violations", sep="\n")
    return bool(errors) or files == 0


if __name__ == "__main__":
    command.run(main)
