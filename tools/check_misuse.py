#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that tests/test_misuse.c calls every public function with bad input.

    each function that a header of include/framealloc declares (FA_API or static inline) is called there, or is exempt with a reason
    a function is exempt only while it is declared, and not called there
    each [own] function is called there through `at->w`, as another thread's, an idle or nobody's lane, or is exempt from that

usage: check_misuse.py [ROOT] | --self-test
"""
import os
import re
import sys
import tempfile

HEADERS = "include/framealloc"
TEST = "tests/test_misuse.c"
DECLARED = re.compile(r"^(?:FA_API|static inline)\b[^;{(]*?(?:__attribute__\(\(.*?\)\)\)?[^;{(]*?)?\b(fa_\w+)\s*\(([^;{]*)", re.M | re.S)

NO_INPUT = "has no input that could be wrong"
INSIDE = "a part of macros and inlined functions, not for direct use; its callers are called"
PLAIN = "a plain function of its arguments, which are values or documented not to be NULL"
SHARED = "reads what all lanes share and never looks whose lane it is (base.h)"

EXEMPT = {
    "fa_config_minimal": NO_INPUT,
    "fa_config_high_performance": NO_INPUT,
    "fa_behavior_default": NO_INPUT,
    "fa_behavior_strict": NO_INPUT,
    "fa_behavior_relaxed": NO_INPUT,
    "fa_zero": INSIDE,
    "fa_magazine_count": INSIDE,
    "fa_magazine_pop": INSIDE,
    "fa_magazine_push": INSIDE,
    "fa_class_of": INSIDE,
    "fa_map_link": INSIDE,
    "fa_map_unlink": INSIDE,
    "fa_map_reset": INSIDE,
    "fa_map_probe": INSIDE,
    "fa_lane_assume": "does nothing",
    "fa_hash_u64": PLAIN,
    "fa_hash_bytes": PLAIN,
    "fa_hash_string": PLAIN,
    "fa_handle_equal": PLAIN,
    "fa_retain_for": PLAIN,
    "fa_promotion_rate": PLAIN,
    "fa_auto_take": PLAIN,
    "fa_checkpoint_commit": PLAIN,
    "fa_speculation_keep": PLAIN,
}

# Functions of a lane that are not asked through another's.
EXEMPT_LANE = {
    "fa_cell_read": SHARED,
    "fa_handle_peek": SHARED,
    "fa_handle_resolve": SHARED,
    "fa_handle_is_valid": SHARED,
}


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        return file.read()


def declared(root):
    """Name of every public function: whether its first argument is a lane."""
    functions = {}
    for name in sorted(os.listdir(os.path.join(root, HEADERS))):
        if not name.endswith(".h"):
            continue
        text = re.sub(r"//[^\n]*", "", read(root, f"{HEADERS}/{name}"))
        text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.M)
        text = re.sub(r"__attribute__\(\((?:[^()]|\([^()]*\))*\)\)", "", text)
        for function, arguments in DECLARED.findall(text):
            functions[function] = bool(re.match(r"\s*(?:const )?fa_worker \*", arguments))
    return functions


def check(root, exempt=None, exempt_lane=None):
    """Functions, errors."""
    exempt = EXEMPT if exempt is None else exempt
    exempt_lane = EXEMPT_LANE if exempt_lane is None else exempt_lane
    functions, test, errors = declared(root), read(root, TEST), []
    called = set(re.findall(r"\b(fa_\w+)\b", test))
    by_lane = set(re.findall(r"\b(fa_\w+)\s*\(\s*(?:&\(\w+\)\{)?at->w\b", test))
    for name, of_lane in functions.items():
        if name in exempt:
            if name in called:
                errors.append(f"{TEST}: {name} is called, and is exempt all the same")
            continue
        if name not in called:
            errors.append(f"{TEST}: {name} is not called with bad input")
        elif of_lane and name not in by_lane and name not in exempt_lane:
            reaches = re.search(rf"\b{name}\b[^;]*\bat->w\b", test) or re.search(rf"free_of_pool\(at, {name}\)", test)
            if not reaches and f"{name}(w, p);" not in test:
                errors.append(f"{TEST}: {name} is not called on another thread's lane")
    for name in (*exempt, *exempt_lane):
        if name not in functions:
            errors.append(f"tools/check_misuse.py: {name} is exempt, and no public function")
    return functions, errors


HEADER = "/// [own] One.\nFA_API fa_status fa_one(fa_worker *w, int x);\n// FA_API void fa_ghost(void);\n#define fa_macro(w) \\\n fa_one(w, 1)\n"
INLINED = "static inline void *fa_two(const fa_system *fa)\n{\n    return 0;\n}\n"
CASES = [  # header, test, exempt, words of the one expected message (None: right)
    (HEADER, "fa_one(at->w, 3);", {}, None),
    (HEADER + INLINED, "fa_one(at->w, 3); fa_two(NULL);", {}, None),
    (HEADER + INLINED, "fa_one(at->w, 3);", {}, "fa_two is not called"),
    (HEADER + INLINED, "fa_one(at->w, 3);", {"fa_two": "x"}, None),
    (HEADER + INLINED, "fa_one(at->w, 3); fa_two(NULL);", {"fa_two": "x"}, "exempt all the same"),
    (HEADER, "fa_one(NULL, 3);", {}, "not called on another"),
    (HEADER, "fa_one(at->w, 3);", {"fa_three": "x"}, "no public function"),
    ("FA_API __attribute__((format(printf, 2, 3))) fa_status fa_say(fa_worker *w,\n const char *f, ...);\n", "", {}, "fa_say is not called"),
    ("FA_API FA_MUST_CHECK fa_status fa_four(fa_system *fa);\n", "", {}, "fa_four is not called"),
]


def self_test():
    failures = []
    for header, test, exempt, words in CASES:
        with tempfile.TemporaryDirectory() as root:
            for path, text in ((f"{HEADERS}/x.h", header), (TEST, test)):
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            errors = check(root, exempt, {})[1]
        if errors if words is None else not any(words in error for error in errors):
            failures.append(f"{header!r}, {test!r}: expected {words}, got {errors}")
    planted = sum(1 for case in CASES if case[3])
    print(*failures, f"check_misuse: {planted} planted violations, {len(failures)} failures", sep="\n")
    return bool(failures)


def main():
    arguments = sys.argv[1:]
    if arguments == ["--self-test"]:
        return self_test()
    functions, errors = check(arguments[0] if arguments else os.path.join(os.path.dirname(__file__), ".."))
    print(*errors, f"check_misuse: {len(functions)} functions, {len(errors)} violations", sep="\n")
    return bool(errors) or not functions


if __name__ == "__main__":
    sys.exit(main())
