#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Checks that tests/test_misuse_*.c call every public function with bad input, and tests/test_cpp_misuse.cpp all that is public in C++.

    each function that a header of include/framealloc declares (FA_API, FA_INLINE or static inline) is called there, or is exempt with a reason
    a function is exempt only while it is declared, and not called there
    each [own] function is called there through `at->w`, as another thread's, an idle or nobody's lane, or is exempt from that
    each class, alias and function of namespace fa in the .hpp headers is named there as fa::NAME, and each public member, or override of a
    std::pmr::memory_resource, is called there on something, or is exempt with a reason

usage: check_misuse.py [ROOT] | --self-test
"""
import os
import re
import tempfile

import command

HEADERS = "include/framealloc"
TESTS = ("tests/misuse.h", "tests/test_misuse_lane.c", "tests/test_misuse_main.c", "tests/test_misuse_input.c")
TEST = "tests/test_misuse_*.c"
TEST_CXX = "tests/test_cpp_misuse.cpp"
DECLARED = re.compile(r"^(?:FA_API|FA_INLINE|static inline)\b[^;{(]*?(?:__attribute__\(\(.*?\)\)\)?[^;{(]*?)?\b(fa_\w+)\s*\(([^;{]*)", re.M | re.S)

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

EXEMPT_CXX = {
    "frame_ptr": "what make_frame() gives",
    "scope_ptr": "what make_scope() gives",
    "heap_ptr": "what make_heap() gives",
    "deleter": "the deleter of the pointers; pool_ptr has one that knows no system",
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


CXX_NAME = re.compile(r"^(?:template <.*> )?(?:class (\w+)|using (\w+) =|[\w:<>,*& ]*?\b(\w+)\(fa_worker)", re.M)
CXX_MEMBER = re.compile(r"^    (?!explicit\b|return\b|static_assert\b)(?:[\w:]+[ *&]+)+(?:do_)?([a-z]\w*)\([^;\n]*\)[^;\n]*$", re.M)


def declared_cxx(root):
    """Names in namespace fa, and members: of a class what is public, and overrides wherever they stand."""
    names, members = set(), set()
    for name in sorted(os.listdir(os.path.join(root, HEADERS))):
        if not name.endswith(".hpp"):
            continue
        text = re.sub(r"^namespace detail \{.*?^\} // namespace detail$", "", read(root, f"{HEADERS}/{name}"), flags=re.M | re.S)
        text = re.sub(r"//[^\n]*", "", text)
        names |= {next(filter(None, found)) for found in CXX_NAME.findall(text)}
        for body in re.findall(r"^(?:template <[^\n]*> )?class \w+[^;]*?\{\n(.*?)^\};", text, re.M | re.S):
            public, _, private = body.partition("  private:\n")
            members |= set(CXX_MEMBER.findall(public))
            members |= {found for found in CXX_MEMBER.findall(private) if re.search(rf"\bdo_{found}\(", private)}
    return names, members


def check_cxx(root, exempt):
    """Names and members, errors."""
    names, members = declared_cxx(root)
    if not names:
        return 0, []
    test = read(root, TEST_CXX) if os.path.exists(os.path.join(root, TEST_CXX)) else ""
    errors = []
    for name in sorted(names):
        named = re.search(rf"\bfa::{name}\b", test)
        if name in exempt and named:
            errors.append(f"{TEST_CXX}: fa::{name} is named, and is exempt all the same")
        elif name not in exempt and not named:
            errors.append(f"{TEST_CXX}: fa::{name} is not driven with bad input")
    errors += [f"{TEST_CXX}: .{name}() is not called" for name in sorted(members)
               if name not in exempt and not re.search(rf"(?:\.|->){name}\(", test)]
    errors += [f"tools/check_misuse.py: {name} is exempt, and nothing public of C++" for name in exempt if name not in names | members]
    return len(names) + len(members), errors


def check(root, exempt=None, exempt_lane=None, exempt_cxx=None):
    """Functions, errors."""
    exempt = EXEMPT if exempt is None else exempt
    exempt_lane = EXEMPT_LANE if exempt_lane is None else exempt_lane
    functions, errors = declared(root), []
    test = "".join(read(root, path) for path in TESTS if os.path.exists(os.path.join(root, path)))
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
    return functions, errors + check_cxx(root, EXEMPT_CXX if exempt_cxx is None else exempt_cxx)[1]


HEADER = "/// [own] One.\nFA_API fa_status fa_one(fa_worker *w, int x);\n// FA_API void fa_ghost(void);\n#define fa_macro(w) \\\n fa_one(w, 1)\n"
INLINED = "static inline void *fa_two(const fa_system *fa)\n{\n    return 0;\n}\n"
CASES = [  # header, test, exempt, words of the one expected message (None: right)
    (HEADER, "fa_one(at->w, 3);", {}, None),
    (HEADER + INLINED, "fa_one(at->w, 3); fa_two(NULL);", {}, None),
    (HEADER + INLINED, "fa_one(at->w, 3);", {}, "fa_two is not called"),
    (HEADER + INLINED.replace("static inline", "FA_INLINE"), "fa_one(at->w, 3);", {}, "fa_two is not called"),
    (HEADER + INLINED, "fa_one(at->w, 3);", {"fa_two": "x"}, None),
    (HEADER + INLINED, "fa_one(at->w, 3); fa_two(NULL);", {"fa_two": "x"}, "exempt all the same"),
    (HEADER, "fa_one(NULL, 3);", {}, "not called on another"),
    (HEADER, "fa_one(at->w, 3);", {"fa_three": "x"}, "no public function"),
    ("FA_API __attribute__((format(printf, 2, 3))) fa_status fa_say(fa_worker *w,\n const char *f, ...);\n", "", {}, "fa_say is not called"),
    ("FA_API FA_MUST_CHECK fa_status fa_four(fa_system *fa);\n", "", {}, "fa_four is not called"),
]
HPP = """namespace fa {
namespace detail {
inline int helper(fa_worker *w)
{
    return w != nullptr;
}

inline int another(fa_worker *w)
{
    return w != nullptr;
}
} // namespace detail

class source {
  public:
    source(fa_worker *w) noexcept : worker_(w)
    {
    }

    fa_worker *worker() const noexcept
    {
        return worker_;
    }

  private:
    bool hidden() const
    {
        return true;
    }
};

template <fa_home Home> class resource final : public std::pmr::memory_resource {
  public:
    explicit resource(source from) noexcept;

  private:
    void *do_allocate(std::size_t bytes, std::size_t align) override
    {
        return from_.worker();
    }
};

using pool_resource = resource<FA_HOME_POOL>;

template <class T, fa_home Home = FA_HOME_FRAME> class allocator {
  public:
    T *reserve(std::size_t n)
    {
        return nullptr;
    }
};

template <class T> T *make_pool(fa_worker *w, int x)
{
    return nullptr;
}
} // namespace fa
"""
CXX_TEST = "fa::source s(nullptr); s.worker(); fa::resource<H> r(s); r.allocate(1); fa::pool_resource p; fa::make_pool<int>(nullptr, 1); " \
           "fa::allocator<int>(s).reserve(1);"
CXX_CASES = [  # test, exempt, words of the one expected message (None: right)
    (CXX_TEST, {}, None),
    (CXX_TEST.replace("fa::source", "source"), {}, "fa::source is not driven"),
    (CXX_TEST.replace("s.worker()", "worker()"), {}, ".worker() is not called"),
    (CXX_TEST.replace("r.allocate", "allocate"), {}, ".allocate() is not called"),
    (CXX_TEST.replace("fa::pool_resource", ""), {}, "fa::pool_resource is not driven"),
    (CXX_TEST.replace("fa::pool_resource", ""), {"pool_resource": "x"}, None),
    (CXX_TEST.replace("fa::make_pool", ""), {}, "fa::make_pool is not driven"),
    (CXX_TEST, {"source": "x"}, "exempt all the same"),
    (CXX_TEST, {"ghost": "x"}, "nothing public of C++"),
]


def self_test_cxx():
    failures = []
    for test, exempt, words in CXX_CASES:
        with tempfile.TemporaryDirectory() as root:
            for path, text in ((f"{HEADERS}/x.hpp", HPP), (TEST_CXX, test)):
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            count, errors = check_cxx(root, exempt)
        if count != 8 or (errors if words is None else len(errors) != 1 or words not in errors[0]):
            failures.append(f"{test!r}: expected {words}, got {count} names, {errors}")
    return failures


def self_test():
    failures = self_test_cxx()
    for header, test, exempt, words in CASES:
        with tempfile.TemporaryDirectory() as root:
            for path, text in ((f"{HEADERS}/x.h", header), (TESTS[1], test)):
                os.makedirs(os.path.join(root, os.path.dirname(path)), exist_ok=True)
                with open(os.path.join(root, path), "w", encoding="utf-8") as file:
                    file.write(text)
            errors = check(root, exempt, {}, {})[1]
        if errors if words is None else not any(words in error for error in errors):
            failures.append(f"{header!r}, {test!r}: expected {words}, got {errors}")
    planted = sum(1 for case in CASES if case[3]) + sum(1 for case in CXX_CASES if case[2])
    print(*failures, f"check_misuse: {planted} planted violations, {len(failures)} failures", sep="\n")
    return bool(failures)


def main():
    arguments = command.parser(__doc__).parse_args()
    if arguments.self_test:
        return self_test()
    functions, errors = check(arguments.root)
    names = check_cxx(arguments.root, EXEMPT_CXX)[0]
    print(*errors, f"check_misuse: {len(functions)} functions, {names} names and members of C++, {len(errors)} violations", sep="\n")
    return bool(errors) or not functions or not names


if __name__ == "__main__":
    command.run(main)
