# SPDX-License-Identifier: MIT
"""What the tools' command lines share: wrong words, a folder that is not this tree and a file that cannot be read are told in a line, and the exit
status is 2. 1 says that something was looked at and found wrong."""
import argparse
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def tree(text):
    if not os.path.isdir(os.path.join(text, "include", "framealloc")):
        raise argparse.ArgumentTypeError(f"'{text}' is not the tree: it has no include/framealloc")
    return os.path.abspath(text)


def count(text):
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"takes a number from 1, not '{text}'")
    return int(text)


def parser(doc, root="root"):
    """Takes ROOT (or --root ROOT, or neither) and --self-test, and shows the usage that stands in `doc`."""
    made = argparse.ArgumentParser(usage=doc.split("usage: ")[1].split("\n\n")[0].strip())
    if root is not None:
        made.add_argument(root, type=tree, default=ROOT, **({} if root.startswith("-") else {"nargs": "?"}))
    made.add_argument("--self-test", action="store_true")
    return made


def run(main):
    """Ends the program with what `main` returns."""
    try:
        sys.exit(main())
    except (OSError, UnicodeDecodeError) as fault:
        why = str(fault)
    except subprocess.CalledProcessError as fault:
        why = f"{' '.join(map(str, fault.cmd))}: {(fault.stderr or '').strip() or f'exit status {fault.returncode}'}"
    print(f"{os.path.basename(sys.argv[0])}: {why}", file=sys.stderr)
    sys.exit(2)
