#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""clang-tidy (.clang-tidy) and cppcheck over the library: no finding is left. Exit status 1 if there is one, 2 if a tool is missing.

usage: lint.py [--jobs N] [FILE…]

The compile commands are those of a configuration of its own, build/lint, each file once; FILEs choose among them.
"""
import argparse
import concurrent.futures
import json
import os
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, "build", "lint")
CONFIGURE = ["-DCMAKE_BUILD_TYPE=RelWithDebInfo", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON", "-DFA_BUILD_TESTS=OFF", "-DFA_BUILD_BENCH=OFF"]
# cppcheck 2.10 knows nothing of these: it takes C17 for C11, and needs to be told what the build defines.
CPPCHECK = ["cppcheck", "--quiet", "--std=c11", "--enable=warning,performance,portability", "--inline-suppr", "--error-exitcode=1",
            "-I", ROOT, "-I", os.path.join(ROOT, "include"), "-D__x86_64__", "-DFA_ASSERTIONS=1", "-DFA_TRACE=1", "-DFA_CONTENTION=0"]
LIBRARY = ("concurrent", "alloc", "jobs")


def commands():
    """The compile command of every C file, once: the plain variant of the library comes first in the build."""
    if subprocess.run(["cmake", "-S", ROOT, "-B", FOLDER, *CONFIGURE], stdout=subprocess.DEVNULL, check=False).returncode != 0:
        sys.exit(2)
    with open(os.path.join(FOLDER, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    once = {}
    for entry in entries:
        if os.path.relpath(entry["file"], ROOT).startswith(LIBRARY):
            once.setdefault(entry["file"], entry)
    with open(os.path.join(FOLDER, "compile_commands.json"), "w", encoding="utf-8") as file:
        json.dump(list(once.values()), file, indent=1)
    return sorted(once)


def run(words):
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    return done.returncode, done.stdout


def lint(path):
    status, output = run(["clang-tidy", "-p", FOLDER, "--quiet", path])
    findings = [output] if status != 0 else []
    status, output = run([*CPPCHECK, path])
    return findings + ([output] if status != 0 else [])


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 2)
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    missing = [tool for tool in ("cmake", "clang-tidy", "cppcheck") if shutil.which(tool) is None]
    if missing:
        print(f"lint: needs {', '.join(missing)}", file=sys.stderr)
        return 2
    files = commands()
    if arguments.files:
        wanted = {os.path.abspath(name) for name in arguments.files}
        files = [path for path in files if path in wanted]
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        findings = [finding for found in pool.map(lint, files) for finding in found]
    print(*findings, f"lint: {len(files)} files, {len(findings)} with findings", sep="\n")
    return 1 if findings or not files else 0


if __name__ == "__main__":
    sys.exit(main())
