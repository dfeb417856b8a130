// SPDX-License-Identifier: MIT
//
// The remote-free storm: whoever frees an object is as a rule not who allocated it. Objects travel in batches:
//
//     main lane      plans each frame: which batches are filled, who frees which
//     jobs           fill batches; free those that are due; hand some over within the frame
//     owner          an attached thread: fills many batches at once, then idles while others free them
//     churners       attached threads: come, fill, free, idle, and leave with objects alive
//     foreigner      a thread that is never attached and only frees (fa_free_any)
//
// Every object holds a payload that follows from its batch's serial number; who frees it checks all of it first.
//
// Every CYCLE frames the threads pause for QUIET frames while jobs go on: at each of those boundaries the statistics must
// equal the program's own accounts, to the object and to the byte. At every boundary the library may hold
//
//     live * 1.2 + what the frame freed + 2 blocks for each lane that took part
//
// where both terms are the most so far: memory that was needed is kept for a while, so that ticks have no page faults. How
// far it comes down is measured at low tide, when little is live for TIDE_FRAMES, and checked at the end, when nothing is:
// then so much must be given back as to be within the bound for live = 0. RSS may exceed the bound by the descriptors and
// rings that statistics leave out.
#include "stress.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define OBJECTS 64 // in a batch
#define BATCHES 8192
#define LIFE_MAX 16  // frames
#define DUE_SLOTS 32 // a power of two above LIFE_MAX
#define SMALL_TYPES 8
#define MIDDLE_TYPES 4
#define LARGE_TYPES 3
#define CYCLE 16
#define QUIET 5 // the last of each cycle
#define FILLED_AT_HIGH_TIDE 24
#define FILLED_AT_LOW_TIDE 4
#define TIDE_FRAMES 4096
#define SURGE_BATCHES 256 // of the owner
#define SURGE_FRAMES 256  // at least, from one to the next
#define CHURNERS 2
#define QUEUED_MAX 64 // batches that may lie before a thread
#define BLOCK_BYTES (2 * STRESS_MIB)
#define EMPTY_FRAMES_MAX 6000            // to give the memory back
#define RSS_EVERY 16                     // boundaries
#define RING_BYTES (UINT64_C(768) << 10) // a lane's deque, stack and descriptors, not in fa_stats
#define CLASS_MAX FA_CLASS_SIZE_MAX

// Objects ------------------------------------------------------------------------------------------------------------------

enum profile { SMALL, MIXED, LARGE, PROFILES };
enum route { KEEP, SAME_FRAME, TO_FOREIGNER, TO_CHURNER };
enum order { FILL, FREE };

struct amounts {
    uint64_t pool, heap, pool_bytes, heap_bytes;
};

struct batch {
    struct batch *next; // on a stack or list
    uint64_t serial;
    enum profile profile;
    enum order order; // for a thread
    enum route route; // what a job does with it when it is full
    uint32_t life;    // frames that it stays
    uint32_t lane;    // that allocated it
    uint32_t count;   // objects; 0: empty
    struct amounts live;
    uint64_t asked; // bytes
    void *objects[OBJECTS];
};

/// Batches in the hands of several threads: pushed one by one, taken all at once, so that there is no ABA.
struct stack {
    _Alignas(STRESS_LINE) _Atomic(struct batch *) top;
};

/// What one lane, or the foreigner, has done. Written by it alone.
struct account {
    _Alignas(STRESS_LINE) atomic_uint_fast64_t pool_made, heap_made, pool_freed, heap_freed;
    atomic_uint_fast64_t pool_bytes_made, heap_bytes_made, pool_bytes_freed, heap_bytes_freed;
    atomic_uint_fast64_t remote, took_part;
};

enum actor_kind { OWNER, CHURNER, FOREIGNER };
#define ACTORS (1 + CHURNERS + 1)
#define FOREIGN_ACCOUNT STRESS_LANES_MAX

struct actor {
    struct stack inbox;
    atomic_uint queued;  // batches in it, roughly
    atomic_uint working; // 0: it uses the library in no way
    // immutable
    enum actor_kind kind;
    pthread_t thread;
    struct stress_random random;
    // owner: its thread
    fa_worker *worker; // NULL: not attached
};

static struct {
    // immutable during the run
    struct stress_run *run;
    fa_system *fa;
    struct batch *batches;
    struct {
        size_t small[SMALL_TYPES], middle[MIDDLE_TYPES], large[LARGE_TYPES];
    } types;
    int statm;
    uint64_t page_bytes, rss_base;
    // owner: the main thread
    struct batch *empty;
    struct batch *due[DUE_SLOTS];
    struct stress_random random;
    uint64_t frame, serial, surge_frame, batches_live;
    uint32_t tide_phase;
    bool surging;
    uint64_t freed_before, live_most, freed_most; // bytes; the last two of a boundary
    uint64_t memory_most, rss_most, boundaries, exact, given_back_after;
    double tightest, at_low_tide; // most of memory / bound; the same at the end of a low tide, for what is live then
    // shared
    struct stack returned; // full batches to be planned, and empty ones
    struct actor actors[ACTORS];
    atomic_bool pause, stop;
    struct account accounts[STRESS_LANES_MAX + 1];
} storm;

static void push(struct stack *stack, struct batch *batch)
{
    struct batch *top = atomic_load_explicit(&stack->top, memory_order_relaxed);
    do batch->next = top;
    while (
        !atomic_compare_exchange_weak_explicit(&stack->top, &top, batch, memory_order_release, memory_order_relaxed));
}

static struct batch *take_all(struct stack *stack)
{
    return atomic_exchange_explicit(&stack->top, NULL, memory_order_acquire);
}

static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/// What an object occupies: its class, or whole units of 64 KiB, or whole blocks.
static uint64_t occupied(size_t size)
{
    if (size <= 128) return (size + 15) / 16 * 16;
    if (size > BLOCK_BYTES) return (size + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    if (size > CLASS_MAX) return (size + 65535) / 65536 * 65536;
    size_t step = (size_t)1 << (61 - __builtin_clzll((unsigned long long)(size - 1)));
    return (size + step - 1) / step * step;
}

struct object {
    uint64_t key;
    size_t size;
    bool heap;
};

/// The sizes that a run uses: as in a program, where every type has one. Another seed, other types.
static void draw_types(struct stress_random *random)
{
    for (uint32_t i = 0; i < SMALL_TYPES; i++)
        storm.types.small[i] = stress_between(random, 1, 16u << stress_below(random, 7));
    for (uint32_t i = 0; i < MIDDLE_TYPES; i++) storm.types.middle[i] = stress_between(random, 1025, 8192);
    storm.types.middle[0] = stress_between(random, 8193, CLASS_MAX);
    storm.types.large[0] = stress_between(random, CLASS_MAX + 1, 131072);
    storm.types.large[1] = stress_between(random, 131073, BLOCK_BYTES / 4);
    storm.types.large[2] = stress_between(random, BLOCK_BYTES + 1, 2 * BLOCK_BYTES);
}

/// Object i of a batch; all of it follows from serial number and profile.
static struct object describe(const struct batch *batch, uint32_t i)
{
    struct object object = {.key = stress_mix(storm.run->seed ^ (batch->serial * OBJECTS + i))};
    struct stress_random random = {object.key};
    uint32_t type;
    switch (batch->profile) {
        case SMALL:
            object.size = storm.types.small[type = stress_below(&random, SMALL_TYPES)];
            object.heap = type == 0;
            return object;
        case MIXED:
            object.size = storm.types.middle[type = stress_below(&random, MIDDLE_TYPES)];
            object.heap = type == 1;
            return object;
        default: // a few large ones among small ones
            if (i % 32 != 0) {
                object.size = storm.types.small[stress_below(&random, SMALL_TYPES - 1) + 1];
                return object;
            }
            type = stress_below(&random, 32);
            object.size = storm.types.large[type == 0 ? 2 : type < 10 ? 1 : 0];
            object.heap = type % 2 == 0;
            return object;
    }
}

static void fill(fa_worker *w, struct batch *batch)
{
    struct amounts live = {0};
    uint64_t asked = 0;
    for (uint32_t i = 0; i < OBJECTS; i++) {
        struct object object = describe(batch, i);
        void *p = object.heap ? fa_heap_alloc(w, object.size, 0) : fa_pool_alloc(w, object.size);
        if (p == NULL) stress_fail("no memory for %zu bytes on lane %" PRIu32, object.size, w->index);
        stress_fill(p, object.size, object.key);
        batch->objects[i] = p;
        asked += object.size;
        *(object.heap ? &live.heap : &live.pool) += 1;
        *(object.heap ? &live.heap_bytes : &live.pool_bytes) += occupied(object.size);
    }
    batch->live = live;
    batch->asked = asked;
    batch->lane = w->index;
    batch->count = OBJECTS;
    struct account *account = &storm.accounts[w->index];
    add(&account->pool_made, live.pool);
    add(&account->heap_made, live.heap);
    add(&account->pool_bytes_made, live.pool_bytes);
    add(&account->heap_bytes_made, live.heap_bytes);
    atomic_store_explicit(&account->took_part, 1, memory_order_relaxed);
}

static void verify(const struct batch *batch, uint32_t i, struct object object)
{
    ssize_t at = stress_check(batch->objects[i], object.size, object.key);
    if (at < 0) return;
    uint64_t found = 0;
    memcpy(&found, (const char *)batch->objects[i] + at, object.size - (size_t)at < 8 ? object.size - (size_t)at : 8);
    stress_found("frame %" PRIu64 ": object %" PRIu32 " of batch %" PRIu64
                 " (%zu bytes of the %s at %p, from lane %" PRIu32
                 ") is not as it was left: at byte %zd it reads %016" PRIx64 ", its key is %016" PRIx64,
                 fa_frame_number(storm.fa), i, batch->serial, object.size, object.heap ? "heap" : "pool",
                 batch->objects[i], batch->lane, at, found, object.key);
}

/// Checks and frees what a batch holds; `w` is NULL for a thread that is not attached.
static void empty_batch(fa_worker *w, struct batch *batch)
{
    if (batch->count != OBJECTS)
        stress_fail("batch %" PRIu64 " holds %" PRIu32 " objects", batch->serial, batch->count);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        struct object object = describe(batch, i);
        verify(batch, i, object);
        if (w == NULL)
            fa_free_any(storm.fa, batch->objects[i]);
        else if (object.heap)
            fa_heap_free(w, batch->objects[i]);
        else
            fa_pool_free(w, batch->objects[i]);
    }
    struct account *account = &storm.accounts[w != NULL ? w->index : FOREIGN_ACCOUNT];
    add(&account->pool_freed, batch->live.pool);
    add(&account->heap_freed, batch->live.heap);
    add(&account->pool_bytes_freed, batch->live.pool_bytes);
    add(&account->heap_bytes_freed, batch->live.heap_bytes);
    if (w == NULL || w->index != batch->lane) add(&account->remote, OBJECTS);
    if (w != NULL) atomic_store_explicit(&account->took_part, 1, memory_order_relaxed);
    batch->count = 0;
}

// Jobs and threads ---------------------------------------------------------------------------------------------------------

static struct actor *actor_for(struct batch *batch)
{
    uint32_t n = 1 + (uint32_t)(batch->serial % CHURNERS);
    return &storm.actors[batch->route == TO_FOREIGNER ? 1 + CHURNERS : n];
}

/// False: enough lies before that thread.
static bool send(struct actor *actor, struct batch *batch, enum order order, uint32_t most)
{
    if (atomic_load_explicit(&actor->queued, memory_order_relaxed) >= most) return false;
    atomic_fetch_add_explicit(&actor->queued, 1, memory_order_relaxed);
    batch->order = order;
    push(&actor->inbox, batch);
    return true;
}

static void free_job(fa_worker *w, void *arg)
{
    struct batch *batch = arg;
    empty_batch(w, batch);
    push(&storm.returned, batch);
}

static void fill_job(fa_worker *w, void *arg)
{
    struct batch *batch = arg;
    fill(w, batch);
    if (batch->route == SAME_FRAME)
        stress_must(fa_submit(w, free_job, batch));
    else if (batch->route == KEEP || !send(actor_for(batch), batch, FREE, QUEUED_MAX))
        push(&storm.returned, batch);
}

static void process(struct actor *actor, struct batch *list)
{
    uint32_t done = 0;
    for (struct batch *batch = list; batch != NULL; done++) {
        struct batch *next = batch->next;
        if (batch->order == FILL)
            fill(actor->worker, batch);
        else
            empty_batch(actor->worker, batch);
        push(&storm.returned, batch);
        batch = next;
        if (actor->worker != NULL && stress_one_in(&actor->random, 8)) stress_must(fa_quiescent(actor->worker));
    }
    atomic_fetch_sub_explicit(&actor->queued, done, memory_order_relaxed);
}

/// One stretch of work, from one moment of quiet to the next.
static void work(struct actor *actor)
{
    struct batch *list = take_all(&actor->inbox);
    if (list == NULL && actor->kind != CHURNER) return;
    if (actor->kind != FOREIGNER) {
        if (actor->worker == NULL)
            stress_must(fa_attach(storm.fa, &actor->worker));
        else
            stress_must(fa_idle_end(actor->worker));
    }
    process(actor, list);
    if (actor->kind == FOREIGNER) return;
    if (actor->kind == CHURNER && stress_one_in(&actor->random, 3)) {
        stress_must(fa_detach(actor->worker)); // most of what it allocated lives on
        actor->worker = NULL;
    } else {
        stress_must(fa_idle_begin(actor->worker));
    }
}

static void *act(void *arg)
{
    struct actor *actor = arg;
    while (!atomic_load(&storm.stop)) {
        atomic_store(&actor->working, 1);
        // Either this thread sees the pause, or who paused sees it working.
        if (!atomic_load(&storm.pause)) work(actor);
        atomic_store(&actor->working, 0);
        stress_sleep_us(stress_between(&actor->random, 20, 300));
    }
    if (actor->worker != NULL) {
        stress_must(fa_idle_end(actor->worker));
        stress_must(fa_detach(actor->worker));
    }
    return NULL;
}

static void start_actors(void)
{
    for (uint32_t i = 0; i < ACTORS; i++) {
        struct actor *actor = &storm.actors[i];
        actor->kind = i == 0 ? OWNER : i <= CHURNERS ? CHURNER : FOREIGNER;
        actor->random = stress_stream(storm.run->seed, 1000 + i);
        int error = pthread_create(&actor->thread, NULL, act, actor);
        if (error != 0) stress_fail("no thread: %s", strerror(error));
    }
}

static void pause_actors(void)
{
    stress_phase("waiting for the attached threads to pause");
    atomic_store(&storm.pause, true);
    for (uint32_t i = 0; i < ACTORS; i++)
        while (atomic_load(&storm.actors[i].working) != 0) (void)sched_yield();
}

// Planning -----------------------------------------------------------------------------------------------------------------

static enum profile draw_profile(void)
{
    uint32_t draw = stress_below(&storm.random, 100);
    return draw < 88 ? SMALL : draw < 99 ? MIXED : LARGE;
}

/// An empty batch with a new serial number; NULL when all are in use.
static struct batch *new_batch(enum profile profile)
{
    struct batch *batch = storm.empty;
    if (batch == NULL) return NULL;
    storm.empty = batch->next;
    storm.batches_live++;
    batch->serial = ++storm.serial;
    batch->profile = profile;
    batch->life = stress_between(&storm.random, 1, LIFE_MAX);
    uint32_t draw = stress_below(&storm.random, 10);
    batch->route = draw < 5 ? KEEP : draw < 7 ? SAME_FRAME : draw < 8 ? TO_FOREIGNER : TO_CHURNER;
    return batch;
}

/// Puts what came back where it belongs.
static void collect(void)
{
    for (struct batch *batch = take_all(&storm.returned), *next; batch != NULL; batch = next) {
        next = batch->next;
        struct batch **list = &storm.empty;
        if (batch->count > 0)
            list = &storm.due[(storm.frame + batch->life) % DUE_SLOTS];
        else
            storm.batches_live--;
        batch->next = *list;
        *list = batch;
    }
}

static void submit(fa_worker *w, fa_job_fn *fn, struct batch *batch)
{
    stress_must(fa_submit(w, fn, batch));
}

static void free_due(fa_worker *w)
{
    struct batch **slot = &storm.due[storm.frame % DUE_SLOTS];
    struct batch *list = *slot;
    *slot = NULL;
    for (struct batch *batch = list, *next; batch != NULL; batch = next) {
        next = batch->next;
        if (batch->route == KEEP || batch->route == SAME_FRAME || !send(actor_for(batch), batch, FREE, QUEUED_MAX))
            submit(w, free_job, batch);
    }
}

static uint32_t filled_per_frame(void)
{
    return storm.tide_phase % 2 == 0 ? FILLED_AT_HIGH_TIDE : FILLED_AT_LOW_TIDE;
}

static void fill_some(fa_worker *w)
{
    for (uint32_t i = filled_per_frame(); i > 0; i--) {
        struct batch *batch = new_batch(draw_profile());
        if (batch == NULL) return;
        submit(w, fill_job, batch);
    }
}

/// Orders for the threads that allocate.
static void order_some(void)
{
    for (uint32_t i = 1; i <= CHURNERS; i++) {
        struct batch *batch = new_batch(draw_profile());
        if (batch == NULL) return;
        if (send(&storm.actors[i], batch, FILL, QUEUED_MAX / 4)) continue;
        batch->next = storm.empty;
        storm.empty = batch;
        storm.batches_live--;
    }
    if (storm.frame < storm.surge_frame || filled_per_frame() == FILLED_AT_LOW_TIDE) return;
    storm.surge_frame = storm.frame + SURGE_FRAMES + stress_below(&storm.random, SURGE_FRAMES);
    for (uint32_t i = 0; i < SURGE_BATCHES; i++) {
        struct batch *batch = new_batch(stress_one_in(&storm.random, 16) ? MIXED : SMALL);
        if (batch == NULL) return;
        (void)send(&storm.actors[0], batch, FILL, UINT32_MAX);
    }
}

// At the boundary -------------------------------------------------------------------------------------------------------------

struct totals {
    uint64_t pool_made, heap_made, pool_live, heap_live, pool_bytes, heap_bytes, freed_bytes, freed, remote, foreign;
    uint32_t lanes;
};

static uint64_t read_counter(atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static struct totals add_up(void)
{
    struct totals t = {0};
    uint64_t pool_freed = 0, heap_freed = 0, pool_bytes_freed = 0, heap_bytes_freed = 0;
    for (uint32_t i = 0; i <= FOREIGN_ACCOUNT; i++) { // frees first: nothing is freed that was not made before
        struct account *a = &storm.accounts[i];
        pool_freed += read_counter(&a->pool_freed);
        heap_freed += read_counter(&a->heap_freed);
        pool_bytes_freed += read_counter(&a->pool_bytes_freed);
        heap_bytes_freed += read_counter(&a->heap_bytes_freed);
        *(i == FOREIGN_ACCOUNT ? &t.foreign : &t.remote) += read_counter(&a->remote);
        t.lanes += read_counter(&a->took_part) != 0;
    }
    atomic_thread_fence(memory_order_seq_cst);
    for (uint32_t i = 0; i < FOREIGN_ACCOUNT; i++) {
        struct account *a = &storm.accounts[i];
        t.pool_made += read_counter(&a->pool_made);
        t.heap_made += read_counter(&a->heap_made);
        t.pool_bytes += read_counter(&a->pool_bytes_made);
        t.heap_bytes += read_counter(&a->heap_bytes_made);
    }
    t.pool_live = t.pool_made - pool_freed;
    t.heap_live = t.heap_made - heap_freed;
    t.pool_bytes -= pool_bytes_freed;
    t.heap_bytes -= heap_bytes_freed;
    t.freed_bytes = pool_bytes_freed + heap_bytes_freed;
    t.freed = pool_freed + heap_freed;
    return t;
}

static void must_equal(const char *what, uint64_t library, uint64_t own)
{
    if (library == own) return;
    stress_fail("frame %" PRIu64 ": the library counts %" PRIu64 " %s at the boundary, there are %" PRIu64 " (%+" PRId64
                ")",
                fa_frame_number(storm.fa), library, what, own, (int64_t)(library - own));
}

static void check_exact(const fa_stats *stats, const struct totals *own)
{
    must_equal("live pool objects", stats->pool_live, own->pool_live);
    must_equal("live heap objects", stats->heap_live, own->heap_live);
    must_equal("live pool bytes", stats->pool_live_bytes, own->pool_bytes);
    must_equal("live heap bytes", stats->heap_live_bytes, own->heap_bytes);
    must_equal("pool allocations", stats->pool_allocs, own->pool_made);
    must_equal("heap allocations", stats->heap_allocs, own->heap_made);
    must_equal("frees by other lanes", stats->remote_frees, own->remote);
    must_equal("frees by unattached threads", stats->foreign_frees, own->foreign);
    storm.exact++;
}

static uint64_t resident_bytes(void)
{
    char text[128];
    ssize_t n = pread(storm.statm, text, sizeof text - 1, 0);
    if (n <= 0) stress_fail("cannot read /proc/self/statm");
    text[n] = '\0';
    char *end;
    (void)strtoull(text, &end, 10);
    return strtoull(end, NULL, 10) * storm.page_bytes;
}

static uint64_t bound_for(uint64_t live, uint64_t freed, uint32_t lanes)
{
    return live * 6 / 5 + freed + lanes * 2 * BLOCK_BYTES;
}

static void note_most(const struct totals *own)
{
    uint64_t live = own->pool_bytes + own->heap_bytes, freed = own->freed_bytes - storm.freed_before;
    storm.freed_before = own->freed_bytes;
    if (live > storm.live_most) storm.live_most = live;
    if (freed > storm.freed_most) storm.freed_most = freed;
}

static void note_low_tide(const fa_stats *stats, const struct totals *own)
{
    if (storm.tide_phase % 2 == 0 || storm.frame % TIDE_FRAMES != TIDE_FRAMES - 1) return;
    uint64_t bound = bound_for(own->pool_bytes + own->heap_bytes, storm.freed_most, own->lanes);
    double ratio = (double)stats->memory_bytes / (double)bound;
    if (ratio > storm.at_low_tide) storm.at_low_tide = ratio;
}

static void check_memory(const fa_stats *stats, const struct totals *own)
{
    note_most(own);
    note_low_tide(stats, own);
    uint64_t bound = bound_for(storm.live_most, storm.freed_most, own->lanes);
    if (stats->memory_bytes > storm.memory_most) storm.memory_most = stats->memory_bytes;
    if ((double)stats->memory_bytes > storm.tightest * (double)bound)
        storm.tightest = (double)stats->memory_bytes / (double)bound;
    if (stats->memory_bytes > bound)
        stress_fail("frame %" PRIu64
                    ": the library holds %.1f MiB (%.1f in reserve), the bound is %.1f: live %.1f, at most %.1f, "
                    "%" PRIu32 " lanes took part",
                    fa_frame_number(storm.fa), (double)stats->memory_bytes / 0x1p20,
                    (double)stats->memory_free / 0x1p20, (double)bound / 0x1p20,
                    (double)(own->pool_bytes + own->heap_bytes) / 0x1p20, (double)storm.live_most / 0x1p20, own->lanes);
    if (STRESS_SANITIZED || storm.boundaries % RSS_EVERY != 0) return;
    uint64_t resident = resident_bytes(), rss = resident > storm.rss_base ? resident - storm.rss_base : 0;
    if (rss > storm.rss_most) storm.rss_most = rss;
    uint64_t rest = bound / 64 + (own->lanes + 1) * RING_BYTES;
    if (rss > bound + rest)
        stress_fail("frame %" PRIu64 ": RSS has grown by %.1f MiB, the bound is %.1f + %.1f for rings and descriptors; "
                    "the library says that it holds %.1f",
                    fa_frame_number(storm.fa), (double)rss / 0x1p20, (double)bound / 0x1p20, (double)rest / 0x1p20,
                    (double)stats->memory_bytes / 0x1p20);
}

/// Ends the frame and checks; `quiet`: no attached or foreign thread is at work.
static void end_frame(bool quiet)
{
    stress_phase("fa_frame_end");
    stress_must(fa_frame_end(storm.fa, NULL));
    stress_phase("the checks at the boundary");
    fa_stats stats;
    stress_must(fa_stats_read(storm.fa, &stats));
    struct totals own = add_up();
    if (quiet) check_exact(&stats, &own);
    check_memory(&stats, &own);
    storm.boundaries++;
    storm.run->operations = own.freed;
    stress_progress(own.freed);
    collect();
}

static void begin_frame(void)
{
    stress_phase("fa_frame_begin");
    stress_must(fa_frame_begin(storm.fa));
    storm.frame++;
    if (storm.frame % TIDE_FRAMES == 0) storm.tide_phase++;
}

static void run_frames(void)
{
    fa_worker *w = fa_self(storm.fa);
    while (!stress_time_is_up(storm.run)) {
        uint64_t at = storm.frame % CYCLE;
        if (at == CYCLE - QUIET)
            pause_actors();
        else if (at == 0)
            atomic_store(&storm.pause, false);
        bool quiet = atomic_load(&storm.pause);
        begin_frame();
        stress_phase("submitting");
        free_due(w);
        fill_some(w);
        order_some();
        end_frame(quiet);
    }
}

/// Lets everything be freed.
static void run_dry(void)
{
    fa_worker *w = fa_self(storm.fa);
    atomic_store(&storm.pause, false);
    while (storm.batches_live > 0) {
        begin_frame();
        free_due(w);
        end_frame(false);
        if (storm.batches_live > 0) stress_sleep_us(100);
    }
    pause_actors();
}

/// Empty frames until the bound for nothing live holds.
static void give_back(void)
{
    fa_stats stats;
    struct totals own = add_up();
    uint64_t bound = bound_for(0, 0, own.lanes);
    for (uint32_t i = 0; i < EMPTY_FRAMES_MAX; i++) {
        begin_frame();
        stress_must(fa_frame_end(storm.fa, NULL));
        stress_must(fa_stats_read(storm.fa, &stats));
        own = add_up();
        check_exact(&stats, &own);
        must_equal("live pool objects after the last", stats.pool_live, 0);
        must_equal("live heap objects after the last", stats.heap_live, 0);
        storm.given_back_after = i + 1;
        if (stats.memory_bytes <= bound) return;
        stress_progress(own.freed);
    }
    stress_fail("%u empty frames after the last free the library still holds %.1f MiB, the bound is %.1f",
                EMPTY_FRAMES_MAX, (double)stats.memory_bytes / 0x1p20, (double)bound / 0x1p20);
}

// The run --------------------------------------------------------------------------------------------------------------------

static void set_up(struct stress_run *run)
{
    memset(&storm, 0, sizeof storm);
    storm.run = run;
    storm.random = stress_stream(run->seed, 0);
    draw_types(&storm.random);
    storm.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    storm.statm = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (storm.statm < 0) stress_fail("cannot open /proc/self/statm");
    storm.batches = mmap(NULL, BATCHES * sizeof(struct batch), PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (storm.batches == MAP_FAILED) stress_fail("no memory for the batches");
    for (uint32_t i = 0; i < BATCHES; i++) {
        storm.batches[i].next = storm.empty;
        storm.empty = &storm.batches[i];
    }
    for (uint32_t i = 0; i <= FOREIGN_ACCOUNT; i++) atomic_store(&storm.accounts[i].took_part, 0); // touches it
    storm.accounts[0].took_part = 1;
    uint32_t cpus = (uint32_t)sysconf(_SC_NPROCESSORS_ONLN);
    fa_config config = stress_config(run->workers != 0 ? run->workers : cpus > 2 ? cpus : 2);
    storm.rss_base = resident_bytes();
    stress_must(fa_create(&config, &storm.fa));
    run->workers_used = fa_worker_count(storm.fa);
    // A worker takes part whether it happens to have got a job yet or not.
    for (uint32_t i = 0; i <= run->workers_used; i++) atomic_store(&storm.accounts[i].took_part, 1);
    start_actors();
}

static void take_down(void)
{
    atomic_store(&storm.stop, true);
    for (uint32_t i = 0; i < ACTORS; i++) (void)pthread_join(storm.actors[i].thread, NULL);
    stress_take_contention(storm.run, storm.fa);
    stress_phase("fa_destroy");
    stress_must(fa_destroy(storm.fa));
    (void)munmap(storm.batches, BATCHES * sizeof(struct batch));
    (void)close(storm.statm);
}

static void run_storm(struct stress_run *run)
{
    if (run->planted) stress_spoil_payloads();
    set_up(run);
    run_frames();
    run_dry();
    give_back();
    struct totals own = add_up();
    take_down();
    stress_figure(run, "frames", (double)storm.boundaries);
    stress_figure(run, "exact boundaries", (double)storm.exact);
    stress_figure(run, "objects freed", (double)own.freed);
    stress_figure(run, "  by other lanes", (double)own.remote);
    stress_figure(run, "  by the unattached thread", (double)own.foreign);
    stress_figure(run, "bytes freed, MiB", (double)own.freed_bytes / 0x1p20);
    stress_figure(run, "live at most, MiB", (double)storm.live_most / 0x1p20);
    stress_figure(run, "memory at most, MiB", (double)storm.memory_most / 0x1p20);
    if (!STRESS_SANITIZED) stress_figure(run, "RSS growth at most, MiB", (double)storm.rss_most / 0x1p20);
    stress_figure(run, "memory / bound at most", storm.tightest);
    stress_figure(run, "  at the end of a low tide", storm.at_low_tide);
    stress_figure(run, "frames to give back", (double)storm.given_back_after);
}

static void explain(void)
{
    static const char *const names[] = {"owner", "churner", "foreigner"};
    for (uint32_t i = 0; i < ACTORS; i++) {
        struct actor *actor = &storm.actors[i];
        (void)fprintf(stderr, "  %s: %s, %u batches before it\n", names[actor->kind],
                      atomic_load(&actor->working) ? "working" : "quiet", atomic_load(&actor->queued));
    }
}

int main(int argc, char **argv)
{
    static const struct stress_program program = {
        .name = "stress_remote_free",
        .doc =
            "Allocates objects on some lanes and frees them on others: on workers, on attached threads that idle or "
            "leave "
            "with objects alive, and on a thread that was never attached. Checks every payload, the statistics to the "
            "object at quiet boundaries, and that memory stays within live * 1.2 + a frame of frees + 4 MiB a lane.",
        .operation = "objects",
        .run = run_storm,
        .planted = STRESS_SPOILED,
        .explain = explain,
    };
    return stress_main(argc, argv, &program);
}
