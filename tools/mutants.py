#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Takes behaviours out of the library, one at a time, and expects tests to notice.

A table (tests/mutants/*.toml) lists mutants:

    [[mutant]]
    rows = ["1.01", "B3"]               # what it takes out, by row of docs/parity.md
    what = "the frame's end frees the main lane alone"
    file = "alloc/lane.c"
    old = "text that stands there once"
    new = "what stands there instead"
    tests = "frame: all_lanes_are_freed; ctest: example_game_loop"

Each test named must fail: a cmocka test in some of its cases (`name/2/checked` is one case) by an assertion or a signal, another test
of CTest by its exit. A test that does not end has failed only if the entry says `hang = true`. Instead of `tests` an entry may have
`run`, a list of words, executed in the build folder, and `build`, the targets it needs; `more = [{file, old, new}, …]` are further
replacements of the same mutant, `timeout` is in seconds. Defaults of these, and `configure`, the arguments for cmake, stand in
[defaults]. Every row of docs/parity.md has a mutant, and every test that it names is named by one; [reasons] says of rows, and of tests
("program: name" = "…"), that have none why not.

The tree is copied into build/mutants, built and changed there; the tests named must pass before anything is changed.

usage: mutants.py [--table FILE] [--jobs N] [--list | --check] [ID…] | --self-test

An ID is the name of a mutant, as --list shows it, or a row. --check only looks whether the table fits the tree.
"""
import argparse
import concurrent.futures
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib

import check_parity
import command

TABLE = os.path.join("tests", "mutants", "behaviours.toml")
PROMISES = os.path.join("docs", "parity.md")
KEYS = {"rows", "what", "file", "old", "new", "more", "tests", "build", "run", "timeout", "hang", "id"}


class Mutant:
    def __init__(self, entry, defaults, number):
        unknown = sorted(entry.keys() - KEYS)
        if unknown:
            raise ValueError(f"mutant {number}: unknown key {', '.join(unknown)}")
        self.rows = entry.get("rows", [])
        self.id = entry.get("id") or f"{self.rows[0] if self.rows else 'mutant'}-{number}"
        self.what = entry.get("what", "")
        self.changes = [entry, *entry.get("more", [])]
        self.timeout = entry.get("timeout", defaults.get("timeout", 60))
        self.hang = entry.get("hang", defaults.get("hang", False))
        self.tests = entry.get("tests", "")
        self.build = entry.get("build", defaults.get("build"))
        self.run = entry.get("run", defaults.get("run"))

    def runs(self):
        """(name, targets, command, is cmocka) of everything that must fail."""
        if self.run:
            yield " ".join(self.run), self.build or [], self.run, False
        for program, names in check_parity.parts_of(self.tests):
            for name in names:
                if program == "ctest":
                    targets = self.build or ([name[len("example_"):]] if name.startswith("example_") else [])
                    yield name, targets, ["ctest", "--output-on-failure", "-R", f"^{re.escape(name)}$"], False
                else:
                    targets = [*(self.build or []), f"test_{program}"]
                    yield f"{program}.{name}", targets, [f"tests/test_{program}", name], True


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def load(path):
    with open(path, "rb") as file:
        table = tomllib.load(file)
    defaults = table.get("defaults", {})
    count, mutants = {}, []
    for entry in table.get("mutant", []):
        first = (entry.get("rows") or ["mutant"])[0]
        count[first] = count.get(first, 0) + 1
        mutants.append(Mutant(entry, defaults, chr(ord("a") + count[first] - 1)))
    return table, mutants


def change(root, mutant):
    """The files that the mutant changes, as (path, before, after)."""
    texts = {}
    for part in mutant.changes:
        if not part.get("old") or "new" not in part or part["old"] == part["new"]:
            raise ValueError("a change has `old` and another `new`")
        path = os.path.join(root, part["file"])
        if path not in texts:
            if not os.path.isfile(path):
                raise ValueError(f"no such file: {part['file']}")
            texts[path] = [read(path)] * 2
        found = texts[path][1].count(part["old"])
        if found != 1:
            raise ValueError(f"{part['file']}: found {found} times: {part['old']!r}")
        texts[path][1] = texts[path][1].replace(part["old"], part["new"])
    return [(path, *pair) for path, pair in texts.items()]


# --- The table against the tree -------------------------------------------------------------------------------------------

def names_in(cell):
    """The tests of a cell, each as `program: name`; a single case stands for its test."""
    return {f"{program}: {name.partition('/')[0]}" for program, names in check_parity.parts_of(cell.replace("`", "")) for name in names}


def promised(root):
    """The rows of docs/parity.md, and the tests that it names."""
    rows = list(check_parity.rows_of(read(os.path.join(root, PROMISES))))
    return [row[0] for row in rows], set().union(*(names_in(row[-1]) for row in rows if row[-1] not in ("none", "open")))


def check(root, table, mutants, rows, tests):
    """What is wrong with the table. `rows` and `tests` are all that need a mutant or a reason."""
    wrong = []
    ids = [mutant.id for mutant in mutants]
    wrong += [f"{name}: {ids.count(name)} mutants have this name" for name in sorted(set(ids)) if ids.count(name) > 1]
    for mutant in mutants:
        try:
            change(root, mutant)
        except ValueError as fault:
            wrong.append(f"{mutant.id}: {fault}")
        if not mutant.what or not (mutant.tests or mutant.run):
            wrong.append(f"{mutant.id}: says not what it is, or runs nothing")
        wrong += [f"{mutant.id}: {fault}" for fault in check_parity.judge_tests(root, re.sub(r"/\S+?(?=[,;]|$)", "", mutant.tests))]
        wrong += [f"{mutant.id}: no such row: {row}" for row in mutant.rows if row not in rows]
    reasons, needed = table.get("reasons", {}), [*rows, *sorted(tests)]
    covered = {row for mutant in mutants for row in mutant.rows}.union(*(names_in(mutant.tests) for mutant in mutants))
    wrong += [f"{name}: has neither mutant nor reason" for name in needed if name not in covered and name not in reasons]
    wrong += [f"{name}: has a mutant and a reason for having none" for name in reasons if name in covered]
    wrong += [f"{name}: a reason for no row or test" for name in reasons if name not in needed]
    return wrong


# --- A tree of our own ----------------------------------------------------------------------------------------------------

def files_of(root):
    if shutil.which("git") is None:
        return walk(root)
    listed = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            capture_output=True, check=False)
    if listed.returncode == 0:
        return [name for name in listed.stdout.decode().split("\0") if name and os.path.isfile(os.path.join(root, name))]
    return walk(root)


def walk(root):
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in ("build", ".git")]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return found


class Tree:
    """A copy of the tree and its build folder; both are kept, so that a later run builds only what changed."""

    def __init__(self, root, work, configure):
        self.source, self.build = os.path.join(work, "source"), os.path.join(work, "build")
        self.environment = dict(os.environ, CCACHE_BASEDIR=work, CCACHE_NOHASHDIR="1")
        self.copy(root)
        launcher = [f"-DCMAKE_{language}_COMPILER_LAUNCHER=ccache" for language in ("C", "CXX")] if shutil.which("ccache") else []
        self.command(["cmake", "-S", self.source, "-B", self.build, *launcher, *configure], 600)

    def copy(self, root):
        names = files_of(root)
        for name in names:
            to = os.path.join(self.source, name)
            with open(os.path.join(root, name), "rb") as file:
                content = file.read()
            if os.path.isfile(to):
                with open(to, "rb") as file:
                    if file.read() == content:
                        continue
            os.makedirs(os.path.dirname(to), exist_ok=True)
            shutil.copy(os.path.join(root, name), to)
        wanted = set(names)
        for name in walk(self.source):
            if name not in wanted:
                os.remove(os.path.join(self.source, name))

    def command(self, words, timeout):
        status, output = self.execute(words, timeout)
        if status != 0:
            errors = "\n".join(re.findall(r"^.*error: .*$", output, re.M)) or output[-2000:]
            raise RuntimeError(f"{' '.join(words)}: {'did not end' if status is None else 'failed'}\n{errors}")

    def execute(self, words, timeout):
        """(exit status, None if it did not end; output)."""
        folder = self.build if os.path.isdir(self.build) else self.source
        words = [os.path.join(self.build, words[0]) if os.path.isfile(os.path.join(self.build, words[0])) else words[0], *words[1:]]
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(words, cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=output,
                                       stderr=subprocess.STDOUT, start_new_session=True)
            try:
                status = process.wait(timeout)
            except subprocess.TimeoutExpired:
                status = None
            finally:
                try:
                    os.killpg(process.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                process.wait()
            output.seek(0)
            return status, output.read().decode(errors="replace")

    def make(self, targets):
        if targets:
            self.command(["cmake", "--build", self.build, "--target", *targets], 600)

    def test(self, words, is_cmocka, timeout):
        """How a test ended: `passed`, or in which way it failed."""
        if is_cmocka:
            pattern = words[1] if "/" in words[1] else words[1] + "/*"
            return self.judge(*self.execute([words[0], pattern], timeout))
        status, output = self.execute(words, timeout)
        if words[0] == "ctest" and "No tests were found" in output:
            return "nothing ran"
        return "passed" if status == 0 else "no end" if status is None else "failed"

    @staticmethod
    def judge(status, output):
        ran = output.count("[ RUN      ]")
        if status is None:
            return "no end"
        if ran == 0:
            return "nothing ran"
        if status == 0:
            return "passed"
        bad = len(set(re.findall(r"\[  FAILED  \] (?!GROUP)(\S+)$", output, re.M)))
        if status < 0:
            return f"died by signal {-status}"
        return f"{bad} of {ran} failed"


# --- Running --------------------------------------------------------------------------------------------------------------

def try_mutant(tree, mutant):
    """(survived, [(test, how it ended)])"""
    changed = change(tree.source, mutant)
    for path, _, after in changed:
        write(path, after)
    try:
        endings = []
        runs = list(mutant.runs())
        tree.make(sorted({target for _, targets, _, _ in runs for target in targets}))
        for name, _, words, is_cmocka in runs:
            endings.append((name, tree.test(words, is_cmocka, mutant.timeout)))
    finally:
        for path, before, _ in changed:
            write(path, before)
    lived = [how for _, how in endings if how in ("passed", "nothing ran") or (how == "no end" and not mutant.hang)]
    return bool(lived), endings


def baseline(tree, mutants):
    """Tests that do not pass while nothing is changed."""
    runs = {}
    for mutant in mutants:
        for name, targets, words, is_cmocka in mutant.runs():
            runs[name] = (targets, words, is_cmocka, max(mutant.timeout, 120))
    tree.make(sorted({target for targets, _, _, _ in runs.values() for target in targets}))
    for name, (_, words, is_cmocka, timeout) in runs.items():
        how = tree.test(words, is_cmocka, timeout)
        if how != "passed":
            yield f"{name}: {how}, and nothing has been changed"


def run_all(root, work, table, mutants, jobs):
    """0 if every mutant was caught."""
    configure = table.get("defaults", {}).get("configure", [])
    trees = queue.Queue()
    jobs = max(1, min(jobs, len(mutants)))

    def prepare(number):
        tree = Tree(root, os.path.join(work, str(number)), configure)
        mine = mutants[number::jobs]
        faults = list(baseline(tree, mine))
        trees.put(tree)
        return faults

    def attempt(mutant):
        tree, started = trees.get(), time.monotonic()
        try:
            lived, endings = try_mutant(tree, mutant)
        except (RuntimeError, ValueError) as fault:
            lived, endings = True, [("", str(fault))]
        finally:
            trees.put(tree)
        how = "; ".join(f"{name}: {ending}" for name, ending in endings)
        print(f"{'SURVIVED' if lived else 'caught':8} {mutant.id:8} {time.monotonic() - started:5.1f} s  {mutant.what}"
              f"\n         {','.join(mutant.rows)}  {how}", flush=True)
        return lived

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        faults = [fault for found in pool.map(prepare, range(jobs)) for fault in found]
        for fault in faults:
            print(fault, file=sys.stderr)
        if faults:
            return 1
        lived = sum(pool.map(attempt, mutants))
    print(f"{len(mutants) - lived} caught, {lived} survived")
    return 1 if lived else 0


def main(arguments):
    parser = argparse.ArgumentParser(description="Takes behaviours out of the library and expects tests to notice.")
    parser.add_argument("--root", default=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    parser.add_argument("--table", help=f"default: {TABLE}")
    parser.add_argument("--work", help="folder for copies and builds; default: build/mutants")
    parser.add_argument("--jobs", type=command.count, default=os.cpu_count() or 1, help="trees worked on at a time")
    parser.add_argument("--list", action="store_true", help="show the mutants")
    parser.add_argument("--check", action="store_true", help="does the table fit the tree?")
    parser.add_argument("--only", action="append", default=[], metavar="ID", help="the same as ID")
    parser.add_argument("ids", nargs="*", metavar="ID", help="mutants or rows")
    chosen = parser.parse_args(arguments)
    root = os.path.abspath(chosen.root)
    try:
        table, mutants = load(chosen.table or os.path.join(root, TABLE))
    except (OSError, ValueError) as fault:
        print(f"mutants: {fault}", file=sys.stderr)
        return 2
    rows, tests = promised(root) if chosen.table is None else (table.get("rows", []), names_in(table.get("promised", "")))
    wrong = check(root, table, mutants, rows, tests)
    for fault in wrong:
        print(f"mutants: {fault}", file=sys.stderr)
    if wrong and chosen.table is None:
        print(f"mutants: {TABLE} follows the code: let `old` be what stands there now, and see the mutant caught by "
              "./dev mutants ID", file=sys.stderr)
    if wrong or chosen.check:
        return 1 if wrong else 0
    wanted = set(chosen.ids + chosen.only)
    some = [mutant for mutant in mutants if not wanted or wanted & {mutant.id, *mutant.rows}]
    unknown = wanted - {name for mutant in mutants for name in (mutant.id, *mutant.rows)}
    if unknown:
        print(f"mutants: no such mutant or row: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    if chosen.list:
        for mutant in some:
            print(f"{mutant.id:8} {mutant.what}\n         {','.join(mutant.rows)}  {mutant.tests or ' '.join(mutant.run)}")
        return 0
    return run_all(root, os.path.abspath(chosen.work or os.path.join(root, "build", "mutants")), table, some, chosen.jobs)


# --- Itself ---------------------------------------------------------------------------------------------------------------

SELF_LISTS = """cmake_minimum_required(VERSION 3.20)
project(self LANGUAGES NONE)
enable_testing()
add_subdirectory(tests)
"""
SELF_TESTS = """find_program(SH sh)
add_test(NAME even COMMAND ${SH} ${CMAKE_SOURCE_DIR}/even.sh)
"""
SELF_TABLE = """
[[mutant]]
rows = ["R1"]
what = "{what}"
file = "even.sh"
old = "{old}"
new = "{new}"
{keys}
[reasons]
R2 = "there is nothing to see"
"""


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        root = os.path.join(folder, "tree")
        write(os.path.join(root, "CMakeLists.txt"), SELF_LISTS)
        write(os.path.join(root, "tests", "CMakeLists.txt"), SELF_TESTS)
        write(os.path.join(root, "even.sh"), "# a remark\ntwo=2\nwait=0\nsleep $wait\ntest $((two % 2)) = 0\n")

        def outcome(old, new, keys='run = ["ctest", "-R", "^even$"]', rows='["R1", "R2"]', promised="", reasons=""):
            write(os.path.join(folder, "table.toml"),
                  f"rows = {rows}\n{promised}\n" + SELF_TABLE.format(what="odd", old=old, new=new, keys=keys) + reasons)
            result = subprocess.run([sys.executable, os.path.abspath(__file__), "--root", root, "--work", os.path.join(folder, "work"),
                                     "--table", os.path.join(folder, "table.toml")], capture_output=True, text=True, check=False)
            return result.returncode, result.stdout + result.stderr

        def expect(words, status, got):
            assert got[0] == status and words in got[1], f"expected {status} and {words!r}, got {got}"

        expect("1 caught, 0 survived", 0, outcome("two=2", "two=3"))
        expect("0 caught, 1 survived", 1, outcome("# a remark", "# another remark"))
        expect("found 0 times", 1, outcome("two=4", "two=3"))
        expect("found 2 times", 1, outcome("two", "one"))
        expect("another `new`", 1, outcome("two=2", "two=2"))
        expect("unknown key", 2, outcome("two=2", "two=3", 'test = "x"'))
        expect("runs nothing", 1, outcome("two=2", "two=3", ""))
        expect("neither mutant nor reason", 1, outcome("two=2", "two=3", rows='["R1", "R2", "R3"]'))
        expect("a reason for no row or test", 1, outcome("two=2", "two=3", rows='["R1"]'))
        expect("no such row", 1, outcome("two=2", "two=3", rows='["R2"]'))
        expect("no such program", 1, outcome("two=2", "two=3", 'tests = "pond: fish"'))
        even, odd = 'tests = "ctest: even"', '"ctest: even" = "it is odd"'
        named = 'promised = "ctest: even"'
        expect("1 caught, 0 survived", 0, outcome("two=2", "two=3", even, promised=named))
        expect("ctest: even: has neither mutant nor reason", 1, outcome("two=2", "two=3", promised=named))
        expect("1 caught, 0 survived", 0, outcome("two=2", "two=3", promised=named, reasons=odd))
        expect("even: has a mutant and a reason", 1, outcome("two=2", "two=3", even, promised=named, reasons=odd))
        expect("even: a reason for no row or test", 1, outcome("two=2", "two=3", reasons=odd))
        slow = 'run = ["ctest", "-R", "^even$"]\ntimeout = 1'
        expect("0 caught, 1 survived", 1, outcome("wait=0", "wait=9", slow))
        expect("1 caught, 0 survived", 0, outcome("wait=0", "wait=9", slow + "\nhang = true"))
        expect("nothing has been changed", 1, outcome("two=2", "two=3", 'run = ["ctest", "-R", "^odd$"]'))
    print("mutants: what must be caught is caught, what must be noticed is noticed")
    return 0


if __name__ == "__main__":
    command.run(lambda: self_test() if sys.argv[1:] == ["--self-test"] else main(sys.argv[1:]))
