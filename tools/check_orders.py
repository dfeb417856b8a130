#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that every ordered atomic operation names its partner.

An operation with acquire, release, acq_rel or seq_cst order carries a tag comment on its line or at most three lines
above it (a comment of several lines counts as its last line):

    // [park.wake] release: publishes what the waker did before.
    fai_store_release(&parker->word, TOKEN);

The word after the tag says which side this operation is; without it the operation's own order does. A comment may
hold several tags. Every tag needs a releasing and an acquiring side; an acq_rel or seq_cst operation is both.

Checked: include/ concurrent/ alloc/ jobs/, without concurrent/order.h and annotate.h, which define the operations, and
concurrent/tsan. An order inside a library call (ck_, urcu_, futex, …) is invisible here; such a call, and what
ThreadSanitizer is told about it (fai_tell_…), may carry a tag with a side, and then counts as that side.

With --models, the program of tests/model/ is asked which ordered operations its models reach: it must be every one, so that a new operation
comes with a model that reaches it.

usage: check_orders.py [--table | --models PROGRAM] [ROOT] | --self-test
"""
import os
import re
import subprocess
import tempfile

import command

FOLDERS = ("include", "concurrent", "alloc", "jobs")
SKIP = ("concurrent/order.h", "concurrent/annotate.h", "concurrent/tsan/")
REACH = 3
SIDES = {"acquire": {"acquire"}, "release": {"release"}, "acq_rel": {"acquire", "release"},
         "seq_cst": {"acquire", "release"}, "consume": {"acquire"}}
OPERATION = re.compile(
    r"\bfai_(?:load|store|exchange|cas|add|sub|or|and|xor|fence)\w*?_(?P<fai>acquire|release|acq_rel|seq_cst)\b"
    r"|\bck_pr_fence_(?P<ck>acquire|release|acqrel|memory|strict_memory|load_depends)\b"
    r"|\b__ATOMIC_(?P<gcc>ACQUIRE|RELEASE|ACQ_REL|SEQ_CST|CONSUME)\b"
    r"|\bmemory_order_(?P<c11>acquire|release|acq_rel|seq_cst|consume)\b"
    r"|\b__(?P<old>sync)_\w+\s*\(")
CK = {"acqrel": "acq_rel", "memory": "seq_cst", "strict_memory": "seq_cst", "load_depends": "consume"}
CALL = re.compile(r"\b(?:fai_tell_|ck_|urcu_|rcu_|call_rcu|defer_rcu|cds_|pthread_|syscall|futex_)\w*\s*\(")
TAG = re.compile(r"\[([a-z][a-z0-9_]*\.[a-z0-9_]+)\](?:\s+(acquire|release|acq_rel|seq_cst)\b)?")
SITE = re.compile(r"^(\S+) .*\(line (\d+)\):", re.M)  # of model --sites
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.S)


def split(text):
    """The text as two lists of lines: code without comments and strings, and comments alone."""
    code, comments, at = [], [], 0

    def blank(part):
        return re.sub(r"[^\n]", " ", part)
    for match in TOKEN.finditer(text):
        code.append(text[at:match.start()])
        comments.append(blank(text[at:match.start()]))
        token = match.group(0)
        code.append(blank(token))
        comments.append(blank(token) if token.startswith('"') else token)
        at = match.end()
    code.append(text[at:])
    comments.append(blank(text[at:]))
    return "".join(code).split("\n"), "".join(comments).split("\n")


def order_of(match):
    found = match.group("fai") or match.group("gcc") or match.group("c11")
    if match.group("ck"):
        found = CK.get(match.group("ck"), match.group("ck"))
    return "seq_cst" if match.group("old") else found.lower()


def tag_comments(code, comments):
    """line of the comment's end -> [(tag, said side, line of the tag)], for comments that hold tags."""
    found, line = {}, 0
    while line < len(comments):
        tags, end = [], line
        while True:
            tags += [(tag.group(1), tag.group(2), end) for tag in TAG.finditer(comments[end])]
            alone = comments[end].strip() and not code[end].strip()
            if not alone or end + 1 == len(comments) or not comments[end + 1].strip() or code[end + 1].strip():
                break
            end += 1
        if tags:
            found[end] = tags
        line = end + 1
    return found


def scan(path, text, uses, errors):
    """Adds to uses: tag -> [(side, file:line)]. Returns the lines with operations."""
    code, comments = split(text)
    tags_at = tag_comments(code, comments)
    used, lines = set(), []
    for line, content in enumerate(code):
        operations = [] if content.lstrip().startswith("#") else [order_of(m) for m in OPERATION.finditer(content)]
        near = next((at for at in range(line, max(line - REACH, 0) - 1, -1) if at in tags_at), None)
        where = f"{path}:{line + 1}"
        if not operations:
            if near is not None and near not in used and CALL.search(content):
                said = [(tag, side) for tag, side, _ in tags_at[near] if side]
                for tag, side in said:
                    uses.setdefault(tag, []).extend((s, where) for s in SIDES[side])
                if said:
                    used.add(near)
            continue
        lines.append(where)
        if near is None:
            errors.append(f"{where}: {operations[0]} operation without a tag comment // [noun.event] …")
            continue
        used.add(near)
        can = set().union(*(SIDES[order] for order in operations))
        for tag, side, _ in tags_at[near]:
            sides = SIDES[side] if side else can
            if not sides <= can:
                errors.append(f"{where}: [{tag}] says {side}, the operation is {'/'.join(operations)}")
            uses.setdefault(tag, []).extend((s, where) for s in sides & can)
    for at, tags in tags_at.items():
        for tag, side, line in tags:
            if side and at not in used:
                errors.append(f"{path}:{line + 1}: [{tag}] {side} belongs to no operation")
    return lines


def check(root):
    uses, errors, places, files = {}, [], [], 0
    for folder in FOLDERS:
        for directory, folders, names in os.walk(os.path.join(root, folder)):
            folders.sort()
            for name in sorted(names):
                path = os.path.relpath(os.path.join(directory, name), root)
                if not name.endswith((".c", ".h")) or path.startswith(SKIP):
                    continue
                files += 1
                with open(os.path.join(root, path), encoding="utf-8") as file:
                    places += scan(path, file.read(), uses, errors)
    for tag, sides in sorted(uses.items()):
        for side in ("acquire", "release"):
            if side not in {found for found, _ in sides}:
                known = ", ".join(sorted({where for _, where in sides}))
                errors.append(f"{known}: [{tag}] has no {side} side")
    return files, uses, errors, places


def unreached(places, sites):
    """One message per operation that is not among what `model --sites` printed."""
    reached = {f"{path}:{line}" for path, line in SITE.findall(sites)}
    return [f"{where}: no model reaches this operation" for where in places if where not in reached]


def check_models(program, root):
    _, _, errors, places = check(root)
    run = subprocess.run([program, "--sites"], stdout=subprocess.PIPE, text=True, check=True)
    missing = unreached(places, run.stdout)
    print(*errors, *missing, sep="\n")
    print(f"check_orders: models reach {len(places) - len(missing)} of {len(places)} ordered operations")
    return bool(errors) or bool(missing) or not places


OP_R = "// [a.b] release: why.\nfai_store_release(&x, 1);\n"
OP_A = "// [a.b] acquire: why.\nfai_load_acquire(&x);\n"
CASES = [  # text, words of the one expected message (None: right)
    (OP_R + OP_A, None),
    ("// [a.b] why, in\n// two lines.\n\n  y = fai_sub_acq_rel(&x, 1);\n", None),
    ("// [a.b] release: of one, [c.d] acquire: of another.\nfai_cas_acq_rel(&x, &y, 1);\n" + OP_A
     + "// [c.d] release\nfai_cas_release(&x, &y, 1);\n", None),
    ("/* fai_load_acquire(&x) */ // fai_store_release(&x)\n", None),
    ("fai_load_relaxed(&x); __atomic_load_n(&x, __ATOMIC_RELAXED); fai_block_release(b);\n", None),
    ("// [a.b] release: the push.\nck_stack_push_upmc(s, e);\n" + OP_A, None),
    ("// [a.b] release: the push.\nck_pr_fence_release();\n" + OP_A, None),
    ("__atomic_load_n(&x, __ATOMIC_ACQUIRE); // [a.b] acquire: as the header says\n" + OP_R, None),
    ("fai_load_acquire(&x);\n", "without a tag"),
    ("fai_store_release(&x, 1);\n", "without a tag"),
    ("if (!fai_cas_acq_rel(&x, &y, 1)) return;\n", "without a tag"),
    ("fai_fence_seq_cst();\n", "without a tag"),
    ("ck_pr_fence_acquire();\n", "without a tag"),
    ("__atomic_load_n(&x, __ATOMIC_ACQUIRE);\n", "without a tag"),
    ("__sync_synchronize();\n", "without a tag"),
    ("atomic_load_explicit(&x, memory_order_seq_cst);\n", "without a tag"),
    ("// [a.b] acquire: too far.\n\n\n\nfai_load_acquire(&x);\n" + OP_A + OP_R, "without a tag"),
    (OP_R, "no acquire side"),
    (OP_A, "no release side"),
    ("// [a.b] release: the push.\nck_stack_push_upmc(s, e);\n", "no acquire side"),
    (OP_R + OP_A + "// [a.b] release: not at all.\nfai_load_acquire(&x);\n", "says release"),
    (OP_R + OP_A + "// [a.b] release: nothing follows.\nx = 1;\n", "belongs to no operation"),
    ("// [a.b] release: one side of an acq_rel.\nfai_sub_acq_rel(&x, 1);\n", "no acquire side"),
]


SITES = "alloc/x.c f load acquire (line 2): tick cell\n"
REACHES = [  # places, sites, how many messages
    (["alloc/x.c:2"], SITES, 0),
    (["alloc/x.c:2", "alloc/x.c:20"], SITES, 1),
    (["alloc/y.c:2"], SITES, 1),
    (["alloc/x.c:2"], "", 1),
]


def self_test():
    failures = [f"{places} with {sites!r}: expected {count} messages"
                for places, sites, count in REACHES if len(unreached(places, sites)) != count]
    for text, words in CASES:
        with tempfile.TemporaryDirectory() as root:
            os.makedirs(os.path.join(root, "alloc"))
            with open(os.path.join(root, "alloc/x.c"), "w", encoding="utf-8") as file:
                file.write(text)
            errors = list(dict.fromkeys(re.sub(r"^\S+: ", "", error) for error in check(root)[2]))
        if errors if words is None else not any(words in error for error in errors):
            failures.append(f"{text!r}: expected {words}, got {errors}")
    planted = sum(1 for _, words in CASES if words) + sum(count for _, _, count in REACHES)
    print(*failures, f"check_orders: {planted} planted violations, {len(failures)} failures", sep="\n")
    return bool(failures)


def main():
    parser = command.parser(__doc__)
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--table", action="store_true")
    either.add_argument("--models", metavar="PROGRAM")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    if arguments.models:
        return check_models(arguments.models, arguments.root)
    files, uses, errors, _ = check(arguments.root)
    if arguments.table:
        for tag, sides in sorted(uses.items()):
            for side in ("release", "acquire"):
                print(f"{tag:28} {side:8} {', '.join(sorted({where for s, where in sides if s == side}))}")
    print(*errors, f"check_orders: {files} files, {len(uses)} events, {len(errors)} violations", sep="\n")
    return bool(errors) or files == 0


if __name__ == "__main__":
    command.run(main)
