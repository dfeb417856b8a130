// SPDX-License-Identifier: MIT
//
// Reference cells: a version that a job has read stays as it is until the job ends, whatever its writers do, and comes home at a later
// boundary once every reader has moved on.
#include "support.h"

#include <pthread.h>

enum { CELLS = 16, VERSION_BYTES = 192 };

/// A version says who it is, in all of its words.
static void *make_version(fa_worker *w, uint64_t number, bool heap)
{
    uint64_t *p = heap ? fa_heap_alloc(w, VERSION_BYTES, 16) : fa_pool_alloc(w, VERSION_BYTES);
    EXPECT(p != NULL);
    for (size_t i = 0; i < VERSION_BYTES / 8; i++) p[i] = number ^ i << 48;
    return p;
}

static bool is_version(const void *p, uint64_t number)
{
    const uint64_t *words = p;
    for (size_t i = 0; i < VERSION_BYTES / 8; i++)
        if (words[i] != (number ^ i << 48)) return false;
    return true;
}

static bool is_whole(const void *p)
{
    return is_version(p, *(const uint64_t *)p);
}

/// Frames until everything retired is reclaimed. Grace periods end by other threads' doing: the bound is one of time.
static void reclaim_all(fa_system *fa)
{
    for (double give_up = seconds_now() + 20; stats_of(fa).backlog > 0;) {
        assert_true(seconds_now() < give_up);
        begin(fa);
        end(fa);
        sched_yield();
    }
    fa_stats stats = stats_of(fa);
    assert_int_equal(stats.retired, stats.reclaimed);
    assert_int_equal(stats.backlog_frames, 0);
}

// Basics ----------------------------------------------------------------------------------------------------------------

static void publish_read_drop(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_cell cell = {NULL};
    begin(fa);
    assert_null(fa_cell_read(w, &cell));
    assert_int_equal(fa_cell_drop(w, &cell), FA_OK); // empty: nothing to retire
    for (uint64_t i = 0; i < 10; i++) {
        void *p = make_version(w, i, i % 2 == 0);
        assert_int_equal(fa_cell_publish(w, &cell, p), FA_OK);
        assert_ptr_equal(fa_cell_read(w, &cell), p);
        assert_true(is_version(p, i));
    }
    void *last = fa_cell_read(w, &cell);
    assert_int_equal(fa_cell_drop(w, &cell), FA_OK);
    assert_null(fa_cell_read(w, &cell));
    assert_true(is_version(last, 9)); // until the frame ends
    void *loose = make_version(w, 10, false);
    assert_int_equal(fa_retire(w, loose), FA_OK);
    assert_true(is_version(loose, 10));
    assert_int_equal(fa_cell_publish(w, &cell, make_version(w, 11, false)), FA_OK);
    assert_int_equal(fa_cell_publish(w, &cell, NULL), FA_OK);
    end(fa);
    fa_stats stats = stats_of(fa);
    assert_int_equal(stats.retired, 12);
    assert_int_equal(stats.backlog, stats.retired - stats.reclaimed);
    reclaim_all(fa);
    assert_int_equal(stats_of(fa).pool_live, 0);
    assert_int_equal(stats_of(fa).heap_live, 0);
    destroy_quiet(fa, &to);
}

static void invalid_objects(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_cell cell = {NULL};
    int local = 0;
    begin(fa);
    unsigned char *good = make_version(w, 1, false), *span = fa_heap_alloc(w, 3 * MIB, 16), *foreign = malloc(64);
    assert_int_equal(fa_cell_publish(w, &cell, good), FA_OK);
    void *bad[] = {good + 1,
                   good + 16,
                   span + 16,
                   span + 64 * KIB,
                   span + 2 * MIB,
                   foreign,
                   &local,
                   (void *)(uintptr_t)8,
                   fa_frame_alloc(w, 100),
                   fa_frame_alloc(w, MIB),
                   fa_scope_alloc(w, 100),
                   &cell,
                   (void *)UINTPTR_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(fa_cell_publish(w, &cell, bad[i]), FA_ERROR_INVALID);
        assert_int_equal(fa_retire(w, bad[i]), FA_ERROR_INVALID);
        assert_ptr_equal(fa_cell_read(w, &cell), good);
    }
    assert_int_equal(fa_cell_publish(w, NULL, good), FA_ERROR_INVALID);
    assert_int_equal(fa_cell_drop(w, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_retire(w, NULL), FA_ERROR_INVALID);
    assert_true(is_version(good, 1));
    // Only checked systems say so: three pointers were frame or scope memory.
    assert_int_equal(sink_count(&to, 2), at->checked ? 2 * 3 : 0);
    assert_int_equal(sink_count(&to, 201), at->checked ? 2 * (sizeof bad / sizeof bad[0] - 3) : 0);
    assert_int_equal(atomic_load(&to.total), sink_count(&to, 2) + sink_count(&to, 201));
    sink_reset(&to);
    end(fa);
    assert_int_equal(stats_of(fa).retired, 0);
    // Outside a frame the main lane may as well.
    assert_int_equal(fa_cell_publish(w, &cell, NULL), FA_OK);
    assert_int_equal(fa_cell_drop(w, &cell), FA_OK);
    assert_int_equal(fa_retire(w, span), FA_OK);
    reclaim_all(fa);
    free(foreign);
    destroy_quiet(fa, &to);
}

/// What was not reclaimed when the system ends is freed then, and is no leak.
static void destroy_reclaims(const test_case *at)
{
    sink to;
    for (int round = 0; round < 5; round++) {
        fa_system *fa = create_case(at, &to);
        fa_worker *w = fa_self(fa);
        begin(fa);
        for (uint64_t i = 0; i < 1000; i++) assert_int_equal(fa_retire(w, make_version(w, i, i % 3 == 0)), FA_OK);
        if (round > 0) end(fa);
        if (round > 1) begin(fa);
        destroy_quiet(fa, &to);
    }
}

// Readers and writers ---------------------------------------------------------------------------------------------------

typedef struct arena {
    fa_cell cells[CELLS];
    atomic_ullong versions; // published so far
    uint64_t seed;
} arena;

static void replace_some(fa_worker *w, arena *all, rng *from, int count)
{
    for (int i = 0; i < count; i++) {
        fa_cell *cell = &all->cells[rng_below(from, CELLS)];
        uint64_t number = atomic_fetch_add(&all->versions, 1u) + 1;
        EXPECT(fa_cell_publish(w, cell, make_version(w, number, number % 4 == 0)) == FA_OK);
    }
}

static void nothing(fa_worker *w, void *arg)
{
    (void)arg;
    EXPECT(fa_pool_alloc(w, 0) == NULL);
}

/// Reads all cells, lets others write, and looks again: in a job nothing that was read may have changed.
static void read_and_hold(fa_worker *w, void *arg)
{
    arena *all = arg;
    const uint64_t *seen[CELLS];
    uint64_t numbers[CELLS];
    rng from = {all->seed ^ (uintptr_t)&seen ^ atomic_load(&all->versions)};
    for (int i = 0; i < CELLS; i++) {
        seen[i] = fa_cell_read(w, &all->cells[i]);
        EXPECT(seen[i] != NULL && is_whole(seen[i]));
        numbers[i] = seen[i][0];
    }
    replace_some(w, all, &from, 6);
    if (rng_below(&from, 2) == 0) { // helping others must not end this job's protection
        fa_counter counter = FA_COUNTER_INIT;
        for (int i = 0; i < 20; i++) EXPECT(fa_submit_counted(w, &counter, nothing, NULL) == FA_OK);
        EXPECT(fa_wait(w, &counter) == FA_OK);
    }
    for (int i = 0; i < CELLS; i++) EXPECT(is_version(seen[i], numbers[i]));
}

static void drop_cells(fa_system *fa, arena *all)
{
    while (stats_of(fa).frames_alive > 0) { // readers of earlier frames
        begin(fa);
        end(fa);
    }
    begin(fa);
    for (int i = 0; i < CELLS; i++) assert_int_equal(fa_cell_drop(fa_self(fa), &all->cells[i]), FA_OK);
    end(fa);
    reclaim_all(fa);
    fa_stats stats = stats_of(fa);
    assert_int_equal(stats.retired, atomic_load(&all->versions) + CELLS);
    assert_int_equal(stats.pool_live + stats.heap_live, 0);
}

static void fill_cells(fa_worker *w, arena *all)
{
    memset(all, 0, sizeof *all);
    all->seed = test_seed();
    for (uint64_t i = 0; i < CELLS; i++)
        assert_int_equal(fa_cell_publish(w, &all->cells[i], make_version(w, UINT64_C(1) << 40 | i, false)), FA_OK);
}

static void readers_keep_what_they_read(const test_case *at)
{
    for (uint32_t in_flight = 1; in_flight <= 4; in_flight += 3) {
        sink to;
        fa_config config = case_config(at, &to);
        config.frames_in_flight = in_flight;
        fa_system *fa = create(&config);
        fa_worker *w = fa_self(fa);
        arena all;
        begin(fa);
        fill_cells(w, &all);
        end(fa);
        uint64_t most = 0;
        for (int frame = 0; frame < ROUNDS(100); frame++) {
            begin(fa);
            for (int i = 0; i < 12; i++) assert_int_equal(fa_submit(w, read_and_hold, &all), FA_OK);
            const void *mine = fa_cell_read(w, &all.cells[0]);
            uint64_t number = *(const uint64_t *)mine;
            rng from = {all.seed + (uint64_t)frame};
            replace_some(w, &all, &from, 3);
            assert_true(is_version(mine, number)); // until the frame's end on the main lane
            end(fa);
            if (stats_of(fa).backlog > most) most = stats_of(fa).backlog;
        }
        assert_true(most > 0);
        drop_cells(fa, &all);
        destroy_quiet(fa, &to);
    }
}

// A reader that waits ---------------------------------------------------------------------------------------------------

typedef struct long_reader {
    arena *all;
    const void *seen;
    atomic_bool reading;
    atomic_bool may_end;
    atomic_uint ended;
} long_reader;

static void read_through_a_wait(fa_worker *w, void *arg)
{
    long_reader *reader = arg;
    const uint64_t *seen = fa_cell_read(w, &reader->all->cells[0]);
    uint64_t number = seen[0];
    atomic_store(&reader->reading, true);
    // Nested waits, with jobs that run right here, over many boundaries.
    for (int round = 0; !atomic_load(&reader->may_end); round++) {
        fa_counter counter = FA_COUNTER_INIT;
        for (int i = 0; i < 40; i++) EXPECT(fa_submit_counted(w, &counter, nothing, NULL) == FA_OK);
        EXPECT(fa_wait(w, &counter) == FA_OK);
        EXPECT(is_version(seen, number));
    }
    EXPECT(is_version(seen, number));
    atomic_fetch_add(&reader->ended, 1u);
}

/// Several frames in flight: a job of frame 1 reads a version, waits and helps while later frames come, replace the version and end. The
/// version must not be reclaimed before the job ends, and must be soon afterwards.
static void a_waiting_reader_blocks_reclamation(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 16;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    arena all;
    begin(fa);
    fill_cells(w, &all);
    end(fa);
    long_reader reader = {.all = &all};
    begin(fa);
    assert_int_equal(fa_submit(w, read_through_a_wait, &reader), FA_OK);
    while (!atomic_load(&reader.reading)) sched_yield();
    void *old = fa_cell_read(w, &all.cells[0]);
    end(fa);
    begin(fa);
    uint64_t before = stats_of(fa).retired;
    assert_int_equal(fa_cell_publish(w, &all.cells[0], make_version(w, atomic_fetch_add(&all.versions, 1u) + 1, false)),
                     FA_OK);
    end(fa);
    assert_int_equal(stats_of(fa).retired, before + 1);
    // Boundaries until the ring is full, far enough apart for a grace period that does not wait for the reader to end.
    while (fa_frame_try_begin(fa) == FA_OK) {
        end(fa);
        for (double until = seconds_now() + 0.003; seconds_now() < until;) sched_yield();
    }
    uint64_t number = fa_frame_number(fa), backlog = stats_of(fa).backlog;
    bool lives = fa_usable_size(fa, old) > 0 && is_whole(old);
    atomic_store(&reader.may_end, true); // whatever comes of it: the job reads from this stack
    reclaim_all(fa);
    assert_int_equal(number, 17);
    assert_true(backlog >= 1);
    assert_true(lives);
    assert_int_equal(atomic_load(&reader.ended), 1);
    drop_cells(fa, &all);
    destroy_quiet(fa, &to);
}

// Attached readers ------------------------------------------------------------------------------------------------------

typedef struct attached_reader {
    fa_system *fa;
    arena *all;
    bool idles; // instead of passing quiescent states
    atomic_uint step;
} attached_reader;

static void await_step(attached_reader *reader, unsigned step)
{
    while (atomic_load(&reader->step) < step) sched_yield();
}

static void *read_without_quiescence(void *arg)
{
    attached_reader *reader = arg;
    fa_worker *w;
    EXPECT(fa_attach(reader->fa, &w) == FA_OK);
    const uint64_t *seen = fa_cell_read(w, &reader->all->cells[0]);
    uint64_t number = seen[0];
    atomic_store(&reader->step, 1u);
    await_step(reader, 2);
    EXPECT(is_version(seen, number));
    if (reader->idles) {
        EXPECT(fa_idle_begin(w) == FA_OK);
    } else {
        EXPECT(fa_quiescent(w) == FA_OK);
    }
    atomic_store(&reader->step, 3u);
    while (atomic_load(&reader->step) < 4) {
        if (!reader->idles) EXPECT(fa_quiescent(w) == FA_OK);
        sched_yield();
    }
    if (reader->idles) EXPECT(fa_idle_end(w) == FA_OK);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void an_attached_reader_blocks_reclamation(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    arena all;
    begin(fa);
    fill_cells(w, &all);
    end(fa);
    for (int round = 0; round < 4; round++) {
        attached_reader reader = {.fa = fa, .all = &all, .idles = round % 2 == 1};
        pthread_t handle;
        assert_int_equal(pthread_create(&handle, NULL, read_without_quiescence, &reader), 0);
        await_step(&reader, 1);
        begin(fa);
        assert_int_equal(
            fa_cell_publish(w, &all.cells[0], make_version(w, atomic_fetch_add(&all.versions, 1u) + 1, false)), FA_OK);
        end(fa);
        fa_stats stats = {0};
        for (int frame = 0; frame < 500; frame++) {
            begin(fa);
            end(fa);
            stats = stats_of(fa);
            assert_int_equal(stats.backlog, 1);
        }
        assert_true(stats.backlog_frames >= 490);
        atomic_store(&reader.step, 2u);
        await_step(&reader, 3);
        reclaim_all(fa);
        atomic_store(&reader.step, 4u);
        pthread_join(handle, NULL);
    }
    drop_cells(fa, &all);
    destroy_quiet(fa, &to);
}

typedef struct attached_writer {
    fa_system *fa;
    arena *all;
    uint64_t seed;
    atomic_bool *stop;
} attached_writer;

static void *read_and_write(void *arg)
{
    attached_writer *writer = arg;
    rng from = {writer->seed};
    fa_worker *w;
    EXPECT(fa_attach(writer->fa, &w) == FA_OK);
    while (!atomic_load(writer->stop)) {
        const uint64_t *seen[CELLS];
        uint64_t numbers[CELLS];
        for (int i = 0; i < CELLS; i++) numbers[i] = (seen[i] = fa_cell_read(w, &writer->all->cells[i]))[0];
        replace_some(w, writer->all, &from, 2);
        for (int i = 0; i < CELLS; i++) EXPECT(is_version(seen[i], numbers[i]));
        EXPECT(fa_quiescent(w) == FA_OK);
        if (rng_below(&from, 8) == 0) {
            EXPECT(fa_idle_begin(w) == FA_OK);
            sched_yield();
            EXPECT(fa_idle_end(w) == FA_OK);
        }
        sched_yield();
    }
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void attached_threads_read_and_write(const test_case *at)
{
    enum { THREADS = 2 };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    arena all;
    begin(fa);
    fill_cells(w, &all);
    end(fa);
    atomic_bool stop = false;
    attached_writer writers[THREADS];
    pthread_t handles[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        writers[i] = (attached_writer){fa, &all, all.seed + i, &stop};
        assert_int_equal(pthread_create(&handles[i], NULL, read_and_write, &writers[i]), 0);
    }
    for (int frame = 0; frame < ROUNDS(80); frame++) {
        begin(fa);
        for (int i = 0; i < 6; i++) assert_int_equal(fa_submit(w, read_and_hold, &all), FA_OK);
        end(fa);
    }
    atomic_store(&stop, true);
    for (uint32_t i = 0; i < THREADS; i++) pthread_join(handles[i], NULL);
    drop_cells(fa, &all);
    destroy_quiet(fa, &to);
}

// Bounds ----------------------------------------------------------------------------------------------------------------

/// A steady stream of versions does not pile up: memory stays as it is.
static void backlog_is_bounded(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    arena all;
    begin(fa);
    fill_cells(w, &all);
    end(fa);
    uint64_t published = 0;
    for (double give_up = seconds_now() + 20; stats_of(fa).reclaimed < 3000;) {
        assert_true(seconds_now() < give_up);
        begin(fa);
        rng from = {all.seed + published};
        replace_some(w, &all, &from, 20);
        published += 20;
        end(fa);
        assert_int_equal(stats_of(fa).retired, published);
        // Nothing but the current versions and the backlog exists.
        assert_true(stats_of(fa).pool_live + stats_of(fa).heap_live == stats_of(fa).backlog + CELLS);
    }
    drop_cells(fa, &all);
    destroy_quiet(fa, &to);
}

/// Nothing is left to record with when the first object is retired.
static void what_is_retired_at_the_memory_limit_comes_free(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 0;
    config.memory_max = (at->workers + 3) * 2 * MIB;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    static void *objects[20000];
    uint32_t count = 0, retired = 0;
    while (count < 20000 && (objects[count] = fa_pool_alloc(w, 4096)) != NULL) count++;
    assert_in_range(count, 500, 19999);
    for (double give_up = seconds_now() + 10; retired < count || stats_of(fa).backlog > 0;) {
        assert_true(seconds_now() < give_up);
        while (retired < count && fa_retire(w, objects[retired]) == FA_OK) retired++;
        begin(fa);
        end(fa);
    }
    assert_reported(&to, 301, sink_count(&to, 301)); // nothing else
    destroy_quiet(fa, &to);
}

// Threads that the application registered itself --------------------------------------------------------------------------

// liburcu-qsbr, as a program calls it that uses it beside this library.
void urcu_qsbr_register_thread(void);
void urcu_qsbr_unregister_thread(void);
void urcu_qsbr_thread_offline(void);
int urcu_qsbr_read_ongoing(void);

typedef struct registered {
    fa_system *fa;
    fa_cell *cell;
    bool online;
    atomic_uint step;
} registered;

/// Attaches a thread that is liburcu's already; it must be afterwards as it was before.
static void *read_as_registered(void *arg)
{
    registered *r = arg;
    fa_worker *w;
    urcu_qsbr_register_thread();
    if (!r->online) urcu_qsbr_thread_offline();
    for (int i = 0; i < 2; i++) {
        EXPECT(fa_attach(r->fa, &w) == FA_OK);
        const void *p = fa_cell_read(w, r->cell);
        atomic_fetch_add(&r->step, 1u); // read
        while (atomic_load(&r->step) % 2 != 0) sched_yield();
        EXPECT(is_version(p, (uint64_t)i)); // replaced meanwhile
        EXPECT(fa_detach(w) == FA_OK);
        EXPECT((urcu_qsbr_read_ongoing() != 0) == r->online);
    }
    urcu_qsbr_unregister_thread();
    return NULL;
}

static void a_thread_of_the_applications_own(const test_case *at)
{
    for (int online = 0; online < 2; online++) {
        sink to;
        fa_system *fa = create_case(at, &to);
        fa_worker *w = fa_self(fa);
        fa_cell cell = {NULL};
        assert_int_equal(fa_cell_publish(w, &cell, make_version(w, 0, false)), FA_OK);
        registered r = {.fa = fa, .cell = &cell, .online = online != 0};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, read_as_registered, &r), 0);
        for (uint64_t i = 1; i < 3; i++) {
            while (atomic_load(&r.step) % 2 == 0) sched_yield();
            assert_int_equal(fa_cell_publish(w, &cell, make_version(w, i, false)), FA_OK);
            uint64_t before = stats_of(fa).reclaimed;
            for (int frame = 0; frame < 30; frame++) {
                begin(fa);
                end(fa);
                sched_yield();
            }
            EXPECT(stats_of(fa).reclaimed <= before + (i - 1)); // the reader holds up what it has read
            atomic_fetch_add(&r.step, 1u);
        }
        pthread_join(thread, NULL);
        assert_int_equal(fa_cell_drop(w, &cell), FA_OK);
        reclaim_all(fa);
        destroy_quiet(fa, &to);
    }
}

// Few, long jobs ------------------------------------------------------------------------------------------------------------

void urcu_qsbr_synchronize_rcu(void);

enum { LONG_JOBS = 10 }; // fewer than a lane passes without a quiescent state when nothing waits for one

typedef struct long_jobs {
    pthread_t watcher;
    atomic_bool started, passed;
    atomic_uint waited; // jobs that ended before it had passed
} long_jobs;

static void *wait_for_readers(void *arg)
{
    long_jobs *jobs = arg;
    urcu_qsbr_synchronize_rcu();
    atomic_store(&jobs->passed, true);
    return NULL;
}

/// The first starts to wait for a grace period, the others last until it is over, or for a second.
static void run_long(fa_worker *w, void *arg)
{
    (void)w;
    long_jobs *jobs = arg;
    if (!atomic_exchange(&jobs->started, true)) {
        EXPECT(pthread_create(&jobs->watcher, NULL, wait_for_readers, jobs) == 0);
        return;
    }
    double give_up = seconds_now() + 1;
    while (!atomic_load(&jobs->passed) && seconds_now() < give_up) sched_yield();
    if (!atomic_load(&jobs->passed)) atomic_fetch_add(&jobs->waited, 1u);
}

/// While versions wait, lanes pass a quiescent state after each job: a tick that has few of them is enough.
static void few_long_jobs_let_versions_go(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_cell cell = {NULL};
    begin(fa);
    assert_int_equal(fa_cell_publish(fa_self(fa), &cell, make_version(fa_self(fa), 0, false)), FA_OK);
    assert_int_equal(fa_cell_drop(fa_self(fa), &cell), FA_OK);
    end(fa); // from here on a grace period is asked for
    long_jobs jobs = {.started = false};
    begin(fa);
    for (int i = 0; i < LONG_JOBS; i++) assert_int_equal(fa_submit(fa_self(fa), run_long, &jobs), FA_OK);
    end(fa);
    pthread_join(jobs.watcher, NULL);
    assert_in_range(atomic_load(&jobs.waited), 0, LONG_JOBS - 2);
    reclaim_all(fa);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    const test_entry entries[] = {
        EACH_OF(publish_read_drop, COUNTED("02"), "ny"),
        EACH_OF(invalid_objects, COUNTED("02"), "ny"),
        EACH_OF(a_thread_of_the_applications_own, COUNTED("02"), "n"),
        EACH(destroy_reclaims),
        EACH_OF(readers_keep_what_they_read, COUNTED("0124"), "ny"),
        EACH_OF(a_waiting_reader_blocks_reclamation, COUNTED("124"), "ny"),
        EACH_OF(an_attached_reader_blocks_reclamation, COUNTED("0124"), "ny"),
        EACH_OF(attached_threads_read_and_write, COUNTED("0124"), "ny"),
        EACH_OF(backlog_is_bounded, COUNTED("0124"), "ny"),
        EACH_OF(few_long_jobs_let_versions_go, COUNTED("012"), "ny"),
        EACH_OF(what_is_retired_at_the_memory_limit_comes_free, COUNTED("02"), "ny"),
    };
    return RUN_MATRIX("cell", entries, argc, argv);
}
