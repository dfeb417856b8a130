#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks docs/coverage.md: every line of the library that no unit test and no example reaches is listed there, with the reason.

    ## FILE
    - `FUNCTION`: reason

          a line of it that is not reached, as in the source
          another

Lines are known by their file, function and text, so that edits elsewhere do not matter. A line that is listed and reached all the same is no
violation: some are reached in some runs only. A listed line that its file does not have any more is one.

usage: coverage.py [--info FILE.info] [--root ROOT] | --self-test

Without --info (lcov's) only whether what is listed exists is checked. What is missing is printed as it should be listed.
"""
import bisect
import collections
import os
import re
import tempfile

import command

TRIVIAL = re.compile(r"[{}();\s]*|} else {|else|FA_ASSERT\(.*\);")  # an assertion is where other lines are
LIST = "docs/coverage.md"


def read_list(text):
    """{(file, function): [reason, {lines}]}"""
    listed, file, lines = {}, None, None
    for line in text.splitlines():
        if head := re.fullmatch(r"## `?([\w./]+\.\w+)`?", line):
            file, lines = head.group(1), None
        elif entry := re.fullmatch(r"- `(\w+)`: (.+)", line):
            lines = listed.setdefault((file, entry.group(1)), [entry.group(2), set()])[1]
        elif line.startswith("      ") and line.strip() and lines is not None:
            lines.add(line.strip())
        elif line.strip():
            lines = None if not line.startswith("  ") else lines
    return listed


def without_comment(line):
    return re.sub(r"\s*//.*$", "", line).strip()


def uncovered(info, root):
    """{(file, function): [texts]} of the lines that were not executed, in order"""
    found = collections.OrderedDict()
    for record in info.split("end_of_record"):
        source = re.search(r"^SF:(.+)$", record, re.M)
        if source is None:
            continue
        path = os.path.relpath(source.group(1), root)
        with open(os.path.join(root, path), encoding="utf-8") as file:
            text = file.read().splitlines()
        functions = sorted((int(line), name) for line, name in re.findall(r"^FN:(\d+),(.+)$", record, re.M))
        starts = [line for line, _ in functions]
        for line, count in re.findall(r"^DA:(\d+),(\d+)", record, re.M):
            words = without_comment(text[int(line) - 1])
            if int(count) > 0 or TRIVIAL.fullmatch(words):
                continue
            at = bisect.bisect_right(starts, int(line)) - 1
            found.setdefault((path, functions[at][1] if at >= 0 else "file"), []).append(words)
    return found


def check_texts(listed, sources):
    """What is listed and is not in the source. `sources`: {file: text}"""
    errors = []
    for (path, function), (_, lines) in listed.items():
        if path not in sources:
            errors.append(f"{LIST}: no file {path}")
            continue
        have = {without_comment(line) for line in sources[path].splitlines()}
        if not re.search(rf"\b{function}\b", sources[path]):
            errors.append(f"{LIST}: {path} has no {function}")
        errors += [f"{LIST}: {path}, {function}: there is no line `{line}`" for line in sorted(lines - have)]
    return errors


def check_covered(listed, found):
    errors, file = [], None
    for (path, function), lines in found.items():
        known = listed.get((path, function), ["", set()])[1]
        missing = [line for line in dict.fromkeys(lines) if line not in known]
        if not missing:
            continue
        errors += [f"\n## {path}\n"] if path != file else []
        file = path
        errors.append(f"- `{function}`: ?\n\n" + "".join(f"      {line}\n" for line in missing))
    return errors


def self_test():
    source = "int f(int a)\n{\n    if (a) return 1; // why\n    return 2;\n}\nint g(void)\n{\n    return 3;\n}\n"
    info = "SF:/x/a.c\nFN:1,f\nFN:6,g\nDA:1,1\nDA:2,1\nDA:3,0\nDA:4,1\nDA:8,0\nend_of_record\n"

    def read(root):
        os.makedirs(root)
        with open(os.path.join(root, "a.c"), "w", encoding="utf-8") as file:
            file.write(source)
        return uncovered(info.replace("/x/", root + "/"), root)

    with tempfile.TemporaryDirectory() as folder:
        found = read(os.path.join(folder, "x"))
    right = read_list("# Coverage\n\n## a.c\n\n- `f`: cannot be\n\n      if (a) return 1;\n\n- `g`: never\n\n      return 3;\n")
    half = read_list("## a.c\n- `f`: cannot be\n\n      if (a) return 1;\n")
    other = read_list("## a.c\n- `g`: never\n\n      if (a) return 1;\n      return 3;\n")
    cases = [
        (check_covered(right, found), 0), (check_covered(half, found), 2), (check_covered(other, found), 2), (check_covered({}, found), 3),
        (check_texts(right, {"a.c": source}), 0), (check_texts(right, {"a.c": source.replace("return 3", "return 4")}), 1),
        (check_texts(right, {"a.c": source.replace("int g", "int h")}), 1), (check_texts(right, {}), 2),
    ]
    failures = [f"case {i}: {errors}" for i, (errors, count) in enumerate(cases) if len(errors) != count]
    print(*failures, f"coverage: {sum(count > 0 for _, count in cases)} planted violations, {len(failures)} failures", sep="\n")
    return bool(failures)


def main():
    parser = command.parser(__doc__, root="--root")
    parser.add_argument("--info")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    root = arguments.root

    def read(path):
        with open(os.path.join(root, path), encoding="utf-8") as file:
            return file.read()

    listed = read_list(read(LIST))
    sources = {path: read(path) for path in {path for path, _ in listed} if os.path.isfile(os.path.join(root, path))}
    errors, figures = check_texts(listed, sources), f"{sum(len(lines) for _, lines in listed.values())} lines listed"
    if arguments.info:
        found = uncovered(read(arguments.info), root)
        errors += check_covered(listed, found)
        figures += f", {sum(map(len, found.values()))} lines in {len(found)} functions not reached"
    print(*errors, f"coverage: {figures}, {len(errors)} violations", sep="\n")
    return bool(errors)


if __name__ == "__main__":
    command.run(main)
