#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs the ways in which the library is shown to be right (tests/proof.toml) and prints a table: what ran, whether the bug planted in
it was found, figures, verdict. Exit status 1 if one failed.

usage: proof.py [--long [--hours H]] [--seed N] [--list] [WAY…] | --self-test

A way is built with CMake in build/PRESET. --long takes H hours (12): ways of a fixed size run first, once, and those that go on for as long as
they are given share what is left. --seed is what long searches begin at (from the clock). The table, with what it ran on, goes to
build/proof/table.md, the output of each way to build/proof/WAY.log.
"""
import argparse
import datetime
import glob
import math
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib

import command
from command import ROOT
KEYS = {"id", "what", "preset", "build", "run", "long", "share", "list", "alone", "planted", "minutes", "needs"}
HOURS = 12.0
BUILD_MINUTES = 120
WORKERS_MAX = 192  # FA_WORKERS_MAX
LEAST_SECONDS = 30  # for a long form whose time others have used up
NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")


# The table -------------------------------------------------------------------------------------------------------------------

def problem_of(way):
    """Why a way cannot stand in the table; empty if it can."""
    unknown, missing = way.keys() - KEYS, {"id", "what", "preset", "run", "minutes"} - way.keys()
    if unknown or missing:
        return f"unknown {sorted(unknown)}, missing {sorted(missing)}"
    if not isinstance(way["minutes"], int):
        return "`minutes` is a number"
    planted = way.get("planted", [])
    planted = planted if isinstance(planted, list) else []  # else another way does that
    for form in (way["run"], planted, way.get("long", [])):
        if "ctest" in form and "--no-tests=error" not in form:
            return "ctest is content when there are no tests, without --no-tests=error"
    words = " ".join(way["run"] + planted)
    if "{seconds}" in words:
        return "only `long` is given {seconds}"
    words += " " + " ".join(way.get("long", []))
    if not ("{seconds}" in words) == ("share" in way) == ("long" in way):
        return "`long`, which uses {seconds}, and `share` go together"
    if ("{part}" in words) != ("list" in way):
        return "{part} and `list` go together"
    return ""


def read_table(path):
    with open(path, "rb") as file:
        ways = tomllib.load(file).get("way", [])
    for way in ways:
        if problem_of(way):
            raise ValueError(f"{path}: way {way.get('id', '?')}: {problem_of(way)}")
    if len({way["id"] for way in ways}) != len(ways):
        raise ValueError(f"{path}: two ways have the same id")
    strangers = {way["planted"] for way in ways if isinstance(way.get("planted"), str)} - {way["id"] for way in ways} - {"-"}
    if strangers:
        raise ValueError(f"{path}: no way {', '.join(sorted(strangers))}")
    return ways


# Programs ----------------------------------------------------------------------------------------------------------------------

class Program:
    """A program that runs: a process group of its own, which is ended with it. Output is appended to a file."""

    def __init__(self, words, folder, log, limit):
        self.log, self.limit, self.ends = log, limit, time.monotonic() + limit
        with open(log, "a", encoding="utf-8") as file:
            file.write(f"$ {' '.join(words)}\n")
            file.flush()
            self.begin = file.tell()
            try:
                self.process = subprocess.Popen(words, cwd=folder, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                                start_new_session=True)
            except OSError as error:
                self.process = None
                file.write(f"{error}\n")

    def status(self):
        """None while it runs. A program that does not end in time has failed."""
        if self.process is None:
            return 1
        status = self.process.poll()
        if status is None and time.monotonic() > self.ends:
            self.end()
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(f"\ndid not end within {self.limit / 60:.4g} minutes\n")
            return 1
        return status

    def end(self):
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def output(self):
        with open(self.log, "rb") as file:
            file.seek(self.begin)
            return file.read().decode(errors="replace")


def fill(words, values):
    for name, value in values.items():
        words = [word.replace("{" + name + "}", str(value)) for word in words]
    return words


def execute(words, folder, log, minutes):
    """Exit status and output"""
    program = Program(words, folder, log, minutes * 60)
    try:
        while program.status() is None:
            time.sleep(0.02)
        return program.status(), program.output()
    finally:
        program.end()


def share_out(left, running, slots, waiting):
    """Seconds for the next of `waiting` parts when each of `slots` has `left` seconds and those that run will use `running` of them."""
    return max(1.0, min(left, (left * slots - running) / waiting))


def execute_parts(words, parts, folder, log, minutes, slots, seconds):
    """Exit status and the output of each part, `slots` at a time. Parts that end early leave their time to those that follow."""
    begun, waiting, running, done, status = time.monotonic(), list(parts), {}, [], 0
    try:
        while waiting or running:
            for part, (program, _) in list(running.items()):
                if program.status() is not None:
                    status |= program.status() != 0
                    done.append(program.output())
                    del running[part]
            while waiting and len(running) < slots:
                now, values = time.monotonic(), {"part": waiting[0]}
                if seconds is not None:
                    rest = sum(max(0.0, ends - now) for _, ends in running.values())
                    values["seconds"] = int(share_out(begun + seconds - now, rest, slots, len(waiting)))
                limit = minutes * 60 + 1.5 * values.get("seconds", 0)
                program = Program(fill(words, values), folder, f"{log.removesuffix('.log')}.{waiting[0]}.log", limit)
                running[waiting.pop(0)] = program, now + values.get("seconds", 0)
            time.sleep(0.02)
    finally:
        for program, _ in running.values():
            program.end()
    return status, done


# Figures -----------------------------------------------------------------------------------------------------------------------

def last_line(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def figure_of(text):
    """The last line; of CTest, which ends with a list of labels and times, the line that counts, where skipped tests are passed ones."""
    counts = re.findall(r"^\d+% tests passed, (\d+) tests? failed out of (\d+)$", text, re.M)
    if counts:
        failed, total = map(int, counts[-1])
        skipped = len(re.findall(r"\*\*\*Skipped", text))
        return f"{total - failed - skipped} passed, {failed} failed" + (f", {skipped} skipped" if skipped else "")
    return last_line(text)


def sum_of(figures):
    """Lines that differ in their numbers alone are added up, others stand side by side."""
    sums = {}
    for line in figures:
        numbers = [float(number) for number in NUMBER.findall(line)]
        form = NUMBER.sub("{}", line.replace("{", "(").replace("}", ")"))
        before = sums.get(form, [0.0] * len(numbers))
        sums[form] = [one + other for one, other in zip(before, numbers)]
    return "; ".join(form.format(*(f"{n:.0f}" if n == int(n) else f"{n:.4g}" for n in numbers)) for form, numbers in sums.items())


# Ways --------------------------------------------------------------------------------------------------------------------------

class Budget:
    """The time of a long run: what a way gets of what is left is its share of the shares that are."""

    def __init__(self, seconds, ways, clock=time.monotonic):
        self.clock, self.ends = clock, clock() + seconds
        self.shares = sum(way["share"] for way in ways if "share" in way)

    def take(self, share):
        seconds = (self.ends - self.clock()) * share / self.shares
        self.shares -= share
        return max(seconds, LEAST_SECONDS)


def build(way, log):
    folder = os.path.join(ROOT, "build", way["preset"])
    commands = [] if os.path.exists(os.path.join(folder, "CMakeCache.txt")) else [["cmake", "--preset", way["preset"]]]
    targets = ["--target", *way["build"]] if "build" in way else []
    commands.append(["cmake", "--build", folder, "--parallel", str(os.cpu_count() or 2), *targets])
    for command in commands:
        status, output = execute(command, ROOT, log, BUILD_MINUTES)
        if status != 0:
            return f"was not built: {last_line(output)}"
    return ""


def run_form(way, folder, log, budget, values):
    """(exit status, figure) of the form of a way that is asked for"""
    long = budget is not None and "long" in way
    words = fill(way["long" if long else "run"], values)
    seconds = budget.take(way["share"]) if long else None
    if "{part}" not in " ".join(words):
        limit = way["minutes"] + 1.5 * (seconds or 0) / 60
        status, output = execute(fill(words, {"seconds": int(seconds)} if long else {}), folder, log, limit)
        return status, figure_of(output)
    status, listed = execute(fill(way["list"], values), folder, log, way["minutes"])
    parts = [line.split()[0] for line in listed.splitlines() if line.strip()]
    if status != 0 or not parts:
        return 1, f"no parts: {last_line(listed)}"
    slots = 1 if way.get("alone") else os.cpu_count() or 2
    status, outputs = execute_parts(words, parts, folder, log, way["minutes"], slots, seconds)
    return status, sum_of(figure_of(output) for output in outputs)


def run_way(way, folder, log, budget, values):
    """(planted: found, NOT found, own, or the way that plants; figure; whether all is well)"""
    planted = way.get("planted", "own")
    if not isinstance(planted, str):
        status, _ = execute(fill(way["planted"], values), folder, log, way["minutes"])
        planted = "found" if status == 0 else "NOT found"
    status, figure = run_form(way, folder, log, budget, values)
    return planted, figure, status == 0 and planted != "NOT found"


def first_line_of(*words):
    try:
        return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True).stdout.split("\n")[0]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def circumstances(seed, what):
    """What a table was made on, as (name, value)."""
    model = re.search(r"^model name\s*: (.*)$", open("/proc/cpuinfo", encoding="utf-8").read(), re.M)
    changed = "" if first_line_of("git", "status", "--porcelain", "--untracked-files=no") == "" else ", changed since"
    return [("run", what), ("date", datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")),
            ("commit", first_line_of("git", "rev-parse", "--short=12", "HEAD") + changed),
            ("processors", f"{os.cpu_count()} × {model[1] if model else platform.machine()}, "
                           f"load {os.getloadavg()[0]:.1f} at the start"),
            ("kernel", f"{platform.system()} {platform.release()} {platform.machine()}"),
            ("compilers", f"{first_line_of(os.environ.get('CC', 'cc'), '--version')}; {first_line_of('clang', '--version')}"),
            ("seed", seed)]


def write_report(path, facts, rows):
    lines = ["# Proof", ""] + [f"- {name}: {value}" for name, value in facts] + ["", "| way | what | verdict | planted | s | figures |",
                                                                               "|---|---|---|---|---:|---|"]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")


def show_end_of(log):
    """What a way that failed said last, and each of its parts."""
    base = glob.escape(log.removesuffix(".log"))
    for path in sorted(glob.glob(base + ".log") + glob.glob(base + ".*.log")):
        with open(path, encoding="utf-8", errors="replace") as file:
            print(*(f"    {line.rstrip()}" for line in file.readlines()[-12:]), sep="\n", file=sys.stderr)


def run_all(ways, seconds, seed, folder, what, make=build):
    """`seconds` of a long run, None for a short one."""
    os.makedirs(folder, exist_ok=True)
    for old in os.listdir(folder):
        if old.endswith(".log") and old.split(".")[0] in {way["id"] for way in ways}:
            os.remove(os.path.join(folder, old))
    begun, facts, rows = time.monotonic(), circumstances(seed, what), []
    budget = None if seconds is None else Budget(seconds, ways)
    ways = sorted(ways, key=lambda way: budget is not None and "share" in way)
    width = max(len(way["id"]) for way in ways)
    for way in ways:
        at = time.monotonic()
        log = os.path.join(folder, way["id"] + ".log")
        missing = [tool for tool in way.get("needs", []) if shutil.which(tool) is None]
        problem = f"needs {', '.join(missing)}" if missing else make(way, log)
        if problem:
            planted, figure, good = "-", problem, False
        else:
            processors = os.sched_getaffinity(0)
            values = {"source": ROOT, "seed": seed, "cpu": min(processors), "crowd": min(8 * len(processors), WORKERS_MAX)}
            planted, figure, good = run_way(way, os.path.join(ROOT, "build", way["preset"]), log, budget, values)
        rows.append((way["id"], way["what"], "good" if good else "FAILED", planted, f"{time.monotonic() - at:.0f}", figure))
        print(f"{way['id']:{width}}  {rows[-1][2]:6}  planted: {planted:10}  {rows[-1][4]:>6} s  {figure}", flush=True)
        if not good:
            show_end_of(log)
        failures = sum(row[2] == "FAILED" for row in rows)
        total = f"{len(rows) - failures} passed, {failures} failed, {len(ways) - len(rows)} to come; {(time.monotonic() - begun) / 60:.1f} minutes"
        write_report(os.path.join(folder, "table.md"), facts + [("result", total)], rows)
    print(f"{len(ways) - failures} passed, {failures} failed")
    return 1 if failures else 0


# Self-test ---------------------------------------------------------------------------------------------------------------------

def test_verdicts(folder):
    good, bad = ["sh", "-c", "echo first; echo figure"], ["sh", "-c", "echo figure; exit 1"]
    list_two, list_none = ["sh", "-c", "echo a first; echo b"], ["true"]
    for run, more, expected in ((good, {}, ("own", "figure", True)), (bad, {}, ("own", "figure", False)),
                                (good, {"planted": good}, ("found", "figure", True)),
                                (good, {"planted": bad}, ("NOT found", "figure", False)),
                                (good, {"planted": "other"}, ("other", "figure", True)),
                                (["/nothing/there"], {}, None), (["sleep", "60"], {"minutes": 0.005}, None),
                                (["echo", "{part}: 2 of 1.5e+03 x"], {"list": list_two}, ("own", "a: 2 of 1500 x; b: 2 of 1500 x", True)),
                                (["echo", "2 of 1.5e+03 x"], {"list": list_two}, None),  # {part} is not there: `list` is not looked at
                                (["sh", "-c", "echo 20 runs; test {part} = a"], {"list": list_two}, ("own", "40 runs", False)),
                                (["echo", "{part}"], {"list": list_none}, None), (["echo", "{part}"], {"list": bad}, None)):
        way = {"run": run, "minutes": 1} | more
        found = run_way(way, folder, os.path.join(folder, "x.log"), None, {})
        if expected is None and found[2] != ("list" in more and "{part}" not in " ".join(run)) or expected is not None and found != expected:
            yield f"{way}: {found}"


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().split()[2] not in "XZ"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_time_out_ends_children(folder):
    note = os.path.join(folder, "pid")
    execute(["sh", "-c", f"sleep 60 & echo $! > {note}; wait"], folder, os.path.join(folder, "x.log"), 0.05)
    with open(note, encoding="utf-8") as file:
        pid = file.read().strip()
    for _ in range(600):  # a signal that was sent may not have arrived yet on a busy machine
        if not is_alive(pid):
            return
        time.sleep(0.05)
    yield "a child outlives its way"


def test_shares():
    now = [0.0]
    budget = Budget(1000, [{"share": 1}, {}, {"share": 3}, {"share": 1}], lambda: now[0])
    found = []
    for ends, share in ((100, 1), (400, 3), (990, 1)):
        now[0] = float(ends)
        found.append(budget.take(share))
    if found != [180.0, 450.0, LEAST_SECONDS]:
        yield f"shares: {found}"
    # Two slots, four parts, 100 s: the first two get 50 s; when one of them ends at once, the others get more.
    found = [share_out(100, 0, 2, 4), share_out(100, 50, 2, 3), share_out(90, 40, 2, 2), share_out(50, 10, 2, 1), share_out(-5, 3, 2, 1)]
    if found != [50.0, 50.0, 70.0, 50.0, 1.0]:
        yield f"shares of parts: {found}"


def test_long_run(folder):
    fixed = {"id": "fixed", "what": "a | b", "preset": folder, "run": ["true"], "minutes": 1}
    shared = {"id": "shared", "what": "", "preset": folder, "run": ["false"], "share": 1, "minutes": 1,
              "long": ["sh", "-c", "echo {seconds} {seed} | tee -a " + os.path.join(folder, "given")]}
    parts = shared | {"id": "parts", "share": 1, "list": ["sh", "-c", "echo one; echo two"], "long": ["echo", "{part} {seconds}"]}
    ways = [parts, shared, fixed]
    failed = run_all(ways, 4000, 77, folder, "test", make=lambda way, log: "")
    with open(os.path.join(folder, "given"), encoding="utf-8") as file:
        seconds, seed = file.read().split()
    with open(os.path.join(folder, "table.md"), encoding="utf-8") as file:
        table = file.read()
    rows = re.findall(r"^\| (\w+) \| .* \| (\w+) \| own \|", table, re.M)
    if failed or seed != "77" or not 2000 < int(seconds) <= 4000:  # `parts` has left nearly all of its half
        yield f"long: status {failed}, seed {seed}, {seconds} s"
    status, given = execute_parts(["sh", "-c", "echo {seconds}; sleep 1.1"], ["one", "two"], folder, os.path.join(folder, "x.log"), 1, 1, 20)
    if status or not (int(given[0]) <= 10 and int(given[1]) < 19):  # one at a time, within 20 s together
        yield f"parts: {given}"
    if rows != [("fixed", "good"), ("parts", "good"), ("shared", "good")] or "a \\| b" not in table or "3 passed, 0 failed, 0 to come" not in table:
        yield f"table: {rows}\n{table}"


def test_tables(folder):
    table = os.path.join(folder, "table.toml")
    whole = '[[way]]\nid = "x"\nwhat = ""\npreset = ""\nrun = ["x"]\nminutes = 1\n'
    other = whole.replace('"x"', '"y"', 1)
    for more in (None, other.replace("= 1", "= [1, 2]"), "odd = 1\n", "share = 1\n", 'long = ["{seconds}"]\n', 'long = ["x"]\nshare = 1\n',
                 'list = ["x"]\n', 'planted = ["{seconds}"]\n', 'planted = ["{part}"]\n', 'planted = ["ctest", "-R", "x"]\n',
                 'planted = "nobody"\n', whole):
        with open(table, "w", encoding="utf-8") as file:
            file.write('[[way]]\nid = "x"\n' if more is None else whole + more)
        try:
            read_table(table)
            yield f"taken: {more!r}"
        except ValueError:
            pass
    read_table(os.path.join(ROOT, "tests", "proof.toml"))


def self_test():
    """The verdicts are what the programs say, the time is what was asked for."""
    with tempfile.TemporaryDirectory() as folder:
        failures = [*test_verdicts(folder), *test_time_out_ends_children(folder), *test_shares(), *test_long_run(folder), *test_tables(folder)]
    ctest = "2/60 Test #2: b ....***Skipped   0.01 sec\n97% tests passed, 2 tests failed out of 60\nLabel Time Summary:\n"
    if (figure_of("x\n" + ctest[ctest.index("97"):]), figure_of(ctest)) != ("58 passed, 2 failed", "57 passed, 2 failed, 1 skipped"):
        failures.append("figure of CTest")
    print(*failures, f"proof: {len(failures)} failures", sep="\n")
    return 1 if failures else 0


def hours_of(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"takes a number of hours above 0, not '{text}'")
    return value


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1])
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--hours", type=hours_of)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("ways", nargs="*")
    arguments = parser.parse_args()
    if arguments.hours is not None and not arguments.long:
        parser.error("--hours is for --long")
    if arguments.self_test:
        return self_test()
    try:
        ways = read_table(os.path.join(ROOT, "tests", "proof.toml"))
    except ValueError as fault:
        print(f"proof: {fault}", file=sys.stderr)
        return 2
    unknown = set(arguments.ways) - {way["id"] for way in ways}
    if unknown:
        print(f"proof: no way {', '.join(sorted(unknown))}; there are {', '.join(way['id'] for way in ways)}", file=sys.stderr)
        return 2
    if arguments.ways:
        ways = [way for way in ways if way["id"] in arguments.ways]
    if arguments.list:
        for way in ways:
            print(f"{way['id']:17} {way['what']}")
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))  # ends what runs
    seconds = (arguments.hours or HOURS) * 3600 if arguments.long else None
    what = f"proof --long --hours {seconds / 3600:g}" if arguments.long else "proof"
    seed = time.time_ns() // 1000 if arguments.seed is None else arguments.seed
    return run_all(ways, seconds, seed, os.path.join(ROOT, "build", "proof"), " ".join([what, *arguments.ways]))


if __name__ == "__main__":
    command.run(main)
