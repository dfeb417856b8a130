#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Searches with the fuzz targets of a build made with the preset `fuzz`, one after the other, and says in the last line how many inputs ran
and how many edges of the code they reached. Exit status 1 if a target failed; its input is then in FOLDER/found.

usage: run.py [--seconds N] [--planted] [--merge] [--list] FOLDER [NOUN…]

FOLDER holds the programs fuzz_NOUN. --seconds is for all targets together. NOUN: only these; --list shows them. --planted makes what each target
compares with wrong (FUZZ_PLANTED), starts from nothing, or from the corpus where the input is a format that chance does not write, and succeeds if all
are found. --merge then makes the corpora in the tree the smallest ones that reach what was reached.
"""
import argparse
import base64
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SIZE_MAX = 2048  # bytes of an input
FORMATS = ("level", "options")


def noun_of(program):
    return os.path.basename(program).removeprefix("fuzz_")


def corpus_of(noun):
    return os.path.join(HERE, "corpus", noun)


def search(program, folders, seconds, found, environment=None):
    """(exit status, output) of one target"""
    os.makedirs(found, exist_ok=True)
    words = [program, f"-max_total_time={seconds}", f"-max_len={SIZE_MAX}", "-len_control=0", "-print_final_stats=1",
             f"-artifact_prefix={found}/", *folders]
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
                          errors="replace", env=os.environ | (environment or {}), check=False)
    return done.returncode, done.stdout


def figures(output):
    runs = re.findall(r"^stat::number_of_executed_units: (\d+)", output, re.M)
    edges = re.findall(r"\bcov: (\d+)", output)
    return int(runs[-1]) if runs else 0, int(edges[-1]) if edges else 0


def print_failure(output, found, since):
    """Last, for who has the end of the output only: what failed, where, and its input, which `base64 -d` makes a file of again."""
    print(output)
    print("\n".join(re.findall(r"^(?:.*not so: .*|.*ERROR: .*|.*runtime error: .*|SUMMARY: .*| +#[0-4] .*)$", output, re.M)[:9]))
    for path in sorted(glob.glob(os.path.join(found, "*"))):
        if os.path.getmtime(path) >= since:
            with open(path, "rb") as file:
                print(f"{os.path.basename(path)} in base64: {base64.b64encode(file.read()).decode()}")


def search_all(programs, folder, seconds, merge):
    failed, parts = [], []
    for program in programs:
        noun = noun_of(program)
        fresh = os.path.join(folder, "corpus", noun)
        os.makedirs(fresh, exist_ok=True)
        began = time.time()
        status, output = search(program, [fresh, corpus_of(noun)], max(1, seconds // len(programs)), os.path.join(folder, "found", noun))
        runs, edges = figures(output)
        parts.append(f"{noun} {runs} runs, {edges} edges")
        if status != 0:
            print_failure(output, os.path.join(folder, "found", noun), began)
            failed.append(noun)
        elif merge:
            minimise(program, noun, fresh)
    print("; ".join(parts) + (f"; FAILED: {', '.join(failed)}" if failed else ""))
    return 1 if failed else 0


def minimise(program, noun, fresh):
    with tempfile.TemporaryDirectory() as smallest:
        subprocess.run([program, "-merge=1", "-use_counters=0", smallest, fresh, corpus_of(noun)], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, check=True)
        for old in glob.glob(os.path.join(corpus_of(noun), "*")):
            os.remove(old)
        for kept in os.listdir(smallest):
            shutil.copyfile(os.path.join(smallest, kept), os.path.join(corpus_of(noun), kept[:12]))


def find_planted(programs, seconds):
    """Those from a corpus come first, because they are found at once and leave their time to the others."""
    parts, missed, end = [], 0, time.monotonic() + seconds
    programs = sorted(programs, key=lambda program: noun_of(program) not in FORMATS)
    for done, program in enumerate(programs):
        share = max(1, round((end - time.monotonic()) / (len(programs) - done)))
        with tempfile.TemporaryDirectory() as found:
            start = [corpus_of(noun_of(program))] if noun_of(program) in FORMATS else []
            status, output = search(program, ["-seed=1", *start], share, found, {"FUZZ_PLANTED": "1"})
        seen = status != 0 and ("not so: " in output or "ERROR: AddressSanitizer" in output)
        missed += not seen
        parts.append(f"{noun_of(program)} {'found' if seen else 'NOT found'} after {figures(output)[0]} runs")
    print("planted: " + "; ".join(parts))
    return 1 if missed else 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--planted", action="store_true")
    parser.add_argument("--merge", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("folder")
    parser.add_argument("nouns", nargs="*")
    arguments = parser.parse_args()
    programs = sorted(p for p in glob.glob(os.path.join(arguments.folder, "fuzz_*")) if os.access(p, os.X_OK) and os.path.isfile(p))
    if not programs:
        print(f"{arguments.folder}: no program fuzz_NOUN")
        return 1
    programs = {noun_of(program): program for program in programs}
    unknown = set(arguments.nouns) - programs.keys()
    if unknown:
        print(f"{arguments.folder}: no program {', '.join('fuzz_' + noun for noun in sorted(unknown))}")
        return 1
    if arguments.list:
        print("\n".join(programs))
        return 0
    wanted = [program for noun, program in programs.items() if noun in (arguments.nouns or programs)]
    if arguments.planted:
        return find_planted(wanted, arguments.seconds)
    return search_all(wanted, arguments.folder, arguments.seconds, arguments.merge)


if __name__ == "__main__":
    sys.exit(main())
