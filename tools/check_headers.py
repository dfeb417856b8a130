#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Compiles every public header alone, as C17 and as C++17 (.hpp as C++17 only), with all warnings as errors, and reads its comments.

The `///` comment of a public function, shared by declarations that follow each other without a blank line, says

    who may call            [own], [main] or [any] (base.h)
    what a refusal answers  a status: its FA_ERROR_… codes, FA_ERROR_INVALID among them; a pointer: when it is NULL; a bool: false; a number: 0;
                            a structure: {0} or what of it is empty; nothing: that nothing happens, or what it takes for NULL

or whose rules it follows: `as fa_name()`, by name, since "above" moves. What has no input that could be wrong (EXEMPT of check_misuse.py) says
who may call, what is a part of macros only has a comment.

usage: check_headers.py --cc CC [--cxx CXX] [ROOT] | --cc CC --self-test
"""
import os
import re
import subprocess
import tempfile

import check_misuse
import command

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


# --- Comments -------------------------------------------------------------------------------------------------------------

DECLARATION = re.compile(r"(?:FA_API|FA_INLINE|static inline)\s+(?:FA_MUST_CHECK\s+)?(?:__attribute__\(\(.*?\)\)\)\s+)?(.*?)\b(fa_\w+)\s*\(")
REFERENCE = re.compile(r"\b[Aa]s\b[^.;]*\bfa_\w+\(\)|Errors(?: as)?:? (?:as )?fa_\w+\(\)")
NUMBER = re.compile(r"(?:u?int\d+_t|size_t|double)$")
ANSWERS = {  # type: what must be said, in words of the message
    "fa_status": (r"FA_ERROR_INVALID|NULL is allowed", "FA_ERROR_INVALID or `as fa_name()`"),
    "pointer": (r"\bNULL\b", "when it is NULL"),
    "bool": (r"\b[Ff]alse\b", "when it is false"),
    "number": (r"(?<![\w.])0\b", "when it is 0"),
    "void": (r"\b(?:[Nn]othing|NULL|ignored)\b", "what it does with NULL"),
    "structure": (r"\{0\}|\bNULL\b|UINT32_MAX|[Nn]othing|_WARN\b|_NONE\b", "what is empty when it is refused"),
}


def kind_of(answer):
    answer = answer.strip()
    if answer.endswith("*"):
        return "pointer"
    return answer if answer in ANSWERS else "number" if NUMBER.match(answer) else "structure"


def functions_of(text):
    """(name, type of its answer, arguments, comment)"""
    comment, lines = [], re.sub(r"\\\n", " ", text).split("\n")
    for number, line in enumerate(lines):
        if line.startswith("///"):
            comment = [*comment, line[3:].strip()] if number > 0 and lines[number - 1].startswith("///") else [line[3:].strip()]
            continue
        found = DECLARATION.match(line) or (line.startswith(("FA_API", "FA_INLINE", "static inline")) and DECLARATION.match(" ".join(lines[number:number + 3])))
        if found:
            arguments = " ".join(lines[number:number + 3]).split(found.group(2), 1)[1].split(")", 1)[0].lstrip("( ")
            yield found.group(2), kind_of(found.group(1)), arguments, " ".join(comment)
        if line == "" or line.startswith(("{", "#", "typedef")):
            comment = []


def uncommented(name, text, exempt):
    """What comments of one header leave out."""
    errors, said = [], {}
    for function, answer, arguments, comment in functions_of(text):
        said.setdefault(function, (answer, arguments, comment)) # declared again for an attribute: the first has the comment
    if said and name != "base.h" and "base.h" not in text.split("#pragma once", 1)[0]:
        errors.append(f"{name}: its head does not name base.h, where the rules stand that all share")
    for function, (answer, arguments, comment) in said.items():
        reason = exempt.get(function)
        if not comment:
            errors.append(f"{name}: {function} has no comment")
        elif reason == check_misuse.INSIDE:
            continue
        elif not re.search(r"\[(?:own|main|any)\]", comment):
            errors.append(f"{name}: {function} does not say who may call")
        elif reason is None and arguments != "void" and "not for direct use" not in comment:
            pattern, words = ANSWERS[answer]
            followed = REFERENCE.search(comment)
            if re.search(r"\b[Aa]s above\b", comment):
                errors.append(f"{name}: {function} refers to what is above, not to a name")
            if not re.search(pattern, comment) and not followed:
                errors.append(f"{name}: {function} does not say {words}")
            if "size_t align" in arguments and "align" not in comment and not followed:
                errors.append(f"{name}: {function} does not say which alignments")
    return errors, len(said)


def check_comments(include):
    folder, errors, count = os.path.join(include, "framealloc"), [], 0
    for name in sorted(os.listdir(folder)):
        if name.endswith(".h"):
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                wrong, functions = uncommented(name, file.read(), check_misuse.EXEMPT)
            errors += wrong
            count += functions
    return count, errors


HEAD = "// Rules: base.h\n#pragma once\n"
COMMENTS = [  # text after the head, words of the one expected message (None: right)
    ("/// [own] One. FA_ERROR_INVALID: NULL.\nFA_API fa_status fa_one(fa_worker *w);\n", None),
    ("/// [own] One. FA_ERROR_INVALID: NULL.\nFA_API FA_MUST_CHECK fa_status fa_one(fa_worker *w);\nFA_API fa_status fa_two(fa_worker *w);\n", None),
    ("/// [own] One. FA_ERROR_INVALID: NULL.\nFA_API fa_status fa_one(fa_worker *w);\n\nFA_API fa_status fa_two(fa_worker *w);\n", "fa_two has no comment"),
    ("/// One. FA_ERROR_INVALID: NULL.\nFA_API fa_status fa_one(fa_worker *w);\n", "who may call"),
    ("/// [own] One.\nFA_API fa_status fa_one(fa_worker *w);\n", "FA_ERROR_INVALID"),
    ("/// [own] One. Errors as fa_two().\nFA_API fa_status fa_one(fa_worker *w);\n", None),
    ("/// [own] One. FA_ERROR_INVALID: NULL. Others as above.\nFA_API fa_status fa_one(fa_worker *w);\n", "refers to what is above"),
    ("/// [own] One.\nstatic inline void *fa_one(fa_worker *w)\n{\n}\n", "when it is NULL"),
    ("/// [own] One.\nFA_INLINE void *fa_one(fa_worker *w)\n{\n}\n", "when it is NULL"),
    ("/// [own] One, NULL when refused.\nFA_API void *fa_one(fa_worker *w, size_t size,\n                    size_t align);\n", "which alignments"),
    ("/// [own] One, NULL when refused, at `align`.\nFA_API void *fa_one(fa_worker *w, size_t size,\n                    size_t align);\n", None),
    ("/// [any] Whether.\nFA_API bool fa_one(const fa_system *fa);\n", "when it is false"),
    ("/// [any] How many.\nFA_API uint32_t fa_one(const fa_system *fa);\n", "when it is 0"),
    ("/// [any] How many; 0 for NULL.\nFA_API uint32_t fa_one(const fa_system *fa);\n", None),
    ("/// [any] A value.\nFA_API fa_config fa_one(void);\n", None),
    ("/// [any] Ends.\nFA_API void fa_one(fa_scope *scope);\n", "with NULL"),
    ("/// [own] Begins.\nFA_API fa_scope fa_one(fa_worker *w);\n", "what is empty"),
    ("/// Inside.\nstatic inline uint32_t fa_inner(uint32_t x)\n{\n}\n", None),
]


def self_test_comments():
    failures = []
    for text, words in [*COMMENTS, ("/// [any] A value.\nFA_API fa_config fa_one(void);\n", "does not name base.h")]:
        head = "// Alone.\n#pragma once\n" if words and "base.h" in words else HEAD
        errors, count = uncommented("x.h", head + text, {"fa_inner": check_misuse.INSIDE})
        if count == 0 or (errors if words is None else len(errors) != 1 or words not in errors[0]):
            failures.append(f"{text!r}: expected {words}, got {errors}")
    return failures, sum(1 for _, words in COMMENTS if words) + 1


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
    unsaid, planted = self_test_comments()
    failures += unsaid
    planted += sum(cases.values()) + sum(cxx_only.values())
    print(*failures, f"check_headers: {planted} planted violations, {len(failures)} failures", sep="\n")
    return bool(failures)


def main():
    parser = command.parser(__doc__)
    parser.add_argument("--cc", required=True)
    parser.add_argument("--cxx")
    arguments = parser.parse_args()
    languages = [[arguments.cc, *WARNINGS_C, "-xc", "-std=c17"]]
    if arguments.cxx:
        languages.append([arguments.cxx, "-xc++", "-std=c++17"])
    if arguments.self_test:
        return self_test(languages)
    include = os.path.join(arguments.root, "include")
    count, errors = check(include, languages)
    functions, unsaid = check_comments(include)
    errors += unsaid
    print(*errors, f"check_headers: {count} headers, {len(languages)} languages, {functions} functions, {len(errors)} violations", sep="\n")
    return bool(errors) or count == 0 or functions == 0


if __name__ == "__main__":
    command.run(main)
