// SPDX-License-Identifier: MIT
//
// Jobs in every form, each counted exactly once: submitted one by one and in bulk, with arguments inside and copied, as
// trees that wait, forked and joined, in loops within loops, on the main thread; with attached threads that come, submit,
// wait and leave, holds that are dropped by others, and pauses in which the workers park.
//
// Every job, forked task and loop index of a frame has a number, and a mark in the frame's record. Running it sets the mark;
// a mark that is set already is a job that ran twice, a mark that is missing when the frame has retired one that was lost.
//
// Lost wake-ups: in a rally the main lane publishes jobs and then calls nothing of the library, so that only workers can
// run them; the jobs of a rally wait for each other without calling the library either, so that all workers must wake. The
// attached threads stand aside meanwhile: what they publish would wake workers as well. Rallies come in series, each
// job at another moment of the workers' going to sleep. A wait for a job that sleeps parks. Whatever hangs ends in the
// watchdog's diagnosis.
//
// A run is a series of rounds, each with a system of its own: workers, frames in flight, deques from 16 jobs, no spinning.
#include "stress.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARKS 65536    // of a frame
#define RECORDS 32     // a power of two above the frames in flight
#define GUESTS 2       // attached threads
#define DROPPED_MAX 64 // holds on their way to who drops them
#define ROUND_NS (STRESS_SECOND_NS / 3)
#define TREE_DEPTH 4
#define LARGE_ARGUMENT 200
#define SERIES 64      // rallies, at most
#define SPIN_US_MAX 50 // of workers, before they park
#define FIB 12
#define FIB_OF 144 // fib(FIB)

/// A frame, from before it begins until it has retired and was checked.
struct record {
    _Alignas(STRESS_LINE) atomic_uint used; // numbers handed out
    atomic_uint main_jobs;                  // that have run
    atomic_uint main_due;
    _Alignas(STRESS_LINE) uint64_t frame; // owner: the main thread; 0: none
    _Alignas(STRESS_LINE) atomic_uchar marks[MARKS];
};

struct account {
    _Alignas(STRESS_LINE) atomic_uint_fast64_t jobs;
};

struct guest {
    pthread_t thread;
    struct stress_random random;
    atomic_uint working;
    fa_worker *worker;
};

struct rally {
    atomic_uint arrived, inlined;
    uint32_t expected;
};

static struct {
    struct stress_run *run;
    fa_system *fa;
    // owner: the main thread
    struct stress_random random;
    uint32_t workers, frames_in_flight, deque_capacity;
    uint64_t round, frames, before, checked, rallies, holds, pauses, steals, parks, waits_parked, inlined;
    // shared
    struct rally rally;
    struct record records[RECORDS];
    struct account accounts[STRESS_LANES_MAX];
    struct guest guests[GUESTS];
    pthread_t dropper;
    _Atomic uint64_t dropped[DROPPED_MAX]; // holds to be dropped, as bits
    atomic_bool pause, stop;
    atomic_uint_fast64_t visits;
} work;

static void count(const fa_worker *w)
{
    atomic_uint_fast64_t *jobs = &work.accounts[w->index].jobs;
    atomic_store_explicit(jobs, atomic_load_explicit(jobs, memory_order_relaxed) + 1, memory_order_relaxed);
}

// Marks ----------------------------------------------------------------------------------------------------------------

/// The first of `n` numbers, UINT32_MAX when the frame has no more: the caller then submits nothing.
static uint32_t take_numbers(struct record *record, uint32_t n)
{
    uint32_t used = atomic_load_explicit(&record->used, memory_order_relaxed);
    do {
        if (used + n > MARKS) return UINT32_MAX;
    } while (!atomic_compare_exchange_weak_explicit(&record->used, &used, used + n, memory_order_relaxed,
                                                    memory_order_relaxed));
    return used;
}

static void mark(const fa_worker *w, struct record *record, uint32_t number)
{
    unsigned before = atomic_fetch_add_explicit(&record->marks[number], 1, memory_order_relaxed);
    if (before != 0)
        stress_fail("job %" PRIu32 " of frame %" PRIu64 " ran again, on lane %" PRIu32, number, record->frame,
                    w->index);
    count(w);
}

/// All of a frame that has retired, or of a loop or wait that is over.
static void check_marks(const struct record *record, uint32_t first, uint32_t n, const char *what)
{
    for (uint32_t i = first; i < first + n; i++) {
        unsigned runs = atomic_load_explicit(&record->marks[i], memory_order_relaxed);
        if (runs != 1)
            stress_fail("%s, and job %" PRIu32 " of frame %" PRIu64 " (%" PRIu32 " in all) has run %u times", what, i,
                        record->frame, atomic_load(&record->used), runs);
    }
}

// Jobs -----------------------------------------------------------------------------------------------------------------

struct task {
    struct record *record;
    uint32_t number;
    uint32_t depth;
    uint64_t seed;
};

/// 24 bytes travel inside the job; this does not.
struct large_task {
    struct task task;
    unsigned char payload[LARGE_ARGUMENT];
};

static void branch(fa_worker *w, void *arg);

/// Frame and scope memory of a job must be its own while it runs, over whatever runs inside.
struct scratch {
    unsigned char *frame, *scope;
    size_t size;
    uint64_t key;
};

static struct scratch scratch_begin(fa_worker *w, struct stress_random *random)
{
    struct scratch scratch = {.size = stress_between(random, 1, 600), .key = stress_next(random)};
    scratch.frame = fa_frame_alloc(w, scratch.size);
    scratch.scope = fa_scope_alloc(w, scratch.size);
    if (scratch.frame == NULL || scratch.scope == NULL) stress_fail("no memory for %zu bytes of scratch", scratch.size);
    stress_fill(scratch.frame, scratch.size, scratch.key);
    stress_fill(scratch.scope, scratch.size, ~scratch.key);
    return scratch;
}

static void scratch_end(const struct scratch *scratch, const fa_worker *w)
{
    ssize_t frame = stress_check(scratch->frame, scratch->size, scratch->key);
    ssize_t scope = stress_check(scratch->scope, scratch->size, ~scratch->key);
    if (frame >= 0 || scope >= 0)
        stress_found("%s memory of a job on lane %" PRIu32 " was overwritten at byte %zd of %zu",
                     frame >= 0 ? "frame" : "scope", w->index, frame >= 0 ? frame : scope, scratch->size);
}

static void small_job(fa_worker *w, void *arg)
{
    struct task task = *(const struct task *)arg;
    struct stress_random random = {task.seed};
    if ((uintptr_t)arg % 16 != 0) stress_fail("copied arguments at %p", arg);
    if (stress_one_in(&random, 8)) {
        struct scratch scratch = scratch_begin(w, &random);
        scratch_end(&scratch, w);
    }
    mark(w, task.record, task.number);
}

static void large_job(fa_worker *w, void *arg)
{
    const struct large_task *large = arg;
    if ((uintptr_t)arg % 16 != 0) stress_fail("copied arguments at %p", arg);
    if (stress_check(large->payload, LARGE_ARGUMENT, large->task.seed) >= 0)
        stress_found("copied arguments of job %" PRIu32 " of frame %" PRIu64 " changed", large->task.number,
                     large->task.record->frame);
    mark(w, large->task.record, large->task.number);
}

static void main_job(fa_worker *w, void *arg)
{
    const struct task *task = arg;
    if (w->index != 0) stress_fail("a main-thread job ran on lane %" PRIu32, w->index);
    mark(w, task->record, task->number);
    atomic_fetch_add_explicit(&task->record->main_jobs, 1, memory_order_relaxed);
}

static void sleepy_job(fa_worker *w, void *arg)
{
    struct task task = *(const struct task *)arg;
    struct stress_random random = {task.seed};
    stress_sleep_us(stress_below(&random, 300));
    mark(w, task.record, task.number);
}

static bool next_task(struct record *record, struct stress_random *random, uint32_t depth, struct task *out)
{
    *out = (struct task){record, take_numbers(record, 1), depth, stress_next(random)};
    return out->number != UINT32_MAX;
}

// Ways to use them: all from a lane that is in `record`'s frame ---------------------------------------------------------------------

static void submit_one(fa_worker *w, struct record *record, struct stress_random *random, fa_counter *counter,
                       fa_job_fn *fn, uint32_t depth)
{
    struct task task;
    if (next_task(record, random, depth, &task)) stress_must(fa_submit_copy(w, counter, fn, &task, sizeof task));
}

static void submit_large(fa_worker *w, struct record *record, struct stress_random *random, fa_counter *counter)
{
    struct large_task large = {{0}, {0}};
    if (!next_task(record, random, 0, &large.task)) return;
    stress_fill(large.payload, LARGE_ARGUMENT, large.task.seed);
    stress_must(fa_submit_copy(w, counter, large_job, &large, sizeof large));
    memset(&large, 0, sizeof large);
}

static void submit_bulk(fa_worker *w, struct record *record, struct stress_random *random, fa_counter *counter)
{
    struct task tasks[100];
    uint32_t n = stress_between(random, 1, 100), first = take_numbers(record, n);
    if (first == UINT32_MAX) return;
    for (uint32_t i = 0; i < n; i++) tasks[i] = (struct task){record, first + i, 0, stress_next(random)};
    stress_must(fa_submit_many(w, counter, small_job, tasks, sizeof tasks[0], n));
    memset(tasks, 0, sizeof tasks);
}

static void submit_to_main(fa_worker *w, struct record *record, struct stress_random *random, fa_counter *counter)
{
    struct task task;
    if (!next_task(record, random, 0, &task)) return;
    fa_job job = {.fn = main_job,
                  .arg = &task,
                  .arg_size = sizeof task,
                  .counter = counter,
                  .name = "main job",
                  .flags = FA_JOB_MAIN};
    atomic_fetch_add_explicit(&record->main_due, 1, memory_order_relaxed);
    stress_must(fa_submit_job(w, &job));
}

static void wait_for(fa_worker *w, fa_counter *counter)
{
    stress_must(fa_wait(w, counter));
    if (!fa_is_done(counter)) stress_fail("a wait ended before its counter was zero");
}

/// Children that may have children, of which this waits for all.
static void grow_tree(fa_worker *w, struct record *record, struct stress_random *random, uint32_t depth)
{
    fa_counter counter = FA_COUNTER_INIT;
    uint32_t numbers[5], n = stress_between(random, 1, 5);
    for (uint32_t i = 0; i < n; i++) {
        struct task task;
        numbers[i] = next_task(record, random, depth + 1, &task) ? task.number : UINT32_MAX;
        if (numbers[i] != UINT32_MAX) stress_must(fa_submit_copy(w, &counter, branch, &task, sizeof task));
    }
    if (stress_one_in(random, 16)) submit_one(w, record, random, &counter, sleepy_job, 0);
    wait_for(w, &counter);
    for (uint32_t i = 0; i < n; i++)
        if (numbers[i] != UINT32_MAX) check_marks(record, numbers[i], 1, "a wait for it is over");
}

struct fib {
    struct record *record;
    uint32_t n, result;
};

static void compute_fib(fa_worker *w, void *arg)
{
    struct fib *fib = arg;
    uint32_t number = take_numbers(fib->record, 1);
    if (number != UINT32_MAX) mark(w, fib->record, number);
    if (fib->n < 2) {
        fib->result = fib->n;
        return;
    }
    struct fib left = {fib->record, fib->n - 1, 0}, right = {fib->record, fib->n - 2, 0};
    fa_task task;
    stress_must(fa_fork(w, &task, compute_fib, &left));
    compute_fib(w, &right);
    fa_join(w, &task);
    fib->result = left.result + right.result;
}

static void check_fib(fa_worker *w, struct record *record)
{
    struct fib fib = {record, FIB, 0};
    compute_fib(w, &fib);
    if (fib.result != FIB_OF) stress_fail("fib(%d) by fork and join is %" PRIu32, FIB, fib.result);
}

struct loop {
    struct record *record;
    uint32_t first; // number of index 0
    uint32_t inner; // indices of the loop inside each piece, 0: none
};

static void run_piece(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    const struct loop *loop = arg;
    if (first >= last) stress_fail("a loop's piece from %" PRIu64 " to %" PRIu64, first, last);
    for (uint64_t i = first; i < last; i++) mark(w, loop->record, loop->first + (uint32_t)i);
    if (loop->inner == 0) return;
    struct loop inside = {loop->record, take_numbers(loop->record, loop->inner), 0};
    if (inside.first == UINT32_MAX) return;
    stress_must(fa_parallel_for(w, 0, loop->inner, 1, run_piece, &inside));
    check_marks(loop->record, inside.first, loop->inner, "an inner loop is over");
}

static void run_loop(fa_worker *w, struct record *record, struct stress_random *random)
{
    uint32_t n = stress_between(random, 1, 1u << stress_below(random, 11));
    struct loop loop = {record, take_numbers(record, n), stress_one_in(random, 4) ? stress_below(random, 16) : 0};
    if (loop.first == UINT32_MAX) return;
    stress_must(fa_parallel_for(w, 0, n, stress_below(random, 20), run_piece, &loop));
    check_marks(record, loop.first, n, "a loop is over");
}

static void wait_job(fa_worker *w, void *arg)
{
    stress_must(fa_wait(w, arg));
}

/// Several lanes that wait for one counter.
static void wait_together(fa_worker *w, struct record *record, struct stress_random *random)
{
    fa_counter counter = FA_COUNTER_INIT, waiters = FA_COUNTER_INIT;
    for (uint32_t i = stress_between(random, 1, 6); i > 0; i--)
        submit_one(w, record, random, &counter, stress_one_in(random, 3) ? sleepy_job : small_job, 0);
    for (uint32_t i = stress_between(random, 1, 4); i > 0; i--)
        stress_must(fa_submit_counted(w, &waiters, wait_job, &counter));
    wait_for(w, &counter);
    wait_for(w, &waiters); // they have returned from their waits: the counter may go
}

static void hold_and_hand_over(fa_worker *w)
{
    fa_frame frame;
    stress_must(fa_frame_hold(w, &frame));
    for (uint32_t i = 0; i < DROPPED_MAX; i++) {
        uint64_t none = 0;
        if (atomic_compare_exchange_strong(&work.dropped[i], &none, frame.bits)) return;
    }
    stress_must(fa_frame_drop(work.fa, frame)); // the other thread has enough
}

static void use_jobs(fa_worker *w, struct record *record, struct stress_random *random, uint32_t depth)
{
    switch (stress_below(random, 12)) {
        case 0:
        case 1:
        case 2:
            for (uint32_t i = stress_between(random, 1, 40); i > 0; i--)
                submit_one(w, record, random, NULL, small_job, 0);
            return;
        case 3: submit_bulk(w, record, random, NULL); return;
        case 4: submit_large(w, record, random, NULL); return;
        case 5: submit_to_main(w, record, random, NULL); return;
        case 6: check_fib(w, record); return;
        case 7: run_loop(w, record, random); return;
        case 8: wait_together(w, record, random); return;
        case 9: submit_one(w, record, random, NULL, branch, depth + 1); return;
        default:
            if (depth < TREE_DEPTH) grow_tree(w, record, random, depth);
            return;
    }
}

static void branch(fa_worker *w, void *arg)
{
    struct task task = *(const struct task *)arg;
    struct stress_random random = {task.seed};
    struct scratch scratch = scratch_begin(w, &random);
    if (task.depth < TREE_DEPTH) use_jobs(w, task.record, &random, task.depth);
    if (stress_one_in(&random, 64)) hold_and_hand_over(w);
    scratch_end(&scratch, w);
    mark(w, task.record, task.number);
}

// Other threads ------------------------------------------------------------------------------------------------------------------

static struct record *record_of(uint64_t frame)
{
    return &work.records[frame % RECORDS];
}

/// Works in the open frame, if there is one.
static void join_frame(struct guest *guest)
{
    fa_worker *w = guest->worker;
    fa_frame frame;
    uint64_t number = fa_frame_number(work.fa);
    fa_status status = fa_frame_hold(w, &frame);
    if (status == FA_ERROR_STATE) return; // none is open
    stress_must(status);
    // Which frame it is, is known if no other began meanwhile.
    struct record *record = record_of(number);
    if (fa_frame_number(work.fa) != number) {
        stress_must(fa_frame_drop(work.fa, frame));
        return;
    }
    if (record->frame != number) stress_fail("frame %" PRIu64 " is held and has retired", number);
    for (uint32_t i = stress_between(&guest->random, 1, 4); i > 0; i--) use_jobs(w, record, &guest->random, 2);
    stress_must(fa_frame_drop(work.fa, frame));
}

static void visit(struct guest *guest)
{
    if (guest->worker == NULL)
        stress_must(fa_attach(work.fa, &guest->worker));
    else
        stress_must(fa_idle_end(guest->worker));
    for (uint32_t i = stress_between(&guest->random, 1, 4); i > 0; i--) {
        join_frame(guest);
        if (stress_one_in(&guest->random, 2)) stress_must(fa_quiescent(guest->worker));
    }
    if (stress_one_in(&guest->random, 2)) {
        stress_must(fa_detach(guest->worker));
        guest->worker = NULL;
    } else {
        stress_must(fa_idle_begin(guest->worker));
    }
    atomic_fetch_add(&work.visits, 1);
}

static void *come_and_go(void *arg)
{
    struct guest *guest = arg;
    while (!atomic_load(&work.stop)) {
        atomic_store(&guest->working, 1);
        // Either this thread sees the pause, or who paused sees it working.
        if (!atomic_load(&work.pause)) visit(guest);
        atomic_store(&guest->working, 0);
        stress_sleep_us(stress_below(&guest->random, stress_one_in(&guest->random, 16) ? 5000 : 200));
    }
    if (guest->worker == NULL) return NULL;
    stress_must(fa_idle_end(guest->worker));
    stress_must(fa_detach(guest->worker));
    guest->worker = NULL;
    return NULL;
}

static void drop_all(void)
{
    for (uint32_t i = 0; i < DROPPED_MAX; i++) {
        fa_frame frame = {atomic_exchange(&work.dropped[i], 0)};
        if (frame.bits != 0) stress_must(fa_frame_drop(work.fa, frame));
    }
}

/// Never attached: drops the holds that jobs took.
static void *drop_holds(void *arg)
{
    struct stress_random random = stress_stream(work.run->seed, 77);
    (void)arg;
    while (!atomic_load(&work.stop)) {
        drop_all();
        stress_sleep_us(stress_below(&random, 400));
    }
    return NULL;
}

// Frames -----------------------------------------------------------------------------------------------------------------------

static void check_retired(uint64_t retired)
{
    for (uint32_t i = 0; i < RECORDS; i++) {
        struct record *record = &work.records[i];
        if (record->frame == 0 || record->frame > retired) continue;
        uint32_t used = atomic_load(&record->used);
        check_marks(record, 0, used, "its frame has retired");
        if (atomic_load(&record->main_jobs) != atomic_load(&record->main_due))
            stress_fail("frame %" PRIu64 " has retired, and %u of its %u main-thread jobs have run", record->frame,
                        atomic_load(&record->main_jobs), atomic_load(&record->main_due));
        for (uint32_t n = 0; n < used; n++) atomic_store_explicit(&record->marks[n], 0, memory_order_relaxed);
        atomic_store(&record->used, 0);
        atomic_store(&record->main_jobs, 0);
        atomic_store(&record->main_due, 0);
        record->frame = 0;
        work.checked++;
    }
}

static void check_boundary(void)
{
    fa_stats stats;
    stress_phase("the checks at the boundary");
    stress_must(fa_stats_read(work.fa, &stats));
    check_retired(stats.frame);
    uint64_t jobs = 0;
    for (uint32_t i = 0; i < STRESS_LANES_MAX; i++)
        jobs += atomic_load_explicit(&work.accounts[i].jobs, memory_order_relaxed);
    work.run->operations = work.before + jobs;
    stress_progress(work.run->operations);
}

static void rally_job(fa_worker *w, void *arg)
{
    struct rally *rally = arg;
    if (w->index == 0) { // inside its submit: the deque is full
        atomic_fetch_add(&rally->inlined, 1);
        return;
    }
    atomic_fetch_add(&rally->arrived, 1);
    while (atomic_load(&rally->arrived) + atomic_load(&rally->inlined) < rally->expected) (void)sched_yield();
}

/// As many jobs as there are workers, which must all run at once, while the main lane stands still.
static void hold_rally(fa_worker *w, uint32_t n)
{
    stress_phase("a rally: every worker must wake and take one of the jobs that wait for each other");
    atomic_store(&work.rally.arrived, 0);
    atomic_store(&work.rally.inlined, 0);
    work.rally.expected = n;
    fa_counter counter = FA_COUNTER_INIT;
    for (uint32_t i = 0; i < n; i++) stress_must(fa_submit_counted(w, &counter, rally_job, &work.rally));
    while (atomic_load(&work.rally.arrived) + atomic_load(&work.rally.inlined) < n) (void)sched_yield();
    if (work.frames_in_flight == 1 && n <= work.deque_capacity && atomic_load(&work.rally.inlined) > 0)
        stress_fail("frame %" PRIu64 " has nothing queued, and a job ran inside its submit as if the deque were full",
                    fa_frame_number(work.fa));
    stress_phase("the wait after a rally");
    wait_for(w, &counter);
    work.rallies++;
}

/// Rallies with nobody else at work, each a few microseconds later than the workers ran out of it.
static void hold_rallies(fa_worker *w)
{
    if (work.workers == 0) return;
    stress_phase("waiting for the attached threads to stand aside");
    atomic_store(&work.pause, true);
    for (uint32_t i = 0; i < GUESTS; i++)
        while (atomic_load(&work.guests[i].working) != 0) (void)sched_yield();
    for (uint32_t i = stress_between(&work.random, 1, SERIES); i > 0; i--) {
        uint64_t until = stress_now_ns() + stress_below(&work.random, (SPIN_US_MAX + 30) * 1000);
        if (stress_one_in(&work.random, 16)) stress_sleep_us(300);
        while (stress_now_ns() < until) continue;
        // Where contention is compared, waking everybody on purpose would be all that grows.
        hold_rally(w, work.run->scaling || stress_one_in(&work.random, 2) ? 1 : work.workers);
    }
    atomic_store(&work.pause, false);
    stress_progress(work.run->operations);
}

/// Sometimes long enough for every worker to park.
static void pause_between(void)
{
    uint32_t draw = stress_below(&work.random, 64);
    if (draw >= 8) return;
    work.pauses++;
    stress_sleep_us(draw == 0 ? 3000 : stress_below(&work.random, 300));
}

static struct record *open_record(void)
{
    // The next number is known: this thread alone begins frames. Whoever holds the frame finds its record ready.
    uint64_t frame = fa_frame_number(work.fa) + 1;
    struct record *record = record_of(frame);
    if (record->frame != 0) check_boundary();
    if (record->frame != 0) stress_fail("frame %" PRIu64 " is alive at frame %" PRIu64, record->frame, frame);
    record->frame = frame;
    return record;
}

static void run_frame(fa_worker *w)
{
    struct record *record = open_record();
    stress_phase("fa_frame_begin");
    stress_must(fa_frame_begin(work.fa));
    if (fa_frame_number(work.fa) != record->frame) stress_fail("frame %" PRIu64 " is not the next", record->frame);
    if (stress_one_in(&work.random, 4)) pause_between();
    if (stress_one_in(&work.random, 16)) hold_rallies(w);
    stress_phase("the main lane's work");
    for (uint32_t i = stress_between(&work.random, 1, 12); i > 0; i--) use_jobs(w, record, &work.random, 0);
    if (stress_one_in(&work.random, 32)) hold_and_hand_over(w);
    if (stress_one_in(&work.random, 8)) (void)fa_run_main_jobs(work.fa);
    stress_phase("fa_frame_end");
    stress_must(fa_frame_end(work.fa, NULL));
    check_boundary();
    work.frames++;
}

// Rounds -----------------------------------------------------------------------------------------------------------------------

static void start_others(void)
{
    atomic_store(&work.stop, false);
    for (uint32_t i = 0; i < GUESTS; i++) {
        struct guest *guest = &work.guests[i];
        *guest = (struct guest){.random = stress_stream(stress_next(&work.random), i)};
        if (pthread_create(&guest->thread, NULL, come_and_go, guest) != 0) stress_fail("no thread");
    }
    if (pthread_create(&work.dropper, NULL, drop_holds, NULL) != 0) stress_fail("no thread");
}

static void stop_others(void)
{
    stress_phase("waiting for the attached threads to leave");
    atomic_store(&work.stop, true);
    for (uint32_t i = 0; i < GUESTS; i++) (void)pthread_join(work.guests[i].thread, NULL);
    (void)pthread_join(work.dropper, NULL);
    drop_all();
}

/// The last frame is left open every second time: fa_destroy() must run what is queued.
static void end_round(fa_worker *w)
{
    fa_stats stats;
    stress_take_contention(work.run, work.fa);
    stress_must(fa_stats_read(work.fa, &stats));
    work.steals += stats.steals;
    work.parks += stats.parks;
    work.waits_parked += stats.waits_parked;
    work.inlined += stats.jobs_inline;
    if (stress_one_in(&work.random, 2)) {
        struct record *record = open_record();
        stress_phase("fa_frame_begin");
        stress_must(fa_frame_begin(work.fa));
        for (uint32_t i = 0; i < 8; i++) use_jobs(w, record, &work.random, 0);
    }
    stress_phase("fa_destroy");
    stress_must(fa_destroy(work.fa));
    check_retired(UINT64_MAX);
    for (uint32_t i = 0; i < DROPPED_MAX; i++) atomic_store(&work.dropped[i], 0); // holds of jobs that ran just now
}

static void run_round(struct stress_run *run)
{
    static const uint32_t workers[] = {0, 1, 1, 2, 2, 3, 4, 8};
    fa_config config = stress_config(run->workers != 0 ? run->workers : workers[stress_below(&work.random, 8)]);
    config.frames_in_flight = stress_one_in(&work.random, 2) ? 1 : stress_between(&work.random, 2, 4);
    config.deque_capacity = 16u << stress_below(&work.random, 9);
    config.search_spin_us = stress_one_in(&work.random, 2) ? 0 : stress_below(&work.random, SPIN_US_MAX);
    uint64_t until = stress_now_ns() + ROUND_NS;
    stress_phase("fa_create");
    stress_must(fa_create(&config, &work.fa));
    work.workers = config.worker_count;
    work.frames_in_flight = config.frames_in_flight;
    work.deque_capacity = config.deque_capacity;
    work.round++;
    work.before = run->operations;
    memset(work.accounts, 0, sizeof work.accounts);
    start_others();
    fa_worker *w = fa_self(work.fa);
    while (stress_now_ns() < until && !stress_time_is_up(run)) {
        run_frame(w);
        pause_between();
    }
    stop_others();
    end_round(w);
}

static void run_rounds(struct stress_run *run)
{
    if (run->planted) stress_spoil_payloads();
    memset(&work, 0, sizeof work);
    work.run = run;
    work.random = stress_stream(run->seed, 0);
    while (!stress_time_is_up(run)) run_round(run);
    stress_figure(run, "rounds", (double)work.round);
    stress_figure(run, "frames", (double)work.frames);
    stress_figure(run, "frames checked", (double)work.checked);
    stress_figure(run, "rallies", (double)work.rallies);
    stress_figure(run, "visits of attached threads", (double)atomic_load(&work.visits));
    stress_figure(run, "pauses", (double)work.pauses);
    stress_figure(run, "jobs run at submit", (double)work.inlined);
    stress_figure(run, "steals", (double)work.steals);
    stress_figure(run, "parks", (double)work.parks);
    stress_figure(run, "waits that parked", (double)work.waits_parked);
}

static void explain(void)
{
    fa_stats stats;
    (void)fprintf(
        stderr,
        "  round %" PRIu64 ", %" PRIu32 " workers, frame %" PRIu64 "; in the last rally %u of %" PRIu32 " arrived\n",
        work.round, work.workers, fa_frame_number(work.fa), atomic_load(&work.rally.arrived), work.rally.expected);
    for (uint32_t i = 0; i < RECORDS; i++) {
        const struct record *record = &work.records[i];
        uint32_t used = atomic_load(&record->used), missing = 0;
        if (record->frame == 0) continue;
        for (uint32_t n = 0; n < used && n < MARKS; n++) missing += atomic_load(&record->marks[n]) == 0;
        (void)fprintf(stderr, "  frame %" PRIu64 ": %" PRIu32 " of %" PRIu32 " jobs have not run\n", record->frame,
                      missing, used);
    }
    if (fa_stats_read(work.fa, &stats) != FA_OK) return;
    (void)fprintf(stderr,
                  "  at the last boundary: %" PRIu64 " jobs, %" PRIu64 " parks, %" PRIu64 " wakes, %" PRIu32
                  " frames alive, %" PRIu32 " holds\n",
                  stats.jobs, stats.parks, stats.wakes, stats.frames_alive, stats.frame_holds);
    for (uint32_t i = 0; i < GUESTS; i++)
        (void)fprintf(stderr, "  attached thread %u is %s\n", i,
                      atomic_load(&work.guests[i].working) ? "working" : "away");
}

int main(int argc, char **argv)
{
    static const struct stress_program program = {
        .name = "stress_jobs",
        .doc = "Submits, forks, waits, loops and holds frames on workers, the main thread and attached threads that "
               "come and go, "
               "with pauses in which workers park. Every job must run exactly once, every wake-up must arrive.",
        .operation = "jobs",
        .run = run_rounds,
        .planted = STRESS_SPOILED,
        .explain = explain,
    };
    return stress_main(argc, argv, &program);
}
