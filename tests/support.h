// SPDX-License-Identifier: MIT
//
// What the tests share: a matrix of cases (workers × checked), systems made for a case, a sink that counts diagnostics, checks that
// jobs may use on any thread, and random numbers whose seed is printed.
//
// A test prints FA_TEST_SEED when it fails to be repeatable otherwise; the first argument of every test program is a filter with
// wildcards over test names, as in `test_pool 'traffic*'`.
#pragma once

#include <framealloc/framealloc.h>

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#ifndef WITH_ASAN
#define WITH_ASAN 0
#endif
/// Run by qemu-user: the process has the emulator's page faults as well, no limit on its address space, and cannot execute itself.
#ifndef WITH_QEMU
#define WITH_QEMU 0
#endif
#ifndef WITH_TSAN
#define WITH_TSAN 0
#endif

#ifndef WITH_MEMCHECK
#define WITH_MEMCHECK 0
#endif

/// Repetitions: fewer where every access is instrumented.
#define ROUNDS(n) (WITH_TSAN || WITH_ASAN || WITH_MEMCHECK ? ((n) + 3) / 4 : (n))

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

// Checks ----------------------------------------------------------------------------------------------------------------

/// cmocka's assertions leave the test by a jump and are for the main thread only; EXPECT notes the failure and goes on.
static atomic_uint expect_failures;

static inline void expect_failed(const char *fact, const char *file, int line)
{
    if (atomic_fetch_add(&expect_failures, 1u) < 10) fprintf(stderr, "%s:%d: not so: %s\n", file, line, fact);
}

#define EXPECT(fact) ((fact) ? (void)0 : expect_failed(#fact, __FILE__, __LINE__))

// Cases -----------------------------------------------------------------------------------------------------------------

typedef struct test_case {
    uint32_t workers;
    bool checked;
} test_case;

typedef struct test_entry {
    const char *name;
    void (*run)(const test_case *at);
    const char *workers; // a digit per worker count
    const char *checked; // "n", "y" or "ny"
} test_entry;

#define EACH(test)                                                                                                     \
    {                                                                                                                  \
#test, test, "0124", "ny"                                                                                      \
    }
#define EACH_OF(test, workers, checked)                                                                                \
    {                                                                                                                  \
#test, test, workers, checked                                                                                  \
    }

/// The workers of a test that looks at tags, phases, budgets or statistics: no case in a build that has none.
#define COUNTED(workers) (FA_STATISTICS ? (workers) : "")

typedef struct matrix_test {
    const test_entry *entry;
    test_case at;
    char name[96];
} matrix_test;

static inline void run_matrix_test(void **state)
{
    const matrix_test *test = *state;
    atomic_store(&expect_failures, 0u);
    test->entry->run(&test->at);
    assert_int_equal(atomic_load(&expect_failures), 0);
}

/// Systems made by create(), in a ring; most are gone.
static fa_system *systems_made[8];
static size_t systems_made_count;

static inline void ignore_report(const fa_diagnostic *diagnostic, void *context)
{
    (void)diagnostic;
    (void)context;
}

/// A test that failed left its systems behind, and this thread a reader that passes no quiescent state: in later tests nothing would come
/// home. fa_self() looks at this thread's lanes alone, not at a system that may be gone.
static inline int destroy_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < 8; i++) {
        fa_system *fa = systems_made[i];
        systems_made[i] = NULL;
        if (fa == NULL || fa_self(fa) == NULL) continue;
        if (fa_sink_set(fa, ignore_report, NULL) == FA_OK)
            (void)fa_destroy(fa); // its sink lay on the stack of the test
    }
    return 0;
}

static inline int run_matrix(const char *group, const test_entry *entries, size_t count, int argc, char **argv)
{
    enum { MOST = 512 };
    static matrix_test tests[MOST];
    static struct CMUnitTest units[MOST];
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        for (const char *workers = entries[i].workers; *workers != '\0'; workers++) {
            for (const char *checked = entries[i].checked; *checked != '\0' && n < MOST; checked++, n++) {
                tests[n].entry = &entries[i];
                tests[n].at = (test_case){(uint32_t)(*workers - '0'), *checked == 'y'};
                snprintf(tests[n].name, sizeof tests[n].name, "%s/%c%s", entries[i].name, *workers,
                         *checked == 'y' ? "/checked" : "");
                units[n] = (struct CMUnitTest){tests[n].name, run_matrix_test, NULL, destroy_left, &tests[n]};
            }
        }
    }
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    return _cmocka_run_group_tests(group, units, n, NULL, NULL);
}

#define RUN_MATRIX(group, entries, argc, argv)                                                                         \
    run_matrix(group, entries, sizeof(entries) / sizeof((entries)[0]), argc, argv)

// Diagnostics -----------------------------------------------------------------------------------------------------------

typedef struct sink {
    atomic_uint total;
    atomic_uint codes[1000]; // by number
    atomic_flag writing;
    char message[256]; // of the last one; read it when nobody reports
    uint32_t lane;
} sink;

static inline void sink_take(const fa_diagnostic *diagnostic, void *context)
{
    sink *to = context;
    unsigned long code = strtoul(diagnostic->code + 2, NULL, 10);
    EXPECT(strncmp(diagnostic->code, "FA", 2) == 0 && code > 0 && code < 1000);
    EXPECT(diagnostic->message != NULL && diagnostic->note != NULL && diagnostic->help != NULL);
    while (atomic_flag_test_and_set(&to->writing)) sched_yield();
    snprintf(to->message, sizeof to->message, "%s", diagnostic->message);
    to->lane = diagnostic->lane;
    atomic_flag_clear(&to->writing);
    atomic_fetch_add(&to->codes[code % 1000], 1u);
    atomic_fetch_add(&to->total, 1u);
}

static inline unsigned sink_count(sink *from, unsigned code)
{
    return atomic_load(&from->codes[code]);
}

/// Forgets what was reported; nobody reports meanwhile.
static inline void sink_reset(sink *from)
{
    for (size_t i = 0; i < 1000; i++) atomic_store(&from->codes[i], 0u);
    atomic_store(&from->total, 0u);
}

/// Nothing was reported since the last call but `count` times `code`.
static inline void assert_reported(sink *from, unsigned code, unsigned count)
{
    if (sink_count(from, code) != count || atomic_load(&from->total) != count)
        print_error("wanted %u of FA%03u, have %u, %u in all, last: %s\n", count, code, sink_count(from, code),
                    atomic_load(&from->total), from->message);
    assert_int_equal(sink_count(from, code), count);
    assert_int_equal(atomic_load(&from->total), count);
    atomic_store(&from->codes[code], 0u);
    atomic_store(&from->total, 0u);
}

/// Forgets reports of `code` that come with what the test is about, and that other tests count.
static inline void forget_reports(sink *from, unsigned code)
{
    atomic_fetch_sub(&from->total, atomic_exchange(&from->codes[code], 0u));
}

static inline void assert_quiet(sink *from)
{
    assert_reported(from, 1, 0);
}

// Systems ---------------------------------------------------------------------------------------------------------------

static inline fa_config case_config(const test_case *at, sink *to)
{
    fa_config config = fa_config_default();
    config.worker_count = at->workers;
    config.checked = at->checked;
    config.reserve_bytes = (uint64_t)4 << 30;
    config.report = sink_take;
    config.report_context = to;
    memset(to, 0, sizeof *to);
    atomic_flag_clear(&to->writing);
    return config;
}

static inline fa_system *create(const fa_config *config)
{
    fa_system *fa = NULL;
    assert_int_equal(fa_create(config, &fa), FA_OK);
    assert_non_null(fa);
    systems_made[systems_made_count++ % 8] = fa;
    return fa;
}

static inline fa_system *create_case(const test_case *at, sink *to)
{
    fa_config config = case_config(at, to);
    return create(&config);
}

/// Ends the system; nothing may have leaked and nothing been reported that the test did not ask for.
static inline void destroy_quiet(fa_system *fa, sink *from)
{
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_quiet(from);
}

static inline void begin(fa_system *fa)
{
    assert_int_equal(fa_frame_begin(fa), FA_OK);
}

static inline void end(fa_system *fa)
{
    assert_int_equal(fa_frame_end(fa, NULL), FA_OK);
}

static inline fa_stats stats_of(const fa_system *fa)
{
    fa_stats stats;
    assert_int_equal(fa_stats_read(fa, &stats), FA_OK);
    return stats;
}

static inline fa_tag tag_of(fa_system *fa, const char *path)
{
    fa_tag tag;
    assert_int_equal(fa_tag_find(fa, path, &tag), FA_OK);
    assert_true(tag.id != 0);
    return tag;
}

static inline fa_tag_stats tag_stats(const fa_system *fa, fa_tag tag)
{
    fa_tag_stats stats;
    assert_int_equal(fa_tag_stats_read(fa, tag, &stats), FA_OK);
    return stats;
}

// All lanes at once -----------------------------------------------------------------------------------------------------

typedef struct everyone_call {
    fa_job_fn *fn;
    void *arg;
    uint32_t parties;
    atomic_uint arrived;
} everyone_call;

static inline void everyone_arrive(everyone_call *call)
{
    atomic_fetch_add(&call->arrived, 1u);
    while (atomic_load(&call->arrived) < call->parties) sched_yield();
}

static inline void everyone_job(fa_worker *w, void *arg)
{
    everyone_call *call = arg;
    everyone_arrive(call);
    call->fn(w, call->arg);
}

/// In a frame, outside jobs: runs fn on the main lane (not as a job) and as a job on every worker, all at the same time. It ends only
/// because the library starts published jobs on all workers while their submitter does not call it.
static inline void everyone(fa_system *fa, fa_job_fn *fn, void *arg)
{
    fa_worker *w = fa_self(fa);
    uint32_t workers = fa_worker_count(fa);
    everyone_call call = {fn, arg, workers + 1, 0};
    fa_counter counter = FA_COUNTER_INIT;
    assert_int_equal(fa_submit_many(w, &counter, everyone_job, &call, 0, workers), FA_OK);
    everyone_arrive(&call);
    fn(w, arg);
    assert_int_equal(fa_wait(w, &counter), FA_OK);
}

// Random numbers and patterns -------------------------------------------------------------------------------------------

typedef struct rng {
    uint64_t state;
} rng;

static inline uint64_t rng_next(rng *from)
{
    uint64_t x = from->state += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static inline uint32_t rng_below(rng *from, uint32_t limit)
{
    return (uint32_t)((rng_next(from) >> 32) * limit >> 32);
}

/// A seed of this run, or that of the environment; printed.
static inline uint64_t test_seed(void)
{
    const char *given = getenv("FA_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : ((uint64_t)now.tv_nsec << 20 ^ (uint64_t)now.tv_sec);
    print_message("FA_TEST_SEED=0x%llx\n", (unsigned long long)seed);
    return seed;
}

/// Fills all of a small object, the ends of a large one.
static inline void fill(void *p, size_t size, uint64_t key)
{
    unsigned char byte = (unsigned char)(key * 167 + 13);
    if (size <= 8 * KIB) {
        memset(p, byte, size);
        return;
    }
    memset(p, byte, 4 * KIB);
    memset((unsigned char *)p + size - 4 * KIB, byte, 4 * KIB);
}

static inline bool is_filled(const void *p, size_t size, uint64_t key)
{
    const unsigned char *bytes = p;
    unsigned char byte = (unsigned char)(key * 167 + 13);
    for (size_t i = 0; i < size; i++) {
        if (size > 8 * KIB && i == 4 * KIB) i = size - 4 * KIB;
        if (bytes[i] != byte) return false;
    }
    return true;
}

static inline double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
