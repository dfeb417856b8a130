#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Races on purpose: ThreadSanitizer must report each, and nothing without it.

races.txt has a row for each: a scenario of the program `race`, what is relaxed in it, and the functions of the two accesses. The operations
of a tag are found where tools/check_orders.py finds them.

usage: run.py PROGRAM [--row N] | --list
"""
import argparse
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tools"))
import check_orders  # noqa: E402

EXIT_RACE = 66
SECONDS = 120
# Now and then ThreadSanitizer sees nothing: of 2500 runs of one scenario, 16 at a time on two processors, clang's missed 5.
TRIES = 4


def rows():
    """[(scenario, words of what is relaxed, function, function)]."""
    found = []
    with open(os.path.join(HERE, "races.txt"), encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                scenario, relaxed, *functions = (part.strip() for part in line.split("|"))
                found.append((scenario, relaxed.split(), *functions))
    return found


def statement(where):
    """FILE:LINE of an operation, to its closing parenthesis: FILE:FIRST-LAST."""
    path, first = where.rsplit(":", 1)
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        code, _ = check_orders.split(file.read())
    last, text = int(first), code[int(first) - 1]
    while text.count("(") > text.count(")"):
        text += code[last]
        last += 1
    return f"{path}:{first}-{last}"


def places(relaxed):
    """What RACE_WEAK takes for it."""
    found = []
    for word in relaxed:
        if ":" in word:
            found.append(word)
            continue
        uses = check_orders.check(ROOT)[1]
        if word not in uses:
            sys.exit(f"run.py: the sources have no tag [{word}]")
        found += sorted({statement(where) for _, where in uses[word]})
    return " ".join(found)


def play(program, scenario, weak):
    environment = dict(os.environ, RACE_WEAK=weak, TSAN_OPTIONS=f"halt_on_error=1:exitcode={EXIT_RACE}:history_size=7")
    try:
        done = subprocess.run([program, scenario], env=environment, capture_output=True, text=True, timeout=SECONDS,
                              check=False)
    except subprocess.TimeoutExpired:
        return None, f"not done after {SECONDS} s"
    return done.returncode, done.stderr


def stacks(report):
    """The functions in the stacks of the two accesses, innermost first."""
    found = []
    for part in re.split(r"\n\s*\n", report):
        if re.search(r"^  (Previous )?(atomic )?(read|write) of size", part, re.I | re.M):
            found.append(re.findall(r"^\s+#\d+ (?:0x[0-9a-f]+ in )?(\w+)", part, re.M))
    return found


def judge(program, row):
    """None, or what is wrong."""
    scenario, relaxed, *functions = row
    misuse = relaxed == ["misuse"]
    if not misuse:
        code, output = play(program, scenario, "")
        if code != 0:
            return f"with all orders as they are: exit status {code}\n{output}"
    weak = "" if misuse else places(relaxed)
    for _ in range(TRIES):
        code, output = play(program, scenario, weak)
        if code != 0:
            break
    if code != EXIT_RACE or "ThreadSanitizer: data race" not in output:
        return f"no race was reported: exit status {code}\n{output}"
    found = stacks(output)
    if len(found) != 2 or not any(a in x and b in y for a, b in (functions, functions[::-1]) for x, y in [found]):
        return f"another race than that of {functions[0]}() and {functions[1]}()\n{output}"
    return None


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("program", nargs="?", help="`race`, in a build with ThreadSanitizer")
    parser.add_argument("--row", type=int, help="that one alone, as --list numbers them")
    parser.add_argument("--list", action="store_true")
    arguments, chosen = parser.parse_args(), rows()
    if arguments.list:
        print(*(f"{number:2} {' | '.join([row[0], ' '.join(row[1]), *row[2:]])}" for number, row in enumerate(chosen)), sep="\n")
        return 0
    if arguments.program is None or not os.access(arguments.program, os.X_OK) or os.path.isdir(arguments.program):
        parser.error(f"PROGRAM is the program race of a build with ThreadSanitizer, not {arguments.program or 'nothing'}")
    if arguments.row is not None:
        if not 0 <= arguments.row < len(chosen):
            parser.error(f"--row takes a number from 0 to {len(chosen) - 1}")
        chosen = [chosen[arguments.row]]
    failures = 0
    for row in chosen:
        wrong = judge(arguments.program, row)
        failures += wrong is not None
        print(f"{row[0]}, {' '.join(row[1])}: {'reported' if wrong is None else wrong}", flush=True)
    print(f"{len(chosen)} races on purpose, {failures} not reported as they must be")
    return failures > 0


if __name__ == "__main__":
    sys.exit(main())
