// SPDX-License-Identifier: MIT
#include "scenarios.h"

#include "concurrent/inbox.h"
#include "concurrent/park.h"

#include <framealloc/framealloc.h>

#include <string.h>

// A small system that reports nothing ------------------------------------------------------------------------------------

static void on_diagnostic(const fa_diagnostic *diagnostic, void *context)
{
    (void)context;
    if (strcmp(diagnostic->code, "FA906") == 0) return; // a second has leapt by while a frame was held
    schedule_fail("%s: %s", diagnostic->code, diagnostic->message);
}

static fa_config small_config(uint32_t workers)
{
    fa_config config = fa_config_minimal();
    config.worker_count = workers;
    config.deque_capacity = 16;
    config.reserve_bytes = UINT64_C(64) << 20;
    config.search_spin_us = schedule_random(2); // park at once, or look about first
    config.checked = schedule_random(2) != 0;
    config.report = on_diagnostic;
    return config;
}

static fa_system *create(const fa_config *config)
{
    fa_system *fa;
    fa_status status = fa_create(config, &fa);
    if (status != FA_OK) schedule_fail("no system: %s", fa_status_text(status));
    return fa;
}

#define GOOD(call) must_be_good((call), #call, __LINE__)
static void must_be_good(fa_status status, const char *call, int line)
{
    if (status != FA_OK) schedule_fail("line %d: %s: %s", line, call, fa_status_text(status));
}

static bool is_reclaimed(const fa_system *fa)
{
    fa_stats stats;
    GOOD(fa_stats_read(fa, &stats));
    return stats.frames_alive == 0 && stats.backlog == 0 && stats.group_objects == 0 && stats.scratch_bytes == 0 &&
           stats.job_memories == 0 && stats.job_memory_bytes == 0;
}

/// Frames until nothing retired is left; they must not be many.
static void reclaim_all(fa_system *fa)
{
    for (int i = 0; i < 200; i++) {
        GOOD(fa_frame_begin(fa));
        GOOD(fa_frame_end(fa, NULL));
        if (is_reclaimed(fa)) return;
        GOOD(fa_idle_begin(fa_self(fa)));
        (void)schedule_sleep(fa, schedule_now_ns() + 5000000);
        GOOD(fa_idle_end(fa_self(fa)));
    }
    schedule_fail("retired versions are not reclaimed");
}

static uint32_t add(uint32_t *sum, uint32_t n)
{
    return __atomic_fetch_add(sum, n, __ATOMIC_RELAXED);
}

// jobs: queued, awaited, forked, run inline; nobody lost, nobody woken for nothing -----------------------------------------

struct tree {
    uint32_t *sum;
    uint32_t depth;
};

static void leaf(fa_worker *w, void *sum)
{
    (void)w;
    (void)add(sum, 1);
}

static void fork_tree(fa_worker *w, void *arg)
{
    const struct tree *t = arg;
    if (t->depth == 0) {
        (void)add(t->sum, 1);
        return;
    }
    struct tree below = {t->sum, t->depth - 1};
    fa_task task;
    GOOD(fa_fork(w, &task, fork_tree, &below));
    fork_tree(w, &below);
    fa_join(w, &task);
}

static void nested(fa_worker *w, void *sum)
{
    fa_counter counter = FA_COUNTER_INIT;
    for (int i = 0; i < 3; i++) GOOD(fa_submit_counted(w, &counter, leaf, sum));
    GOOD(fa_wait(w, &counter));
    SCHEDULE_CHECK(fa_is_done(&counter));
    (void)add(sum, 1);
}

static void range(fa_worker *w, uint64_t first, uint64_t last, void *sum)
{
    (void)w;
    (void)add(sum, (uint32_t)(last - first));
}

static void jobs_scenario(void *context)
{
    (void)context;
    fa_config config = small_config(1 + schedule_random(3));
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    uint32_t sum = 0, expected = 0;
    for (int frame = 0; frame < 3; frame++) {
        GOOD(fa_frame_begin(fa));
        fa_counter counter = FA_COUNTER_INIT;
        uint32_t leaves = schedule_random(24); // more than the deque holds, sometimes
        for (uint32_t i = 0; i < leaves; i++) GOOD(fa_submit_counted(w, &counter, leaf, &sum));
        GOOD(fa_submit(w, nested, &sum));
        const fa_job on_main = {.fn = leaf, .arg = &sum, .flags = FA_JOB_MAIN};
        GOOD(fa_submit_job(w, &on_main));
        struct tree tree = {&sum, 3};
        fork_tree(w, &tree);
        if (schedule_random(2) != 0) GOOD(fa_wait(w, &counter));
        GOOD(fa_parallel_for(w, 0, 40, 4, range, &sum));
        GOOD(fa_frame_end(fa, NULL));
        expected += leaves + 4 + 1 + 8 + 40;
        SCHEDULE_CHECK(__atomic_load_n(&sum, __ATOMIC_RELAXED) == expected);
        if (schedule_random(2) != 0) (void)schedule_sleep(&sum, schedule_now_ns() + 100000); // workers park
    }
    GOOD(fa_destroy(fa));
}

// meetings: jobs that block until another job has run, on another lane because theirs is blocked: a wake-up that is lost, which costs
// others no more than time, is for ever here --------------------------------------------------------------------------------

struct meeting {
    fa_counter counter;
    uint32_t wanted;
    uint32_t arrived;
    uint32_t kind;
    bool taken;
    const fa_worker *main;
};

static void arrive(fa_worker *w, void *arg)
{
    struct meeting *m = arg;
    (void)w;
    (void)add(&m->arrived, 1);
    (void)schedule_wake(m, SCHEDULE_FIBERS_MAX);
}

static void arrive_and_wait(fa_worker *w, void *arg)
{
    struct meeting *m = arg;
    arrive(w, m);
    while (__atomic_load_n(&m->arrived, __ATOMIC_RELAXED) < m->wanted) (void)schedule_sleep(m, SCHEDULE_FOREVER);
}

/// Has another lane run a job, in one of several ways, and blocks until it did.
static void call_and_wait(fa_worker *w, void *arg)
{
    struct meeting *m = arg;
    __atomic_store_n(&m->taken, true, __ATOMIC_RELAXED);
    for (uint32_t n = schedule_random(40); n > 0; n--) schedule_yield(); // the other lane comes to where it sleeps
    switch (w == m->main ? 0 : m->kind) { // the main lane cannot run another's job while it is blocked
        case 0: GOOD(fa_submit(w, arrive, m)); break;
        case 1: GOOD(fa_submit_counted(w, &m->counter, arrive, m)); break;
        default: {
            const fa_job job = {.fn = arrive, .arg = m, .counter = &m->counter, .flags = FA_JOB_MAIN};
            GOOD(fa_submit_job(w, &job));
        }
    }
    while (__atomic_load_n(&m->arrived, __ATOMIC_RELAXED) == 0) (void)schedule_sleep(m, SCHEDULE_FOREVER);
}

static void block_for_job_of_other(fa_system *fa, fa_worker *w)
{
    struct meeting m = {.counter = FA_COUNTER_INIT, .kind = schedule_random(3), .main = w};
    GOOD(fa_submit_counted(w, &m.counter, call_and_wait, &m));
    // Often a worker has taken it before this lane would.
    for (uint32_t n = schedule_random(300); n > 0 && !__atomic_load_n(&m.taken, __ATOMIC_RELAXED); n--)
        schedule_yield();
    // A lane that sleeps in a wait is not woken for what the counter does not count; then another must be there.
    bool may_wait = m.kind != 0 || fa_worker_count(fa) > 1;
    if (schedule_random(2) != 0 && may_wait) GOOD(fa_wait(w, &m.counter));
    GOOD(fa_frame_end(fa, NULL));
    SCHEDULE_CHECK(m.arrived == 1);
}

static void meet(fa_system *fa, fa_worker *w, uint32_t lanes)
{
    struct meeting m = {.wanted = 1 + schedule_random(lanes)};
    for (uint32_t i = 0; i < m.wanted; i++) GOOD(fa_submit(w, arrive_and_wait, &m));
    GOOD(fa_frame_end(fa, NULL));
    SCHEDULE_CHECK(m.arrived == m.wanted);
}

struct step {
    struct meeting *meeting;
    uint32_t number;
};

/// The first blocks until the second has run, the others do nothing.
static void take_step(fa_worker *w, void *arg)
{
    const struct step *step = arg;
    struct meeting *m = step->meeting;
    if (step->number == 1) arrive(w, m);
    while (step->number == 0 && __atomic_load_n(&m->arrived, __ATOMIC_RELAXED) == 0)
        (void)schedule_sleep(m, SCHEDULE_FOREVER);
}

/// A worker that takes several jobs at a time has the second out of sight while it takes them. A lane that goes to sleep in a wait meanwhile must be
/// woken for it: the worker is blocked, and nobody else is there.
static void wait_for_what_was_out_of_sight(fa_system *fa, fa_worker *w)
{
    struct meeting m = {.counter = FA_COUNTER_INIT};
    struct step steps[6];
    for (uint32_t i = 0; i < 6; i++) steps[i] = (struct step){&m, i};
    GOOD(fa_submit_many(w, &m.counter, take_step, steps, sizeof steps[0], 3 + schedule_random(4)));
    (void)schedule_sleep(&m, schedule_now_ns() + schedule_random(8000)); // the worker comes to where it takes them
    GOOD(fa_wait(w, &m.counter));
    GOOD(fa_frame_end(fa, NULL));
    SCHEDULE_CHECK(m.arrived == 1);
}

static void meetings_scenario(void *context)
{
    (void)context;
    uint32_t workers = 1 + schedule_random(3);
    fa_config config = small_config(workers);
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (int frame = 0; frame < 5; frame++) {
        GOOD(fa_frame_begin(fa));
        if (workers == 1 && schedule_random(2) != 0)
            wait_for_what_was_out_of_sight(fa, w);
        else if (schedule_random(2) != 0)
            meet(fa, w, workers + 1);
        else
            block_for_job_of_other(fa, w);
    }
    GOOD(fa_destroy(fa));
}

// remote: objects freed on other lanes, by a thread that never attached, and while their owner sleeps -----------------------

#define OBJECTS 24u

struct remote {
    fa_system *fa;
    uint64_t *objects[OBJECTS];
    uint32_t frees;
};

static void make_object(fa_worker *w, void *arg)
{
    uint64_t **slot = *(uint64_t ***)arg;
    uint64_t *object = fa_pool_alloc(w, 48);
    SCHEDULE_CHECK(object != NULL);
    for (int i = 0; i < 6; i++) object[i] = (uintptr_t)slot;
    __atomic_store_n(slot, object, __ATOMIC_RELEASE);
}

static uint64_t *take_object(uint64_t **slot)
{
    uint64_t *object = __atomic_exchange_n(slot, NULL, __ATOMIC_ACQ_REL);
    for (int i = 0; object != NULL && i < 6; i++) SCHEDULE_CHECK(object[i] == (uintptr_t)slot);
    return object;
}

static void free_object(fa_worker *w, void *arg)
{
    fa_pool_free(w, take_object(*(uint64_t ***)arg));
}

static void foreign_thread(void *context)
{
    struct remote *r = context;
    for (uint32_t i = 0; i < OBJECTS; i += 2) fa_free_any(r->fa, take_object(&r->objects[i]));
}

static uint64_t live_of(const struct remote *r)
{
    uint64_t live = 0;
    for (uint32_t i = 0; i < OBJECTS; i++) live += __atomic_load_n(&r->objects[i], __ATOMIC_RELAXED) != NULL;
    return live;
}

static void remote_scenario(void *context)
{
    (void)context;
    fa_config config = small_config(2);
    struct remote r = {.fa = create(&config)};
    fa_worker *w = fa_self(r.fa);
    for (int frame = 0; frame < 3; frame++) {
        GOOD(fa_frame_begin(r.fa));
        for (uint32_t i = 0; i < OBJECTS; i++) {
            uint64_t **slot = &r.objects[i];
            bool make = __atomic_load_n(slot, __ATOMIC_RELAXED) == NULL;
            GOOD(fa_submit_copy(w, NULL, make ? make_object : free_object, &slot, sizeof(void *)));
        }
        GOOD(fa_frame_end(r.fa, NULL));
        fa_stats stats;
        GOOD(fa_stats_read(r.fa, &stats));
        if (stats.pool_live != live_of(&r))
            schedule_fail("%llu live objects, %llu counted", (unsigned long long)live_of(&r),
                          (unsigned long long)stats.pool_live);
        if (frame != 1) continue;
        uint32_t thread = schedule_spawn(foreign_thread, &r);
        GOOD(fa_frame_begin(r.fa));
        for (uint32_t i = 1; i < OBJECTS; i += 2) {
            uint64_t **slot = &r.objects[i];
            GOOD(fa_submit_copy(w, NULL, free_object, &slot, sizeof(void *)));
        }
        GOOD(fa_frame_end(r.fa, NULL));
        schedule_join(thread);
    }
    for (uint32_t i = 0; i < OBJECTS; i++) fa_pool_free(w, take_object(&r.objects[i]));
    GOOD(fa_destroy(r.fa)); // would report a leak
}

// cells: promotions that race readers --------------------------------------------------------------------------------------

#define CELLS 3u
#define MAGIC UINT64_C(0x7265746169)

struct cells {
    fa_cell cells[CELLS];
    uint32_t reads;
};

static void check_version(const uint64_t *version)
{
    for (int i = 0; version != NULL && i < 6; i++) SCHEDULE_CHECK(version[i] == MAGIC);
}

static void read_cells(fa_worker *w, void *arg)
{
    struct cells *c = arg;
    const uint64_t *versions[CELLS];
    for (uint32_t i = 0; i < CELLS; i++) check_version(versions[i] = fa_cell_read(w, &c->cells[i]));
    // What runs meanwhile on this lane is no quiescent state: the versions stay.
    for (int round = 0; round < 4; round++) {
        fa_counter counter = FA_COUNTER_INIT;
        for (int i = 0; i < 2; i++) GOOD(fa_submit_counted(w, &counter, leaf, &c->reads));
        GOOD(fa_wait(w, &counter));
        for (uint32_t i = 0; i < CELLS; i++) check_version(versions[i]);
        if (schedule_random(4) == 0) (void)schedule_sleep(&versions, schedule_now_ns() + 20000000); // frames go by
    }
}

static void retain_version(fa_worker *w, void *arg)
{
    fa_retain retain = {.to = schedule_random(2) != 0 ? FA_RETAIN_POOL : FA_RETAIN_HEAP, .cell = *(fa_cell **)arg};
    uint64_t *version = fa_frame_retained(w, 48, 16, &retain);
    SCHEDULE_CHECK(version != NULL);
    for (int i = 0; i < 6; i++) version[i] = MAGIC;
}

static void publish_version(fa_worker *w, void *arg)
{
    uint64_t *version = fa_pool_alloc(w, 48);
    SCHEDULE_CHECK(version != NULL);
    for (int i = 0; i < 6; i++) version[i] = MAGIC;
    GOOD(fa_cell_publish(w, *(fa_cell **)arg, version));
}

static void cells_scenario(void *context)
{
    (void)context;
    fa_config config = small_config(2);
    config.frames_in_flight = 1 + schedule_random(6);
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    struct cells c = {0};
    for (int frame = 0; frame < 6; frame++) {
        GOOD(fa_frame_begin(fa));
        for (uint32_t i = 0; i < CELLS; i++) {
            fa_cell *cell = &c.cells[i];
            GOOD(fa_submit(w, read_cells, &c));
            GOOD(fa_submit_copy(w, NULL, schedule_random(2) != 0 ? retain_version : publish_version, &cell,
                                sizeof cell));
        }
        fa_frame_result result;
        GOOD(fa_frame_end(fa, &result));
        SCHEDULE_CHECK(result.failed == 0);
    }
    reclaim_all(fa);
    for (uint32_t i = 0; i < CELLS; i++) GOOD(fa_cell_drop(w, &c.cells[i]));
    reclaim_all(fa);
    GOOD(fa_destroy(fa));
}

// guests: threads attach, work, and leave while the main lane ticks ----------------------------------------------------------

struct guests {
    fa_system *fa;
    fa_cell cell;
    uint64_t *left[2]; // objects that guests leave behind
    uint32_t sum;
    uint32_t number;
};

static void guest_frame(struct guests *g, fa_worker *w)
{
    fa_frame frame;
    if (fa_frame_hold(w, &frame) != FA_OK) return; // none is open
    uint32_t before = 1;
    GOOD(fa_submit(w, leaf, &g->sum));
    uint64_t *memory = fa_frame_alloc(w, 64);
    SCHEDULE_CHECK(memory != NULL);
    memset(memory, 0x55, 64);
    fa_counter counter = FA_COUNTER_INIT;
    GOOD(fa_submit_counted(w, &counter, leaf, &g->sum));
    GOOD(fa_wait(w, &counter));
    for (int i = 0; i < 8; i++) SCHEDULE_CHECK(memory[i] == UINT64_C(0x5555555555555555));
    GOOD(fa_frame_drop(g->fa, frame));
    (void)before;
}

static void guest(void *context)
{
    struct guests *g = context;
    uint32_t number = add(&g->number, 1);
    for (int round = 0; round < 2; round++) {
        fa_worker *w;
        GOOD(fa_attach(g->fa, &w));
        uint64_t *object = fa_pool_alloc(w, 48);
        SCHEDULE_CHECK(object != NULL);
        for (int i = 0; i < 6; i++) object[i] = MAGIC;
        check_version(fa_cell_read(w, &g->cell));
        GOOD(fa_quiescent(w));
        guest_frame(g, w);
        if (round == 0) {
            GOOD(fa_idle_begin(w));
            (void)schedule_sleep(&object, schedule_now_ns() + 10000);
            GOOD(fa_idle_end(w));
            fa_pool_free(w, object);
        } else {
            __atomic_store_n(&g->left[number], object, __ATOMIC_RELEASE);
        }
        GOOD(fa_detach(w));
    }
}

static void publish_to_guests(fa_worker *w, void *arg)
{
    struct guests *g = arg;
    fa_cell *cell = &g->cell;
    publish_version(w, &cell);
    for (int i = 0; i < 2; i++) fa_pool_free(w, __atomic_exchange_n(&g->left[i], NULL, __ATOMIC_ACQ_REL));
}

static void guests_scenario(void *context)
{
    (void)context;
    fa_config config = small_config(1 + schedule_random(2));
    config.frames_in_flight = 1 + schedule_random(3);
    struct guests g = {.fa = create(&config)};
    fa_worker *w = fa_self(g.fa);
    uint32_t threads[2];
    for (int i = 0; i < 2; i++) threads[i] = schedule_spawn(guest, &g);
    fa_counter published = FA_COUNTER_INIT;
    for (int frame = 0; frame < 4; frame++) {
        GOOD(fa_frame_begin(g.fa));
        GOOD(fa_submit_counted(w, &published, publish_to_guests, &g));
        GOOD(fa_frame_end(g.fa, NULL));
    }
    GOOD(fa_wait(w, &published)); // overlapping frames may have been ended before their jobs
    GOOD(fa_idle_begin(w));
    for (int i = 0; i < 2; i++) schedule_join(threads[i]);
    GOOD(fa_idle_end(w));
    GOOD(fa_cell_drop(w, &g.cell));
    for (int i = 0; i < 2; i++) fa_pool_free(w, g.left[i]);
    reclaim_all(g.fa);
    GOOD(fa_destroy(g.fa));
}

// flight: frames overlap, are held and dropped elsewhere ----------------------------------------------------------------------

enum { SLOT_FREE, SLOT_BUSY, SLOT_HELD };

struct flight {
    fa_system *fa;
    uint32_t state[3];
    fa_frame held[3];
    uint64_t *memory[3];
    uint32_t taken;
};

static bool slot_goes(struct flight *f, uint32_t i, uint32_t from)
{
    return __atomic_compare_exchange_n(&f->state[i], &from, SLOT_BUSY, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void hold_frame(fa_worker *w, void *arg)
{
    struct flight *f = arg;
    uint32_t i = add(&f->taken, 1) % 3;
    if (!slot_goes(f, i, SLOT_FREE)) return;
    f->memory[i] = fa_frame_alloc(w, 64);
    SCHEDULE_CHECK(f->memory[i] != NULL);
    for (int k = 0; k < 8; k++) f->memory[i][k] = MAGIC;
    GOOD(fa_frame_hold(w, &f->held[i]));
    __atomic_store_n(&f->state[i], SLOT_HELD, __ATOMIC_RELEASE);
}

static void drop_frames(struct flight *f)
{
    for (uint32_t i = 0; i < 3; i++) {
        if (!slot_goes(f, i, SLOT_HELD)) continue;
        for (int k = 0; k < 8; k++) SCHEDULE_CHECK(f->memory[i][k] == MAGIC);
        GOOD(fa_frame_drop(f->fa, f->held[i]));
        __atomic_store_n(&f->state[i], SLOT_FREE, __ATOMIC_RELEASE);
    }
}

static void dropper(void *context)
{
    struct flight *f = context;
    for (int i = 0; i < 6; i++) {
        drop_frames(f);
        (void)schedule_sleep(&f->held, schedule_now_ns() + 2000);
    }
}

static void flight_scenario(void *context)
{
    (void)context;
    fa_config config = small_config(2);
    config.frames_in_flight = 4;
    struct flight f = {.fa = create(&config)};
    fa_worker *w = fa_self(f.fa);
    uint32_t thread = schedule_spawn(dropper, &f);
    for (int frame = 0; frame < 6; frame++) {
        if (fa_frame_try_begin(f.fa) != FA_OK) { // full: somebody must drop
            (void)schedule_sleep(&f, schedule_now_ns() + 4000);
            drop_frames(&f);
            continue;
        }
        GOOD(fa_submit(w, hold_frame, &f));
        for (int i = 0; i < 3; i++) GOOD(fa_submit(w, leaf, &f.taken));
        GOOD(fa_frame_end(f.fa, NULL));
    }
    schedule_join(thread);
    for (int i = 0; i < 8; i++) { // jobs of the last frames may still hold theirs
        drop_frames(&f);
        if (fa_frame_try_begin(f.fa) == FA_OK) GOOD(fa_frame_end(f.fa, NULL));
        (void)schedule_sleep(&f, schedule_now_ns() + 4000);
    }
    drop_frames(&f);
    GOOD(fa_destroy(f.fa));
}

// streams: a loader, readers and an evictor -----------------------------------------------------------------------------------

#define STREAM_BYTES 4096u

struct streams {
    fa_stream streams[3];
    uint32_t loads;
};

static void load_stream(fa_worker *w, void *arg)
{
    fa_stream stream = *(fa_stream *)arg;
    void *memory;
    if (fa_stream_load_begin(w, stream, &memory) != FA_OK) return;
    memset(memory, 0x5a, STREAM_BYTES);
    if (fa_stream_progress(w, stream, STREAM_BYTES) != FA_OK) return;
    (void)fa_stream_load_end(w, stream);
}

static void check_stream(const unsigned char *data)
{
    if (data == NULL) return;
    for (uint32_t i = 0; i < STREAM_BYTES; i += 61) SCHEDULE_CHECK(data[i] == 0x5a);
}

static void read_stream(fa_worker *w, void *arg)
{
    fa_stream stream = *(fa_stream *)arg;
    const unsigned char *data = fa_stream_read(w, stream, NULL);
    check_stream(data);
    const void *pinned;
    if (fa_stream_pin(w, stream, &pinned, NULL) == FA_OK) {
        check_stream(pinned);
        schedule_point();
        check_stream(pinned);
        GOOD(fa_stream_unpin(w, stream));
    }
    check_stream(data); // until the job ends, evicted or not
}

static void reserve_stream(fa_worker *w, void *arg)
{
    fa_stream *slot = *(fa_stream **)arg;
    fa_stream stream;
    fa_status status = fa_stream_reserve(w, STREAM_BYTES, FA_STREAM_HIGH, NULL, &stream);
    if (status != FA_OK) {
        SCHEDULE_CHECK(status == FA_ERROR_FULL || status == FA_ERROR_BUSY);
        return;
    }
    load_stream(w, &stream);
    read_stream(w, &stream);
    (void)slot;
    GOOD(fa_stream_free(w, stream));
}

static void no_room_is_fine(const fa_diagnostic *diagnostic, void *context)
{
    if (strcmp(diagnostic->code, "FA402") != 0) on_diagnostic(diagnostic, context);
}

static void streams_scenario(void *context)
{
    (void)context;
    fa_config config = small_config(2);
    config.stream_bytes_max = 3 * STREAM_BYTES;
    config.streams_max = 16;
    config.report = no_room_is_fine;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    struct streams s = {0};
    for (int frame = 0; frame < 3; frame++) {
        GOOD(fa_frame_begin(fa));
        for (uint32_t i = 0; i < 3; i++) {
            if (fa_stream_state_of(fa, s.streams[i]) == FA_STREAM_NONE)
                (void)!fa_stream_reserve(w, STREAM_BYTES, FA_STREAM_LOW, NULL, &s.streams[i]);
            GOOD(fa_submit_copy(w, NULL, load_stream, &s.streams[i], sizeof s.streams[i]));
            GOOD(fa_submit_copy(w, NULL, read_stream, &s.streams[i], sizeof s.streams[i]));
        }
        fa_stream *slot = &s.streams[0];
        GOOD(fa_submit_copy(w, NULL, reserve_stream, &slot, sizeof slot));
        GOOD(fa_frame_end(fa, NULL));
        fa_stream_stats stats;
        GOOD(fa_stream_stats_read(fa, &stats));
        SCHEDULE_CHECK(stats.reserved_bytes <= stats.budget && stats.reserved_peak <= stats.budget);
    }
    for (uint32_t i = 0; i < 3; i++) (void)fa_stream_free(w, s.streams[i]);
    fa_stream_stats stats;
    GOOD(fa_stream_stats_read(fa, &stats));
    SCHEDULE_CHECK(stats.reserved_bytes == 0 && stats.streams == 0);
    GOOD(fa_destroy(fa));
}

// handles: resolved, pinned and freed while they are compacted ------------------------------------------------------------------

#define HANDLES 20u

struct handles {
    fa_handle handles[HANDLES];
};

static void use_handle(fa_worker *w, void *arg)
{
    fa_handle handle = *(fa_handle *)arg;
    check_version(fa_handle_peek(w, handle));
    uint64_t *object = fa_handle_pin(w, handle);
    if (object == NULL) return;
    check_version(object);
    SCHEDULE_CHECK(fa_handle_peek(w, handle) == object);
    object[6] += 1; // a write under a pin is not lost
    GOOD(fa_handle_unpin(w, handle));
}

static fa_handle make_handle(fa_worker *w)
{
    fa_handle handle = fa_handle_alloc(w, 8000, 16, NULL); // eight fit in a block of 64 KiB
    uint64_t *object = fa_handle_peek(w, handle);
    if (object == NULL) schedule_fail("no handle");
    for (int i = 0; i < 6; i++) object[i] = MAGIC;
    object[6] = 0;
    return handle;
}

static void handles_scenario(void *context)
{
    (void)context;
    fa_config config = small_config(2);
    config.handles_max = 64;
    config.frames_in_flight = 3; // so that jobs run beside the compaction, which comes between frames
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    struct handles h = {0};
    fa_counter used = FA_COUNTER_INIT;
    uint64_t uses[HANDLES] = {0};
    for (uint32_t frame = 0; frame < 3; frame++) {
        for (uint32_t i = 0; i < HANDLES; i++) {
            if (!fa_handle_is_none(h.handles[i])) continue;
            h.handles[i] = make_handle(w);
            uses[i] = 0;
        }
        for (uint32_t i = 0; i < HANDLES; i++) { // few are left in each block
            if (i % 3 == frame) continue;
            GOOD(fa_handle_free(w, h.handles[i]));
            SCHEDULE_CHECK(fa_handle_peek(w, h.handles[i]) == NULL);
            h.handles[i] = (fa_handle){0, 0};
        }
        GOOD(fa_frame_begin(fa));
        for (uint32_t i = frame; i < HANDLES; i += 3) {
            for (int k = 0; k < 2; k++) GOOD(fa_submit_copy(w, &used, use_handle, &h.handles[i], sizeof h.handles[i]));
            uses[i] += 2;
        }
        GOOD(fa_frame_end(fa, NULL));
        fa_handle_compaction done;
        GOOD(fa_handles_compact(fa, 1 << 20, 64, &done));
        GOOD(fa_wait(w, &used));
        for (uint32_t i = frame; i < HANDLES; i += 3) {
            const uint64_t *object = fa_handle_peek(w, h.handles[i]);
            SCHEDULE_CHECK(object != NULL && object[6] == uses[i]);
        }
    }
    for (uint32_t i = 0; i < HANDLES; i++) {
        if (!fa_handle_is_none(h.handles[i])) GOOD(fa_handle_free(w, h.handles[i]));
    }
    GOOD(fa_destroy(fa));
}

// arenas: groups and scratch pools, ended while others allocate -------------------------------------------------------------------

struct arenas {
    fa_group group;
    fa_scratch pool;
    uint32_t cleaned;
    uint32_t made;
};

static void cleanup(fa_worker *w, void *object, void *context)
{
    (void)w;
    check_version(object);
    (void)add(context, 1);
}

static void fill(uint64_t *object)
{
    for (int i = 0; object != NULL && i < 6; i++) object[i] = MAGIC;
}

static void allocate_in_arenas(fa_worker *w, void *arg)
{
    struct arenas *a = arg;
    uint64_t *objects[3];
    for (int i = 0; i < 3; i++) {
        fill(objects[i] = fa_scratch_alloc(w, a->pool, 48, 16));
        uint64_t *object = fa_frame_alloc(w, 48); // cleanups look at it after the group's memory may have gone
        SCHEDULE_CHECK(object != NULL);
        fill(object);
        if (fa_group_exists(w, a->group) && fa_group_alloc(w, a->group, 48, 16) != NULL) (void)add(&a->made, 1);
    }
    for (int i = 0; i < 3; i++) check_version(objects[i]); // valid until the job ends, reset or not
}

static void end_arenas(fa_worker *w, void *arg)
{
    struct arenas *a = arg;
    GOOD(fa_scratch_reset(w, a->pool));
    GOOD(fa_group_free(w, a->group));
}

static void gone_is_fine(const fa_diagnostic *diagnostic, void *context)
{
    if (strcmp(diagnostic->code, "FA201") != 0) on_diagnostic(diagnostic, context); // of a group that was freed
}

static void arenas_scenario(void *context)
{
    (void)context;
    fa_config config = small_config(2);
    config.report = gone_is_fine;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    struct arenas a = {0};
    GOOD(fa_scratch_create(w, "pool", 64 << 10, &a.pool));
    for (int frame = 0; frame < 3; frame++) {
        uint32_t before = a.cleaned;
        GOOD(fa_group_create(w, "group", &a.group));
        for (int i = 0; i < 3; i++) {
            uint64_t *object = fa_group_alloc_cleaned(w, a.group, 48, 16, cleanup, &a.cleaned);
            SCHEDULE_CHECK(object != NULL);
            fill(object);
        }
        GOOD(fa_frame_begin(fa));
        for (int i = 0; i < 3; i++) GOOD(fa_submit(w, allocate_in_arenas, &a));
        GOOD(fa_submit(w, end_arenas, &a));
        GOOD(fa_frame_end(fa, NULL));
        SCHEDULE_CHECK(a.cleaned == before + 3);
    }
    GOOD(fa_scratch_remove(w, a.pool));
    reclaim_all(fa);
    GOOD(fa_destroy(fa));
}

// memory: children of a job use its memory on other lanes after it has returned; the last of them sends it home ------------------------

#define CHILDREN 3u

struct heir {
    uint64_t *words; // of the owner's memory, one a child
    fa_job_memory memory;
    uint32_t index;
    uint32_t depth;
};

/// Allocates from the memory and looks at its word again and again: what is released is filled, or somebody else's.
static void use_memory(fa_worker *w, void *arg)
{
    struct heir heir = *(struct heir *)arg; // the copy lies in a record
    uint64_t *word = &heir.words[heir.index];
    SCHEDULE_CHECK(*word == heir.memory.id);
    uint64_t *object = fa_job_memory_alloc(w, heir.memory, 48, 16);
    SCHEDULE_CHECK(object != NULL);
    fill(object);
    if (heir.depth > 0) {
        struct heir below = heir;
        below.depth--;
        if (schedule_random(2) != 0) { // memory of its own in between
            fill(object = fa_job_alloc(w, 48, 16));
            SCHEDULE_CHECK(fa_job_memory_current(w).id != heir.memory.id);
        }
        fa_counter counter = FA_COUNTER_INIT;
        bool wait = schedule_random(2) != 0;
        GOOD(fa_submit_copy(w, wait ? &counter : NULL, use_memory, &below, sizeof below));
        if (wait) GOOD(fa_wait(w, &counter));
    }
    check_version(object);
    SCHEDULE_CHECK(*word == heir.memory.id);
}

static void use_range(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    struct heir heir = *(struct heir *)arg;
    for (uint64_t i = first; i < last; i++) use_memory(w, &heir);
}

static void begin_memory(fa_worker *w, void *sum)
{
    struct heir heir = {.words = fa_job_array(w, uint64_t, CHILDREN), .memory = fa_job_memory_current(w), .depth = 1};
    SCHEDULE_CHECK(heir.words != NULL);
    for (uint32_t i = 0; i < CHILDREN; i++) heir.words[i] = heir.memory.id;
    fa_task task;
    struct heir forked = heir;
    bool fork = schedule_random(2) != 0;
    if (fork) GOOD(fa_fork(w, &task, use_memory, &forked));
    for (; heir.index < CHILDREN; heir.index++) {
        const fa_job job = {.fn = use_memory, .arg = &heir, .arg_size = sizeof heir, .flags = FA_JOB_MAIN};
        if (schedule_random(4) == 0)
            GOOD(fa_submit_job(w, &job));
        else
            GOOD(fa_submit_copy(w, NULL, use_memory, &heir, sizeof heir));
    }
    if (fork) fa_join(w, &task);
    if (schedule_random(4) == 0) GOOD(fa_parallel_for(w, 0, 4, 1, use_range, &forked));
    (void)add(sum, 1);
}

static void memory_scenario(void *context)
{
    (void)context;
    fa_config config = small_config(schedule_random(4));
    config.frames_in_flight = 1 + schedule_random(3);
    fa_system *fa = create(&config);
    uint32_t sum = 0;
    for (int frame = 0; frame < 3; frame++) {
        GOOD(fa_frame_begin(fa));
        for (int i = 0; i < 2; i++) GOOD(fa_submit(fa_self(fa), begin_memory, &sum));
        GOOD(fa_frame_end(fa, NULL));
    }
    if (schedule_random(4) != 0) {
        reclaim_all(fa);
        SCHEDULE_CHECK(sum == 6);
    }
    GOOD(fa_destroy(fa));
    SCHEDULE_CHECK(sum == 6);
}

// budgets: of lanes, lowered and raised while the lanes allocate and free each other's objects ----------------------------------------

#define SLOTS 8u
#define SHARE 12u // objects that a lane may have in the end

struct budgets {
    fa_system *fa;
    uint64_t *slots[SLOTS];
    uint32_t quiet;
};

static void refused_is_fine(const fa_diagnostic *diagnostic, void *context)
{
    if (strcmp(diagnostic->code, "FA304") != 0 && strcmp(diagnostic->code, "FA305") != 0)
        on_diagnostic(diagnostic, context);
}

static void exchange_object(fa_worker *w, void *arg)
{
    uint64_t **slot = *(uint64_t ***)arg;
    uint64_t *objects[2] = {fa_pool_alloc(w, 512), fa_heap_alloc(w, 512, 0)}, *in_frame = fa_frame_alloc(w, 48);
    fill(objects[0]);
    fill(objects[1]);
    fill(in_frame);
    objects[0] = __atomic_exchange_n(slot, objects[0], __ATOMIC_ACQ_REL);
    for (int i = 0; i < 2; i++)
        if (objects[i] != NULL) check_version(objects[i]);
    fa_pool_free(w, objects[0]); // another lane's, mostly
    fa_heap_free(w, objects[1]);
    if (in_frame != NULL) check_version(in_frame);
}

static void set_budgets(fa_system *fa, uint64_t objects, uint64_t frame)
{
    for (uint32_t lane = 0; lane <= fa_worker_count(fa); lane++) {
        GOOD(fa_lane_budget_set(fa, lane, FA_LANE_USE_OBJECTS, objects / 2, objects));
        GOOD(fa_lane_budget_set(fa, lane, FA_LANE_USE_FRAME, frame / 2, frame));
    }
}

static void budget_setter(void *context)
{
    struct budgets *b = context;
    for (int i = 0; i < 6; i++) set_budgets(b->fa, schedule_random(4) * 512, schedule_random(4) * 48);
}

/// Everything is home: exactly what the budget says can be had, on whatever lane.
static void use_share(fa_worker *w, void *arg)
{
    struct budgets *b = arg;
    uint64_t *objects[SHARE + 1];
    uint32_t count = 0;
    SCHEDULE_CHECK(fa_heap_alloc(w, SHARE * 512 + 1, 0) == NULL); // and magazines, filled before, are empty
    while (count <= SHARE && (objects[count] = fa_pool_alloc(w, 512)) != NULL) count++;
    SCHEDULE_CHECK(count == SHARE);
    while (count-- > 0) fa_pool_free(w, objects[count]);
    uint32_t frames = 0;
    while (frames <= SHARE && fa_frame_alloc(w, 48) != NULL) frames++;
    SCHEDULE_CHECK(frames <= SHARE); // jobs of this lane before have used some
    (void)add(&b->quiet, 1);
}

static bool is_home(const struct budgets *b)
{
    fa_stats stats;
    GOOD(fa_stats_read(b->fa, &stats));
    return stats.pool_live == 0 && stats.heap_live == 0 && stats.frames_alive == 0;
}

static void budgets_scenario(void *context)
{
    (void)context;
    fa_config config = small_config(schedule_random(4));
    config.report = refused_is_fine;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    struct budgets b = {.fa = fa};
    uint32_t setter = schedule_spawn(budget_setter, &b);
    for (int frame = 0; frame < 3; frame++) {
        GOOD(fa_frame_begin(fa));
        for (uint32_t i = 0; i < 2 * SLOTS; i++) {
            uint64_t **slot = &b.slots[i % SLOTS];
            GOOD(fa_submit_copy(w, NULL, exchange_object, &slot, sizeof slot));
        }
        GOOD(fa_frame_end(fa, NULL));
    }
    schedule_join(setter);
    set_budgets(fa, 0, 0);
    for (uint32_t i = 0; i < SLOTS; i++) fa_pool_free(w, b.slots[i]);
    for (int i = 0; i < 200 && !is_home(&b); i++) {
        GOOD(fa_frame_begin(fa));
        GOOD(fa_frame_end(fa, NULL));
    }
    SCHEDULE_CHECK(is_home(&b));
    set_budgets(fa, SHARE * 512, SHARE * 48);
    GOOD(fa_frame_begin(fa));
    for (int i = 0; i < 4; i++) GOOD(fa_submit(w, use_share, &b));
    GOOD(fa_frame_end(fa, NULL));
    SCHEDULE_CHECK(b.quiet == 4);
    GOOD(fa_destroy(fa));
}

// tickets: an object changes hands exactly once ------------------------------------------------------------------------------------

struct tickets {
    fa_transfer tickets[4];
    uint32_t received;
};

static void receive(fa_worker *w, void *arg)
{
    struct tickets *t = arg;
    for (int i = 0; i < 4; i++) {
        void *object;
        if (fa_transfer_receive(w, t->tickets[i], &object) != FA_OK) continue;
        check_version(object);
        fa_pool_free(w, object);
        (void)add(&t->received, 1);
    }
}

static void tickets_scenario(void *context)
{
    (void)context;
    fa_config config = small_config(2);
    config.transfers_max = 4;
    config.report = gone_is_fine;
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    for (uint32_t frame = 0; frame < 3; frame++) {
        struct tickets t = {0};
        GOOD(fa_frame_begin(fa));
        for (int i = 0; i < 4; i++) {
            uint64_t *object = fa_pool_alloc(w, 48);
            SCHEDULE_CHECK(object != NULL);
            fill(object);
            GOOD(fa_transfer_send(w, object, &t.tickets[i]));
        }
        for (int i = 0; i < 3; i++) GOOD(fa_submit(w, receive, &t));
        GOOD(fa_frame_end(fa, NULL));
        SCHEDULE_CHECK(t.received == 4);
    }
    GOOD(fa_destroy(fa));
}

// shutdown: with a frame open, work queued, and versions not yet reclaimed -----------------------------------------------------------

static void left_is_fine(const fa_diagnostic *diagnostic, void *context)
{
    if (strcmp(diagnostic->code, "FA910") != 0) on_diagnostic(diagnostic, context); // the version in the cell
}

static void shutdown_scenario(void *context)
{
    (void)context;
    fa_config config = small_config(schedule_random(4));
    config.report = left_is_fine;
    config.frames_in_flight = 1 + schedule_random(3);
    fa_system *fa = create(&config);
    fa_worker *w = fa_self(fa);
    uint32_t sum = 0;
    fa_cell cell = {0}, *place = &cell;
    uint32_t frames = schedule_random(3);
    for (uint32_t frame = 0; frame <= frames; frame++) {
        GOOD(fa_frame_begin(fa));
        for (int i = 0; i < 5; i++) GOOD(fa_submit(w, nested, &sum));
        GOOD(fa_submit_copy(w, NULL, publish_version, &place, sizeof place));
        if (frame < frames) GOOD(fa_frame_end(fa, NULL));
    }
    if (schedule_random(2) != 0) GOOD(fa_frame_end(fa, NULL));
    if (schedule_random(2) != 0) GOOD(fa_cell_drop(w, &cell));
    fa_status status = fa_destroy(fa);
    SCHEDULE_CHECK(status == FA_OK);
    SCHEDULE_CHECK(sum == (frames + 1) * 5 * 4);
}

// Planted bugs: what every one of these ways must find ---------------------------------------------------------------------------

struct planted {
    fai_parker parker;
    uint32_t idle;
    uint32_t work;
};

/// Sleeps without a second look between "I announce" and "I sleep".
static void careless_sleeper(void *context)
{
    struct planted *p = context;
    for (int done = 0; done < 2;) {
        uint32_t got = __atomic_exchange_n(&p->work, 0, __ATOMIC_ACQ_REL);
        done += (int)got;
        if (got > 0) continue;
        __atomic_store_n(&p->idle, 1, __ATOMIC_SEQ_CST);
        fai_park_owner(&p->parker);
    }
}

static void lost_wakeup_scenario(void *context)
{
    (void)context;
    struct planted p = {0};
    uint32_t sleeper = schedule_spawn(careless_sleeper, &p);
    for (int i = 0; i < 2; i++) {
        (void)__atomic_fetch_add(&p.work, 1, __ATOMIC_ACQ_REL);
        if (__atomic_exchange_n(&p.idle, 0, __ATOMIC_SEQ_CST) != 0) (void)fai_wake_any(&p.parker);
    }
    schedule_join(sleeper);
}

struct popped {
    ck_stack_t stack;
    ck_stack_entry_t entries[3];
    uint32_t owners[3];
};

static void popper(void *context)
{
    struct popped *p = context;
    for (int i = 0; i < 3; i++) {
        ck_stack_entry_t *entries[2];
        for (int k = 0; k < 2; k++) {
            entries[k] = ck_stack_pop_upmc(&p->stack);
            if (entries[k] != NULL && __atomic_fetch_add(&p->owners[entries[k] - p->entries], 1, __ATOMIC_RELAXED) != 0)
                schedule_fail("an entry was popped twice");
        }
        for (int k = 0; k < 2; k++) {
            if (entries[k] == NULL) continue;
            (void)__atomic_fetch_sub(&p->owners[entries[k] - p->entries], 1, __ATOMIC_RELAXED);
            ck_stack_push_upmc(&p->stack, entries[k]);
        }
    }
}

/// Several poppers of a stack whose entries come back: the ABA problem.
static void aba_scenario(void *context)
{
    (void)context;
    struct popped p = {0};
    ck_stack_init(&p.stack);
    for (int i = 0; i < 3; i++) ck_stack_push_upmc(&p.stack, &p.entries[i]);
    uint32_t threads[2];
    for (int i = 0; i < 2; i++) threads[i] = schedule_spawn(popper, &p);
    for (int i = 0; i < 2; i++) schedule_join(threads[i]);
}

const scenario scenarios[] = {
    {"jobs", "queued, awaited, forked, on the main lane, inline, in loops; workers park between", jobs_scenario, false},
    {"meetings", "jobs that block until another lane has run another", meetings_scenario, false},
    {"remote", "objects freed on other lanes, by an unattached thread, while the owner sleeps", remote_scenario, false},
    {"cells", "promotions and publications that race readers, which wait meanwhile", cells_scenario, false},
    {"guests", "threads attach, allocate, hold frames, submit and leave while the main lane ticks", guests_scenario,
     false},
    {"flight", "frames overlap, are held by jobs and dropped by another thread", flight_scenario, false},
    {"streams", "loaders, readers, pins and evictors of one budget", streams_scenario, false},
    {"handles", "resolved, pinned and written while the main lane compacts", handles_scenario, false},
    {"arenas", "groups and scratch pools ended while others allocate from them", arenas_scenario, false},
    {"memory", "of jobs, used by their children on other lanes, gone with the last", memory_scenario, false},
    {"budgets", "of lanes, set while the lanes allocate and free each other's objects", budgets_scenario, false},
    {"tickets", "three receivers, four tickets", tickets_scenario, false},
    {"shutdown", "destroyed with frames open, work queued, versions retired", shutdown_scenario, false},
    {"lost-wakeup", "planted: no look between announcing sleep and sleeping", lost_wakeup_scenario, true},
    {"aba", "planted: several poppers of a stack whose entries come back", aba_scenario, true},
    {0},
};
