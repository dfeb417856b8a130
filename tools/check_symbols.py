#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks what the built libraries export and which locks they use.

    the shared library exports fa_ names and nothing else
    no object uses a lock (pthread mutexes, conditions, rwlocks, spin locks, semaphores), except those named with
    --may-lock: they lock at start-up and shutdown only

usage: check_symbols.py --nm NM --shared LIB.so --static LIB.a [--may-lock OBJECT.c …] | --self-test
"""
import re
import subprocess

import command

EXPORT = re.compile(r"fa_[a-z0-9_]+")
LOCK = re.compile(r"(?:__)?pthread_(?:mutex|cond|rwlock|spin|barrier)_\w+|sem_(?:wait|timedwait|post)|(?:mtx|cnd)_\w+")
LINKER = {"_init", "_fini", "__bss_start", "_edata", "_end"}  # older linkers export these


def exports(text):
    return [line.split()[-1].split("@")[0] for line in text.splitlines() if line.strip()]


def wrong_exports(text):
    names = exports(text)
    errors = [f"exported: {name}" for name in names if name not in LINKER and not EXPORT.fullmatch(name)]
    return names, errors if names else ["nothing is exported"]


def wrong_locks(text, may_lock):
    """`text` is nm -u of the archive: a line `park.c.o:` before each object's names."""
    errors, current, used = [], "", set()
    for line in text.splitlines():
        if line.endswith(":"):
            current = re.sub(r"\.o$", "", line.rstrip(":").split("(")[-1].rstrip(")"))
        elif LOCK.fullmatch(name := line.split()[-1].split("@")[0] if line.split() else ""):
            used.add(current)
            if current not in may_lock:
                errors.append(f"{current} uses {name}")
    return errors + [f"{name} is allowed to lock but does not: take it off the list" for name in may_lock - used]


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def self_test():
    undefined = "\npark.c.o:\n                 U syscall\n\nrcu.c.o:\n                 U pthread_mutex_lock\n"
    cases = [
        (wrong_exports("0 T fa_create\n0 T fa_frame_end\n")[1], 0),
        (wrong_exports("0 T fa_create\n0 T fai_park_owner\n")[1], 1),
        (wrong_exports("0 T fa_create\n0 B helper\n")[1], 1),
        (wrong_exports("")[1], 1),
        (wrong_locks(undefined, {"rcu.c"}), 0),
        (wrong_locks(undefined, set()), 1),
        (wrong_locks(undefined, {"rcu.c", "park.c"}), 1),
        (wrong_locks("pool.c.o:\n   U pthread_cond_wait@GLIBC_2.3.2\n", set()), 1),
        (wrong_locks("pool.c.o:\n   U sem_wait\n", set()), 1),
    ]
    failures = [f"case {i}: {errors}" for i, (errors, count) in enumerate(cases) if len(errors) != count]
    planted = sum(1 for _, count in cases if count)
    print(*failures, f"check_symbols: {planted} planted violations, {len(failures)} failures", sep="\n")
    return bool(failures)


def main():
    parser = command.parser(__doc__, root=None)
    for option in ("--nm", "--shared", "--static"):
        parser.add_argument(option)
    parser.add_argument("--may-lock", nargs="*", default=[])
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    if not (arguments.nm and arguments.shared and arguments.static):
        parser.error("--nm, --shared and --static are needed")
    names, errors = wrong_exports(run(arguments.nm, "-D", "--defined-only", arguments.shared))
    errors += wrong_locks(run(arguments.nm, "-u", arguments.static), set(arguments.may_lock))
    print(*errors, f"check_symbols: {len(names)} exported names, {len(errors)} violations", sep="\n")
    return bool(errors)


if __name__ == "__main__":
    command.run(main)
