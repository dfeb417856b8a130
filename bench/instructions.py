# SPDX-License-Identifier: MIT
"""Counts what operations cost, by callgrind, and holds them to the limits of instructions.json.

Part of bench/run. The program `instructions` says what it measures; each dump of callgrind bears an operation's name.
"""
import glob
import json
import os
import re
import shutil
import subprocess

LIMITS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "instructions.json")
EVENTS = {"Ir": "instructions", "Ge": "rmw", "sysCount": "syscalls"}  # callgrind's name: ours
RENEW = "a change on purpose is recorded by: bench/run --build-dir DIR instructions --renew"


def run_program(program, results):
    """The program's build, its operations and the sums of callgrind's dumps: name -> event -> count."""
    out = os.path.join(results, "callgrind.out")
    for stale in glob.glob(out + "*"):
        os.remove(stale)
    command = ["valgrind", "--tool=callgrind", "--collect-atstart=no", "--separate-threads=yes", "--fair-sched=try",
               "--collect-bus=yes", "--collect-systime=yes", f"--callgrind-out-file={out}", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{program} under valgrind: {done.stderr.strip().splitlines()[-1]}")
    build, operations = "", {}
    for line in done.stdout.splitlines():
        kind, rest = line.split(" ", 1)
        if kind == "build":
            build = rest
        elif kind == "operation":
            name, count, what = rest.split(" ", 2)
            operations[name] = (int(count), what)
    return build, operations, read_dumps(glob.glob(out + ".*"))


def read_dumps(paths):
    sums = {}
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        trigger = re.search(r"^desc: Trigger: Client Request: (\w+)$", text, re.M)
        events = re.search(r"^events: (.*)$", text, re.M)
        totals = re.search(r"^totals: (.*)$", text, re.M)
        if not (trigger and events and totals):
            continue
        of = sums.setdefault(trigger.group(1), dict.fromkeys(EVENTS.values(), 0))
        for event, value in zip(events.group(1).split(), totals.group(1).split()):
            if event in EVENTS:
                of[EVENTS[event]] += int(value)
    return sums


def per_operation(operations, sums):
    missing = [name for name in operations if name not in sums]
    if missing:
        raise RuntimeError("callgrind counted nothing of " + " ".join(missing))
    return {name: {event: value / operations[name][0] for event, value in sums[name].items()} for name in operations}


def judge(found, limits, build):
    """name -> what is wrong with it, and the names that the limits lack."""
    instructions, shared = limits["instructions"].get(build, {}), limits["atomic"]
    wrong, unknown = {}, []
    for name, counts in found.items():
        if name not in shared or (instructions and name not in instructions):
            unknown.append(name)
            continue
        faults = []
        limit = instructions.get(name)
        if limit is not None and counts["instructions"] > limit * (1 + limits["slack"]) + 0.5:
            faults.append(f"{counts['instructions']:.1f} instructions, before {limit:g}")
        if build.split()[1] == "x86_64":  # callgrind does not see them elsewhere
            for event in ("rmw", "syscalls"):
                if counts[event] > shared[name][event] + limits["slack_atomic"]:
                    faults.append(f"{counts[event]:.3f} {event}, before {shared[name][event]:g}")
        if faults:
            wrong[name] = "; ".join(faults)
    return wrong, unknown


def renew(found, limits, build):
    limits["instructions"][build] = {name: round(counts["instructions"], 1) for name, counts in found.items()}
    limits["atomic"] = {name: {event: round(counts[event], 3) for event in ("rmw", "syscalls")}
                        for name, counts in found.items()}
    with open(LIMITS, "w", encoding="utf-8") as file:
        json.dump(limits, file, indent=2)
        file.write("\n")


def print_table(found, operations, wrong, instructions):
    print(f"{'operation':<20} {'instructions':>12} {'limit':>9} {'rmw':>8} {'syscalls':>9}  what")
    for name, counts in found.items():
        limit = f"{instructions[name]:9.1f}" if name in instructions else f"{'–':>9}"
        end = f"  EXCEEDED: {wrong[name]}" if name in wrong else ""
        print(f"{name:<20} {counts['instructions']:12.1f} {limit} {counts['rmw']:8.3f} {counts['syscalls']:9.3f}"
              f"  {operations[name][1]}{end}")


def run(build_dir, results, renewing):
    """True if every operation is within its limits."""
    program = os.path.join(build_dir, "bench", "instructions")
    for needed, found in (("valgrind", shutil.which("valgrind")), (program, os.access(program, os.X_OK))):
        if not found:
            print(f"instructions: {needed} is not there")
            return False
    try:
        build, operations, sums = run_program(program, results)
        found = per_operation(operations, sums)
    except (RuntimeError, subprocess.TimeoutExpired) as problem:
        print(f"instructions: {problem}")
        return False
    with open(LIMITS, encoding="utf-8") as file:
        limits = json.load(file)
    if renewing:
        renew(found, limits, build)
    wrong, unknown = judge(found, limits, build)
    print(f"instructions of {build}, one operation")
    if build not in limits["instructions"]:
        print("no limits are recorded for instructions of this build; the others hold")
    print_table(found, operations, wrong, limits["instructions"].get(build, {}))
    if unknown:
        print("not in instructions.json: " + " ".join(unknown))
    if wrong or unknown:
        print(RENEW)
    return not wrong and not unknown
