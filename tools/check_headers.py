#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles every public header alone, as C17 and as C++17 (.hpp as C++17 only), with all warnings as errors.

usage: check_headers.py --cc CC [--cxx CXX] [ROOT] | --cc CC --self-test
"""
import argparse
import os
import subprocess
import sys
import tempfile

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Werror"]
WARNINGS_C = ["-Wstrict-prototypes", "-Wmissing-prototypes", "-Wold-style-definition"]
# Twice: a header must bear being included again.
PROGRAM = "#include <framealloc/{0}>\n#include <framealloc/{0}>\nint main(void) {{ return 0; }}\n"


def compile_header(command, include, name):
    # As a user would who treats no header as a system header, so that nothing is hidden.
    result = subprocess.run([*command, *WARNINGS, "-O2", "-I", include, "-c", "-o", os.devnull, "-"],
                            input=PROGRAM.format(name), capture_output=True, text=True, check=False)
    return "" if result.returncode == 0 else f"{name} as {command[-1]}:\n{result.stderr}"


def is_cxx(language):
    return "-xc++" in language


def check(include, languages):
    folder = os.path.join(include, "framealloc")
    names = sorted(name for name in os.listdir(folder) if name.endswith((".h", ".hpp")))
    return len(names), list(filter(None, (compile_header(language, include, name) for name in names
                                          for language in languages if name.endswith(".h") or is_cxx(language))))


def self_test(languages):
    cases = {
        "#pragma once\n#include <stdint.h>\nstatic inline uint32_t f(uint32_t x)\n{\n    return x + 1;\n}\n": False,
        "#pragma once\nuint32_t x;\n": True,
        "#pragma once\nstatic inline short f(int x)\n{\n    return x;\n}\n": True,
        "#pragma once\n#if FA_NEVER_DEFINED\n#endif\n": True,
        "struct twice {\n    int x;\n};\n": True,
    }
    failures = []
    cxx_only = {
        "#pragma once\n#include <memory>\nnamespace fa {\nusing pointer = std::unique_ptr<int>;\n}\n": False,
        "#pragma once\nnamespace fa {\nint x = nullptr;\n}\n": True,
    }
    for text, wrong in (cases | cxx_only).items():
        with tempfile.TemporaryDirectory() as include:
            os.mkdir(os.path.join(include, "framealloc"))
            name = "planted.hpp" if text in cxx_only else "planted.h"
            with open(os.path.join(include, "framealloc", name), "w", encoding="utf-8") as file:
                file.write(text)
            errors = check(include, languages)[1]
            asked = sum(map(is_cxx, languages)) if text in cxx_only else len(languages)
            if len(errors) != (asked if wrong else 0):
                failures.append(f"{text!r}: {errors}")
    print(*failures, f"check_headers: {sum(cases.values()) + sum(cxx_only.values())} planted violations, {len(failures)} failures", sep="\n")
    return bool(failures)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cc", required=True)
    parser.add_argument("--cxx")
    parser.add_argument("--self-test", action="store_true")
    parser.add_argument("root", nargs="?", default=os.path.join(os.path.dirname(__file__), ".."))
    arguments = parser.parse_args()
    languages = [[arguments.cc, *WARNINGS_C, "-xc", "-std=c17"]]
    if arguments.cxx:
        languages.append([arguments.cxx, "-xc++", "-std=c++17"])
    if arguments.self_test:
        return self_test(languages)
    count, errors = check(os.path.join(arguments.root, "include"), languages)
    print(*errors, f"check_headers: {count} headers, {len(languages)} languages, {len(errors)} violations", sep="\n")
    return bool(errors) or count == 0


if __name__ == "__main__":
    sys.exit(main())
