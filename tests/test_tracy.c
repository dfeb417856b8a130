// SPDX-License-Identifier: MIT
//
// The adapter for Tracy, over a header that records what Tracy would be told: zones nest on every thread and bear their names, every object is
// told once when it comes and once when it goes, in its pool.
#include "support.h"

#include "adapters/framealloc_tracy.h"
#include "tracy/tracy/TracyC.h"

#include <pthread.h>

// What Tracy would be told ------------------------------------------------------------------------------------------------

enum { DEPTH = 64, OBJECTS = 1 << 16 };

static atomic_uint zones_begun, zones_ended, zones_named, frames, plots, threads, allocs, frees, jobs, loops, phases;
static _Atomic(const void *) live[2][OBJECTS]; // by address, open addressing; pool and heap
static _Thread_local uint32_t stack[DEPTH], depth, serial;

TracyCZoneCtx record_zone_begin(const char *kind, int active)
{
    EXPECT(active == 1);
    atomic_fetch_add(&zones_begun, 1u);
    if (strcmp(kind, "job") == 0) atomic_fetch_add(&jobs, 1u);
    if (strcmp(kind, "loop") == 0) atomic_fetch_add(&loops, 1u);
    if (strcmp(kind, "phase") == 0) atomic_fetch_add(&phases, 1u);
    EXPECT(depth < DEPTH);
    stack[depth++ % DEPTH] = ++serial;
    return (TracyCZoneCtx){serial, active};
}

void record_zone_name(TracyCZoneCtx zone, const char *name, size_t size)
{
    EXPECT(depth > 0 && stack[depth - 1] == zone.id);
    EXPECT(strlen(name) == size && (strcmp(name, "work") == 0 || strcmp(name, "solve") == 0));
    atomic_fetch_add(&zones_named, 1u);
}

void record_zone_end(TracyCZoneCtx zone)
{
    EXPECT(depth > 0 && stack[depth - 1] == zone.id && zone.active == 1);
    if (depth > 0) depth--;
    atomic_fetch_add(&zones_ended, 1u);
}

static int pool_of(const char *name)
{
    bool heap = strcmp(name, "framealloc heap") == 0;
    EXPECT(heap || strcmp(name, "framealloc pool") == 0);
    return heap;
}

static _Atomic(const void *) *place(int pool, const void *p, const void *wanted)
{
    size_t at = (uintptr_t)p / 16 * 2654435761u % OBJECTS;
    for (size_t n = 0; n < OBJECTS; n++, at = (at + 1) % OBJECTS)
        if (atomic_load(&live[pool][at]) == wanted) return &live[pool][at];
    return NULL;
}

void record_alloc(const void *p, size_t size, const char *pool)
{
    EXPECT(p != NULL && size > 0);
    EXPECT(place(pool_of(pool), p, p) == NULL); // Tracy ends the session when a live address is allocated again
    for (;;) {
        _Atomic(const void *) *to = place(pool_of(pool), p, NULL);
        const void *none = NULL;
        if (to != NULL && atomic_compare_exchange_strong(to, &none, p)) break;
    }
    atomic_fetch_add(&allocs, 1u);
}

void record_free(const void *p, const char *pool)
{
    _Atomic(const void *) *from = place(pool_of(pool), p, p);
    EXPECT(from != NULL); // … and when an unknown one is freed
    if (from != NULL) atomic_store(from, NULL);
    atomic_fetch_add(&frees, 1u);
}

void record_frame(void)
{
    atomic_fetch_add(&frames, 1u);
}

void record_plot(const char *name, double value)
{
    EXPECT(strncmp(name, "framealloc: ", 12) == 0 && value >= 0);
    atomic_fetch_add(&plots, 1u);
}

void record_thread(const char *name)
{
    EXPECT(strncmp(name, "fa lane ", 8) == 0);
    atomic_fetch_add(&threads, 1u);
}

static void forget(void)
{
    atomic_uint *counts[] = {&zones_begun, &zones_ended, &zones_named, &frames, &plots, &threads,
                             &allocs,      &frees,       &jobs,        &loops,  &phases};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) atomic_store(counts[i], 0u);
    memset((void *)live, 0, sizeof live);
}

// Tests -----------------------------------------------------------------------------------------------------------------

static void *handed[64];

static void work(fa_worker *w, void *arg)
{
    uint64_t i = (uint64_t)(uintptr_t)arg;
    FA_PHASE(w, "solve");
    void *p = fa_pool_alloc(w, 16 + i * 24), *q = fa_heap_alloc(w, 100 + i * 3000, 16);
    EXPECT(p != NULL && q != NULL);
    memset(p, 1, 16 + i * 24);
    fa_heap_free(w, q);
    fa_pool_free(w, handed[i]); // mostly another lane's
    handed[i] = p;
}

static void spin(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w, (void)arg;
    for (volatile uint64_t i = first; i < last;) i = i + 1;
}

static void run_frames(fa_system *fa, int count)
{
    fa_worker *w = fa_self(fa);
    for (int frame = 0; frame < count; frame++) {
        begin(fa);
        fa_counter counter = FA_COUNTER_INIT;
        fa_job job = {.fn = work, .name = "work", .counter = &counter};
        for (uint64_t i = 0; i < 64; i++) {
            job.arg = (void *)(uintptr_t)i;
            assert_int_equal(fa_submit_job(w, &job), FA_OK);
        }
        assert_int_equal(fa_wait(w, &counter), FA_OK);
        assert_int_equal(fa_parallel_for(w, 0, 1000, 100, spin, NULL), FA_OK);
        end(fa);
    }
}

static void *free_unattached(void *arg)
{
    for (int i = 0; i < 10; i++) fa_free_any(arg, handed[i]);
    return NULL;
}

static void everything_is_told(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.profiler = fa_tracy_profiler();
    forget();
    memset(handed, 0, sizeof handed);
    fa_system *fa = create(&config);
    run_frames(fa, 10);
    assert_int_equal(atomic_load(&frames), 10);
    assert_int_equal(atomic_load(&plots), 40);
    assert_int_equal(atomic_load(&jobs), stats_of(fa).jobs);
    assert_int_equal(atomic_load(&phases), 640);
    assert_int_equal(atomic_load(&zones_named), 2 * 640);
    assert_true(atomic_load(&loops) >= 10);
    assert_int_equal(atomic_load(&allocs), 2 * 640);
    assert_int_equal(atomic_load(&frees), 2 * 640 - 64);
    begin(fa);
    fa_retain how = {.to = FA_RETAIN_HEAP}, small = {.to = FA_RETAIN_POOL};
    assert_non_null(fa_frame_retained(fa_self(fa), 1 * MIB, 16, &how)); // moved, not copied
    assert_non_null(fa_frame_retained(fa_self(fa), 100, 16, &small));
    fa_frame_result result;
    assert_int_equal(fa_frame_end(fa, &result), FA_OK);
    assert_int_equal(result.moved, 1);
    assert_int_equal(atomic_load(&allocs), 2 * 640 + 2);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, free_unattached, fa), 0);
    pthread_join(thread, NULL);
    for (uint32_t i = 0; i < result.count; i++) fa_free_any(fa, result.items[i].to);
    for (int i = 10; i < 64; i++) fa_pool_free(fa_self(fa), handed[i]);
    assert_int_equal(atomic_load(&frees), atomic_load(&allocs));
    void *batch[100];
    assert_true(fa_pool_alloc_batch(fa_self(fa), 100, 64, 16, batch));
    assert_int_equal(atomic_load(&allocs), atomic_load(&frees) + 100);
    fa_pool_free_batch(fa_self(fa), 100, batch);
    assert_int_equal(atomic_load(&frees), atomic_load(&allocs));
    destroy_quiet(fa, &to);
    assert_int_equal(atomic_load(&zones_begun), atomic_load(&zones_ended));
    assert_true(atomic_load(&threads) <= at->workers + 1); // a thread is named once
}

static void zones_alone_leave_memory_alone(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.profiler = fa_tracy_profiler_zones();
    forget();
    memset(handed, 0, sizeof handed);
    fa_system *fa = create(&config);
    run_frames(fa, 3);
    assert_int_equal(atomic_load(&frames), 3);
    assert_int_equal(atomic_load(&jobs), stats_of(fa).jobs);
    assert_int_equal(atomic_load(&allocs), 0);
    assert_int_equal(atomic_load(&frees), 0);
    for (int i = 0; i < 64; i++) fa_pool_free(fa_self(fa), handed[i]);
    destroy_quiet(fa, &to);
}

static void a_free_that_is_none_is_not_told(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.profiler = fa_tracy_profiler();
    forget();
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    void *p = fa_pool_alloc(w, 100);
    assert_non_null(p);
    fa_pool_free(w, p);
    assert_int_equal(atomic_load(&frees), 1);
    fa_pool_free(w, p); // twice
    fa_heap_free(w, (void *)(uintptr_t)4096);
    assert_int_equal(atomic_load(&frees), 1);
    assert_reported(&to, 201, 2);
    destroy_quiet(fa, &to);
}

static void a_profiler_beside_listeners(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    fa_profiler some = *fa_tracy_profiler();
    some.zone_end = NULL; // members that are NULL are not called
    some.frame = NULL;
    some.free = NULL;
    config.profiler = &some;
    forget();
    memset(handed, 0, sizeof handed);
    fa_system *fa = create(&config);
    memset(&some, 0xee, sizeof some); // it was copied
    begin(fa);
    void *p = fa_pool_alloc(fa_self(fa), 100);
    fa_pool_free(fa_self(fa), p);
    assert_int_equal(atomic_load(&allocs), 1);
    assert_int_equal(atomic_load(&frees), 0);
    end(fa);
    assert_int_equal(atomic_load(&frames), 0);
    assert_int_equal(fa_destroy(fa), FA_OK);
    assert_quiet(&to);
    depth = 0;
}

int main(int argc, char **argv)
{
    static const test_entry tests[] = {
        EACH_OF(everything_is_told, COUNTED("0124"), "ny"),
        EACH_OF(zones_alone_leave_memory_alone, COUNTED("02"), "ny"),
        EACH_OF(a_free_that_is_none_is_not_told, "02", "ny"),
        EACH_OF(a_profiler_beside_listeners, "0", "n"),
    };
    if (!FA_TRACE) return 0; // test_event looks at such a build
    return RUN_MATRIX("tracy", tests, argc, argv);
}
