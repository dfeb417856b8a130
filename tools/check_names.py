#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that documents name what exists.

    every fa_…, FA_… and fa::… name that README.md, CHANGELOG.md and docs/*.md mention occurs in include/framealloc or adapters (.h, .hpp),
    or is an option or variable of the build; fa_…! is a macro of the Rust crate
    a name cut off by "…" or "*" (fa_handle_…, FA_TAG*) is the beginning of one that does
    every example, header, tool and document that is named by its path exists

usage: check_names.py [ROOT] | --self-test
"""
import glob
import os
import re
import tempfile

import command

PAGES = ("README.md", "CHANGELOG.md", "docs/*.md")
SOURCES = ("include/framealloc/*.h", "include/framealloc/*.hpp", "adapters/*.h")
BUILD = ("CMakeLists.txt", "cmake/*.cmake", "tests/CMakeLists.txt")
NAME = re.compile(r"\b(fa_\w+|FA_\w+)\b(?!!)(…|\*)?")
SPACED = re.compile(r"\bfa::(\w+)")
WORD = re.compile(r"\b(?:fa|FA)_\w+")
DEFINED = re.compile(r"\b(?:class|struct|using|namespace)\s+(\w+)|\b(make\w*)\(")
PASTED = re.compile(r"\b(FA_\w+_)##name")
ENTRY = re.compile(r"\bX\((\w+)")
COMMENT = re.compile(r"//.*$|/\*.*?\*/", re.M)
PATH = re.compile(r"\b((?:examples|tools|docs|include|adapters|bench|tests)/[\w./-]*\w)")


def text_of(root, patterns):
    """Path and text of every file."""
    for pattern in patterns:
        for path in sorted(glob.glob(os.path.join(root, pattern))):
            with open(path, encoding="utf-8") as file:
                yield os.path.relpath(path, root), file.read()


def known_names(root):
    """The names of the interface and of the build, and those inside namespace fa."""
    names, spaced = set(), set()
    for path, text in text_of(root, SOURCES):
        if path.startswith("include"):  # what only a comment names does not exist
            text = COMMENT.sub("", text)
        names.update(WORD.findall(text))
        for prefix in PASTED.findall(text):  # lists: FA_EVENT_##name with X(STEAL, …)
            names.update(prefix + entry for entry in ENTRY.findall(text))
        if path.endswith(".hpp"):
            spaced.update(a or b for a, b in DEFINED.findall(text))
    for _, text in text_of(root, BUILD):
        names.update(WORD.findall(text))
    return names, spaced


def check(root):
    """How many names were looked at, errors."""
    names, spaced = known_names(root)
    count, errors = 0, []
    for page, text in text_of(root, PAGES):
        for number, line in enumerate(text.split("\n"), 1):
            where = f"{page}:{number}"
            for name, cut in NAME.findall(line):
                count += 1
                if name in names or (cut or name.endswith("_")) and any(known.startswith(name) for known in names):
                    continue
                errors.append(f"{where}: {name}{cut} is in no header")
            for name in SPACED.findall(line):
                count += 1
                if name not in spaced:
                    errors.append(f"{where}: fa::{name} is in no header")
            for path in PATH.findall(line):
                if not os.path.exists(os.path.join(root, path)):
                    errors.append(f"{where}: {path} does not exist")
    return count, errors


HEADER = "// fa_pool_peek()\ntypedef struct fa_pool fa_pool;\n#define FA_POOL(w) fa_pool_new(w)\n#define V(name) FA_EVENT_##name\n X(STEAL, \"s\")\n"
CPP = "namespace fa {\nclass scope {\n};\nusing pool_ptr = int;\nint make_pool(int);\n}\n"
CASES = [  # a line of a page, words of the one expected message (None: right)
    ("`fa_pool_new(w)` of an `fa_pool`, FA_POOL", None),
    ("FA_EVENT_STEAL, `-DFA_TRACE=OFF`", None),
    ("`fa_pool_…` and FA_PO*", None),
    ("`fa::scope`, fa::make_pool, `fa::pool_ptr`", None),
    ("the crate's macro `fa_emit!`", None),
    ("FA201 and sofa_bed are no names; include/framealloc/pool.h is", None),
    ("`fa_pool_free(w, p)`", "fa_pool_free is in no header"),
    ("fa_pool_peek", "fa_pool_peek is in no header"),
    ("FA_EVENT_NAP", "FA_EVENT_NAP is in no header"),
    ("fa_heap_…", "fa_heap_… is in no header"),
    ("`fa::vector`", "fa::vector is in no header"),
    ("see examples/none.c", "examples/none.c does not exist"),
]


def self_test():
    failures = []
    for line, words in CASES:
        with tempfile.TemporaryDirectory() as root:
            for path, text in (("include/framealloc/pool.h", HEADER), ("include/framealloc/framealloc.hpp", CPP),
                               ("CMakeLists.txt", "option(FA_TRACE)\n"), ("docs/page.md", "first\n" + line + "\n")):
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            errors = check(root)[1]
        if errors if words is None else len(errors) != 1 or words not in errors[0] or ":2: " not in errors[0]:
            failures.append(f"{line!r}: expected {words}, got {errors}")
    planted = sum(1 for case in CASES if case[1])
    print(*failures, f"check_names: {planted} planted violations, {len(failures)} failures", sep="\n")
    return bool(failures)


def main():
    arguments = command.parser(__doc__).parse_args()
    if arguments.self_test:
        return self_test()
    count, errors = check(arguments.root)
    print(*errors, f"check_names: {count} names, {len(errors)} violations", sep="\n")
    return bool(errors) or not count


if __name__ == "__main__":
    command.run(main)
