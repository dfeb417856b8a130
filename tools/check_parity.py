#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks docs/parity.md: every promise, defect and acceptance has a row, and every row names things that exist.

    | row | promise | header | example | tests |
    | row | defect or acceptance | what holds here | tests |

Headers are files of include/framealloc/, examples are examples/NAME.c, NAME.cpp or NAME/, tests are written
`program: name, name`, where program is tests/test_PROGRAM.c (or .cpp) and each name one of its tests, or `ctest: name` for a
test that is no such program. A row whose tests say `open` is counted; --open N says how many there may be. A defect that cannot
be had in C has the tests `none`, and the reason in the cell before.

usage: check_parity.py [--open N] [ROOT] | --self-test
"""
import os
import re
import sys
import tempfile

import command


def numbers(part, first, last):
    return [f"{part}.{n:02}" for n in range(first, last + 1)]


PROMISES = ["C1", "C2", "C3", *numbers(1, 1, 29), *numbers(2, 1, 16), *numbers(3, 1, 21)]
DEFECTS = [f"B{n}" for n in range(1, 34)]
ACCEPTANCE = [f"T{n}" for n in range(1, 47)]
ALL_ROWS = PROMISES + DEFECTS + ACCEPTANCE  # beyond them, X.01 and so on: as many as there are
TEST = re.compile(r"(?:^|[\s,])(?:EACH|EACH_OF)\((\w+)|cmocka_unit_test(?:_\w+)?\((\w+)|^TEST\((\w+)\)", re.M)


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def rows_of(text):
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and re.fullmatch(r"[CBT]\d+|[\dX]\.\d\d", cells[0]):
            yield cells


def tests_of(root, program):
    for suffix in (".c", ".cpp"):
        path = os.path.join(root, "tests", f"test_{program}{suffix}")
        if os.path.isfile(path):
            return {name for match in TEST.finditer(read(path)) for name in match.groups() if name}
    return None


def parts_of(cell):
    """(program, names) of `program: name, name; program: name`."""
    for part in filter(None, (part.strip() for part in cell.split(";"))):
        program, _, names = part.partition(":")
        yield program.strip(), [name.strip() for name in names.split(",") if name.strip()]


def judge_tests(root, cell):
    for program, names in parts_of(cell):
        if not names:
            yield f"names no test: {program}"
        elif program == "ctest":
            lists = "".join(read(os.path.join(folder, "CMakeLists.txt"))
                            for folder, _, files in os.walk(os.path.join(root, "tests")) if "CMakeLists.txt" in files)
            for name in names:
                known = name.startswith("example_") and example_exists(root, name[len("example_"):])
                level, check = name.removeprefix("level_tick_"), name.removeprefix("check_")  # added by functions
                known = known or os.path.isfile(os.path.join(root, "tests", "level_tick", f"test_{level}.c"))
                written = "|".join(map(re.escape, (name, f"level_tick_check({level}", f"fa_check({check}")))
                if not known and not re.search(rf"\b(?:{written})\b", lists):
                    yield f"no such test: {name}"
        else:
            known = tests_of(root, program)
            if known is None:
                yield f"no such program: test_{program}"
                continue
            yield from (f"no such test in test_{program}: {name}" for name in names if name not in known)


def example_exists(root, name):
    base = os.path.join(root, "examples", name)
    return any(os.path.exists(path) for path in (base, base + ".c", base + ".cpp"))


def judge_row(root, cells):
    is_promise = re.match(r"[CX]|\d", cells[0]) is not None
    if len(cells) != (5 if is_promise else 4):
        yield "a row has five cells, four where there is neither header nor example"
        return
    headers, examples, tests = (*cells[2:4], cells[4]) if is_promise else ("", "", cells[3])
    if not all(cells[1:2] if is_promise else cells[1:3]):
        yield "says too little"
    for header in re.findall(r"`([\w.]+\.hp*)`", headers):
        if not os.path.isfile(os.path.join(root, "include", "framealloc", header)):
            yield f"no such header: {header}"
    for example in re.findall(r"`(\w+)`", examples):
        if not example_exists(root, example):
            yield f"no such example: {example}"
    if tests == "none":
        if not cells[0].startswith("B"):
            yield "only a defect may have no test"
    elif tests and tests != "open":
        yield from judge_tests(root, tests.replace("`", ""))
    elif not tests:
        yield "names no test"


def check(root, open_allowed):
    rows = list(rows_of(read(os.path.join(root, "docs", "parity.md"))))
    ids = [cells[0] for cells in rows]
    wrong = [f"{row}: no row" for row in ALL_ROWS if row not in ids]
    wrong += [f"{row}: {ids.count(row)} rows" for row in sorted(set(ids)) if ids.count(row) > 1]
    wrong += [f"{row}: no such promise" for row in sorted(set(ids)) if row not in ALL_ROWS and row[0] != "X"]
    wrong += [f"{cells[0]}: {fault}" for cells in rows for fault in judge_row(root, cells)]
    still_open = [cells[0] for cells in rows if cells[-1] == "open"]
    if len(still_open) != open_allowed:
        wrong.append(f"{len(still_open)} rows are open, not {open_allowed}: {' '.join(still_open)}")
    return wrong


def self_test():
    with tempfile.TemporaryDirectory() as root:
        for folder in ("docs", "tests", "examples", "include/framealloc"):
            os.makedirs(os.path.join(root, folder))

        def write(path, text):
            with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                file.write(text)

        write("tests/test_pool.c", "        EACH(reuse),\n        EACH_OF(other, \"0\", \"n\"),\n")
        write("tests/CMakeLists.txt", "add_test(NAME outside COMMAND x)\n")
        write("examples/first.c", "")
        write("include/framealloc/pool.h", "")
        good = "| {} | a promise | `pool.h` | `first` | pool: reuse, other; ctest: outside, example_first |\n"
        short = "| {} | a defect | a remedy | pool: reuse |\n"
        table = good.format("X.07") + "".join(good.format(row) for row in PROMISES)
        table += "".join(short.format(row) for row in DEFECTS + ACCEPTANCE)
        write("docs/parity.md", table)
        assert check(root, 0) == [], check(root, 0)
        for old, new in (("| C2 |", "| C9 |"), (good.format("X.07"), short.format("X.07")),
                         (good.format("X.07"), good.format("X.07") * 2), ("pool: reuse,", "pool: no_such,"), ("`pool.h`", "`none.h`"),
                         ("`first`", "`second`"), ("ctest: outside", "ctest: inside"), ("pool: reuse, other; ", "pond: reuse; "),
                         ("pool: reuse, other; ctest: outside, example_first", "open"),
                         ("pool: reuse, other; ctest: outside, example_first", ""), ("| B7 |", "| B70 |"), ("| T46 |", "| X46 |"),
                         (short.format("T9"), ""), (short.format("B1"), good.format("B1")),
                         (short.format("B2"), "| B2 | a defect | a remedy | pool: no_such |\n"),
                         (short.format("B3"), "| B3 | a defect | | none |\n"),
                         (short.format("T4"), "| T4 | a promise | a reason | none |\n")):
            write("docs/parity.md", table.replace(old, new, 1))
            assert check(root, 0), f"not noticed: {old} -> {new}"
        write("docs/parity.md", table.replace(short.format("B3"), "| B3 | a defect | a reason | none |\n"))
        assert check(root, 0) == [], check(root, 0)
        write("docs/parity.md", table + good.format("C1"))
        assert check(root, 0), "a row twice is not noticed"
    print("check_parity: every planted fault was noticed")


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--open", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.self_test:
        self_test()
        return 0
    wrong = check(arguments.root, arguments.open)
    for fault in wrong:
        print(f"docs/parity.md: {fault}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    command.run(main)
