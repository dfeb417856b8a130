// SPDX-License-Identifier: MIT
//
// Tick hooks: what an engine's own loop may do with them, in order and out of order, and which diagnostic says so.
#include "support.h"

#include <pthread.h>

// In order --------------------------------------------------------------------------------------------------------------

typedef struct lane_objects {
    atomic_uint count;
    void *objects[8];
} lane_objects;

static void allocate_here(fa_worker *w, void *arg)
{
    lane_objects *all = arg;
    unsigned char *p = fa_frame_alloc(w, 64 * KIB);
    EXPECT(p != NULL);
    if (p == NULL) return;
    fill(p, 64 * KIB, w->index);
    all->objects[atomic_fetch_add(&all->count, 1u)] = p;
}

static bool is_among(const void *p, const lane_objects *objects)
{
    for (uint32_t i = 0; i < atomic_load(&objects->count); i++)
        if (objects->objects[i] == p) return true;
    return false;
}

static void one_end_frees_every_worker(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.tick_hooks = true;
    fa_system *fa = create(&config);
    lane_objects before = {0};
    for (int tick = 0; tick < 20; tick++) {
        lane_objects now = {0};
        assert_int_equal(fa_tick_begin(fa), FA_OK);
        everyone(fa, allocate_here, &now);
        assert_int_equal(fa_tick_end(fa, NULL), FA_OK);
        fa_stats stats = stats_of(fa);
        assert_int_equal(stats.frame, tick + 1);
        assert_int_equal(stats.frames_alive, 0);
        assert_true(stats.frame_bytes >= (at->workers + 1) * 64 * KIB &&
                    stats.frame_bytes < (at->workers + 2) * 64 * KIB);
        assert_int_equal(atomic_load(&now.count), at->workers + 1);
        // The same memory again, on every lane that was there before.
        for (uint32_t i = 0; tick > 0 && i <= at->workers; i++) assert_true(is_among(now.objects[i], &before));
        memcpy(before.objects, now.objects, sizeof now.objects);
        atomic_store(&before.count, atomic_load(&now.count));
    }
    destroy_quiet(fa, &to);
}

static void add_one(fa_worker *w, void *arg)
{
    (void)w;
    atomic_fetch_add((atomic_uint *)arg, 1u);
}

static void retain_one(fa_worker *w, void *arg)
{
    fa_retain how = {.to = FA_RETAIN_POOL, .cell = arg};
    uint64_t *p = fa_frame_retained(w, sizeof *p, 8, &how);
    EXPECT(p != NULL);
    if (p != NULL) *p = 77;
}

static void an_end_gives_the_result(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_cell cell = {0};
    assert_int_equal(fa_tick_begin(fa), FA_OK);
    assert_int_equal(fa_submit(fa_self(fa), retain_one, &cell), FA_OK);
    fa_frame_result result;
    assert_int_equal(fa_tick_end(fa, &result), FA_OK);
    assert_int_equal(result.frame, 1);
    assert_int_equal(result.to_pool, 1);
    assert_int_equal(fa_cell_drop(fa_self(fa), &cell), FA_OK);
    destroy_quiet(fa, &to);
}

/// As an engine would: callbacks that know nothing of us.
static void plain_callbacks(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    void (*const hooks[2])(void *) = {fa_tick_on_begin, fa_tick_on_end};
    atomic_uint done = 0;
    for (unsigned tick = 1; tick <= 50; tick++) {
        hooks[0](fa);
        for (int i = 0; i < 10; i++) assert_int_equal(fa_submit(fa_self(fa), add_one, &done), FA_OK);
        hooks[1](fa);
        assert_int_equal(atomic_load(&done), tick * 10);
        assert_int_equal(fa_frame_number(fa), tick);
    }
    hooks[0](NULL);
    hooks[1](NULL);
    assert_quiet(&to);
    hooks[1](fa);
    assert_reported(&to, 102, 1);
    destroy_quiet(fa, &to);
}

typedef struct last_job {
    atomic_bool started;
    atomic_uint *done;
    uint32_t spins;
} last_job;

static void start_and_finish(fa_worker *w, void *arg)
{
    last_job *job = arg;
    atomic_store(&job->started, true);
    for (volatile uint32_t i = job->spins; i > 0; i--) {
    }
    add_one(w, job->done);
}

/// No wake-up is lost between the last job and the end that waits for it: in every other tick a worker is in it when the end begins.
static void no_end_waits_for_ever(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.search_spin_us = 0; // an end that waits sleeps at once
    fa_system *fa = create(&config);
    rng random = {test_seed()};
    atomic_uint done = 0;
    unsigned wanted = 0;
    for (int tick = 0; tick < ROUNDS(4000); tick++) {
        last_job last = {false, &done, rng_below(&random, 10000)};
        assert_int_equal(fa_tick_begin(fa), FA_OK);
        for (int i = 0; i < 1 + tick % 5; i++, wanted++)
            assert_int_equal(fa_submit(fa_self(fa), add_one, &done), FA_OK);
        if (at->workers > 0 && tick % 2 == 0) {
            assert_int_equal(fa_submit(fa_self(fa), start_and_finish, &last), FA_OK);
            wanted++;
            while (!atomic_load(&last.started)) sched_yield();
        }
        assert_int_equal(fa_tick_end(fa, NULL), FA_OK);
        assert_int_equal(atomic_load(&done), wanted);
    }
    destroy_quiet(fa, &to);
}

static void hooks_and_frames_mix(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    assert_int_equal(fa_tick_begin(fa), FA_OK);
    assert_int_equal(fa_frame_begin(fa), FA_ERROR_STATE);
    end(fa);
    begin(fa);
    assert_int_equal(fa_tick_end(fa, NULL), FA_OK);
    assert_int_equal(fa_frame_number(fa), 2);
    destroy_quiet(fa, &to);
}

// Out of order ----------------------------------------------------------------------------------------------------------

static void a_missed_end_is_made_up_for(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_cell cell = {0};
    atomic_uint done = 0;
    for (unsigned round = 1; round <= 10; round++) {
        assert_int_equal(fa_tick_begin(fa), FA_OK);
        for (int i = 0; i < 20; i++) assert_int_equal(fa_submit(fa_self(fa), add_one, &done), FA_OK);
        assert_int_equal(fa_submit(fa_self(fa), retain_one, &cell), FA_OK);
        assert_non_null(fa_frame_alloc(fa_self(fa), 3000));
        // The end is missing. Nothing of the tick is lost, and none of its memory lives on.
        assert_int_equal(fa_tick_begin(fa), FA_OK);
        assert_reported(&to, 102, 1);
        assert_int_equal(atomic_load(&done), round * 20);
        const uint64_t *kept = fa_cell_read(fa_self(fa), &cell);
        assert_true(kept != NULL && *kept == 77);
        assert_int_equal(stats_of(fa).frame, 2 * round - 1);
        assert_true(stats_of(fa).frame_bytes >= 3000);
        assert_int_equal(stats_of(fa).promoted, round);
        assert_int_equal(fa_tick_end(fa, NULL), FA_OK);
        assert_int_equal(stats_of(fa).frame, 2 * round);
        assert_int_equal(stats_of(fa).frame_bytes, 0);
        assert_quiet(&to);
    }
    assert_int_equal(fa_cell_drop(fa_self(fa), &cell), FA_OK);
    destroy_quiet(fa, &to);
}

/// A fork that was not joined keeps the tick open, whichever hook would end it; once it is joined all goes on.
static void a_missed_end_with_a_fork_left(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    atomic_uint done = 0;
    fa_task task;
    assert_int_equal(fa_tick_begin(fa), FA_OK);
    assert_int_equal(fa_fork(w, &task, add_one, &done), FA_OK);
    if (at->checked) { // others do not count forks
        assert_int_equal(fa_tick_begin(fa), FA_ERROR_STATE);
        fa_tick_on_begin(fa);
        assert_int_equal(fa_tick_end(fa, NULL), FA_ERROR_STATE);
        assert_reported(&to, 203, 3);
        assert_int_equal(fa_frame_number(fa), 1);
        assert_non_null(fa_frame_alloc(w, 100));
    }
    fa_join(w, &task);
    assert_int_equal(atomic_load(&done), 1);
    assert_int_equal(fa_tick_begin(fa), FA_OK);
    assert_reported(&to, 102, 1);
    assert_int_equal(fa_frame_number(fa), 2);
    assert_int_equal(fa_tick_end(fa, NULL), FA_OK);
    destroy_quiet(fa, &to);
}

static void an_end_without_a_begin(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_frame_result result;
    memset(&result, 0xff, sizeof result);
    assert_int_equal(fa_tick_end(fa, &result), FA_ERROR_STATE);
    assert_reported(&to, 102, 1);
    assert_int_equal(result.frame, 0);
    assert_int_equal(result.count, 0);
    assert_null(result.items);
    assert_int_equal(fa_frame_number(fa), 0);
    assert_int_equal(fa_tick_begin(fa), FA_OK);
    assert_int_equal(fa_tick_end(fa, NULL), FA_OK);
    assert_quiet(&to);
    assert_int_equal(fa_tick_end(fa, NULL), FA_ERROR_STATE);
    assert_reported(&to, 102, 1);
    destroy_quiet(fa, &to);
}

static void call_hooks(fa_worker *w, void *arg)
{
    (void)arg;
    fa_status wanted = w->index == 0 ? FA_ERROR_STATE : FA_ERROR_WRONG_THREAD;
    EXPECT(fa_tick_begin(w->system) == wanted);
    EXPECT(fa_tick_end(w->system, NULL) == wanted);
    EXPECT(fa_tick_install(w->system) == (w->index == 0 ? FA_OK : FA_ERROR_WRONG_THREAD));
}

static void *call_hooks_as_stranger(void *fa)
{
    EXPECT(fa_tick_begin(fa) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_tick_end(fa, NULL) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_tick_install(fa) == FA_ERROR_WRONG_THREAD);
    return NULL;
}

static void wrong_thread_or_moment(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    assert_int_equal(fa_tick_begin(fa), FA_OK);
    assert_int_equal(fa_submit(fa_self(fa), call_hooks, NULL), FA_OK);
    assert_int_equal(fa_tick_end(fa, NULL), FA_OK);
    assert_true(sink_count(&to, 201) <= (at->checked && at->workers > 0)); // fa_tick_install(), if a worker had the job
    forget_reports(&to, 201);
    assert_reported(&to, 102, 2);
    pthread_t stranger;
    assert_int_equal(pthread_create(&stranger, NULL, call_hooks_as_stranger, fa), 0);
    assert_int_equal(pthread_join(stranger, NULL), 0);
    assert_int_equal(sink_count(&to, 201), at->checked);
    forget_reports(&to, 201);
    assert_reported(&to, 102, 2);
    assert_int_equal(fa_frame_number(fa), 1);
    // A hook that comes while the main lane is idle ends the idle time.
    assert_int_equal(fa_idle_begin(fa_self(fa)), FA_OK);
    assert_int_equal(fa_tick_begin(fa), FA_OK);
    assert_reported(&to, 102, 1);
    assert_int_equal(fa_idle_end(fa_self(fa)), FA_ERROR_STATE);
    assert_non_null(fa_frame_alloc(fa_self(fa), 100));
    assert_int_equal(fa_tick_end(fa, NULL), FA_OK);
    destroy_quiet(fa, &to);
}

static void refused(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_frame_result result;
    memset(&result, 0xff, sizeof result);
    assert_int_equal(fa_tick_install(NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_tick_begin(NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_tick_end(NULL, &result), FA_ERROR_INVALID);
    assert_int_equal(result.frame, 0);
    assert_int_equal(fa_tick_check(NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_tick_check(fa), FA_ERROR_UNSUPPORTED);
    destroy_quiet(fa, &to);
    fa_config config = case_config(at, &to);
    config.tick_late_ms = 3600001;
    fa = NULL;
    assert_int_equal(fa_create(&config, &fa), FA_ERROR_INVALID);
    assert_null(fa);
    assert_reported(&to, 907, 1);
}

// Never called ----------------------------------------------------------------------------------------------------------

static void *ask_attached(void *fa)
{
    fa_worker *w;
    fa_frame frame;
    EXPECT(fa_attach(fa, &w) == FA_OK);
    EXPECT(fa_frame_hold(w, &frame) == FA_ERROR_STATE);
    EXPECT(fa_frame_alloc(w, 10) == NULL);
    EXPECT(fa_submit(w, add_one, NULL) == FA_ERROR_STATE);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void declared_and_never_called(const test_case *at)
{
    for (int by_call = 0; by_call < 2; by_call++) {
        sink to;
        fa_config config = case_config(at, &to);
        config.tick_hooks = !by_call;
        fa_system *fa = create(&config);
        fa_worker *w = fa_self(fa);
        atomic_uint done = 0;
        if (by_call) {
            assert_null(fa_frame_alloc(w, 10));
            assert_reported(&to, 1, 1); // nobody spoke of hooks yet
            assert_int_equal(fa_tick_install(fa), FA_OK);
            assert_int_equal(fa_tick_install(fa), FA_OK);
        }
        assert_null(fa_frame_alloc(w, 10));
        assert_int_equal(fa_submit(w, add_one, &done), FA_ERROR_STATE);
        fa_task task;
        assert_int_equal(fa_fork(w, &task, add_one, &done), FA_ERROR_STATE);
        assert_reported(&to, 101, 3);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, ask_attached, fa), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_reported(&to, 101, 3);
        assert_int_equal(fa_tick_begin(fa), FA_OK);
        assert_int_equal(fa_submit(w, add_one, &done), FA_OK);
        assert_int_equal(fa_tick_end(fa, NULL), FA_OK);
        assert_int_equal(atomic_load(&done), 1);
        // They do come: outside a tick it is the caller's fault again.
        assert_null(fa_frame_alloc(w, 10));
        assert_reported(&to, 1, 1);
        assert_int_equal(fa_tick_install(fa), FA_OK);
        assert_null(fa_frame_alloc(w, 10));
        assert_reported(&to, 1, 1);
        destroy_quiet(fa, &to);
    }
}

// Late ------------------------------------------------------------------------------------------------------------------

static void sleep_ms(long ms)
{
    struct timespec time = {0, ms * 1000000};
    nanosleep(&time, NULL);
}

static void *check_until_late(void *fa)
{
    double give_up = seconds_now() + 3;
    while (fa_tick_check(fa) == FA_OK && seconds_now() < give_up) sleep_ms(1);
    EXPECT(fa_tick_check(fa) == FA_ERROR_BUSY);
    return NULL;
}

static void a_silence_with_work_waiting(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.tick_late_ms = 20;
    fa_system *fa = create(&config);
    atomic_uint done = 0;
    // Main-thread jobs wait for the main lane, on any number of workers.
    const fa_job job = {.fn = add_one, .arg = &done, .flags = FA_JOB_MAIN};
    assert_int_equal(fa_tick_check(fa), FA_OK);
    for (int round = 1; round <= 2; round++) {
        assert_int_equal(fa_tick_begin(fa), FA_OK);
        assert_int_equal(fa_submit_job(fa_self(fa), &job), FA_OK);
        if (round == 1) { // a watchdog sees it first, and it is told once
            pthread_t watchdog;
            assert_int_equal(pthread_create(&watchdog, NULL, check_until_late, fa), 0);
            assert_int_equal(pthread_join(watchdog, NULL), 0);
            assert_reported(&to, 102, 1);
        }
        sleep_ms(40);
        assert_int_equal(fa_tick_end(fa, NULL), FA_OK);
        assert_reported(&to, 102, round == 1 ? 0 : 1);
        assert_int_equal(atomic_load(&done), (unsigned)round);
    }
    // Nothing to do: an engine may pause as long as it likes.
    sleep_ms(40);
    assert_int_equal(fa_tick_check(fa), FA_OK);
    assert_int_equal(fa_tick_begin(fa), FA_OK);
    assert_int_equal(fa_tick_end(fa, NULL), FA_OK);
    destroy_quiet(fa, &to);
}

// Several systems -------------------------------------------------------------------------------------------------------

static void systems_tick_apart(const test_case *at)
{
    enum { SYSTEMS = 3 };
    sink to[SYSTEMS];
    fa_system *fa[SYSTEMS];
    atomic_uint done[SYSTEMS] = {0};
    for (int i = 0; i < SYSTEMS; i++) {
        fa_config config = case_config(at, &to[i]);
        config.tick_hooks = i == 1;
        fa[i] = create(&config);
    }
    for (unsigned tick = 1; tick <= 20; tick++) {
        assert_int_equal(fa_tick_begin(fa[0]), FA_OK);
        if (tick % 2 == 0) assert_int_equal(fa_tick_begin(fa[2]), FA_OK);
        assert_int_equal(fa_submit(fa_self(fa[0]), add_one, &done[0]), FA_OK);
        assert_int_equal(fa_submit(fa_self(fa[1]), add_one, &done[1]), FA_ERROR_STATE);
        assert_reported(&to[1], 101, 1);
        if (tick % 2 == 0) assert_int_equal(fa_submit(fa_self(fa[2]), add_one, &done[2]), FA_OK);
        assert_int_equal(fa_tick_end(fa[0], NULL), FA_OK);
        if (tick % 2 == 0) assert_int_equal(fa_tick_end(fa[2], NULL), FA_OK);
    }
    assert_int_equal(fa_frame_number(fa[0]), 20);
    assert_int_equal(fa_frame_number(fa[1]), 0);
    assert_int_equal(fa_frame_number(fa[2]), 10);
    assert_int_equal(atomic_load(&done[0]), 20);
    assert_int_equal(atomic_load(&done[1]), 0);
    assert_int_equal(atomic_load(&done[2]), 10);
    for (int i = 0; i < SYSTEMS; i++) destroy_quiet(fa[i], &to[i]);
}

/// With frames in flight a missed end lets the tick's jobs overlap the next ones, as a frame's end would.
static void frames_in_flight(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 3;
    fa_system *fa = create(&config);
    atomic_uint done = 0;
    for (int tick = 0; tick < 30; tick++) {
        assert_int_equal(fa_tick_begin(fa), FA_OK);
        assert_int_equal(fa_submit(fa_self(fa), add_one, &done), FA_OK);
        if (tick % 3 != 0)
            assert_int_equal(fa_tick_end(fa, NULL), FA_OK);
        else if (tick > 0)
            assert_true(sink_count(&to, 102) <= 9);
    }
    assert_reported(&to, 102, 10);
    destroy_quiet(fa, &to);
    assert_int_equal(atomic_load(&done), 30);
}

int main(int argc, char **argv)
{
    static const test_entry entries[] = {
        EACH_OF(one_end_frees_every_worker, COUNTED("0124"), "ny"),
        EACH(an_end_gives_the_result),
        EACH(plain_callbacks),
        EACH(no_end_waits_for_ever),
        EACH(hooks_and_frames_mix),
        EACH_OF(a_missed_end_is_made_up_for, COUNTED("0124"), "ny"),
        EACH(a_missed_end_with_a_fork_left),
        EACH(an_end_without_a_begin),
        EACH(wrong_thread_or_moment),
        EACH(refused),
        EACH(declared_and_never_called),
        EACH(a_silence_with_work_waiting),
        EACH(systems_tick_apart),
        EACH(frames_in_flight),
    };
    return RUN_MATRIX("tick", entries, argc, argv);
}
