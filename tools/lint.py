#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clang-tidy (.clang-tidy), cppcheck and gcc's -fanalyzer over every C file of the tree: no finding is left. Exit status 1 if there is one, 2
if a tool is missing.

usage: lint.py [--jobs N] [FILE or FOLDER…] | --planted

The compile commands are those of a configuration of its own, build/lint, each file once; arguments choose among them. A tool that takes longer
than SECONDS over a file is a finding. -fanalyzer looks through the library alone, and only if gcc is version 12: what is known to
be false is known of that one. --planted: does each tool find a second free?
"""
import argparse
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

import command

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, "build", "lint")
CONFIGURE = ["-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-DFA_BUILD_TESTS=ON"]
LIBRARY = ("concurrent/", "alloc/", "jobs/")
SECONDS = 600
# cppcheck 2.10 knows no C17 and takes it for C11. Functions that one macro makes stand on one line, and it takes them for each other.
CPPCHECK = ["cppcheck", "--quiet", "--std=c11", "--enable=warning,performance,portability", "--inline-suppr", "--error-exitcode=1",
            "--suppress=ctunullpointer", "-D__x86_64__"]
# Assertions of cmocka return, as far as cppcheck knows, and tests hand out what is wrong on purpose, addresses in the place of objects among it.
CPPCHECK_TESTS = [f"--suppress={name}" for name in ("nullPointer", "nullPointerRedundantCheck", "uninitvar", "ctuuninitvar", "memleakOnRealloc")]
# Without optimisation, which would take out memory that is only freed; and further than it goes by itself, where it breaks off in nine files.
ANALYZER = ["gcc", "-std=c17", "-O0", "-fanalyzer", "--param=analyzer-bb-explosion-factor=50",
            "--param=analyzer-max-enodes-per-program-point=40", "-c", "-o", os.devnull]
FALSE = {  # of -fanalyzer, file and text: why it is not so
    ("alloc/arena.c", "use of NULL 'from' where non-null expected"): "a mark of block 0 is no block's: blocks of an arena count from 1",
    ("alloc/behavior.c", "use of uninitialized value 'made[tag]'"): "the bits of `seen` say which are set",
    ("alloc/behavior.c", "use of uninitialized value 'live[tag]'"): "likewise",
    ("alloc/event.c", "use of uninitialized value '*from.ring'"): "sources are filled as far as they are counted",
    ("alloc/event.c", "use of uninitialized value '*from.at'"): "likewise",
    ("alloc/event.c", "use of uninitialized value '*a.lane'"): "likewise",
}
WARNING = re.compile(r"^(\S+?):\d+:\d+: warning: (.*?) (?:\[CWE-\d+\] )?\[-Wanalyzer-\S+\]$", re.M)


def commands():
    """What every C file is compiled with, its macros and folders. The plain variant of the library comes first in the build."""
    if subprocess.run(["cmake", "-S", ROOT, "-B", FOLDER, *CONFIGURE], stdout=subprocess.DEVNULL, check=False).returncode != 0:
        sys.exit(2)
    database = os.path.join(FOLDER, "compile_commands.json")
    with open(database, encoding="utf-8") as file:
        entries = json.load(file)
    once = {}
    for entry in entries:
        if entry["file"].endswith(".c"):
            once.setdefault(os.path.relpath(entry["file"], ROOT), entry)
    with open(database, "w", encoding="utf-8") as file:
        json.dump(list(once.values()), file, indent=1)
    return {path: preprocessing(shlex.split(entry["command"])) for path, entry in sorted(once.items())}


def preprocessing(words):
    """The -D, -I and -include among the words of a compile command."""
    chosen = []
    for word, following in zip(words, [*words[1:], ""]):
        if word.startswith(("-D", "-I")):
            chosen.append(word)
        elif word in ("-include", "-isystem"):
            chosen += [word, following]
    return chosen


def run(words):
    try:
        done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              env=os.environ | {"LC_ALL": "C"}, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return 1, f"{' '.join(words)}: longer than {SECONDS} s\n"
    return done.returncode, done.stdout


def analyze(path, words):
    """(what gcc's analyzer finds, which of those it finds wrongly)"""
    status, output = run([*ANALYZER, *words, path])
    found = {(os.path.relpath(os.path.join(ROOT, name), ROOT), text) for name, text in WARNING.findall(output)}
    return [output] if status != 0 or found - FALSE.keys() else [], found & FALSE.keys()


def lint(path, words, analyzer):
    findings = []
    # cppcheck has no -include and no -isystem
    suppressed = CPPCHECK_TESTS if path.startswith("tests/") else []
    for tool in (["clang-tidy", "-p", FOLDER, "--quiet"], [*CPPCHECK, *suppressed, *(word for word in words if word.startswith(("-D", "-I")))]):
        status, output = run([*tool, path])
        if status != 0:
            findings.append(output)
    if not analyzer or not path.startswith(LIBRARY):
        return findings
    found, wrong = analyze(path, words)
    gone = [f"{name}: no longer found by -fanalyzer, take it off the list: {text}\n" for name, text in FALSE if name == path and (name, text) not in wrong]
    return findings + found + gone


WRONG = """#include <stdlib.h>
int free_twice(void);
int free_twice(void)
{
    int *p = malloc(sizeof *p);
    free(p);
    free(p);
    return 0;
}
"""


def find_planted(analyzer):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "wrong.c")
        with open(path, "w", encoding="utf-8") as file:
            file.write(WRONG)
        tidy, _ = run(["clang-tidy", "--quiet", f"--config-file={ROOT}/.clang-tidy", path, "--", "-std=c17"])
        check, _ = run([*CPPCHECK, path])
        found = {"clang-tidy": tidy != 0, "cppcheck": check != 0} | ({"-fanalyzer": bool(analyze(path, [])[0])} if analyzer else {})
    print("planted:", ", ".join(f"{tool} {'found it' if good else 'did NOT find it'}" for tool, good in found.items()))
    return 0 if all(found.values()) else 1


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("--jobs", type=command.count, default=os.cpu_count() or 2)
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    missing = [tool for tool in ("cmake", "clang-tidy", "cppcheck") if shutil.which(tool) is None]
    if missing:
        print(f"lint: needs {', '.join(missing)}", file=sys.stderr)
        return 2
    analyzer = shutil.which("gcc") is not None and run(["gcc", "-dumpversion"])[1].strip() == "12"
    if arguments.planted:
        return find_planted(analyzer)
    files = commands()
    if arguments.files:
        wanted = tuple(os.path.relpath(os.path.abspath(name), ROOT) for name in arguments.files)
        files = {path: words for path, words in files.items() if path in wanted or path.startswith(tuple(name + "/" for name in wanted))}
        if not files:
            parser.error(f"no C file that is built: {' '.join(arguments.files)}")
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        results = pool.map(lambda path: lint(path, files[path], analyzer), files)
        findings = [finding for found in results for finding in found]
    print(*findings, f"lint: {len(files)} files, {len(findings)} with findings{'' if analyzer else ', without -fanalyzer'}", sep="\n")
    return 1 if findings or not files else 0


if __name__ == "__main__":
    command.run(main)
