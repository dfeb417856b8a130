#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The tools with wrong words, folders and files: exit status 2, no traceback, and the last line says what was wrong.

usage: tools_refuse.py SOURCE
"""
import glob
import os
import subprocess
import sys

ROOT_ALONE = ("codes", "layers", "misuse", "names", "orders", "parity")
CASES = [("check_" + name, *words) for name in ROOT_ALONE for words in (("/nothing/there",), ("tests",), (".", "more"), ("--bogus",))] + [
    ("check_orders", "--models"), ("check_orders", "--models", "/nothing/there"), ("check_orders", "--models", "true", "tests"),
    ("check_orders", "--table", "--models", "true"), ("check_orders", "--models", "false"),
    ("check_parity", "--open"), ("check_parity", "--open", "many"), ("check_parity", "--open", "1", "/nothing/there"),
    ("check_headers",), ("check_headers", "--cc"), ("check_headers", "--cc", "cc", "tests"), ("check_headers", "--cc", "/nothing/there"),
    ("check_symbols",), ("check_symbols", "--nm", "nm", "--shared", "x"), ("check_symbols", "--bogus"),
    ("check_symbols", "--nm", "nm", "--shared", "/nothing/there", "--static", "/nothing/there"),
    ("check_symbols", "--nm", "/nothing/there", "--shared", "x", "--static", "x"),
    ("check_calls",), ("check_calls", "--cc", "cc", "--objdump", "objdump", "--root", "tests"),
    ("check_calls", "--cc", "/nothing/there", "--objdump", "objdump"),
    ("check_instructions",), ("check_instructions", "--objdump", "objdump"), ("check_instructions", "--objdump", "/nothing/there", "x"),
    ("check_instructions", "--objdump", "objdump", "/nothing/there"), ("check_instructions", "--objdump", "objdump", "--root", "tests", "x"),
    ("coverage", "--root", "/nothing/there"), ("coverage", "--root", "tests"), ("coverage", "--info", "/nothing/there"), ("coverage", "more"),
    ("lint", "--jobs", "0"), ("lint", "--jobs", "many"), ("lint", "--bogus"),
    ("mutants", "--jobs", "0"), ("mutants", "--jobs", "-1"), ("mutants", "--root", "/nothing/there"), ("mutants", "--table", "/nothing/there"),
    ("mutants", "no_such"), ("mutants", "--bogus"),
    ("proof", "--hours", "1"), ("proof", "--long", "--hours", "0"), ("proof", "--seed", "x"), ("proof", "no_such"), ("proof", "--bogus"),
]


def main(source):
    tools = os.path.join(source, "tools")
    failures = []
    for tool, *words in CASES:
        done = subprocess.run([sys.executable, "-B", os.path.join(tools, tool + ".py"), *words], cwd=source, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, check=False)
        said = done.stderr.strip().split("\n")
        if done.returncode != 2 or "Traceback" in done.stderr or not said[-1].startswith(tool):
            failures.append(f"{tool} {' '.join(words)}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    names = {os.path.basename(path).removesuffix(".py") for path in glob.glob(os.path.join(tools, "*.py"))} - {"command"}
    failures += [f"{name}: no wrong words are tried" for name in sorted(names - {case[0] for case in CASES})]
    print(*failures, f"tools: {len(CASES)} refusals, {len(failures)} failures", sep="\n")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
