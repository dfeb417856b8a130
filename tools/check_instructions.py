#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks what each ordered operation has become on aarch64, where an order is an instruction of its own. Operations are those of check_orders.py,
found again by the lines of the debug information; on their lines stands

    for a load with acquire     ldar, or ldapr
    for a store with release    stlr
    for a read-modify-write     a call of libgcc's __aarch64_… of that kind and order (they choose by what the processor has), or one instruction
                                where the compiler was told that it has them (-march=armv8.1-a)
    for a fence                 dmb ish

and nothing else that orders. Where frame memory and pool objects are allocated (QUIET) there is no dmb. A line without any of these has been
left out by the compiler, or nobody compiled it: give more files then.

usage: check_instructions.py --objdump OBJDUMP [--root ROOT] FILE… | --self-test

FILE is an archive, object or program, built with -O2 -g.
"""
import collections
import os
import re
import subprocess
import tempfile

import check_orders
import command

QUIET = ("include/framealloc/frame.h", "include/framealloc/pool.h", "alloc/frame.c", "alloc/arena.c", "alloc/pool.c")
LOCATION = re.compile(r"^(?P<by>inlined by )?(?P<path>\S+):(?P<line>\d+)(?: \(.*\))?$")
INSTRUCTION = re.compile(r"^\s+[0-9a-f]+:\s+(\S+)\s*(.*)$")
SIMPLE = {"ldar": "ldar", "ldapr": "ldar", "stlr": "stlr"}
OUTLINE = re.compile(r"<__aarch64_(cas|swp|ldadd|ldset|ldclr)\d_(\w+)>")
INLINE = re.compile(r"(cas|swp|ldadd|ldset|ldclr|stadd|stset|stclr)(al|a|l|)[bh]?$")
SUFFIX = {"": "relax", "a": "acq", "l": "rel", "al": "acq_rel"}
OPERATION = re.compile(r"\b(?:fai_|__atomic_)(load|store|exchange|cas|add|sub|or|and|fence)(?:_n)?(?:_after_rmw)?(?:_(acquire|release|acq_rel|seq_cst)\b)?")
FENCE = re.compile(r"\bck_pr_fence_")
KIND = {"exchange": "swp", "cas": "cas", "add": "ldadd", "sub": "ldadd", "or": "ldset", "and": "ldclr"}
ORDER = {"acquire": "acq", "release": "rel", "acq_rel": "acq_rel", "seq_cst": "acq_rel"}


def name_of(mnemonic, operands):
    """What an instruction does with order; empty: nothing."""
    if mnemonic == "dmb":
        return f"dmb {operands.split()[0]}"
    if simple := SIMPLE.get(mnemonic.rstrip("bh")):
        return simple
    if outline := OUTLINE.search(operands):
        return f"{outline[1]} {outline[2]}"
    inline = INLINE.match(mnemonic)
    return f"{inline[1].replace('st', 'ld', 1)} {SUFFIX[inline[2]]}" if inline else ""


def instructions(text, root):
    """file:line -> the names of ordered instructions there, inlined ones at the lines of their callers, too."""
    found, stack = collections.defaultdict(set), []
    for line in text.splitlines():
        location = LOCATION.match(line)
        if location:
            where = f"{os.path.relpath(location['path'], root)}:{location['line']}"
            stack = stack + [where] if location["by"] else [where]
            continue
        instruction = INSTRUCTION.match(line)
        name = instruction and name_of(*instruction.groups())
        if name:
            for where in stack:
                found[where].add(name)
    return found


def wanted(code):
    """The instructions of the operations on a line of code."""
    words = {"dmb ish"} if FENCE.search(code) else set()
    for kind, order in OPERATION.findall(code):
        if kind == "fence":
            words.add("dmb ish")
        elif kind in ("load", "store"):
            words.add({"load": "ldar", "store": "stlr"}[kind])
        else:
            words.add(f"{KIND[kind]} {ORDER.get(order, '?')}")
    return words


def check(places, found, root):
    errors = []
    for where in places:
        path, line = where.rsplit(":", 1)
        with open(os.path.join(root, path), encoding="utf-8") as file:
            code = check_orders.split(file.read())[0][int(line) - 1]
        words, here = wanted(re.sub(r"\bfai_\w+_relaxed\b", "", code)), found.get(where, set())
        if not words:
            errors.append(f"{where}: an operation that is not known here: {code.strip()}")
        elif here != words:
            errors.append(f"{where}: {', '.join(sorted(words))} expected, {', '.join(sorted(here)) or 'nothing'} found")
    for where, words in found.items():
        if where.startswith(tuple(name + ":" for name in QUIET)):
            errors += [f"{where}: {word} where memory is allocated" for word in words if word.startswith("dmb")]
    return errors


CODE = ("fai_store_release(&x, 1);", "y = fai_load_acquire(&x);", "fai_cas_acq_rel(&x, &y, 1);", "fai_fence_seq_cst();", "ck_pr_fence_release();",
        "(void)fai_sub_acquire(&x, fai_load_relaxed(&y));")
RIGHT = """0000000000000000 <f>:
f():
{root}/alloc/x.c:1
   0:\tstlr\tw1, [x0]
{root}/alloc/x.c:2
   4:\tldr\tw2, [x3]
   8:\tldarb\tw2, [x0]
{root}/alloc/x.c:3
   c:\tbl\t0 <__aarch64_cas8_acq_rel>
fai_fence_seq_cst():
{root}/concurrent/order.h:80
inlined by {root}/alloc/x.c:4 (f)
  10:\tdmb\tish
{root}/alloc/x.c:5 (discriminator 2)
  14:\tdmb\tish
{root}/alloc/x.c:6
  18:\tbl\t0 <__aarch64_ldadd4_acq>
"""
ALIKE = [("", ""), ("ldarb", "ldaprb"), ("bl\t0 <__aarch64_cas8_acq_rel>", "casal\tx1, x2, [x0]"), ("bl\t0 <__aarch64_ldadd4_acq>", "ldadda\tw1, w2, [x0]")]
PLANTED = [  # what is changed in RIGHT, words of the one expected message
    ("stlr\tw1", "str\tw1", "x.c:1: stlr expected, nothing found"), ("ldarb", "ldrb", "x.c:2: ldar expected, nothing found"),
    ("cas8_acq_rel", "cas8_acq", "x.c:3: cas acq_rel expected, cas acq found"), ("cas8_acq_rel", "swp8_acq_rel", "swp acq_rel found"),
    ("10:\tdmb\tish", "10:\tdmb\tishst", "x.c:4: dmb ish expected, dmb ishst found"), ("10:\tdmb\tish", "10:\tnop", "x.c:4: dmb ish expected"),
    ("14:\tdmb\tish", "14:\tdmb\tish\n  15:\tldar\tx1, [x2]", "x.c:5: dmb ish expected, dmb ish, ldar found"),
    ("bl\t0 <__aarch64_cas8_acq_rel>", "casl\tx1, x2, [x0]", "x.c:3: cas acq_rel expected, cas rel found"),
    ("bl\t0 <__aarch64_ldadd4_acq>", "stadd\tw1, [x0]", "x.c:6: ldadd acq expected, ldadd relax found"), ("ldadd4_acq>", "ldadd4_relax>", "x.c:6: ldadd acq expected, ldadd relax found"), ("alloc/x.c:6\n", "alloc/x.c:9\n", "x.c:6: ldadd acq expected"),
    ("inlined by {root}/alloc/x.c:4 (f)", "inlined by {root}/alloc/x.c:4 (f)\ninlined by {root}/alloc/arena.c:7 (g)",
     "arena.c:7: dmb ish where memory is allocated"),
]


def self_test():
    failures = []
    with tempfile.TemporaryDirectory() as root:
        os.mkdir(os.path.join(root, "alloc"))
        with open(os.path.join(root, "alloc", "x.c"), "w", encoding="utf-8") as file:
            file.write("\n".join(CODE))
        places = [f"alloc/x.c:{line + 1}" for line in range(len(CODE))]
        for old, new, words in [*((old, new, None) for old, new in ALIKE), *PLANTED]:
            errors = check(places, instructions(RIGHT.replace(old, new, 1).format(root=root), root), root)
            if len(errors) != (words is not None) or words and words not in errors[0]:
                failures.append(f"{old!r} -> {new!r}: expected {words}, got {errors}")
    print(*failures, f"check_instructions: {len(PLANTED)} planted violations, {len(failures)} failures", sep="\n")
    return bool(failures)


def main():
    parser = command.parser(__doc__, root="--root")
    parser.add_argument("--objdump", metavar="OBJDUMP")
    parser.add_argument("files", nargs="*")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    if not arguments.objdump or not arguments.files:
        parser.error("--objdump and a file are needed")
    places = check_orders.check(arguments.root)[3]
    found = collections.defaultdict(set)
    for name in arguments.files:
        text = subprocess.run([arguments.objdump, "-dl", "--inlines", "--no-show-raw-insn", name], check=True, capture_output=True, text=True).stdout
        for where, words in instructions(text, arguments.root).items():
            found[where] |= words
    errors = check(places, found, arguments.root)
    print(*errors, f"check_instructions: {len(places)} operations, {len(errors)} violations", sep="\n")
    return bool(errors) or not places


if __name__ == "__main__":
    command.run(main)
