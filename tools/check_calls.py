#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks what the library asks of the world outside it, and who asks: tests/calls.toml lists every name that is not the library's own.

    a name that is not listed: nothing in the library may use it (malloc, mutexes, printf …)
    `by`    the functions that use it themselves
    `from`  the public functions, and those that threads begin in, through which it can be reached
Both are patterns; what none of them fits is a violation, and so is one that fits nothing any more.

So that the function which makes a call is the one in the source, every source is compiled once more with nothing inlined and each function in a
section of its own; the relocations say who uses whom. A function whose address is taken counts as called by who takes it, except those
listed as `entries`, which count as public.

usage: check_calls.py --cc CC --objdump OBJDUMP [--include FOLDER…] [--root ROOT] [--self-test]
"""
import collections
import concurrent.futures
import fnmatch
import glob
import os
import re
import subprocess
import sys
import tempfile
import tomllib

import command

LIBRARY = ("concurrent", "alloc", "jobs")
LEFT_OUT = {"alloc/uncounted.c"}  # answers for what a build without FA_STATISTICS has not; this is one with everything
# Compiled as CMake does where it matters: what is inlined of liburcu (concurrent/CMakeLists.txt) asks for things, too.
# `section` is nothing here: functions that lie side by side on purpose (concurrent/layout.h) could not be told apart.
PLAIN = ["-std=c17", "-O0", "-fno-inline", "-ffunction-sections", "-fdata-sections", "-fno-stack-protector", "-U_FORTIFY_SOURCE", "-w",
         "-Dsection(x)=unused", "-D_LGPL_SOURCE", "-D_GNU_SOURCE", "-DFA_ASSERTIONS=1", "-DFA_TRACE=1", "-DFA_STATISTICS=1", "-DFA_CONTENTION=0"]
SECTION = re.compile(r"^\.(?:text|t?data|t?bss|rodata)(?:\.rel(?:\.ro)?(?:\.local)?)?\.(?=.)")
LINKER = re.compile(r"_GLOBAL_OFFSET_TABLE_|__start_\w+|__stop_\w+|\..*|\*ABS\*|str\d+\.\d+|cst\d+")
SYMBOL = re.compile(r"[0-9a-f]+ (.).{6} (\S+)\t[0-9a-f]+ +(?:\.\w+ )?(\S+)$")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"check_calls: {' '.join(command)}\n{done.stderr}")
    return done.stdout


class Graph:
    """Who uses whom. A name is a symbol, and for what one file keeps to itself `FILE:symbol`."""

    def __init__(self):
        self.users, self.home = collections.defaultdict(set), {}  # home: the file of a symbol that all files see

    def users_of(self, name):
        return {user if ":" in user else f"{self.home.get(user, '?')}:{user}" for user in self.users[name]}

    def add(self, item, symbols, relocations):
        local = set()
        for match in filter(None, map(SYMBOL.match, symbols.splitlines())):
            if match.group(2) != "*UND*":
                if match.group(1) == "l":
                    local.add(match.group(3))
                else:
                    self.home[match.group(3)] = item

        def name(written):
            plain = SECTION.sub("", re.sub(r"[-+]0x[0-9a-f]+$", "", written))
            return f"{item}:{plain}" if plain in local else plain

        user = None
        for line in relocations.splitlines():
            if head := re.match(r"RELOCATION RECORDS FOR \[(\S+)\]", line):
                user = name(head.group(1)) if SECTION.match(head.group(1)) else None
            elif user and len(words := line.split()) == 3 and words[1].startswith("R_"):
                self.users[name(words[2])].add(user)

    def foreign(self):
        return {name for name in self.users if ":" not in name and name not in self.home and not LINKER.fullmatch(name)}

    def origins(self, name, entries):
        """The public functions and entries that get to a name; nothing is followed beyond an entry."""
        seen, waiting = set(), [name]
        while waiting:
            for user in self.users[waiting.pop()] - seen:
                seen.add(user)
                if plain(user) not in entries:
                    waiting.append(user)
        return {plain(user) for user in seen if plain(user) in entries or user.startswith("fa_")}


def plain(name):
    return name.split(":")[-1]


def allowed(name, patterns):
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def judge_users(graph, row):
    """Those who make the calls of a row, against its `by`."""
    for name in row["names"]:
        for user in sorted(graph.users_of(name)):
            if not allowed(user, row["by"]):
                yield f"{name}: used by {user}, which is not allowed ({row['why']})"
    users = set().union(*map(graph.users_of, row["names"]))
    for pattern in row["by"]:
        if not fnmatch.filter(users, pattern):
            yield f"{row['names'][0]}: {pattern} no longer uses it: take it off the list"


def judge_origins(graph, row, entries):
    """Those through whom the calls of a row are reached, against its `from`."""
    origins = set().union(*(graph.origins(name, entries) for name in row["names"]))
    for origin in sorted(origins):
        if not allowed(origin, row["from"]):
            yield f"{row['names'][0]}: reached from {origin}, which is not allowed ({row['why']})"
    for pattern in row["from"]:
        if not fnmatch.filter(origins, pattern):
            yield f"{row['names'][0]}: not reached from {pattern} any more: take it off the list"


def judge(graph, table):
    errors, listed = [], set()
    for row in table["call"]:
        listed.update(row["names"])
        errors += judge_users(graph, row)
        if "from" in row:
            errors += judge_origins(graph, row, set(table["entries"]))
    for name in sorted(graph.foreign() - listed):
        if not allowed(name, table["anywhere"]):
            errors.append(f"{name}: not in tests/calls.toml, used by {', '.join(sorted(graph.users_of(name)))}")
    return errors


def build(cc, objdump, root, flags):
    sources = sorted(path for folder in LIBRARY for path in glob.glob(os.path.join(root, folder, "*.c"))
                     if os.path.relpath(path, root) not in LEFT_OUT)
    graph = Graph()
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 2) as pool:
        def compiled(source):
            target = os.path.join(folder, os.path.relpath(source, root).replace("/", "_") + ".o")
            run(*cc.split(), *PLAIN, *flags, "-I", root, "-I", os.path.join(root, "include"), "-c", source, "-o", target)
            return os.path.relpath(source, root), run(objdump, "-t", target), run(objdump, "-r", target)
        for parts in pool.map(compiled, sources):
            graph.add(*parts)
    return len(sources), graph


RIGHT = {
    "alloc/map.c": "void *mmap(void); void *fai_map(void); void *fai_map(void) { return mmap(); }\n",
    "alloc/api.c": "void *fai_map(void); static void *grow(void) { return fai_map(); }\nvoid *fa_create(void); void *fa_create(void) { return grow(); }\n"
                   "int fa_use(int); int fa_use(int a) { return a + 1; }\n",
    "jobs/work.c": "void *fai_map(void); static void work_main(void) {}\nvoid (*fa_start(void))(void);\nvoid (*fa_start(void))(void) { return work_main; }\n",
}
TABLE = {"entries": ["work_main"], "anywhere": ["memcpy"],
         "call": [{"names": ["mmap"], "by": ["alloc/map.c:fai_map"], "from": ["fa_create"], "why": "start-up"}]}
PLANTED = [  # file, text in front of it, words of the message
    ("alloc/api.c", "void *malloc(unsigned long); void *fa_more(void); void *fa_more(void) { return malloc(8); }\n", "malloc: not in"),
    ("alloc/api.c", "int pthread_mutex_lock(void *); static int hold(void *m) { return pthread_mutex_lock(m); }\n"
                    "int fa_hold(void *); int fa_hold(void *m) { return hold(m); }\n", "pthread_mutex_lock: not in"),
    ("alloc/api.c", "void *mmap(void); static void *take(void) { return mmap(); }\nint fa_alloc(void); int fa_alloc(void) { return take() != 0; }\n",
     "mmap: used by alloc/api.c:take"),
    ("alloc/api.c", "void *fai_map(void); void *fa_alloc(void); void *fa_alloc(void) { return fai_map(); }\n", "mmap: reached from fa_alloc"),
    ("alloc/api.c", "void *fai_map(void); static void *(*const table[])(void) = {fai_map};\n"
                    "void *fa_alloc(int); void *fa_alloc(int i) { return table[i](); }\n", "mmap: reached from fa_alloc"),
    ("jobs/more.c", "void *fai_map(void); static void work_main(void) { (void)fai_map(); }\nvoid (*fa_begin(void))(void);\n"
                    "void (*fa_begin(void))(void) { return work_main; }\n", "mmap: reached from work_main"),
    ("alloc/map.c", "void *fai_map(void); void *fai_map(void) { return 0; }\n#define fai_map fai_other\n", "take it off the list"),
]


def self_test(cc, objdump):
    def errors(files):
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            return judge(build(cc, objdump, root, [])[1], TABLE)

    failures = [f"a right tree was refused: {found}"] if (found := errors(RIGHT)) else []
    for path, text, words in PLANTED:
        found = errors({**RIGHT, path: text + RIGHT.get(path, "")})
        if not any(words in error for error in found):
            failures.append(f"planted in {path}: {text!r}: expected '{words}', got {found}")
    print(*failures, f"check_calls: {len(PLANTED)} planted violations, {len(failures)} failures", sep="\n")
    return bool(failures)


def main():
    parser = command.parser(__doc__, root="--root")
    parser.add_argument("--cc", required=True)
    parser.add_argument("--objdump", required=True)
    parser.add_argument("--include", nargs="*", default=[])
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test(arguments.cc, arguments.objdump)
    with open(os.path.join(arguments.root, "tests", "calls.toml"), "rb") as file:
        table = tomllib.load(file)
    count, graph = build(arguments.cc, arguments.objdump, arguments.root, [f"-I{folder}" for folder in arguments.include])
    errors = judge(graph, table)
    print(*errors, f"check_calls: {count} files, {len(graph.foreign())} names from outside, {len(errors)} violations", sep="\n")
    return bool(errors) or count == 0


if __name__ == "__main__":
    command.run(main)
