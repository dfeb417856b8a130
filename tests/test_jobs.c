// SPDX-License-Identifier: MIT
//
// Jobs: every one runs once, at the right place and time, and whoever waits for it sees all it did. Arguments, counters, waits and what they
// may run meanwhile, forks, loops, main-thread jobs, threads that come and go, frames in flight, and waits that can never end.
#include "support.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static void count_up(fa_worker *w, void *arg)
{
    (void)w;
    atomic_fetch_add((atomic_uint *)arg, 1u);
}

// Arguments -------------------------------------------------------------------------------------------------------------

enum { MOST_BYTES = 4096 };

typedef struct copied {
    uint32_t size;
    uint32_t key;
    atomic_uint *ran;
    unsigned char rest[MOST_BYTES];
} copied;

static void check_copied(fa_worker *w, void *arg)
{
    const copied *c = arg;
    EXPECT((uintptr_t)arg % 16 == 0);
    EXPECT(is_filled(c->rest, c->size - offsetof(copied, rest), c->key));
    // It stays while other jobs run on this lane.
    fa_counter counter = FA_COUNTER_INIT;
    atomic_uint inner = 0;
    for (int i = 0; i < 3; i++) EXPECT(fa_submit_counted(w, &counter, count_up, &inner) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    EXPECT(is_filled(c->rest, c->size - offsetof(copied, rest), c->key));
    atomic_fetch_add(c->ran, 1u);
}

static void arguments_are_copied(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.deque_capacity = 64; // some run at once
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    static copied c;
    atomic_uint ran = 0;
    unsigned submitted = 0;
    begin(fa);
    for (uint32_t size = offsetof(copied, rest); size < MOST_BYTES; size += size < 100 ? 1 : 237, submitted += 2) {
        c = (copied){.size = size, .key = size, .ran = &ran};
        fill(c.rest, size - offsetof(copied, rest), size);
        assert_int_equal(fa_submit_copy(w, NULL, check_copied, &c, size), FA_OK);
        fa_job job = {.fn = check_copied, .arg = &c, .arg_size = size, .name = size % 2 == 0 ? "named" : NULL};
        assert_int_equal(fa_submit_job(w, &job), FA_OK);
        memset(&c, 0xee, sizeof c);
    }
    end(fa);
    assert_int_equal(atomic_load(&ran), submitted);
    destroy_quiet(fa, &to);
}

static atomic_uint small_ran[25];

static void check_small(fa_worker *w, void *arg)
{
    (void)w;
    unsigned char size = *(unsigned char *)arg;
    EXPECT((uintptr_t)arg % 16 == 0);
    for (unsigned char i = 1; i < size; i++) EXPECT(((unsigned char *)arg)[i] == size + i);
    atomic_fetch_add(&small_ran[size], 1u);
}

static void small_arguments_travel_inside(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.frame_bytes_max = 64; // no room for a copy
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    begin(fa);
    void *p = fa_frame_alloc(w, 48);
    assert_non_null(p);
    for (unsigned char size = 1; size <= FA_JOB_INLINE; size++) {
        unsigned char bytes[3 * FA_JOB_INLINE];
        atomic_store(&small_ran[size], 0u);
        for (unsigned char i = 0; i < 3 * size; i++) bytes[i] = (unsigned char)(i % size == 0 ? size : size + i % size);
        assert_int_equal(fa_submit_copy(w, NULL, check_small, bytes, size), FA_OK);
        assert_int_equal(fa_submit_many(w, NULL, check_small, bytes, size, 3), FA_OK);
        memset(bytes, 0xee, sizeof bytes);
    }
    // What needs a copy is refused, and nothing was queued nor counted.
    fa_counter counter = FA_COUNTER_INIT;
    unsigned char large[100] = {0};
    fa_job main_job = {.fn = check_small, .counter = &counter, .flags = FA_JOB_MAIN};
    assert_int_equal(fa_submit_copy(w, &counter, check_small, large, 25), FA_ERROR_MEMORY);
    assert_int_equal(fa_submit_many(w, &counter, check_small, large, 25, 4), FA_ERROR_MEMORY);
    assert_reported(&to, 3, 1);
    assert_int_equal(fa_submit_many(w, &counter, check_small, large, SIZE_MAX, 4), FA_ERROR_MEMORY);
    assert_int_equal(fa_submit_many(w, &counter, check_small, large, SIZE_MAX / 2, 4), FA_ERROR_MEMORY);
    assert_reported(&to, 914, 1);
    assert_int_equal(fa_submit_job(w, &main_job), FA_ERROR_MEMORY);
    assert_true(fa_is_done(&counter));
    end(fa);
    for (size_t size = 1; size <= FA_JOB_INLINE; size++) assert_int_equal(atomic_load(&small_ran[size]), 4);
    destroy_quiet(fa, &to);
}

static const char name_a[] = "a", name_b[] = "b";

static void check_name(fa_worker *w, void *arg)
{
    const char *wanted = *(const char **)arg;
    EXPECT(fa_job_name(w) == wanted);
    EXPECT(fa_job_depth(w) >= 1);
    uint32_t depth = fa_job_depth(w);
    if (wanted != name_a) return;
    fa_counter counter = FA_COUNTER_INIT;
    const char *inner_name = name_b;
    fa_job inner = {
        .fn = check_name, .arg = &inner_name, .arg_size = sizeof inner_name, .counter = &counter, .name = name_b};
    EXPECT(fa_submit_job(w, &inner) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    EXPECT(fa_job_name(w) == name_a && fa_job_depth(w) == depth);
}

static void names_and_depths(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static const size_t sizes[] = {8, 16, 17, 24, 40};
    begin(fa);
    assert_null(fa_job_name(w));
    assert_int_equal(fa_job_depth(w), 0);
    for (size_t i = 0; i < 5; i++) {
        const char *names[] = {name_a, NULL, name_b};
        for (size_t j = 0; j < 3; j++) {
            const char *args[5] = {names[j]};
            fa_job job = {.fn = check_name, .arg = args, .arg_size = sizes[i], .name = names[j]};
            assert_int_equal(fa_submit_job(w, &job), FA_OK);
        }
    }
    const char *last = name_b; // by pointer
    fa_job job = {.fn = check_name, .arg = &last, .name = name_b};
    assert_int_equal(fa_submit_job(w, &job), FA_OK);
    end(fa);
    assert_null(fa_job_name(w));
    assert_int_equal(fa_job_depth(w), 0);
    destroy_quiet(fa, &to);
}

typedef struct many_argument {
    uint32_t index;
    uint32_t words[19];
} many_argument;

static atomic_uint many_ran[5000];

static void check_many(fa_worker *w, void *arg)
{
    (void)w;
    const many_argument *argument = arg;
    EXPECT((uintptr_t)arg % 16 == 0);
    atomic_fetch_add(&many_ran[argument->index], 1u);
}

static void many_at_once(const test_case *at)
{
    static const size_t sizes[] = {4, 8, 12, 24, 28, 64, 80};
    static const uint32_t counts[] = {0, 1, 2, 7, 100, 1500};
    sink to;
    fa_config config = case_config(at, &to);
    config.deque_capacity = 1024; // the last ones run at once
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    static unsigned char bytes[1500 * 80];
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            fa_counter counter = FA_COUNTER_INIT;
            begin(fa);
            for (uint32_t i = 0; i < counts[c]; i++) {
                memcpy(bytes + i * sizes[s], &i, 4);
                atomic_store(&many_ran[i], 0u);
            }
            assert_int_equal(fa_submit_many(w, &counter, check_many, bytes, sizes[s], counts[c]), FA_OK);
            memset(bytes, 0xee, sizeof bytes);
            assert_int_equal(fa_wait(w, &counter), FA_OK);
            for (uint32_t i = 0; i < counts[c]; i++) assert_int_equal(atomic_load(&many_ran[i]), 1);
            end(fa);
        }
    }
    destroy_quiet(fa, &to);
}

// Errors ----------------------------------------------------------------------------------------------------------------

static void some_range(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w;
    atomic_fetch_add((atomic_uint *)arg, (unsigned)(last - first));
}

static void refused(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    fa_counter counter = FA_COUNTER_INIT;
    atomic_uint ran = 0;
    fa_job good = {.fn = count_up, .arg = &ran, .counter = &counter}, no_function = {.arg = &ran}, flags = good;
    flags.flags = 0x80;
    fa_task task;
    for (int outside = 1; outside >= 0; outside--) {
        fa_status wanted = outside ? FA_ERROR_STATE : FA_OK;
        assert_int_equal(fa_submit(w, count_up, &ran), wanted);
        assert_int_equal(fa_submit_counted(w, &counter, count_up, &ran), wanted);
        assert_int_equal(fa_submit_copy(w, &counter, count_up, &ran, 0), wanted);
        assert_int_equal(fa_submit_many(w, &counter, count_up, &ran, 0, 3), wanted);
        assert_int_equal(fa_submit_job(w, &good), wanted);
        assert_int_equal(fa_parallel_for(w, 0, 10, 1, some_range, &ran), wanted);
        assert_int_equal(fa_fork(w, &task, count_up, &ran), wanted);
        fa_join(w, &task); // a task that was refused counts as done
        assert_int_equal(fa_submit_job(w, &no_function), FA_ERROR_INVALID);
        assert_int_equal(fa_submit_job(w, NULL), FA_ERROR_INVALID);
        assert_int_equal(fa_submit_job(w, &flags), FA_ERROR_INVALID);
        assert_int_equal(fa_submit(w, NULL, &ran), FA_ERROR_INVALID);
        assert_int_equal(fa_submit_copy(w, &counter, count_up, NULL, 8), FA_ERROR_INVALID);
        assert_int_equal(fa_submit_many(w, &counter, NULL, &ran, 8, 3), FA_ERROR_INVALID);
        assert_int_equal(fa_submit_many(w, &counter, count_up, NULL, 8, 3), FA_ERROR_INVALID);
        assert_int_equal(fa_parallel_for(w, 0, 10, 1, NULL, &ran), FA_ERROR_INVALID);
        assert_int_equal(fa_wait(w, NULL), FA_ERROR_INVALID);
        assert_int_equal(fa_submit(NULL, count_up, &ran), FA_ERROR_INVALID);
        if (!outside) break;
        assert_reported(&to, 1, 7);
        assert_true(fa_is_done(&counter));
        assert_int_equal(fa_wait(w, &counter), FA_OK);
        begin(fa);
    }
    end(fa);
    assert_true(fa_is_done(&counter));
    assert_int_equal(atomic_load(&ran), 1 + 1 + 1 + 3 + 1 + 10 + 1);
    destroy_quiet(fa, &to);
}

typedef struct stranger {
    fa_system *fa;
    fa_worker *w;
} stranger;

static void *do_what_only_main_may(void *arg)
{
    stranger *s = arg;
    EXPECT(fa_self(s->fa) == NULL);
    EXPECT(fa_frame_begin(s->fa) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_frame_try_begin(s->fa) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_frame_end(s->fa, NULL) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_destroy(s->fa) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_run_main_jobs(s->fa) == 0);
    fa_worker *w;
    EXPECT(fa_attach(s->fa, &w) == FA_OK);
    EXPECT(fa_frame_begin(s->fa) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_destroy(s->fa) == FA_ERROR_WRONG_THREAD);
    EXPECT(fa_frame_alloc(w, 16) == NULL); // it holds no frame
    EXPECT(fa_submit(w, count_up, NULL) == FA_ERROR_STATE);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void destroy_in_a_job(fa_worker *w, void *arg)
{
    EXPECT(fa_destroy(arg) == (w->index == 0 ? FA_ERROR_STATE : FA_ERROR_WRONG_THREAD));
    EXPECT(fa_run_main_jobs(arg) == 0);
    EXPECT(fa_idle_begin(w) != FA_OK);
    EXPECT(fa_quiescent(w) != FA_OK);
    EXPECT(fa_detach(w) != FA_OK);
}

static void wrong_threads_and_moments(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    stranger s = {fa, w};
    pthread_t handle;
    begin(fa);
    assert_int_equal(pthread_create(&handle, NULL, do_what_only_main_may, &s), 0);
    pthread_join(handle, NULL);
    assert_int_equal(sink_count(&to, 201), at->checked ? 7 : 0);
    forget_reports(&to, 201);
    assert_reported(&to, 1, 2);
    fa_job job = {.fn = destroy_in_a_job, .arg = fa};
    for (int i = 0; i < 4; i++) assert_int_equal(fa_submit_job(w, &job), FA_OK);
    job.flags = FA_JOB_MAIN;
    assert_int_equal(fa_submit_job(w, &job), FA_OK);
    end(fa);
    forget_reports(&to, 201); // who ran the four is not known
    assert_in_range(sink_count(&to, 909), 1, 5);
    forget_reports(&to, 909);
    assert_int_not_equal(fa_detach(w), FA_OK);
    assert_int_equal(fa_idle_begin(w), FA_OK);
    assert_int_equal(fa_idle_begin(w), FA_ERROR_STATE);
    assert_int_equal(fa_frame_begin(fa), FA_ERROR_STATE);
    assert_int_equal(fa_idle_end(w), FA_OK);
    assert_int_equal(fa_idle_end(w), FA_ERROR_STATE);
    destroy_quiet(fa, &to);
}

// Counters --------------------------------------------------------------------------------------------------------------

enum { RESULTS = 3000 };

typedef struct shared_work {
    fa_counter counter;
    uint64_t results[RESULTS]; // plain: the wait orders them
    uint64_t round;
    uint32_t parties;    // lanes that are to wait before the last result is there; 0: any
    atomic_uint waiting; // lanes that do, or are about to
    atomic_uint before;  // results but the last, counted without ordering them
} shared_work;

static shared_work work;

/// Returns when all lanes wait and nothing is left but what the caller does, or some time later.
static void let_all_wait(void)
{
    rng from = {work.round};
    while (atomic_load(&work.waiting) < work.parties) sched_yield();
    while (work.parties > 1 && atomic_load_explicit(&work.before, memory_order_relaxed) < RESULTS - 1) sched_yield();
    for (volatile uint32_t i = rng_below(&from, 20000); i > 0; i--) {
    }
}

static void write_result(fa_worker *w, void *arg)
{
    (void)w;
    uint32_t index = *(uint32_t *)arg;
    if (index == RESULTS - 1) let_all_wait();
    work.results[index] = work.round * RESULTS + index;
    atomic_fetch_add_explicit(&work.before, 1u, memory_order_relaxed);
}

static void wait_and_check(fa_worker *w, void *arg)
{
    (void)arg;
    atomic_fetch_add(&work.waiting, 1u);
    EXPECT(fa_wait(w, &work.counter) == FA_OK);
    EXPECT(fa_is_done(&work.counter));
    for (uint32_t i = 0; i < RESULTS; i++) EXPECT(work.results[i] == work.round * RESULTS + i);
}

static void submit_results(fa_worker *w, uint32_t parties)
{
    work.parties = parties;
    atomic_store(&work.waiting, 0u);
    atomic_store(&work.before, 0u);
    for (uint32_t i = 0; i < RESULTS; i++)
        assert_int_equal(fa_submit_copy(w, &work.counter, write_result, &i, sizeof i), FA_OK);
}

/// The workers are there before the work is, so that every lane waits while some of it is undone.
static void wait_on_all_lanes(fa_system *fa)
{
    fa_worker *w = fa_self(fa);
    uint32_t workers = fa_worker_count(fa);
    everyone_call call = {wait_and_check, NULL, workers + 1, 0};
    fa_counter counter = FA_COUNTER_INIT;
    assert_int_equal(fa_submit_many(w, &counter, everyone_job, &call, 0, workers), FA_OK);
    while (atomic_load(&call.arrived) < workers) sched_yield();
    submit_results(w, call.parties);
    everyone_arrive(&call);
    wait_and_check(w, NULL);
    assert_int_equal(fa_wait(w, &counter), FA_OK);
}

static void all_lanes_wait_for_one_counter(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    work.counter = (fa_counter)FA_COUNTER_INIT;
    for (work.round = 1; work.round <= (uint64_t)ROUNDS(40); work.round++) {
        begin(fa);
        if (work.round % 4 > 1 || at->workers == 0) {
            wait_on_all_lanes(fa);
        } else {
            submit_results(fa_self(fa), 0);
            while (!fa_is_done(&work.counter)) {
                if (work.round % 4 == 0) assert_int_equal(fa_wait(fa_self(fa), &work.counter), FA_OK);
                if (work.round % 4 == 1) sched_yield(); // the others do it all
            }
            everyone(fa, wait_and_check, NULL); // it is over
        }
        end(fa);
    }
    destroy_quiet(fa, &to);
}

/// Who parks on a counter is woken by whoever completes it, whenever that is.
static void run_when_told(fa_worker *w, void *arg)
{
    (void)w;
    while (!atomic_load((atomic_bool *)arg)) sched_yield();
}

static void tell(fa_worker *w, void *arg)
{
    rng from = {(uintptr_t)arg};
    (void)w;
    for (volatile uint32_t i = rng_below(&from, 20000); i > 0; i--) {
    }
    atomic_store((atomic_bool *)arg, true);
}

static void nobody_is_left_asleep(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.search_spin_us = 0; // sleep at once
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < ROUNDS(1500); round++) {
        fa_counter counter = FA_COUNTER_INIT;
        atomic_bool go = false;
        begin(fa);
        if (round % 3 == 0) { // the main lane parks on the counter, whoever tells is woken first
            assert_int_equal(fa_submit_counted(w, &counter, run_when_told, &go), FA_OK);
            assert_int_equal(fa_submit(w, tell, &go), FA_OK);
            if (at->workers < 2) tell(w, &go); // one worker is busy waiting to be told
            assert_int_equal(fa_wait(w, &counter), FA_OK);
        } else if (round % 3 == 1) { // and in the end of the frame
            assert_int_equal(fa_submit(w, run_when_told, &go), FA_OK);
            tell(w, &go);
        } else if (at->workers > 0) { // workers are woken while the main lane is elsewhere
            assert_int_equal(fa_submit(w, tell, &go), FA_OK);
            while (!atomic_load(&go)) sched_yield();
        }
        end(fa);
    }
    assert_true(at->workers == 0 || stats_of(fa).parks > 0);
    destroy_quiet(fa, &to);
}

/// Each of `workers` jobs that were submitted one by one starts although its submitter never calls the library again.
static void submitted_jobs_start(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < ROUNDS(100); round++) {
        atomic_uint started = 0;
        begin(fa);
        everyone_call call = {count_up, &started, at->workers + 1, 0};
        for (uint32_t i = 0; i < at->workers; i++) assert_int_equal(fa_submit(fa_self(fa), everyone_job, &call), FA_OK);
        everyone_arrive(&call);
        while (atomic_load(&started) < at->workers) sched_yield();
        end(fa);
    }
    destroy_quiet(fa, &to);
}

// Queues ----------------------------------------------------------------------------------------------------------------

static void full_deques_run_jobs_at_once(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.deque_capacity = 16;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_counter counter = FA_COUNTER_INIT;
    atomic_uint ran = 0;
    begin(fa);
    for (uint32_t i = 0; i < 100; i++) {
        if (at->workers == 0) assert_int_equal(atomic_load(&ran), i > 16 ? i - 16 : 0);
        assert_int_equal(fa_submit_counted(w, &counter, count_up, &ran), FA_OK);
    }
    assert_int_equal(fa_submit_many(w, &counter, count_up, &ran, 0, 50), FA_OK);
    assert_int_equal(fa_wait(w, &counter), FA_OK);
    assert_int_equal(atomic_load(&ran), 150);
    end(fa);
    assert_int_equal(stats_of(fa).jobs, 150);
    if (at->workers == 0) assert_int_equal(stats_of(fa).jobs_inline, 134);
    destroy_quiet(fa, &to);
}

typedef struct order_log {
    uint32_t count;
    uint32_t items[4000];
} order_log;

typedef struct logged {
    order_log *log;
    uint32_t number;
} logged;

static void log_number(fa_worker *w, void *arg)
{
    const logged *l = arg;
    l->log->items[l->log->count++] = l->number;
    if (l->number >= 1000) return;
    for (uint32_t i = 1; i <= 2; i++) {
        logged child = {l->log, l->number * 10 + i};
        EXPECT(fa_submit_copy(w, NULL, log_number, &child, sizeof child) == FA_OK);
    }
}

static void log_range(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w;
    order_log *log = arg;
    for (uint64_t i = first; i < last; i++) log->items[log->count++] = (uint32_t)i;
}

static void no_workers_means_order_of_submission(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static order_log log;
    for (int round = 0; round < 3; round++) {
        log.count = 0;
        begin(fa);
        fa_counter counter = FA_COUNTER_INIT;
        for (uint32_t i = 1; i <= 20; i++) {
            logged l = {&log, i};
            assert_int_equal(fa_submit_copy(w, &counter, log_number, &l, sizeof l), FA_OK);
        }
        assert_int_equal(log.count, 0); // when the main lane waits, not before
        if (round == 1) {
            assert_int_equal(fa_wait(w, &counter), FA_OK);
            assert_true(log.count >= 20);
        }
        end(fa);
        // Those submitted by jobs come after all that were there before: level by level.
        uint32_t expected[4000], count = 0, next = 0;
        for (uint32_t i = 1; i <= 20; i++) expected[count++] = i;
        for (; next < count; next++)
            for (uint32_t i = 1; i <= 2 && expected[next] < 1000; i++) expected[count++] = expected[next] * 10 + i;
        assert_int_equal(log.count, count);
        assert_memory_equal(log.items, expected, count * sizeof expected[0]);
    }
    begin(fa);
    log.count = 0;
    assert_int_equal(fa_parallel_for(w, 5, 1005, 7, log_range, &log), FA_OK);
    assert_int_equal(log.count, 1000);
    for (uint32_t i = 0; i < 1000; i++) assert_int_equal(log.items[i], i + 5);
    end(fa);
    assert_int_equal(stats_of(fa).parks, 0);
    destroy_quiet(fa, &to);
}

// Nesting ---------------------------------------------------------------------------------------------------------------

typedef struct chain {
    uint32_t depth;
    uint32_t sum;
} chain;

static void down_the_chain(fa_worker *w, void *arg)
{
    chain *here = arg;
    unsigned char *mine = fa_scope_alloc(w, 64);
    fill(mine, 64, here->depth);
    here->sum = here->depth;
    if (here->depth == 0) return;
    chain below[2] = {{here->depth - 1, 0}, {0, 0}};
    fa_counter counter = FA_COUNTER_INIT;
    for (int i = 0; i < 2; i++) EXPECT(fa_submit_counted(w, &counter, down_the_chain, &below[i]) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    here->sum += below[0].sum + below[1].sum;
    EXPECT(is_filled(mine, 64, here->depth));
}

static void waits_nest_200_deep(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 5; round++) {
        chain top[3] = {{200, 0}, {200, 0}, {200, 0}};
        fa_counter counter = FA_COUNTER_INIT;
        begin(fa);
        for (int i = 0; i < 3; i++) assert_int_equal(fa_submit_counted(w, &counter, down_the_chain, &top[i]), FA_OK);
        if (round % 2 == 0) assert_int_equal(fa_wait(w, &counter), FA_OK);
        end(fa);
        for (int i = 0; i < 3; i++) assert_int_equal(top[i].sum, 200 * 201 / 2);
    }
    destroy_quiet(fa, &to);
}

typedef struct fibonacci {
    uint32_t n;
    uint32_t result;
} fibonacci;

static void fib(fa_worker *w, void *arg)
{
    fibonacci *f = arg;
    if (f->n < 2) {
        f->result = f->n;
        return;
    }
    fibonacci a = {f->n - 1, 0}, b = {f->n - 2, 0};
    fa_task task;
    EXPECT(fa_fork(w, &task, fib, &a) == FA_OK);
    fib(w, &b);
    fa_join(w, &task);
    f->result = a.result + b.result;
}

static void fib_submitted(fa_worker *w, void *arg)
{
    fibonacci *f = arg;
    if (f->n < 2) {
        f->result = f->n;
        return;
    }
    fibonacci parts[2] = {{f->n - 1, 0}, {f->n - 2, 0}};
    fa_counter counter = FA_COUNTER_INIT;
    for (int i = 0; i < 2; i++) EXPECT(fa_submit_counted(w, &counter, fib_submitted, &parts[i]) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
    f->result = parts[0].result + parts[1].result;
}

/// Forks like brackets, several open at a time, with submitted jobs and loops between them.
static void fork_many(fa_worker *w, void *arg)
{
    uint32_t *depth = arg;
    enum { FORKS = 5 };
    fa_task tasks[FORKS];
    uint32_t below[FORKS];
    atomic_uint ran = 0;
    fa_counter counter = FA_COUNTER_INIT;
    if (*depth == 0) {
        *depth = 1;
        return;
    }
    for (uint32_t i = 0; i < FORKS; i++) {
        below[i] = *depth - 1;
        EXPECT(fa_fork(w, &tasks[i], fork_many, &below[i]) == FA_OK);
        EXPECT(fa_submit_counted(w, &counter, count_up, &ran) == FA_OK);
    }
    EXPECT(fa_parallel_for(w, 0, 100, 9, some_range, &ran) == FA_OK);
    uint32_t sum = 1;
    for (uint32_t i = FORKS; i-- > 0;) {
        fa_join(w, &tasks[i]);
        sum += below[i];
        if (i == 2) EXPECT(fa_wait(w, &counter) == FA_OK);
    }
    EXPECT(atomic_load(&ran) == 100 + FORKS);
    *depth = sum;
}

static void fork_and_join(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    for (int small = 0; small < 2; small++) {
        config.deque_capacity = small ? 16 : 4096;
        fa_system *fa = create(&config);
        fa_worker *w = fa_self(fa);
        for (int round = 0; round < 3; round++) {
            fibonacci forked = {ROUNDS(20) == 20 ? 20 : 14, 0}, submitted = {12, 0}, top = {15, 0};
            uint32_t many = 4;
            begin(fa);
            assert_int_equal(fa_submit(w, fib, &forked), FA_OK);
            assert_int_equal(fa_submit(w, fib_submitted, &submitted), FA_OK);
            assert_int_equal(fa_submit(w, fork_many, &many), FA_OK);
            fib(w, &top); // outside jobs too
            end(fa);
            assert_int_equal(forked.result, forked.n == 20 ? 6765 : 377);
            assert_int_equal(submitted.result, 144);
            assert_int_equal(top.result, 610);
            assert_int_equal(many, 1 + 5 * (1 + 5 * (1 + 5 * (1 + 5))));
        }
        destroy_quiet(fa, &to);
    }
}

typedef struct helped {
    atomic_bool busy, free, came;
} helped;

static void be_busy(fa_worker *w, void *arg)
{
    helped *h = arg;
    atomic_store(&h->busy, true);
    run_when_told(w, &h->free);
}

/// On the lane that forked it, leaves the other one time to look for work, which the next join is to see.
static void wait_for_help(fa_worker *w, void *arg)
{
    helped *h = arg;
    if (w->index != 0) atomic_store(&h->came, true);
    for (double until = seconds_now() + 0.01; !atomic_load(&h->came) && seconds_now() < until;) sched_yield();
}

/// A lane that begins to look for work after the last fork is given some by the joins.
static void joins_share_what_waits(const test_case *at)
{
    enum { FORKS = 2000 };
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    static fa_task tasks[FORKS];
    helped h = {false, false, false};
    atomic_uint ran = 0;
    begin(fa);
    assert_int_equal(fa_submit(w, be_busy, &h), FA_OK);
    while (!atomic_load(&h.busy)) sched_yield();
    assert_int_equal(fa_fork(w, &tasks[0], count_up, &ran), FA_OK); // for what it wanted before
    fa_join(w, &tasks[0]);
    for (int i = 0; i < FORKS; i++) assert_int_equal(fa_fork(w, &tasks[i], wait_for_help, &h), FA_OK);
    atomic_store(&h.free, true);
    for (int i = FORKS; i-- > 0;) fa_join(w, &tasks[i]);
    assert_true(atomic_load(&h.came));
    end(fa);
    destroy_quiet(fa, &to);
}

// Loops -----------------------------------------------------------------------------------------------------------------

enum { INDICES = 20000 };

static unsigned char marks[INDICES]; // plain: each index belongs to one piece

typedef struct range_check {
    uint64_t first, last, grain;
    atomic_ullong covered;
    atomic_uint small_pieces; // below the grain
    fa_range_fn *inner;
} range_check;

static void mark_range(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    range_check *check = arg;
    (void)w;
    EXPECT(first < last && first >= check->first && last <= check->last);
    if (last - first < check->grain && last != check->last) atomic_fetch_add(&check->small_pieces, 1u);
    atomic_fetch_add(&check->covered, last - first);
    if (check->last - check->first > INDICES) return;
    for (uint64_t i = first; i < last; i++) marks[i - check->first]++;
}

/// Items that are worth sharing.
static void mark_slowly(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    double end = seconds_now() + 20e-6 * (double)(last - first);
    while (seconds_now() < end) continue;
    mark_range(w, first, last, arg);
}

static void check_loop_of(fa_worker *w, fa_range_fn *fn, uint64_t first, uint64_t last, uint64_t grain)
{
    range_check check = {.first = first, .last = last, .grain = grain};
    uint64_t count = last > first ? last - first : 0;
    memset(marks, 0, sizeof marks);
    EXPECT(fa_parallel_for(w, first, last, grain, fn, &check) == FA_OK);
    EXPECT(atomic_load(&check.covered) == count);
    EXPECT(atomic_load(&check.small_pieces) == 0);
    for (uint64_t i = 0; i < count && count <= INDICES; i++) EXPECT(marks[i] == 1);
}

static void check_loop(fa_worker *w, uint64_t first, uint64_t last, uint64_t grain)
{
    check_loop_of(w, mark_range, first, last, grain);
}

static void loops_cover_each_index_once(const test_case *at)
{
    static const uint64_t sizes[] = {0, 1, 2, 3, 7, 16, 100, 1000, INDICES};
    static const uint64_t grains[] = {0, 1, 2, 3, 10, 64, 999, 100000, UINT64_MAX};
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    begin(fa);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (size_t g = 0; g < sizeof grains / sizeof grains[0]; g++) {
            check_loop(w, 0, sizes[s], grains[g]);
            check_loop(w, 77, 77 + sizes[s], grains[g]);
            check_loop(w, UINT64_MAX - sizes[s], UINT64_MAX, grains[g]);
        }
    }
    check_loop(w, 5, 4, 1);
    check_loop(w, UINT64_MAX, 0, 1);
    check_loop(w, 0, UINT64_MAX, UINT64_C(1) << 58);
    check_loop(w, 1, UINT64_C(1) << 40, (UINT64_C(1) << 40) / 100);
    check_loop(w, 0, UINT64_C(1) << 22, 1000);
    for (uint64_t grain = 0; grain < 2; grain++) check_loop(w, 0, UINT64_MAX, grain); // items that take nothing
    for (uint64_t grain = 0; grain < 3; grain++) check_loop_of(w, mark_slowly, 9, 109, grain);
    end(fa);
    destroy_quiet(fa, &to);
}

enum {
    DEAR_NS = 50000,      // of an item, at least: whoever is interrupted takes longer
    PIECE_NS = 20000,     // what jobs.h promises
    FIRST_ITEMS = 4,      // of a piece with grain 1, as long as its lane has seen none
    LIGHT_PIECES = 100000 // of 2^24 items that take nothing: some hundred, a few more for each interruption
};

typedef struct costly_loop {
    uint64_t cheap; // items before the first dear one
    uint32_t number;
    atomic_uint pieces;
} costly_loop;

/// The last piece on this thread: what its items take at least, in the mean.
static _Thread_local struct {
    uint32_t loop;
    uint64_t item_ns;
} last_piece;

static void run_costly(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    costly_loop *loop = arg;
    uint64_t most = loop->cheap == 0 ? FIRST_ITEMS : UINT64_MAX;
    (void)w;
    if (last_piece.loop == loop->number && last_piece.item_ns > 0) most = PIECE_NS / last_piece.item_ns;
    EXPECT(last - first <= (most < FIRST_ITEMS ? FIRST_ITEMS : most));
    uint64_t dear = last > loop->cheap ? last - (first > loop->cheap ? first : loop->cheap) : 0;
    double end = seconds_now() + 1e-9 * (double)(dear * DEAR_NS);
    while (seconds_now() < end) continue;
    last_piece.loop = loop->number;
    last_piece.item_ns = dear * DEAR_NS / (last - first);
    atomic_fetch_add(&loop->pieces, 1u);
}

static void count_pieces(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)w, (void)first, (void)last;
    atomic_fetch_add((atomic_uint *)arg, 1u);
}

/// Runs a loop whose items are dear behind the cheap ones, and returns how many pieces it had.
static unsigned run_costly_loop(fa_system *fa, uint64_t cheap, uint64_t count, uint64_t grain)
{
    static uint32_t loops;
    loops++;
    costly_loop loop = {.cheap = cheap, .number = loops};
    assert_int_equal(fa_parallel_for(fa_self(fa), 0, count, grain, run_costly, &loop), FA_OK);
    return atomic_load(&loop.pieces);
}

static void pieces_follow_what_items_take(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    begin(fa);
    for (uint64_t grain = 0; grain < 2; grain++) {
        assert_true(run_costly_loop(fa, 0, 200, grain) >= 200 / FIRST_ITEMS);
        (void)run_costly_loop(fa, 3000, 3200, 1);
        assert_int_equal(run_costly_loop(fa, 1, 4, grain), 4); // the first item says nothing of the others
        atomic_uint light = 0;
        assert_int_equal(fa_parallel_for(fa_self(fa), 0, UINT64_C(1) << 24, grain, count_pieces, &light), FA_OK);
        assert_true(atomic_load(&light) < LIGHT_PIECES);
    }
    end(fa);
    destroy_quiet(fa, &to);
}

typedef struct nested_loop {
    atomic_uint inner;
    atomic_uint jobs;
} nested_loop;

static void innermost(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    nested_loop *loop = arg;
    for (uint64_t i = first; i < last; i++) {
        atomic_fetch_add(&loop->inner, 1u);
        if (i % 50 == 0) EXPECT(fa_submit(w, count_up, &loop->jobs) == FA_OK);
    }
}

static void middle(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    for (uint64_t i = first; i < last; i++) EXPECT(fa_parallel_for(w, 0, 100, i % 12, innermost, arg) == FA_OK);
}

static void outermost(fa_worker *w, void *arg)
{
    EXPECT(fa_parallel_for(w, 0, 20, 1, middle, arg) == FA_OK);
}

static void loops_nest(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < ROUNDS(12); round++) {
        nested_loop loop = {0, 0};
        begin(fa);
        for (int i = 0; i < 3; i++) assert_int_equal(fa_submit(fa_self(fa), outermost, &loop), FA_OK);
        outermost(fa_self(fa), &loop);
        end(fa);
        assert_int_equal(atomic_load(&loop.inner), 4 * 20 * 100);
        assert_int_equal(atomic_load(&loop.jobs), 4 * 20 * 2);
    }
    destroy_quiet(fa, &to);
}

// Main-thread jobs ------------------------------------------------------------------------------------------------------

typedef struct main_log {
    pthread_t thread;
    uint32_t count; // plain: only the main thread writes
    uint32_t last_of_sender[16];
    uint32_t sent[16]; // each lane writes its own
    fa_counter counter;
} main_log;

typedef struct main_entry {
    main_log *log;
    uint32_t sender;
    uint32_t number;
} main_entry;

static void on_main(fa_worker *w, void *arg)
{
    const main_entry *entry = arg;
    main_log *log = entry->log;
    EXPECT(pthread_equal(pthread_self(), log->thread) && w->index == 0);
    EXPECT(entry->number == log->last_of_sender[entry->sender] + 1);
    log->last_of_sender[entry->sender] = entry->number;
    log->count++;
}

static fa_status send_main(fa_worker *w, main_log *log)
{
    main_entry entry = {log, w->index, ++log->sent[w->index]};
    fa_job job = {
        .fn = on_main, .arg = &entry, .arg_size = sizeof entry, .counter = &log->counter, .flags = FA_JOB_MAIN};
    return fa_submit_job(w, &job);
}

static void send_several(fa_worker *w, void *arg)
{
    for (int i = 0; i < 20; i++) EXPECT(send_main(w, arg) == FA_OK);
}

static void main_jobs_run_on_the_main_thread_in_order(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < ROUNDS(40); round++) {
        uint32_t sent = 20 * (at->workers + 1);
        main_log log = {.thread = pthread_self()};
        begin(fa);
        assert_int_equal(fa_run_main_jobs(fa), 0);
        if (round % 3 == 0) {
            everyone(fa, send_several, &log); // its wait runs what is there
            assert_int_equal(log.count + fa_run_main_jobs(fa), sent);
            assert_int_equal(log.count, sent);
            assert_true(fa_is_done(&log.counter));
        } else if (round % 3 == 1) {
            everyone(fa, send_several, &log);
            assert_int_equal(fa_wait(w, &log.counter), FA_OK);
            assert_int_equal(log.count, sent);
        } else {
            send_several(w, &log);
            assert_int_equal(log.count, 0); // not before the main lane asks for them
            sent = 20;
        }
        end(fa);
        assert_int_equal(log.count, sent);
    }
    destroy_quiet(fa, &to);
}

static void count_on_main(fa_worker *w, void *arg)
{
    EXPECT(w->index == 0);
    ++*(uint32_t *)arg;
}

static void await_main_job(fa_worker *w, void *arg)
{
    fa_counter counter = FA_COUNTER_INIT;
    fa_job job = {.fn = count_on_main, .arg = arg, .counter = &counter, .flags = FA_JOB_MAIN};
    EXPECT(fa_submit_job(w, &job) == FA_OK);
    EXPECT(fa_wait(w, &counter) == FA_OK);
}

/// A job may wait for a main-thread job, wherever it runs itself.
static void jobs_wait_for_main_jobs(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (int round = 0; round < ROUNDS(40); round++) {
        uint32_t count = 0;
        begin(fa);
        for (int i = 0; i < 10; i++) assert_int_equal(fa_submit(fa_self(fa), await_main_job, &count), FA_OK);
        end(fa);
        assert_int_equal(count, 10);
    }
    destroy_quiet(fa, &to);
}

typedef struct detour {
    uint32_t workers;
    uint32_t ran;     // on the main thread
    atomic_uint away; // jobs that a worker has started
} detour;

static void await_on_a_worker(fa_worker *w, void *arg)
{
    detour *d = arg;
    if (w->index != 0) atomic_fetch_add(&d->away, 1u);
    await_main_job(w, &d->ran);
}

/// Waits for a job that a worker runs, which needs the main thread.
static void await_detour(fa_worker *w, void *arg)
{
    detour *d = arg;
    fa_counter counter = FA_COUNTER_INIT;
    unsigned before = atomic_load(&d->away);
    EXPECT(fa_submit_counted(w, &counter, await_on_a_worker, d) == FA_OK);
    while (d->workers > 0 && atomic_load(&d->away) == before) sched_yield();
    EXPECT(fa_wait(w, &counter) == FA_OK);
}

static void await_detour_in_a_piece(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    (void)first, (void)last;
    await_detour(w, arg);
}

/// The main lane's piece ends when a worker has one, which needs the main thread.
static void leave_a_piece(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    detour *d = arg;
    (void)first, (void)last;
    if (w->index == 0 && d->workers > 0)
        while (atomic_load(&d->away) == 0) sched_yield();
    else
        await_on_a_worker(w, d);
}

static void loop_on_a_detour(fa_worker *w, void *arg)
{
    EXPECT(fa_parallel_for(w, 0, 2, 1, leave_a_piece, arg) == FA_OK);
}

/// A job on the main lane waits, in each of the ways there are, for a worker's job that waits for a main-thread job.
static void waits_inside_jobs_run_main_jobs_that_others_need(const test_case *at)
{
    static fa_job_fn *const ways[] = {await_detour, loop_on_a_detour};
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < ROUNDS(40); round++) {
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            detour d = {.workers = at->workers};
            fa_job job = {.fn = ways[i], .arg = &d, .flags = FA_JOB_MAIN};
            begin(fa);
            assert_int_equal(fa_submit_job(w, &job), FA_OK);
            end(fa);
            assert_int_equal(d.ran, 1);
        }
        detour d = {.workers = at->workers};
        begin(fa);
        assert_int_equal(fa_parallel_for(w, 0, 1, 1, await_detour_in_a_piece, &d), FA_OK);
        assert_int_equal(d.ran, 1);
        end(fa);
    }
    destroy_quiet(fa, &to);
}

// What a wait runs ------------------------------------------------------------------------------------------------------

static _Thread_local uint32_t waiting; // waits on this thread's stack

static void unrelated(fa_worker *w, void *arg)
{
    (void)w;
    EXPECT(waiting == 0);
    for (volatile int i = 0; i < 3000; i++) {
    }
    atomic_fetch_add((atomic_uint *)arg, 1u);
}

static void wait_flagged(fa_worker *w, fa_counter *counter)
{
    waiting++;
    EXPECT(fa_wait(w, counter) == FA_OK);
    waiting--;
}

typedef struct picky {
    atomic_uint *others;
    atomic_uint *related;
    uint32_t depth;
    bool submits_others; // not where somebody waits for this job: its descendants may be run then
} picky;

static void picky_waiter(fa_worker *w, void *arg)
{
    const picky *p = arg;
    fa_counter counter = FA_COUNTER_INIT;
    atomic_fetch_add(p->related, 1u);
    if (p->depth == 0) return;
    picky below = {p->others, p->related, p->depth - 1, false};
    // Above and below the awaited ones in the queue.
    for (int i = 0; p->submits_others && i < 5; i++) EXPECT(fa_submit(w, unrelated, p->others) == FA_OK);
    for (int i = 0; i < 3; i++) EXPECT(fa_submit_copy(w, &counter, picky_waiter, &below, sizeof below) == FA_OK);
    for (int i = 0; p->submits_others && i < 5; i++) EXPECT(fa_submit(w, unrelated, p->others) == FA_OK);
    wait_flagged(w, &counter);
}

/// A waiter runs the jobs it waits for and what they submit, never others, however long they lie about.
static void waits_run_nothing_unrelated(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < ROUNDS(60); round++) {
        atomic_uint others = 0, related = 0;
        fa_counter counter = FA_COUNTER_INIT;
        bool awaited = round % 2 == 0;
        begin(fa);
        for (int i = 0; i < 30; i++) assert_int_equal(fa_submit(w, unrelated, &others), FA_OK);
        for (int i = 0; i < 4; i++) {
            picky p = {&others, &related, 2, !awaited};
            assert_int_equal(fa_submit_copy(w, awaited ? &counter : NULL, picky_waiter, &p, sizeof p), FA_OK);
        }
        for (int i = 0; i < 30; i++) assert_int_equal(fa_submit(w, unrelated, &others), FA_OK);
        if (awaited) wait_flagged(w, &counter);
        end(fa);
        assert_int_equal(atomic_load(&related), 4 * (1 + 3 * (1 + 3)));
        assert_int_equal(atomic_load(&others), awaited ? 60 : 60 + 4 * 10);
    }
    destroy_quiet(fa, &to);
}

// Waits that never end --------------------------------------------------------------------------------------------------

typedef struct knot {
    fa_counter a, b;
    atomic_uint refused;
} knot;

static void wait_for_myself(fa_worker *w, void *arg)
{
    knot *k = arg;
    if (fa_wait(w, &k->a) == FA_ERROR_DEADLOCK) atomic_fetch_add(&k->refused, 1u);
}

static void wait_for_my_parent(fa_worker *w, void *arg)
{
    knot *k = arg;
    if (fa_wait(w, &k->a) == FA_ERROR_DEADLOCK) atomic_fetch_add(&k->refused, 1u);
}

static void wait_for_my_child(fa_worker *w, void *arg)
{
    knot *k = arg;
    fa_job child = {.fn = wait_for_my_parent, .arg = k, .counter = &k->b, .name = "child"};
    EXPECT(fa_submit_job(w, &child) == FA_OK);
    if (fa_wait(w, &k->b) == FA_ERROR_DEADLOCK) atomic_fetch_add(&k->refused, 1u);
}

static void own_counter_is_a_deadlock(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < 10; round++) {
        knot k = {.a = FA_COUNTER_INIT, .b = FA_COUNTER_INIT};
        begin(fa);
        fa_job job = {.fn = wait_for_myself, .arg = &k, .counter = &k.a, .name = "ouroboros"};
        assert_int_equal(fa_submit_job(w, &job), FA_OK);
        if (round % 2 == 0) assert_int_equal(fa_wait(w, &k.a), FA_OK); // waiting from outside is none
        end(fa);
        assert_int_equal(atomic_load(&k.refused), 1);
        assert_non_null(strstr(to.message, "ouroboros"));
        assert_reported(&to, 905, 1);
    }
    destroy_quiet(fa, &to);
}

/// The same for a job that runs within its submission because the deque is full.
static void own_counter_of_an_inline_job(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.deque_capacity = 16;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    knot k = {.a = FA_COUNTER_INIT, .b = FA_COUNTER_INIT};
    atomic_uint ran = 0;
    begin(fa);
    for (int i = 0; i < 16; i++) assert_int_equal(fa_submit(w, count_up, &ran), FA_OK);
    assert_int_equal(atomic_load(&ran), 0);
    assert_int_equal(fa_submit_counted(w, &k.a, wait_for_myself, &k), FA_OK);
    assert_true(fa_is_done(&k.a));
    end(fa);
    assert_int_equal(atomic_load(&k.refused), 1);
    assert_reported(&to, 905, 1);
    destroy_quiet(fa, &to);
}

static void circles_are_deadlocks(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    fa_worker *w = fa_self(fa);
    for (int round = 0; round < ROUNDS(20); round++) {
        knot k = {.a = FA_COUNTER_INIT, .b = FA_COUNTER_INIT};
        begin(fa);
        fa_job parent = {.fn = wait_for_my_child, .arg = &k, .counter = &k.a, .name = "parent"};
        assert_int_equal(fa_submit_job(w, &parent), FA_OK);
        end(fa);
        unsigned refused_waits = atomic_load(&k.refused);
        assert_true(refused_waits >= 1 && refused_waits <= 2); // one is enough to cut the circle
        assert_true(strstr(to.message, "parent") != NULL && strstr(to.message, "child") != NULL);
        assert_reported(&to, 905, refused_waits);
    }
    destroy_quiet(fa, &to);
}

// Threads that come and go ----------------------------------------------------------------------------------------------

typedef struct guest {
    fa_system *fa;
    uint64_t seed;
    int visits;
    atomic_uint *ran;
    atomic_uint *wanted;
    atomic_uint *gone;
} guest;

static void guest_frame(fa_worker *w, guest *g, rng *from)
{
    fa_frame frame;
    if (fa_frame_hold(w, &frame) != FA_OK) return; // none is open just now
    fa_frame again;
    EXPECT(fa_frame_hold(w, &again) == FA_ERROR_STATE);
    EXPECT(fa_detach(w) == FA_ERROR_STATE);
    unsigned char *p = fa_frame_alloc(w, 3000);
    fill(p, 3000, g->seed);
    fa_counter counter = FA_COUNTER_INIT;
    uint32_t count = 1 + rng_below(from, 20);
    atomic_fetch_add(g->wanted, count);
    for (uint32_t i = 0; i < count; i++)
        EXPECT(fa_submit_counted(w, i % 2 == 0 ? &counter : NULL, count_up, g->ran) == FA_OK);
    if (rng_below(from, 2) == 0) {
        atomic_uint sum = 0;
        EXPECT(fa_parallel_for(w, 0, 100, 5, some_range, &sum) == FA_OK);
        EXPECT(atomic_load(&sum) == 100);
    }
    EXPECT(fa_wait(w, &counter) == FA_OK);
    EXPECT(is_filled(p, 3000, g->seed)); // while the thread holds the frame
    EXPECT(fa_frame_drop(g->fa, frame) == FA_OK);
    EXPECT(fa_frame_drop(g->fa, frame) == FA_ERROR_STALE);
}

static void *be_a_guest(void *arg)
{
    guest *g = arg;
    rng from = {g->seed};
    for (int visit = 0; visit < g->visits; visit++) {
        fa_worker *w, *other;
        EXPECT(fa_attach(g->fa, &w) == FA_OK);
        EXPECT(fa_attach(g->fa, &other) == FA_ERROR_STATE);
        EXPECT(fa_self(g->fa) == w && w->index > fa_worker_count(g->fa));
        for (uint32_t i = rng_below(&from, 4); i > 0; i--) {
            guest_frame(w, g, &from);
            void *p = fa_pool_alloc(w, 1 + rng_below(&from, 2000));
            if (rng_below(&from, 2) == 0) EXPECT(fa_quiescent(w) == FA_OK);
            fa_pool_free(w, p);
            if (rng_below(&from, 4) == 0) {
                EXPECT(fa_idle_begin(w) == FA_OK);
                sched_yield();
                EXPECT(fa_idle_end(w) == FA_OK);
            }
        }
        EXPECT(fa_detach(w) == FA_OK);
        EXPECT(fa_self(g->fa) == NULL);
    }
    atomic_fetch_add(g->gone, 1u);
    return NULL;
}

static void threads_come_and_go(const test_case *at)
{
    enum { GUESTS = 3 };
    for (uint32_t in_flight = 1; in_flight <= 3; in_flight += 2) {
        sink to;
        fa_config config = case_config(at, &to);
        config.attached_max = GUESTS;
        config.frames_in_flight = in_flight;
        fa_system *fa = create(&config);
        atomic_uint ran = 0, wanted = 0, gone = 0, own = 0;
        guest guests[GUESTS];
        pthread_t handles[GUESTS];
        uint64_t seed = test_seed();
        for (uint32_t i = 0; i < GUESTS; i++) {
            guests[i] = (guest){fa, seed + i, ROUNDS(60), &ran, &wanted, &gone};
            assert_int_equal(pthread_create(&handles[i], NULL, be_a_guest, &guests[i]), 0);
        }
        unsigned frames = 0;
        for (; atomic_load(&gone) < GUESTS; frames++) {
            begin(fa);
            for (int i = 0; i < 10; i++) assert_int_equal(fa_submit(fa_self(fa), count_up, &own), FA_OK);
            if (frames % 2 == 0) sched_yield();
            end(fa);
        }
        for (uint32_t i = 0; i < GUESTS; i++) pthread_join(handles[i], NULL);
        for (uint32_t i = 0; i <= in_flight; i++) {
            begin(fa);
            end(fa);
        }
        while (stats_of(fa).frames_alive > 0) {
            begin(fa);
            end(fa);
        }
        assert_int_equal(atomic_load(&own), frames * 10);
        assert_int_equal(atomic_load(&ran), atomic_load(&wanted));
        assert_int_equal(stats_of(fa).pool_live, 0);
        assert_int_equal(stats_of(fa).frame_holds, 0);
        destroy_quiet(fa, &to);
    }
}

static void *take_scope_memory(void *arg)
{
    fa_worker *w;
    EXPECT(fa_attach(arg, &w) == FA_OK);
    unsigned char *first = NULL;
    for (int round = 0; round < 1000; round++) {
        unsigned char *p = fa_scope_alloc(w, 100000);
        EXPECT(p != NULL && (first == NULL || p == first));
        EXPECT(fa_scope_alloc(w, MIB) != NULL); // a run of its own
        if (p == NULL) break;
        first = p;
        fill(p, 100000, (uint64_t)round);
        EXPECT(fa_idle_begin(w) == FA_OK && fa_idle_end(w) == FA_OK);
        EXPECT(is_filled(p, 100000, (uint64_t)round));
        if (round % 2 == 0) {
            EXPECT(fa_quiescent(w) == FA_OK);
        } else {
            EXPECT(fa_detach(w) == FA_OK);
            EXPECT(fa_attach(arg, &w) == FA_OK);
        }
    }
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

/// Scope memory of attached threads outside jobs lasts over idle times, and ends at quiescent states and with the thread.
static void threads_free_their_scope_memory(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 1;
    config.memory_max = 64 * MIB;
    fa_system *fa = create(&config);
    pthread_t handle;
    assert_int_equal(pthread_create(&handle, NULL, take_scope_memory, fa), 0);
    pthread_join(handle, NULL);
    destroy_quiet(fa, &to);
}

static void *leave_jobs_behind(void *arg)
{
    guest *g = arg;
    fa_worker *w;
    fa_frame frame;
    EXPECT(fa_attach(g->fa, &w) == FA_OK);
    EXPECT(fa_frame_hold(w, &frame) == FA_OK);
    for (int i = 0; i < 100; i++) EXPECT(fa_submit(w, count_up, g->ran) == FA_OK);
    EXPECT(fa_frame_drop(g->fa, frame) == FA_OK);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void jobs_of_departed_threads_run(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    for (unsigned round = 1; round <= 10; round++) {
        atomic_uint ran = 0;
        guest g = {.fa = fa, .ran = &ran};
        pthread_t handle;
        begin(fa);
        assert_int_equal(pthread_create(&handle, NULL, leave_jobs_behind, &g), 0);
        pthread_join(handle, NULL);
        end(fa);
        assert_int_equal(atomic_load(&ran), 100);
        assert_int_equal(stats_of(fa).jobs, 100 * round);
    }
    destroy_quiet(fa, &to);
}

/// How a thread leaves without saying so.
typedef struct leaver {
    fa_system *fa;
    bool holds, idle;
    void *object;
    atomic_uint *ran;
} leaver;

static void *leave_silently(void *arg)
{
    leaver *l = arg;
    fa_worker *w;
    fa_frame frame;
    EXPECT(fa_attach(l->fa, &w) == FA_OK);
    fa_pool_free(w, l->object);
    if (l->holds) {
        EXPECT(fa_frame_hold(w, &frame) == FA_OK);
        EXPECT(fa_submit(w, count_up, l->ran) == FA_OK);
    }
    if (l->idle) EXPECT(fa_idle_begin(w) == FA_OK);
    return NULL;
}

/// The frame ends, what it freed comes home, its seat is free again, and somebody hears of it.
static void threads_that_forget_to_detach(const test_case *at)
{
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = 1;
    fa_system *fa = create(&config);
    for (unsigned how = 0; how < 4; how++) {
        atomic_uint ran = 0;
        leaver l = {.fa = fa, .holds = (how & 1) != 0, .idle = (how & 2) != 0, .ran = &ran};
        pthread_t handle;
        begin(fa);
        l.object = fa_pool_alloc(fa_self(fa), 100);
        assert_non_null(l.object);
        assert_int_equal(pthread_create(&handle, NULL, leave_silently, &l), 0);
        pthread_join(handle, NULL);
        assert_non_null(strstr(to.message, "a thread ended"));
        assert_reported(&to, 908, 1);
        end(fa);
        assert_int_equal(atomic_load(&ran), l.holds ? 1 : 0);
        assert_int_equal(stats_of(fa).pool_live, 0);
        assert_int_equal(stats_of(fa).frame_holds, 0);
        assert_int_equal(stats_of(fa).frames_alive, 0);
    }
    destroy_quiet(fa, &to);
}

static pthread_key_t own_key;

static void detach_in_destructor(void *worker)
{
    EXPECT(fa_detach(worker) == FA_OK);
}

static void *leave_by_destructor(void *arg)
{
    fa_worker *w;
    fa_task task;
    EXPECT(fa_attach(arg, &w) == FA_OK);
    EXPECT(pthread_setspecific(own_key, w) == 0);
    fa_frame frame;
    EXPECT(fa_frame_hold(w, &frame) == FA_OK);
    atomic_uint ran = 0;
    EXPECT(fa_fork(w, &task, count_up, &ran) == FA_OK);
    EXPECT(fa_frame_drop(arg, frame) == FA_ERROR_STATE); // the fork is not joined
    EXPECT(fa_detach(w) == FA_ERROR_STATE);
    fa_join(w, &task);
    EXPECT(fa_frame_drop(arg, frame) == FA_OK);
    return NULL;
}

/// Who detaches in a destructor of its own has not forgotten it, whichever key was made first.
static void own_destructors_detach(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    pthread_t handle;
    assert_int_equal(pthread_key_create(&own_key, detach_in_destructor), 0);
    begin(fa);
    assert_int_equal(pthread_create(&handle, NULL, leave_by_destructor, fa), 0);
    pthread_join(handle, NULL);
    end(fa);
    assert_int_equal(pthread_key_delete(own_key), 0);
    assert_reported(&to, 203, at->checked);
    destroy_quiet(fa, &to);
}

static void end_thread(fa_worker *w, void *arg)
{
    (void)w, (void)arg;
    pthread_exit(NULL);
}

static void *end_in_a_job(void *arg)
{
    fa_worker *w;
    fa_frame frame;
    fa_counter counter = {0};
    EXPECT(fa_attach(arg, &w) == FA_OK);
    EXPECT(fa_frame_hold(w, &frame) == FA_OK);
    EXPECT(fa_submit_counted(w, &counter, end_thread, NULL) == FA_OK);
    (void)fa_wait(w, &counter);
    return NULL;
}

static void *reclaim_elsewhere(void *arg)
{
    fa_system *fa = create(arg);
    fa_cell cell = {0};
    for (int frame = 0; frame < 5000 && (frame < 10 || stats_of(fa).reclaimed == 0); frame++) {
        begin(fa);
        void *p = fa_pool_alloc(fa_self(fa), 64);
        EXPECT(p != NULL && fa_cell_publish(fa_self(fa), &cell, p) == FA_OK);
        end(fa);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
    EXPECT(stats_of(fa).reclaimed > 0);
    begin(fa);
    fa_cell_drop(fa_self(fa), &cell);
    end(fa);
    EXPECT(fa_destroy(fa) == FA_OK);
    return NULL;
}

/// A thread that ends in the middle of a job ruins its own system, but nobody else's grace periods. In a process of its own: that system
/// can never be destroyed.
static void a_thread_that_ends_in_a_job(const test_case *at)
{
    pid_t child = fork();
    if (child == 0) {
        sink to, other;
        fa_config config = case_config(at, &other);
        fa_system *fa = create_case(at, &to);
        pthread_t handle;
        begin(fa);
        pthread_create(&handle, NULL, end_in_a_job, fa);
        pthread_join(handle, NULL);
        assert_reported(&to, 908, 1);
        assert_int_equal(fa_idle_begin(fa_self(fa)), FA_OK);
        pthread_create(&handle, NULL, reclaim_elsewhere, &config);
        pthread_join(handle, NULL);
        _exit(atomic_load(&expect_failures) == 0 ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

typedef struct seat {
    fa_system *fa;
    fa_status status;
    atomic_uint *seated;
    atomic_bool *leave;
} seat;

static void *take_a_seat(void *arg)
{
    seat *s = arg;
    fa_worker *w = (fa_worker *)(uintptr_t)16;
    s->status = fa_attach(s->fa, &w);
    EXPECT((w != NULL) == (s->status == FA_OK));
    atomic_fetch_add(s->seated, 1u);
    while (!atomic_load(s->leave)) sched_yield();
    if (s->status == FA_OK) EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

static void seats_are_limited(const test_case *at)
{
    enum { SEATS = 5 };
    sink to;
    fa_config config = case_config(at, &to);
    config.attached_max = SEATS;
    fa_system *fa = create(&config);
    for (int round = 0; round < 3; round++) {
        atomic_uint seated = 0;
        atomic_bool leave = false;
        seat seats[SEATS + 3];
        pthread_t handles[SEATS + 3];
        unsigned refused_seats = 0;
        for (unsigned i = 0; i < SEATS + 3; i++) {
            seats[i] = (seat){fa, FA_OK, &seated, &leave};
            assert_int_equal(pthread_create(&handles[i], NULL, take_a_seat, &seats[i]), 0);
        }
        while (atomic_load(&seated) < SEATS + 3) sched_yield();
        assert_int_equal(fa_destroy(fa), FA_ERROR_BUSY); // and nothing happens
        assert_reported(&to, 909, 1);
        begin(fa);
        end(fa);
        atomic_store(&leave, true);
        for (unsigned i = 0; i < SEATS + 3; i++) {
            pthread_join(handles[i], NULL);
            assert_true(seats[i].status == FA_OK || seats[i].status == FA_ERROR_FULL);
            refused_seats += seats[i].status != FA_OK;
        }
        assert_int_equal(refused_seats, 3);
    }
    fa_worker *w;
    assert_int_equal(fa_attach(NULL, &w), FA_ERROR_INVALID);
    destroy_quiet(fa, &to);
}

// Frames in flight ------------------------------------------------------------------------------------------------------

typedef struct gated {
    atomic_bool open;
    unsigned char *memory; // of the main lane, in this frame
    uint64_t key;
    atomic_uint ran;
} gated;

static void wait_at_the_gate(fa_worker *w, void *arg)
{
    gated *gate = arg;
    EXPECT(fa_frame_number(w->system) >= gate->key);
    unsigned char *mine = fa_frame_alloc(w, 20000);
    fill(mine, 20000, gate->key + 1);
    while (!atomic_load(&gate->open)) sched_yield();
    EXPECT(is_filled(gate->memory, 20000, gate->key));
    EXPECT(is_filled(mine, 20000, gate->key + 1));
    EXPECT(fa_submit(w, count_up, &gate->ran) == FA_OK); // into the same frame, which has ended long since
}

static void start_gated_frame(fa_worker *w, gated *gate, uint64_t number)
{
    *gate = (gated){.key = number, .memory = fa_frame_alloc(w, 20000)};
    fill(gate->memory, 20000, number);
    assert_int_equal(fa_submit(w, wait_at_the_gate, gate), FA_OK);
}

static void frames_overlap(const test_case *at)
{
    for (uint32_t in_flight = 2; in_flight <= 16; in_flight = in_flight == 4 ? 16 : in_flight + 1) {
        sink to;
        fa_config config = case_config(at, &to);
        config.frames_in_flight = in_flight;
        fa_system *fa = create(&config);
        fa_worker *w = fa_self(fa);
        static gated gates[64];
        uint64_t number = 0, oldest = 1;
        for (; number < in_flight; number++) {
            assert_int_equal(fa_frame_try_begin(fa), FA_OK);
            assert_int_equal(fa_frame_number(fa), number + 1);
            start_gated_frame(w, &gates[number + 1], number + 1);
            end(fa); // does not wait: the gate is shut
            assert_int_equal(stats_of(fa).frames_alive, number + 1);
        }
        for (int i = 0; i < 5; i++) assert_int_equal(fa_frame_try_begin(fa), FA_ERROR_BUSY);
        for (int round = 0; round < 20; round++, oldest++) {
            atomic_store(&gates[oldest].open, true);
            // Waits for the oldest frame only, all others being shut. Only if no worker is shut in elsewhere will others do it all.
            if (round % 2 == 0 || at->workers < in_flight)
                begin(fa);
            else
                while (fa_frame_try_begin(fa) == FA_ERROR_BUSY) sched_yield();
            assert_int_equal(atomic_load(&gates[oldest].ran), 1);
            number++;
            assert_int_equal(fa_frame_number(fa), number);
            start_gated_frame(w, &gates[number], number);
            end(fa);
            assert_int_equal(stats_of(fa).frame, oldest);
            assert_int_equal(stats_of(fa).frames_alive, in_flight);
        }
        for (uint64_t i = oldest; i <= number; i++) atomic_store(&gates[i].open, true);
        destroy_quiet(fa, &to); // runs the rest
        for (uint64_t i = 1; i <= number; i++) assert_int_equal(atomic_load(&gates[i].ran), 1);
    }
}

typedef struct holder {
    fa_frame frame;
    unsigned char *memory;
} holder;

static void hold_in_a_job(fa_worker *w, void *arg)
{
    holder *h = arg;
    h->memory = fa_frame_alloc(w, 30000);
    fill(h->memory, 30000, fa_frame_number(w->system));
    EXPECT(fa_frame_hold(w, &h->frame) == FA_OK);
}

static void holds_keep_frames(const test_case *at)
{
    enum { FRAMES = 30 };
    for (uint32_t in_flight = 2; in_flight <= 16; in_flight *= 2) {
        sink to;
        fa_config config = case_config(at, &to);
        config.frames_in_flight = in_flight;
        fa_system *fa = create(&config);
        fa_worker *w = fa_self(fa);
        static holder holders[FRAMES + 1];
        fa_frame none;
        assert_int_equal(fa_frame_hold(w, &none), FA_ERROR_STATE);
        for (uint64_t frame = 1; frame <= FRAMES; frame++) {
            if (frame > in_flight) { // the ring is full of held frames
                assert_int_equal(fa_frame_try_begin(fa), FA_ERROR_BUSY);
                holder *oldest = &holders[frame - in_flight];
                assert_true(is_filled(oldest->memory, 30000, frame - in_flight));
                assert_int_equal(fa_frame_drop(fa, oldest->frame), FA_OK);
                assert_int_equal(fa_frame_drop(fa, oldest->frame), FA_ERROR_STALE);
            }
            begin(fa);
            fa_counter counter = FA_COUNTER_INIT;
            assert_int_equal(fa_submit_counted(w, &counter, hold_in_a_job, &holders[frame]), FA_OK);
            assert_int_equal(fa_wait(w, &counter), FA_OK);
            fa_frame second;
            assert_int_equal(fa_frame_hold(w, &second), FA_OK); // holds add up
            end(fa);
            assert_int_equal(stats_of(fa).frame_holds, (frame < in_flight ? frame : in_flight) + 1);
            assert_int_equal(fa_frame_drop(fa, second), FA_OK);
            assert_true(stats_of(fa).frame + in_flight >= frame);
        }
        for (uint64_t frame = FRAMES - in_flight + 1; frame <= FRAMES; frame++) {
            assert_true(is_filled(holders[frame].memory, 30000, frame));
            assert_int_equal(fa_frame_drop(fa, holders[frame].frame), FA_OK);
        }
        do { // a lane publishes what it finished when it runs out of work, maybe after the last drop
            begin(fa);
            end(fa);
        } while (stats_of(fa).frames_alive > 0);
        assert_int_equal(stats_of(fa).frame_holds, 0);
        assert_int_equal(fa_frame_drop(fa, (fa_frame){0}), FA_ERROR_STALE);
        assert_int_equal(fa_frame_drop(fa, holders[FRAMES].frame), FA_ERROR_STALE);
        destroy_quiet(fa, &to);
    }
}

static void *hold_attached(void *arg)
{
    fa_system *fa = arg;
    fa_worker *w;
    fa_frame frame;
    EXPECT(fa_attach(fa, &w) == FA_OK);
    EXPECT(fa_frame_hold(w, &frame) == FA_ERROR_FULL);
    EXPECT(frame.bits == 0);
    EXPECT(fa_detach(w) == FA_OK);
    return NULL;
}

/// The last hold that can be counted is given, the next is refused, and all can be dropped.
static void holds_are_limited(const test_case *at)
{
    enum { MOST = (1 << 22) - 1 };
    sink to;
    fa_config config = case_config(at, &to);
    config.frames_in_flight = 2;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    fa_frame frame, refused;
    begin(fa);
    for (uint32_t i = 0; i < MOST; i++)
        if (fa_frame_hold(w, &frame) != FA_OK) fail_msg("hold %u was refused", (unsigned)i);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(fa_frame_hold(w, &refused), FA_ERROR_FULL);
        assert_int_equal(refused.bits, 0);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, hold_attached, fa), 0);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(fa_frame_drop(fa, frame), FA_OK); // makes room for one
        assert_int_equal(fa_frame_hold(w, &frame), FA_OK);
    }
    end(fa);
    if (FA_STATISTICS) assert_int_equal(stats_of(fa).frame_holds, MOST);
    for (uint32_t i = 0; i < MOST; i++)
        if (fa_frame_drop(fa, frame) != FA_OK) fail_msg("drop %u was refused", (unsigned)i);
    assert_int_equal(fa_frame_drop(fa, frame), FA_ERROR_STALE);
    destroy_quiet(fa, &to);
}

// The end ---------------------------------------------------------------------------------------------------------------

typedef struct family {
    atomic_uint *born;
    uint32_t generations;
} family;

static void breed(fa_worker *w, void *arg)
{
    const family *f = arg;
    atomic_fetch_add(f->born, 1u);
    if (f->generations == 0) return;
    family below = {f->born, f->generations - 1};
    for (int i = 0; i < 3; i++) EXPECT(fa_submit_copy(w, NULL, breed, &below, sizeof below) == FA_OK);
}

static void destroy_runs_what_is_queued(const test_case *at)
{
    for (uint32_t in_flight = 1; in_flight <= 4; in_flight += 3) {
        for (int frames = 1; frames <= 4; frames++) {
            sink to;
            fa_config config = case_config(at, &to);
            config.frames_in_flight = in_flight;
            fa_system *fa = create(&config);
            fa_worker *w = fa_self(fa);
            atomic_uint ran = 0;
            main_log log = {.thread = pthread_self()};
            for (int frame = 1; frame <= frames; frame++) {
                begin(fa);
                family f = {&ran, 4};
                for (int i = 0; i < 10; i++) assert_int_equal(fa_submit_copy(w, NULL, breed, &f, sizeof f), FA_OK);
                assert_int_equal(send_main(w, &log), FA_OK);
                if (frame < frames || frames % 2 == 0) end(fa);
            }
            destroy_quiet(fa, &to);
            assert_int_equal(atomic_load(&ran), frames * 10 * (1 + 3 + 9 + 27 + 81));
            assert_int_equal(log.count, frames);
        }
    }
}

static void figures_add_up(const test_case *at)
{
    sink to;
    fa_system *fa = create_case(at, &to);
    atomic_uint ran = 0;
    for (unsigned frame = 1; frame <= 10; frame++) {
        begin(fa);
        for (int i = 0; i < 300; i++) assert_int_equal(fa_submit(fa_self(fa), count_up, &ran), FA_OK);
        end(fa);
        fa_stats stats = stats_of(fa);
        assert_int_equal(stats.jobs, 300 * frame);
        assert_int_equal(stats.jobs_inline, 0);
        assert_int_equal(stats.frames_alive, 0);
        if (at->workers == 0) assert_int_equal(stats.steals + stats.parks, 0);
    }
    uint64_t steals = stats_of(fa).steals;
    begin(fa);
    everyone(fa, count_up, &ran); // each worker runs a job that the main lane submitted
    end(fa);
    assert_true(stats_of(fa).steals >= steals + at->workers);
    fa_contention contention;
    fa_status status = fa_contention_read(fa, &contention);
    assert_int_equal(status, FA_CONTENTION ? FA_OK : FA_ERROR_UNSUPPORTED);
    assert_int_equal(fa_contention_read(fa, NULL), FA_ERROR_INVALID);
    assert_int_equal(fa_stats_read(fa, NULL), FA_ERROR_INVALID);
    destroy_quiet(fa, &to);
}

int main(int argc, char **argv)
{
    const test_entry entries[] = {
        EACH(arguments_are_copied),
        EACH(small_arguments_travel_inside),
        EACH(names_and_depths),
        EACH(many_at_once),
        EACH_OF(refused, "02", "ny"),
        EACH(wrong_threads_and_moments),
        EACH_OF(all_lanes_wait_for_one_counter, "0124", "ny"),
        EACH_OF(nobody_is_left_asleep, COUNTED("01248"), "n"),
        EACH_OF(submitted_jobs_start, "1248", "ny"),
        EACH_OF(full_deques_run_jobs_at_once, COUNTED("0124"), "ny"),
        EACH_OF(no_workers_means_order_of_submission, COUNTED("0"), "ny"),
        EACH(waits_nest_200_deep),
        EACH(fork_and_join),
        EACH_OF(joins_share_what_waits, "1", "ny"),
        EACH_OF(loops_cover_each_index_once, "01248", "ny"),
        EACH_OF(pieces_follow_what_items_take, "1248", "ny"),
        EACH(loops_nest),
        EACH(main_jobs_run_on_the_main_thread_in_order),
        EACH(jobs_wait_for_main_jobs),
        EACH(waits_inside_jobs_run_main_jobs_that_others_need),
        EACH_OF(waits_run_nothing_unrelated, "01248", "ny"),
        EACH(own_counter_is_a_deadlock),
        EACH_OF(circles_are_deadlocks, "0124", "y"),
        EACH_OF(threads_come_and_go, COUNTED("0124"), "ny"),
        EACH(threads_free_their_scope_memory),
        EACH_OF(jobs_of_departed_threads_run, COUNTED("0124"), "ny"),
        EACH_OF(threads_that_forget_to_detach, COUNTED("0124"), "ny"),
        EACH_OF(own_destructors_detach, "0", "ny"),
        EACH_OF(a_thread_that_ends_in_a_job, COUNTED("0"), "ny"),
        EACH_OF(seats_are_limited, "02", "ny"),
        EACH_OF(frames_overlap, COUNTED("124"), "ny"),
        EACH_OF(holds_keep_frames, COUNTED("0124"), "ny"),
        EACH_OF(holds_are_limited, "02", "n"),
        EACH(destroy_runs_what_is_queued),
        EACH_OF(figures_add_up, COUNTED("0124"), "ny"),
        EACH_OF(own_counter_of_an_inline_job, "0", "ny"),
    };
    return RUN_MATRIX("jobs", entries, argc, argv);
}
