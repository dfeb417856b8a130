#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the codes of diagnostics are one list.

    the table FA_CODE_LIST in include/framealloc/diagnostics.h rises, and no code is in it twice
    docs/troubleshooting.md has one section for each, in that order, `## CODE: TITLE`, with the table's title and severity, and
    in it: What happened, Why, What to do, and an example
    every "FAnnn" that alloc/ and jobs/ name is in the table

usage: check_codes.py [ROOT] | --self-test
"""
import os
import re
import tempfile

import command

HEADER = "include/framealloc/diagnostics.h"
PAGE = "docs/troubleshooting.md"
FOLDERS = ("alloc", "jobs")
ENTRY = re.compile(r'X\(\s*(FA\d{3})\s*,\s*FA_SEVERITY_(\w+)\s*,\s*"([^"]*)"\s*,\s*"')
SECTION = re.compile(r"^## (.*)$", re.M)
NAMED = re.compile(r'"(FA\d{3})"')
PARTS = ("**What happened.** ", "**Why.** ", "**What to do.** ", "\n```")


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def table(root):
    """(code, severity, title) of every entry."""
    text = read(root, HEADER)
    lines = []
    for line in text[text.find("#define FA_CODE_LIST"):].split("\n"):
        lines.append(line.rstrip().removesuffix("\\"))
        if not line.rstrip().endswith("\\"):
            break
    return [(code, severity.lower(), title) for code, severity, title in ENTRY.findall(" ".join(lines))]


def sections(root):
    """(heading, text) of every section."""
    parts = SECTION.split(read(root, PAGE))
    return list(zip(parts[1::2], parts[2::2]))


def check(root):
    """Codes, errors."""
    codes, errors = table(root), []
    for before, after in zip(codes, codes[1:]):
        if before[0] >= after[0]:
            errors.append(f"{HEADER}: {after[0]} after {before[0]}")
    known = {code for code, _, _ in codes}
    pages = sections(root)
    wanted = [f"{code}: {title}" for code, _, title in codes]
    have = [heading for heading, _ in pages]
    errors += [f"{PAGE}: no section \"## {heading}\"" for heading in wanted if heading not in have]
    errors += [f"{PAGE}: \"## {heading}\" is no entry of the table" for heading in have if heading not in wanted]
    if not errors and have != wanted:
        errors.append(f"{PAGE}: the sections are not in the order of the table")
    severities = {f"{code}: {title}": severity for code, severity, title in codes}
    for heading, text in pages:
        errors += [f"{PAGE}: {heading}: lacks {part.strip()}" for part in PARTS if part not in text]
        if heading in severities and not text.startswith(f"\n\n*{severities[heading]}*\n"):
            errors.append(f"{PAGE}: {heading}: is not said to be *{severities[heading]}*")
    for folder in FOLDERS:
        for name in sorted(os.listdir(os.path.join(root, folder))):
            if not name.endswith((".c", ".h")):
                continue
            path = f"{folder}/{name}"
            errors += [f"{path}: {code} is not in the table" for code in sorted(set(NAMED.findall(read(root, path))) - known)]
    return codes, errors


TABLE = '#define FA_CODE_LIST(X) \\\n X(FA001, FA_SEVERITY_ERROR, "one", "m") \\\n X(FA002, FA_SEVERITY_WARNING, \\\n  "two", "m")\n'
ONE = "## FA001: one\n\n*error*\n\n**What happened.** a\n\n**Why.** b\n\n**What to do.** c\n\n```c\n```\n"
TWO = ONE.replace("FA001: one", "FA002: two").replace("error", "warning")
USE = 'report("FA001");'
CASES = [  # header, page, source, words of the one expected message (None: right)
    (TABLE, ONE + TWO, USE, None),
    (TABLE, "# Page\n\n" + ONE + TWO, 'report("FA002");', None),
    (TABLE, ONE, USE, 'no section "## FA002: two"'),
    (TABLE, ONE + TWO + ONE.replace("FA001", "FA003"), USE, "is no entry"),
    (TABLE, ONE.replace("one", "other") + TWO, USE, "is no entry"),
    (TABLE, TWO + ONE, USE, "not in the order"),
    (TABLE, ONE + TWO + TWO, USE, "not in the order"),
    (TABLE, ONE.replace("**Why.** ", "") + TWO, USE, "lacks **Why.**"),
    (TABLE, ONE.replace("```", "") + TWO, USE, "lacks ```"),
    (TABLE, ONE.replace("error", "warning") + TWO, USE, "not said to be *error*"),
    (TABLE, ONE + TWO, 'report("FA777");', "FA777 is not in the table"),
    (TABLE.replace("FA002", "FA001").replace("two", "one"), ONE, USE, "FA001 after FA001"),
]


def self_test():
    failures = []
    for header, page, source, words in CASES:
        with tempfile.TemporaryDirectory() as root:
            for path, text in ((HEADER, header), (PAGE, page), ("alloc/x.c", source), ("jobs/x.c", "")):
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            errors = check(root)[1]
        if errors if words is None else not any(words in error for error in errors):
            failures.append(f"{page!r}, {source!r}: expected {words}, got {errors}")
    planted = sum(1 for case in CASES if case[3])
    print(*failures, f"check_codes: {planted} planted violations, {len(failures)} failures", sep="\n")
    return bool(failures)


def main():
    arguments = command.parser(__doc__).parse_args()
    if arguments.self_test:
        return self_test()
    codes, errors = check(arguments.root)
    print(*errors, f"check_codes: {len(codes)} codes, {len(errors)} violations", sep="\n")
    return bool(errors) or not codes


if __name__ == "__main__":
    command.run(main)
