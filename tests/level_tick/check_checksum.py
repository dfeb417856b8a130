#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that the checksum of the world is the same for any number of workers and of frames in flight.

usage: check_checksum.py PROGRAM [--wad FILE --map NAME… ] [--workers N…] [--frames N…] [--ticks N] [--agents N]
                         [--expect CHECKSUM] [--launcher WORDS]

Without --wad on a level drawn for the purpose. Without a level file that --wad names the check is skipped (status 77).
--launcher is put before the program: what it runs under.
"""
import argparse
import os
import subprocess
import sys
import tempfile

import drawn_level

SKIPPED = 77


def checksum(program, wad, level, workers, frames, arguments):
    command = [*arguments.launcher.split(), program, "--wad", wad, "--map", level, "--check"]
    for option, value in (("workers", workers), ("frames-in-flight", frames), ("ticks", arguments.ticks),
                          ("agents", arguments.agents), ("seed", arguments.seed)):
        command += ["--" + option, str(value)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0 or result.stderr:
        print(" ".join(command), "ended with status", result.returncode)
        print(result.stderr)
        sys.exit(1)
    return result.stdout.strip()


def combinations(arguments):
    """Every number of workers with one frame in flight, every number of frames with some workers."""
    workers, frames = arguments.workers, arguments.frames
    return ([(count, frames[0]) for count in workers] +
            [(workers[i % len(workers)], frames[i]) for i in range(1, len(frames))])


def check_level(arguments, wad, level):
    sums = {}
    for workers, frames in combinations(arguments):
        found = checksum(arguments.program, wad, level, workers, frames, arguments)
        print("%-6s workers %d, frames in flight %2d: %s" % (level, workers, frames, found), flush=True)
        sums.setdefault(found, []).append((workers, frames))
    if len(sums) > 1:
        print("%s: the checksum depends on workers or frames in flight: %s" % (level, sums))
        return False
    if arguments.expect and arguments.expect not in sums:
        print("%s: the checksum should be %s" % (level, arguments.expect))
        return False
    return True


def has_wad(program, wad):
    result = subprocess.run([program, "--wad", wad, "--list-maps"], capture_output=True, text=True)
    return result.returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--wad")
    parser.add_argument("--map", nargs="+", default=["MAP01"])
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 1, 2, 4, 8])
    parser.add_argument("--frames", nargs="+", type=int, default=[1, 2, 4, 16])
    parser.add_argument("--ticks", type=int, default=600)
    parser.add_argument("--agents", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--expect")
    parser.add_argument("--launcher", default="")
    arguments = parser.parse_args()
    arguments.program = os.path.abspath(arguments.program)
    with tempfile.TemporaryDirectory() as folder:
        wad = arguments.wad
        if wad is None:
            wad = os.path.join(folder, "crypt.wad")
            with open(wad, "wb") as file:
                file.write(drawn_level.crypt())
        elif not has_wad(arguments.program, wad):
            print("there is no", wad)
            return SKIPPED
        good = [check_level(arguments, wad, level) for level in arguments.map]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
