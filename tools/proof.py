#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the ways in which the library is shown to be right (tests/proof.toml) and prints a table: what ran, whether the bug planted in
it was found, figures, verdict. Exit status 1 if one failed.

usage: proof.py [--long] [--list] [WAY…] | --self-test

A way is built with CMake in build/PRESET. --long runs what takes hours. Output of each way goes to build/proof/WAY.log.
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
KEYS = {"id", "what", "preset", "build", "run", "long", "planted", "minutes", "needs"}


def read_table(path):
    with open(path, "rb") as file:
        ways = tomllib.load(file).get("way", [])
    for way in ways:
        unknown = way.keys() - KEYS
        missing = {"id", "what", "preset", "run", "minutes"} - way.keys()
        if unknown or missing:
            raise ValueError(f"{path}: way {way.get('id', '?')}: unknown {sorted(unknown)}, missing {sorted(missing)}")
    if len({way["id"] for way in ways}) != len(ways):
        raise ValueError(f"{path}: two ways have the same id")
    return ways


def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def figure_of(text):
    """The last line; of CTest, which ends with a list of labels and times, the line that counts."""
    counts = re.findall(r"^\d+% tests passed, (\d+) tests? failed out of (\d+)$", text, re.M)
    if counts:
        failed, total = map(int, counts[-1])
        return f"{total - failed} passed, {failed} failed"
    return last_line(text)


def execute(words, folder, log, minutes):
    """Exit status and output; a run that does not end in time has failed."""
    words = [word.replace("{source}", ROOT) for word in words]
    log.write(f"$ {' '.join(words)}\n")
    log.flush()
    try:
        done = subprocess.run(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                              timeout=minutes * 60, text=True, errors="replace", check=False)
    except subprocess.TimeoutExpired as late:
        output = late.stdout or ""
        log.write(output if isinstance(output, str) else output.decode(errors="replace"))
        return 1, f"did not end within {minutes} minutes"
    except OSError as error:
        return 1, str(error)
    log.write(done.stdout)
    return done.returncode, done.stdout


def build(way, log):
    folder = os.path.join(ROOT, "build", way["preset"])
    commands = [] if os.path.exists(os.path.join(folder, "CMakeCache.txt")) else [["cmake", "--preset", way["preset"]]]
    targets = ["--target", *way["build"]] if "build" in way else []
    commands.append(["cmake", "--build", folder, "--parallel", str(os.cpu_count() or 2), *targets])
    for command in commands:
        status, output = execute(command, ROOT, log, 30)
        if status != 0:
            return f"was not built: {last_line(output)}"
    return ""


def run_way(way, folder, log, long):
    """(planted: found, NOT found, own or -; figure; whether all is well)"""
    minutes = way["minutes"][1 if long else 0]
    planted = "own"
    if "planted" in way:
        status, _ = execute(way["planted"], folder, log, minutes)
        planted = "found" if status == 0 else "NOT found"
    status, output = execute(way["long"] if long and "long" in way else way["run"], folder, log, minutes)
    return planted, figure_of(output), status == 0 and planted != "NOT found"


def run_all(ways, long):
    os.makedirs(os.path.join(ROOT, "build", "proof"), exist_ok=True)
    width = max(len(way["id"]) for way in ways)
    failures = 0
    for way in ways:
        begun = time.monotonic()
        with open(os.path.join(ROOT, "build", "proof", way["id"] + ".log"), "w", encoding="utf-8") as log:
            missing = [tool for tool in way.get("needs", []) if shutil.which(tool) is None]
            problem = f"needs {', '.join(missing)}" if missing else build(way, log)
            if problem:
                planted, figure, good = "-", problem, False
            else:
                planted, figure, good = run_way(way, os.path.join(ROOT, "build", way["preset"]), log, long)
        failures += not good
        print(f"{way['id']:{width}}  {'good  ' if good else 'FAILED'}  planted: {planted:9}  {time.monotonic() - begun:6.0f} s  {figure}",
              flush=True)
    print(f"{len(ways) - failures} passed, {failures} failed")
    return 1 if failures else 0


def self_test():
    """The verdicts are what the programs say."""
    failures = []
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "log"), "w", encoding="utf-8") as log:
        good, bad = ["sh", "-c", "echo first; echo figure"], ["sh", "-c", "echo figure; exit 1"]
        for run, planted, expected in ((good, None, ("own", "figure", True)), (bad, None, ("own", "figure", False)),
                                       (good, good, ("found", "figure", True)), (good, bad, ("NOT found", "figure", False)),
                                       (["/nothing/there"], None, None), (["sleep", "60"], None, None)):
            way = {"run": run, "minutes": [0.01, 0.01]} | ({"planted": planted} if planted else {})
            found = run_way(way, folder, log, False)
            if found != expected and not (expected is None and not found[2]):
                failures.append(f"{way}: {found}")
        table = os.path.join(folder, "table.toml")
        for text in ('[[way]]\nid = "x"\n', '[[way]]\nid = "x"\nwhat = ""\npreset = ""\nrun = []\nminutes = [1, 1]\nodd = 1\n'):
            with open(table, "w", encoding="utf-8") as file:
                file.write(text)
            try:
                read_table(table)
                failures.append(f"taken: {text!r}")
            except ValueError:
                pass
    if figure_of("x\n97% tests passed, 2 tests failed out of 60\nLabel Time Summary:\n") != "58 passed, 2 failed":
        failures.append("figure of CTest")
    read_table(os.path.join(ROOT, "tests", "proof.toml"))
    print(*failures, f"proof: {len(failures)} failures", sep="\n")
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("ways", nargs="*")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    ways = read_table(os.path.join(ROOT, "tests", "proof.toml"))
    unknown = set(arguments.ways) - {way["id"] for way in ways}
    if unknown:
        print(f"proof: no way {', '.join(sorted(unknown))}; there are {', '.join(way['id'] for way in ways)}", file=sys.stderr)
        return 2
    if arguments.ways:
        ways = [way for way in ways if way["id"] in arguments.ways]
    if arguments.list:
        for way in ways:
            print(f"{way['id']:12} {way['what']}")
        return 0
    return run_all(ways, arguments.long)


if __name__ == "__main__":
    sys.exit(main())
