// SPDX-License-Identifier: MIT
//
// freeze: whether anybody can hold up the others. A thread is stopped by a signal at whatever instruction it has come to, and stays stopped
// until every other thread has got on: it cannot hold anything that they wait for. Threads that tick, work in jobs and are attached allocate,
// free each other's objects, submit, steal, publish, read and park meanwhile.
//
// What counts as getting on:
//     attached thread   its own loop; not that it is attached again to a lane which the stopped main lane services at that moment
//     main lane         its own loop: begin, submit, end of overlapping frames
//     workers           together: jobs get done. The frame of a stopped thread's job or hold cannot retire, so that after a few more the
//                       ring is full, which fa_frame_try_begin() answers: no more jobs then. A lane that the main lane services at
//                       the moment it is stopped is held up with it, the others are not (alloc/lane.h, PROXY)
//
// Nothing here is decided by time, but that those who do not get on for a long while are taken to be stuck. A twin with a spin lock around
// one operation (--planted) must be found stuck.
#include <framealloc/framealloc.h>

#include <argp.h>
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GUESTS 2u
#define WORKERS 2u
#define THREADS (1u + WORKERS + GUESTS) // main lane, workers, guests
#define SLOTS 256u
/// Without progress for so long a thread is stuck: far above what a crowded machine makes it wait.
#define STUCK_MS 20000u
/// The planted twin is stuck whenever its lock is held; no need to wait as long.
#define STUCK_PLANTED_MS 400u

static struct {
    fa_system *fa;
    bool planted;
    _Atomic(bool) over;
    _Atomic(uint64_t) jobs_done;
    _Atomic(uint64_t) rings_full; // answers to fa_frame_try_begin()
    _Atomic(void *) slots[SLOTS]; // objects that whoever comes frees
    fa_cell cell;
    fa_scratch scratch;
    atomic_flag lock;
    _Atomic(uint32_t) workers_seen;
    _Atomic(uint32_t) guests; // threads that are or will be attached
} all;

struct victim {
    _Atomic(bool) there;
    pthread_t thread;
    _Atomic(uint64_t) progress; // loops; of workers: unused
    _Atomic(bool) attaches;     // a lane that the main lane services at that moment is waited for
    _Atomic(bool) frozen;       // set in the handler
    _Atomic(bool) thaw;
};

static struct victim victims[THREADS]; // 0 the main lane, then workers, then guests
static _Thread_local struct victim *self;

static void sleep_us(long us)
{
    struct timespec pause = {us / 1000000, us % 1000000 * 1000};
    while (nanosleep(&pause, &pause) != 0 && errno == EINTR) continue;
}

// Being stopped ----------------------------------------------------------------------------------------------------------

static void on_freeze(int signal)
{
    (void)signal;
    int error = errno;
    struct victim *v = self;
    if (v != NULL) {
        atomic_store(&v->frozen, true);
        while (!atomic_load(&v->thaw)) sleep_us(200);
        atomic_store(&v->frozen, false);
    }
    errno = error;
}

/// The calling thread can be stopped from now on.
static void become_victim(struct victim *v)
{
    self = v;
    v->thread = pthread_self();
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL); // workers have all signals blocked
    atomic_store(&v->there, true);
}

// The work ---------------------------------------------------------------------------------------------------------------

static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state; // xorshift64 (Marsaglia 2003)
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *state = x;
}

static void must(fa_status status, const char *what)
{
    if (status == FA_OK) return;
    fprintf(stderr, "freeze: %s: %s\n", what, fa_status_text(status));
    abort();
}

/// An object into a slot, and whatever was there, somebody else's perhaps, goes.
static void trade(fa_worker *w, uint64_t *random)
{
    size_t size = 16 + next_random(random) % 512;
    unsigned char *object = fa_pool_alloc(w, size);
    if (object == NULL) abort();
    object[0] = object[size - 1] = 1;
    fa_pool_free(w, atomic_exchange(&all.slots[next_random(random) % SLOTS], object));
}

static void read_and_publish(fa_worker *w, uint64_t *random)
{
    const uint64_t *version = fa_cell_read(w, &all.cell);
    if (version != NULL && *version != 42) abort();
    if (next_random(random) % 8 != 0) return;
    uint64_t *next = fa_pool_new(w, uint64_t);
    if (next == NULL) abort();
    *next = 42;
    // A stopped reader holds up all that is retired: the backlog must not grow for ever while others wait to be seen.
    fa_stats stats;
    if (fa_stats_read(all.fa, &stats) == FA_OK && stats.backlog > 10000)
        fa_pool_free(w, next);
    else
        must(fa_cell_publish(w, &all.cell, next), "publish");
}

static void planted_lock(void)
{
    while (atomic_flag_test_and_set_explicit(&all.lock, memory_order_acquire)) continue;
    for (int i = 0; i < 2000; i++) atomic_signal_fence(memory_order_seq_cst);
    atomic_flag_clear_explicit(&all.lock, memory_order_release);
}

static void operate(fa_worker *w, uint64_t *random)
{
    if (all.planted) planted_lock();
    for (int i = 0; i < 16; i++) trade(w, random);
    read_and_publish(w, random);
    FA_SCOPE(w);
    if (fa_scope_alloc(w, 64 + next_random(random) % 4096) == NULL) abort();
    (void)fa_scratch_alloc(w, all.scratch, 32, 16); // NULL when it is full
    if (next_random(random) % 64 == 0) must(fa_scratch_reset(w, all.scratch), "reset");
    void *large = fa_heap_alloc(w, 1 + next_random(random) % 200000, 0);
    fa_heap_free(w, large);
}

static void job(fa_worker *w, void *arg)
{
    if (self == NULL) become_victim(&victims[1 + atomic_fetch_add(&all.workers_seen, 1u) % WORKERS]);
    uint64_t random = *(uint64_t *)arg | 1;
    operate(w, &random);
    if (fa_frame_alloc(w, 100) == NULL) abort();
    atomic_fetch_add(&all.jobs_done, 1u);
}

static void submit(fa_worker *w, uint64_t *random)
{
    for (int i = 0; i < 4; i++) {
        uint64_t seed = next_random(random);
        fa_status status = fa_submit_copy(w, NULL, job, &seed, sizeof seed);
        if (status != FA_OK && status != FA_ERROR_STATE) must(status, "submit");
    }
}

static void *guest(void *context)
{
    struct victim *v = context;
    uint64_t random = 77 + (uint64_t)(v - victims);
    fa_worker *w;
    must(fa_attach(all.fa, &w), "attach");
    become_victim(v);
    while (!atomic_load(&all.over)) {
        operate(w, &random);
        fa_frame frame;
        if (fa_frame_hold(w, &frame) == FA_OK) {
            submit(w, &random);
            must(fa_frame_drop(all.fa, frame), "drop");
        }
        must(fa_quiescent(w), "quiescent");
        if (next_random(&random) % 64 == 0) {
            must(fa_detach(w), "detach");
            atomic_store(&v->attaches, true);
            must(fa_attach(all.fa, &w), "attach again");
            atomic_store(&v->attaches, false);
        }
        atomic_fetch_add(&v->progress, 1u);
    }
    must(fa_detach(w), "detach");
    self = NULL;
    atomic_fetch_sub(&all.guests, 1u);
    return NULL;
}

static void ticker(void *context)
{
    uint64_t random = 5;
    fa_config config = fa_config_default();
    config.worker_count = WORKERS;
    config.frames_in_flight = 4;
    config.scratch_bytes = 1 << 16;
    config.search_spin_us = 0; // park as often as possible
    must(fa_create(&config, &all.fa), "create");
    fa_worker *w = fa_self(all.fa);
    must(fa_scratch_create(w, "shared", 0, &all.scratch), "scratch pool");
    become_victim(context);
    while (!atomic_load(&all.over)) {
        if (fa_frame_try_begin(all.fa) == FA_OK) {
            submit(w, &random);
            operate(w, &random);
            must(fa_frame_end(all.fa, NULL), "end");
        } else {
            atomic_fetch_add(&all.rings_full, 1u);
        }
        atomic_fetch_add(&victims[0].progress, 1u);
    }
}

static void clean_up(void)
{
    fa_worker *w = fa_self(all.fa);
    fa_stats stats;
    do { // jobs of overlapping frames still make objects
        must(fa_frame_begin(all.fa), "begin");
        must(fa_frame_end(all.fa, NULL), "end");
        must(fa_stats_read(all.fa, &stats), "statistics");
    } while (stats.frames_alive > 0);
    for (uint32_t i = 0; i < SLOTS; i++) fa_pool_free(w, atomic_exchange(&all.slots[i], NULL));
    must(fa_cell_drop(w, &all.cell), "drop");
    must(fa_destroy(all.fa), "destroy");
}

/// The main lane's thread: its system belongs to it to the end.
static void *main_lane(void *context)
{
    ticker(context);
    self = NULL;
    while (atomic_load(&all.guests) > 0) sleep_us(1000);
    clean_up();
    return NULL;
}

// Stopping ---------------------------------------------------------------------------------------------------------------

struct marks {
    uint64_t progress[THREADS];
    uint64_t jobs, rings_full;
};

static struct marks look(void)
{
    struct marks now = {.jobs = atomic_load(&all.jobs_done), .rings_full = atomic_load(&all.rings_full)};
    for (uint32_t i = 0; i < THREADS; i++) now.progress[i] = atomic_load(&victims[i].progress);
    return now;
}

/// Who has not got on since `before`: THREADS for nobody; 1 stands for the workers, who count together.
static uint32_t who_waits(const struct marks *before, uint32_t frozen)
{
    struct marks now = look();
    // Without the main lane no frame is begun, and jobs end when those that guests could still submit have.
    if (frozen != 0 && now.jobs == before->jobs && now.rings_full <= before->rings_full + 1) return 1;
    if (frozen != 0 && now.progress[0] == before->progress[0]) return 0;
    for (uint32_t i = 1 + WORKERS; i < THREADS; i++) {
        bool may_wait = frozen == 0 && atomic_load(&victims[i].attaches);
        if (i != frozen && !may_wait && now.progress[i] == before->progress[i]) return i;
    }
    return THREADS;
}

static const char *name_of(uint32_t thread)
{
    return thread == 0 ? "the main lane" : thread <= WORKERS ? "workers" : "an attached thread";
}

/// Stops a thread until the others have got on; false when they have not.
static bool stop(uint32_t index, uint32_t stuck_ms)
{
    struct victim *v = &victims[index];
    atomic_store(&v->thaw, false);
    if (pthread_kill(v->thread, SIGUSR1) != 0) abort();
    while (!atomic_load(&v->frozen)) sleep_us(50);
    struct marks before = look();
    uint32_t waits = THREADS;
    for (uint32_t ms = 0; ms < stuck_ms; ms++) {
        waits = who_waits(&before, index);
        if (waits == THREADS) break;
        sleep_us(1000);
    }
    atomic_store(&v->thaw, true);
    while (atomic_load(&v->frozen)) sleep_us(50);
    if (waits == THREADS) return true;
    printf("freeze: %s stopped, and %s did not get on\n", name_of(index), name_of(waits));
    return false;
}

// The program ------------------------------------------------------------------------------------------------------------

struct options {
    uint32_t stops;
    double seconds; // 0: until the stops have been made
    uint64_t seed;
};

static const struct argp_option argp_options[] = {
    {"stops", 'n', "N", 0, "Threads stopped (200)", 0},
    {"seconds", 't', "S", 0, "Instead, as many as fit into that time", 0},
    {"seed", 's', "N", 0, "Seed (1)", 0},
    {"planted", 'p', NULL, 0, "A spin lock around an operation: must be found; ends at the first finding", 0},
    {0},
};

static error_t parse(int key, char *value, struct argp_state *state)
{
    struct options *o = state->input;
    char *end = value;
    if (key == 'p') {
        all.planted = true;
        return 0;
    }
    if (key == 't') {
        o->seconds = strtod(value, &end);
        if (end == value || *end != '\0' || !isfinite(o->seconds) || o->seconds <= 0)
            argp_error(state, "'%s' is no time", value);
        o->stops = UINT32_MAX;
        return 0;
    }
    if (key != 'n' && key != 's') return ARGP_ERR_UNKNOWN;
    uint64_t number = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || (key == 'n' && number > UINT32_MAX))
        argp_error(state, "'%s' is no number", value);
    if (key == 'n') o->stops = (uint32_t)number;
    if (key == 's') o->seed = number;
    return 0;
}

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool goes_on(const struct options *o, uint32_t stops, uint32_t stuck, double begun)
{
    if (all.planted && stuck > 0) return false;
    return stops < o->stops && (o->seconds <= 0 || now_seconds() - begun < o->seconds);
}

static void await_victims(void)
{
    for (uint32_t i = 0; i < THREADS; i++) {
        while (!atomic_load(&victims[i].there)) sleep_us(1000);
    }
}

int main(int argc, char **argv)
{
    struct options o = {.stops = 200, .seed = 1};
    const struct argp argp = {argp_options, parse, NULL, "Whether a stopped thread can hold up the others.",
                              NULL,         NULL,  NULL};
    argp_parse(&argp, argc, argv, 0, NULL, &o);
    struct sigaction action = {.sa_handler = on_freeze, .sa_flags = SA_RESTART};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t threads[1 + GUESTS];
    atomic_store(&all.guests, GUESTS);
    if (pthread_create(&threads[0], NULL, main_lane, &victims[0]) != 0) abort();
    while (!atomic_load(&victims[0].there)) sleep_us(1000);
    for (uint32_t i = 0; i < GUESTS; i++) {
        if (pthread_create(&threads[1 + i], NULL, guest, &victims[1 + WORKERS + i]) != 0) abort();
    }
    await_victims();
    uint64_t random = o.seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
    uint32_t stops = 0, stuck = 0;
    double begun = now_seconds();
    for (; goes_on(&o, stops, stuck, begun); stops++) {
        sleep_us((long)(next_random(&random) % 2000));
        if (!stop((uint32_t)(next_random(&random) >> 32) % THREADS, all.planted ? STUCK_PLANTED_MS : STUCK_MS)) stuck++;
    }
    atomic_store(&all.over, true);
    for (uint32_t i = 1; i <= GUESTS; i++) pthread_join(threads[i], NULL);
    pthread_join(threads[0], NULL);
    if (all.planted)
        printf("freeze: the planted lock was %sfound after %u stops\n", stuck > 0 ? "" : "NOT ", stops);
    else
        printf("freeze: %u stops, seed %llu, %u with somebody stuck, %llu jobs meanwhile\n", stops,
               (unsigned long long)o.seed, stuck, (unsigned long long)atomic_load(&all.jobs_done));
    return (stuck > 0) == all.planted ? 0 : 1;
}
