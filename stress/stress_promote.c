// SPDX-License-Identifier: MIT
//
// Promotions and replacements that race readers. A table of reference cells, and in every frame jobs that
//
//     read      many cells, hold the pointers over nested jobs, waits and loops, and check all bytes before and after
//     publish   new versions from pool and heap into the same cells, or drop them
//     promote   frame memory into the same cells, or to themselves, when the frame retires
//     retire    objects reached by pointers of their own (fa_retire)
//
// The main lane holds pointers from begin to end while it helps; attached threads hold them from one fa_quiescent() to
// the next, over waits of their own, and come and go. Lingerers, jobs and attached threads, hold them for so long that
// versions retired meanwhile would come back to the allocator if nobody were known to read: over several boundaries and
// a grace period. Half of all traffic goes to HOT cells, whose versions are of one size class, so that a version that
// is freed too early is overwritten at once by another one, with another serial number.
//
// A run is a series of rounds, each with a system of its own: other workers, 1 to 8 frames in flight. Accounts:
//
//     versions put into cells == retired + still in cells
//     live objects            == still in cells + promoted to themselves + backlog
//
// at every boundary with one frame in flight while the attached threads pause, and at the end of every round, when the
// backlog must drain to nothing. Nothing may stay in the backlog for longer than BACKLOG_NS.
#include "stress.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CELLS 192
#define HOT 8 // the first of them
#define HOT_BYTES 112
#define SIDES 16         // pointers that are no cells
#define READERS 2        // attached threads
#define HELD 6           // pointers held at a time
#define JOBS_MAX 48      // of a frame, not counting those that they submit
#define FRAME_RECORDS 64 // a power of two above the frames in flight
#define LOOSE_MAX 4096   // promoted to themselves, not yet freed
#define ROUND_NS (STRESS_SECOND_NS / 2)
#define CYCLE 8 // frames; attached threads pause in the last QUIET
#define QUIET 3
#define BACKLOG_MAX 6000 // versions: above, only readers run until it has halved
#define BACKLOG_NS (3 * STRESS_SECOND_NS)
#define MOVED_BYTES (768u << 10)           // promoted without a copy
#define LINGER_NS (24 * UINT64_C(1000000)) // grace periods take some ms
#define LINGER_SLEEP_US 4000u              // of the main lane in each frame meanwhile
#define LINGER_EVERY 256                   // frames

struct version {
    uint64_t key;
    uint64_t serial;
    uint32_t cell; // NO_CELL: none
    uint32_t size; // of all, payload included
};

#define NO_CELL UINT32_MAX

/// What one lane has done. Written by it alone.
struct account {
    _Alignas(STRESS_LINE) atomic_uint_fast64_t serial, reads, held, puts;
};

struct frame_record {
    atomic_uint_fast64_t retained; // in that frame
    uint64_t began_ns;
};

struct reader {
    pthread_t thread;
    struct stress_random random;
    atomic_uint working;
    fa_worker *worker;
};

/// A pointer that is held, and what it must stay.
struct hold {
    const struct version *version;
    uint64_t serial;
    uint32_t cell;
};

static struct {
    struct stress_run *run;
    fa_system *fa;
    // owner: the main thread
    struct stress_random random;
    uint64_t round, put_by_promotion, loose_freed, frames, exact;
    uint64_t retained_total, listed_total, promoted_total, moved_total, retired_total;
    uint64_t backlog_most, backlog_ns_most, before, lingered;
    void *loose[LOOSE_MAX];
    bool loose_on_heap[LOOSE_MAX];
    uint32_t loose_count;
    bool paced;
    uint64_t paced_since;
    uint32_t lingering; // frames that are still slow because a job lingers
    // shared
    fa_cell cells[CELLS];
    _Atomic(struct version *) sides[SIDES];
    struct frame_record frame_records[FRAME_RECORDS];
    struct account accounts[STRESS_LANES_MAX];
    struct reader readers[READERS];
    atomic_bool pause, stop;
} game;

static void add(atomic_uint_fast64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static struct account *account_of(const fa_worker *w)
{
    return &game.accounts[w->index];
}

static uint64_t key_of(uint64_t serial, uint32_t cell)
{
    return stress_mix(game.run->seed ^ serial) ^ stress_mix(cell);
}

// Versions -------------------------------------------------------------------------------------------------------------

static uint32_t draw_cell(struct stress_random *random)
{
    return stress_below(random, stress_one_in(random, 2) ? HOT : CELLS);
}

static uint32_t draw_size(struct stress_random *random, uint32_t cell)
{
    if (cell < HOT) return HOT_BYTES;
    uint32_t draw = stress_below(random, 1000);
    if (draw < 900) return stress_between(random, sizeof(struct version), 600);
    if (draw < 995) return stress_between(random, 601, 12000);
    return stress_between(random, 33000, 200000);
}

static uint64_t next_serial(const fa_worker *w)
{
    struct account *account = account_of(w);
    add(&account->serial, 1);
    return (game.round << 48) + ((uint64_t)w->index << 36) +
           atomic_load_explicit(&account->serial, memory_order_relaxed);
}

static void write_version(struct version *version, uint64_t serial, uint32_t cell, uint32_t size)
{
    *version = (struct version){.key = key_of(serial, cell), .serial = serial, .cell = cell, .size = size};
    stress_fill(version + 1, size - sizeof *version, version->key);
}

static void check_version(const struct version *version, uint32_t cell, const char *when)
{
    struct version seen = *version;
    ssize_t at = -1;
    if (seen.cell == cell && seen.key == key_of(seen.serial, cell) && seen.size >= sizeof seen) {
        at = stress_check(version + 1, seen.size - sizeof seen, seen.key);
        if (at < 0) return;
    }
    stress_found("%s: cell %" PRIu32 " shows no whole version at %p: serial %016" PRIx64 ", cell %" PRIu32
                 ", size %" PRIu32 ", first wrong byte %zd; frame %" PRIu64,
                 when, cell, (const void *)version, seen.serial, seen.cell, seen.size, at, fa_frame_number(game.fa));
}

/// Reads and checks a cell; NULL when it is empty.
static const struct version *read_cell(const fa_worker *w, uint32_t cell, const char *when)
{
    const struct version *version = fa_cell_read(w, &game.cells[cell]);
    add(&account_of(w)->reads, 1);
    if (version != NULL) check_version(version, cell, when);
    return version;
}

static uint32_t hold_some(const fa_worker *w, struct stress_random *random, struct hold holds[HELD])
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < HELD; i++) {
        uint32_t cell = draw_cell(random);
        const struct version *version = read_cell(w, cell, "a read");
        if (version != NULL) holds[count++] = (struct hold){version, version->serial, cell};
    }
    struct version *side = atomic_load_explicit(&game.sides[stress_below(random, SIDES)], memory_order_acquire);
    if (side == NULL || count == HELD) return count;
    check_version(side, NO_CELL, "a pointer that is no cell");
    holds[count++] = (struct hold){side, side->serial, NO_CELL};
    return count;
}

static void check_holds(const fa_worker *w, const struct hold *holds, uint32_t count, const char *when)
{
    for (uint32_t i = 0; i < count; i++) {
        check_version(holds[i].version, holds[i].cell, when);
        if (holds[i].version->serial != holds[i].serial)
            stress_fail("%s: the version of cell %" PRIu32 " at %p was serial %016" PRIx64 ", and is %016" PRIx64
                        " while it is held; frame %" PRIu64,
                        when, holds[i].cell, (const void *)holds[i].version, holds[i].serial, holds[i].version->serial,
                        fa_frame_number(game.fa));
    }
    add(&account_of(w)->held, count);
}

// Writers --------------------------------------------------------------------------------------------------------------

static struct version *new_version(fa_worker *w, struct stress_random *random, uint32_t cell)
{
    uint32_t size = draw_size(random, cell);
    struct version *version = cell >= HOT && stress_one_in(random, 4) ? fa_heap_alloc(w, size, 0)
                                                                      : fa_pool_alloc(w, size);
    if (version == NULL) stress_fail("no memory for a version of %" PRIu32 " bytes", size);
    write_version(version, next_serial(w), cell, size);
    return version;
}

static void publish(fa_worker *w, struct stress_random *random)
{
    uint32_t cell = draw_cell(random);
    if (stress_one_in(random, 8)) {
        stress_must(fa_cell_drop(w, &game.cells[cell]));
        return;
    }
    stress_must(fa_cell_publish(w, &game.cells[cell], new_version(w, random, cell)));
    add(&account_of(w)->puts, 1);
}

static void replace_side(fa_worker *w, struct stress_random *random)
{
    _Atomic(struct version *) *side = &game.sides[stress_below(random, SIDES)];
    struct version *old = atomic_exchange_explicit(side, new_version(w, random, NO_CELL), memory_order_acq_rel);
    add(&account_of(w)->puts, 1);
    if (old != NULL) stress_must(fa_retire(w, old));
}

/// `user` of a retained allocation: its serial number; that of a version for a cell is in the version too.
static void retain(fa_worker *w, struct stress_random *random, struct frame_record *record)
{
    bool moved = stress_one_in(random, 400);
    uint32_t draw = stress_below(random, 10), cell = draw < 6 ? draw_cell(random) : NO_CELL;
    uint32_t size = moved ? MOVED_BYTES : draw_size(random, cell);
    fa_retain how = {
        .to = draw == 9                ? FA_RETAIN_DISCARD
              : moved || draw % 3 == 0 ? FA_RETAIN_HEAP
                                       : FA_RETAIN_POOL,
        .cell = cell != NO_CELL ? &game.cells[cell] : NULL,
        .user = next_serial(w),
        .key = stress_below(random, 4),
    };
    struct version *version = fa_frame_retained(w, size, 16, &how);
    if (version == NULL) stress_fail("no frame memory for %" PRIu32 " retained bytes", size);
    write_version(version, how.user, cell, size);
    atomic_fetch_add_explicit(&record->retained, 1, memory_order_relaxed);
}

// Jobs -----------------------------------------------------------------------------------------------------------------

/// Arguments of every job, copied.
struct task {
    uint64_t seed;
    struct frame_record *record;
    uint32_t depth;
};

static void play(fa_worker *w, void *arg);

static void read_piece(fa_worker *w, uint64_t first, uint64_t last, void *arg)
{
    struct stress_random random = stress_stream((uint64_t)(uintptr_t)arg, first);
    struct hold holds[HELD];
    uint32_t count = hold_some(w, &random, holds);
    for (uint64_t cell = first; cell < last; cell++) (void)read_cell(w, (uint32_t)cell, "a read in a loop");
    if (stress_one_in(&random, 4)) publish(w, &random);
    check_holds(w, holds, count, "after a piece of a loop");
}

/// Children of the same kind as the job, of which it waits for all.
static void fork_and_wait(fa_worker *w, struct stress_random *random, const struct task *task)
{
    fa_counter counter = FA_COUNTER_INIT;
    for (uint32_t i = stress_between(random, 1, 4); i > 0; i--) {
        struct task child = {.seed = stress_next(random), .record = task->record, .depth = task->depth + 1};
        stress_must(fa_submit_copy(w, &counter, play, &child, sizeof child));
    }
    stress_must(fa_wait(w, &counter));
}

static void loop(fa_worker *w, struct stress_random *random)
{
    stress_must(fa_parallel_for(w, 0, CELLS, 8, read_piece, (void *)(uintptr_t)stress_next(random)));
}

/// One job: whatever it writes happens while it, and others, hold versions.
static void play(fa_worker *w, void *arg)
{
    struct task task = *(const struct task *)arg;
    struct stress_random random = {task.seed};
    struct hold holds[HELD];
    uint32_t count = hold_some(w, &random, holds), draw = stress_below(&random, 100);
    if (draw < 30) {
        for (uint32_t i = 0; i < 16; i++) (void)read_cell(w, stress_below(&random, CELLS), "a read");
    } else if (draw < 60) {
        for (uint32_t i = stress_between(&random, 1, 3); i > 0; i--) publish(w, &random);
    } else if (draw < 68) {
        replace_side(w, &random);
    } else if (draw < 80) {
        retain(w, &random, task.record);
    } else if (task.depth < 3 && draw < 94) {
        fork_and_wait(w, &random, &task);
    } else if (task.depth < 2) {
        loop(w, &random);
    }
    check_holds(w, holds, count, "at the end of a job");
}

static void read_only(fa_worker *w, void *arg)
{
    struct stress_random random = {((const struct task *)arg)->seed};
    struct hold holds[HELD];
    uint32_t count = hold_some(w, &random, holds);
    check_holds(w, holds, count, "at the end of a job");
}

static void doze(fa_worker *w, void *arg)
{
    struct stress_random random = {((const struct task *)arg)->seed};
    stress_sleep_us(stress_between(&random, 100, stress_one_in(&random, 4) ? 8000 : 1000));
    read_only(w, arg);
}

/// Holds what it read while frames pass: in waits that run others' writers, in waits that park, and asleep.
static void linger(fa_worker *w, void *arg)
{
    struct task task = *(const struct task *)arg;
    struct stress_random random = {task.seed};
    struct hold holds[HELD];
    uint32_t count = hold_some(w, &random, holds);
    for (uint64_t until = stress_now_ns() + LINGER_NS; stress_now_ns() < until;) {
        fa_counter counter = FA_COUNTER_INIT;
        struct task child = {.seed = stress_next(&random), .record = task.record, .depth = 3};
        stress_must(fa_submit_copy(w, &counter, stress_one_in(&random, 2) ? doze : play, &child, sizeof child));
        if (stress_one_in(&random, 2)) stress_sleep_us(200); // somebody else takes it, and the wait parks
        stress_must(fa_wait(w, &counter));
        check_holds(w, holds, count, "in a job that lingers");
    }
}

static void free_loose(fa_worker *w, void *arg)
{
    fa_pool_free(w, arg);
}

static void free_loose_heap(fa_worker *w, void *arg)
{
    fa_heap_free(w, arg);
}

// Attached threads ---------------------------------------------------------------------------------------------------------

/// Enters a frame, if one is open, and waits for jobs there while it holds what it read outside.
static void join_frame(struct reader *reader)
{
    fa_worker *w = reader->worker;
    fa_frame frame;
    fa_status status = fa_frame_hold(w, &frame);
    if (status == FA_ERROR_STATE) return; // none is open
    stress_must(status);
    fa_counter counter = FA_COUNTER_INIT;
    for (uint32_t i = stress_between(&reader->random, 1, 4); i > 0; i--) {
        struct task task = {.seed = stress_next(&reader->random)};
        stress_must(fa_submit_copy(w, &counter, read_only, &task, sizeof task));
    }
    stress_must(fa_wait(w, &counter));
    if (stress_one_in(&reader->random, 2)) loop(w, &reader->random);
    stress_must(fa_frame_drop(game.fa, frame));
}

static void read_for_a_while(struct reader *reader)
{
    fa_worker *w = reader->worker;
    struct stress_random *random = &reader->random;
    struct hold holds[HELD];
    uint32_t count = hold_some(w, random, holds);
    for (uint32_t i = stress_below(random, 64); i > 0; i--) (void)read_cell(w, stress_below(random, CELLS), "a read");
    if (stress_one_in(random, 4)) join_frame(reader);
    if (stress_one_in(random, 3)) publish(w, random);
    if (stress_one_in(random, 16)) stress_sleep_us(stress_below(random, 1000));
    check_holds(w, holds, count, "on an attached thread, before it was quiescent");
    if (stress_one_in(random, 2)) stress_must(fa_quiescent(w));
}

/// Holds what it read while frames pass, with nothing or with waits in between.
static void linger_outside(struct reader *reader)
{
    fa_worker *w = reader->worker;
    struct hold holds[HELD];
    uint32_t count = hold_some(w, &reader->random, holds);
    for (uint64_t until = stress_now_ns() + LINGER_NS; stress_now_ns() < until && !atomic_load(&game.pause);) {
        stress_sleep_us(stress_below(&reader->random, 1000));
        if (stress_one_in(&reader->random, 2)) join_frame(reader);
        if (stress_one_in(&reader->random, 2)) publish(w, &reader->random);
        check_holds(w, holds, count, "on an attached thread that lingers");
    }
    stress_must(fa_quiescent(w));
}

static void visit(struct reader *reader)
{
    if (reader->worker == NULL)
        stress_must(fa_attach(game.fa, &reader->worker));
    else
        stress_must(fa_idle_end(reader->worker));
    for (uint32_t i = stress_between(&reader->random, 1, 8); i > 0 && !atomic_load(&game.pause); i--)
        read_for_a_while(reader);
    if (stress_one_in(&reader->random, 16)) linger_outside(reader);
    if (stress_one_in(&reader->random, 4)) {
        stress_must(fa_detach(reader->worker));
        reader->worker = NULL;
    } else {
        stress_must(fa_idle_begin(reader->worker));
    }
}

static void *read_along(void *arg)
{
    struct reader *reader = arg;
    while (!atomic_load(&game.stop)) {
        atomic_store(&reader->working, 1);
        // Either this thread sees the pause, or who paused sees it working.
        if (!atomic_load(&game.pause)) visit(reader);
        atomic_store(&reader->working, 0);
        stress_sleep_us(stress_between(&reader->random, 20, 200));
    }
    if (reader->worker == NULL) return NULL;
    stress_must(fa_idle_end(reader->worker));
    stress_must(fa_detach(reader->worker));
    reader->worker = NULL;
    return NULL;
}

static void pause_readers(void)
{
    stress_phase("waiting for the attached threads to pause");
    atomic_store(&game.pause, true);
    for (uint32_t i = 0; i < READERS; i++)
        while (atomic_load(&game.readers[i].working) != 0) (void)sched_yield();
}

// Promotions that came through -----------------------------------------------------------------------------------------------

static void keep_loose(const fa_promotion *item)
{
    const struct version *version = item->to;
    check_version(version, NO_CELL, "a promoted object");
    if (version->serial != item->user)
        stress_fail("promotion: object %016" PRIx64 " is listed as %016" PRIx64, version->serial, item->user);
    if (game.loose_count == LOOSE_MAX) stress_fail("more than %d promoted objects at once", LOOSE_MAX);
    game.loose[game.loose_count] = item->to;
    game.loose_on_heap[game.loose_count++] = item->destination == FA_RETAIN_HEAP;
}

static void take_item(const fa_promotion *item)
{
    fa_promotion_status wanted = item->destination == FA_RETAIN_DISCARD ? FA_PROMOTION_DROPPED : FA_PROMOTED;
    if (item->status != wanted)
        stress_fail("promotion: status %d for %zu bytes of frame %" PRIu64 " to %s, expected %d", (int)item->status,
                    item->size, item->frame, item->cell != NULL ? "a cell" : "themselves", (int)wanted);
    if (item->status != FA_PROMOTED) return;
    if (item->cell != NULL)
        game.put_by_promotion++;
    else
        keep_loose(item);
}

/// Everything of a frame comes in one result; frames in order, keys of a frame in order.
static void take_result(const fa_frame_result *result)
{
    uint64_t in_frame = 0;
    for (uint32_t i = 0; i < result->count; i++) {
        const fa_promotion *item = &result->items[i];
        take_item(item);
        in_frame++;
        bool last = i + 1 == result->count || result->items[i + 1].frame != item->frame;
        if (!last) continue;
        atomic_uint_fast64_t *made = &game.frame_records[item->frame % FRAME_RECORDS].retained;
        uint64_t retained = atomic_exchange_explicit(made, 0, memory_order_relaxed);
        if (retained != in_frame)
            stress_fail("frame %" PRIu64 " retained %" PRIu64 " allocations, its result lists %" PRIu64, item->frame,
                        retained, in_frame);
        game.retained_total += retained;
        in_frame = 0;
    }
    if (result->to_pool + result->to_heap + result->discarded + result->failed != result->count)
        stress_fail("frame %" PRIu64 ": a result of %" PRIu32 " items counts %" PRIu32 " + %" PRIu32 " + %" PRIu32
                    " + %" PRIu32,
                    result->frame, result->count, result->to_pool, result->to_heap, result->discarded, result->failed);
    game.listed_total += result->count;
    game.promoted_total += result->to_pool + result->to_heap;
    game.moved_total += result->moved;
}

// Boundaries -----------------------------------------------------------------------------------------------------------------

static uint64_t in_cells(void)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < CELLS; i++) count += __atomic_load_n(&game.cells[i].pointer, __ATOMIC_RELAXED) != NULL;
    for (uint32_t i = 0; i < SIDES; i++) count += atomic_load_explicit(&game.sides[i], memory_order_relaxed) != NULL;
    return count;
}

static uint64_t sum_accounts(size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < STRESS_LANES_MAX; i++)
        sum += atomic_load_explicit((atomic_uint_fast64_t *)(void *)((unsigned char *)&game.accounts[i] + offset),
                                    memory_order_relaxed);
    return sum;
}

static void check_accounts(const fa_stats *stats)
{
    uint64_t puts = sum_accounts(offsetof(struct account, puts)) + game.put_by_promotion, inside = in_cells();
    if (puts != stats->retired + inside)
        stress_fail("frame %" PRIu64 ": %" PRIu64 " versions were put into cells, %" PRIu64
                    " are there, the library counts %" PRIu64 " retired",
                    stats->frame, puts, inside, stats->retired);
    uint64_t live = inside + game.loose_count + stats->backlog;
    if (stats->pool_live + stats->heap_live != live)
        stress_fail("frame %" PRIu64 ": %" PRIu64 " pool and %" PRIu64 " heap objects live, but %" PRIu64
                    " in cells + %" PRIu32 " promoted + %" PRIu64 " in the backlog",
                    stats->frame, stats->pool_live, stats->heap_live, inside, game.loose_count, stats->backlog);
    game.exact++;
}

static void check_backlog(const fa_stats *stats)
{
    uint64_t now = stress_now_ns();
    if (stats->backlog > game.backlog_most) game.backlog_most = stats->backlog;
    if (stats->backlog == 0) return;
    uint64_t number = fa_frame_number(game.fa), age_ns = 0;
    if (stats->backlog_frames < FRAME_RECORDS && stats->backlog_frames < number)
        age_ns = now - game.frame_records[(number - stats->backlog_frames) % FRAME_RECORDS].began_ns;
    else if (number >= FRAME_RECORDS) // older than all records
        age_ns = now - game.frame_records[(number + 1) % FRAME_RECORDS].began_ns;
    if (age_ns > game.backlog_ns_most) game.backlog_ns_most = age_ns;
    if (age_ns > stress_sanitized_times(BACKLOG_NS, 5))
        stress_fail("frame %" PRIu64 ": a version has waited for its end for %.1f s and %" PRIu64
                    " frames; backlog %" PRIu64,
                    number, (double)age_ns / 1e9, stats->backlog_frames, stats->backlog);
    // A pace that one core could not keep up with must not look like a leak: writers rest, and then it must shrink.
    if (!game.paced && stats->backlog > BACKLOG_MAX) game.paced_since = now;
    if (game.paced && now - game.paced_since > stress_sanitized_times(BACKLOG_NS, 5))
        stress_fail("the backlog has not halved for %.1f s while nothing was retired: %" PRIu64 " versions",
                    (double)(now - game.paced_since) / 1e9, stats->backlog);
    game.paced = stats->backlog > (game.paced ? BACKLOG_MAX / 2 : BACKLOG_MAX);
}

static void begin_frame(void)
{
    stress_phase("fa_frame_begin");
    stress_must(fa_frame_begin(game.fa));
    struct frame_record *record = &game.frame_records[fa_frame_number(game.fa) % FRAME_RECORDS];
    record->began_ns = stress_now_ns();
}

static fa_stats end_frame(void)
{
    fa_frame_result result;
    fa_stats stats;
    stress_phase("fa_frame_end");
    stress_must(fa_frame_end(game.fa, &result));
    stress_phase("the checks at the boundary");
    take_result(&result);
    stress_must(fa_stats_read(game.fa, &stats));
    check_backlog(&stats);
    game.frames++;
    game.run->operations = game.before + sum_accounts(offsetof(struct account, reads)) +
                           sum_accounts(offsetof(struct account, puts));
    stress_progress(game.run->operations);
    return stats;
}

static void free_some_loose(fa_worker *w)
{
    uint32_t keep = stress_below(&game.random, 64);
    while (game.loose_count > keep) {
        uint32_t i = --game.loose_count;
        stress_must(fa_submit(w, game.loose_on_heap[i] ? free_loose_heap : free_loose, game.loose[i]));
        game.loose_freed++;
    }
}

static void submit_jobs(fa_worker *w)
{
    struct frame_record *record = &game.frame_records[fa_frame_number(game.fa) % FRAME_RECORDS];
    for (uint32_t i = stress_between(&game.random, 1, JOBS_MAX); i > 0; i--) {
        struct task task = {.seed = stress_next(&game.random), .record = record};
        stress_must(fa_submit_copy(w, NULL, game.paced ? read_only : play, &task, sizeof task));
    }
}

/// What the main lane does between begin and end: it holds versions while it helps.
static void take_part(fa_worker *w)
{
    struct hold holds[HELD];
    uint32_t count = hold_some(w, &game.random, holds);
    struct task task = {.record = &game.frame_records[fa_frame_number(game.fa) % FRAME_RECORDS], .depth = 1};
    stress_phase("a wait of the main lane");
    if (stress_one_in(&game.random, 2) && !game.paced) fork_and_wait(w, &game.random, &task);
    stress_phase("a loop of the main lane");
    if (stress_one_in(&game.random, 4)) loop(w, &game.random);
    if (stress_one_in(&game.random, 4) && !game.paced) retain(w, &game.random, task.record);
    if (stress_one_in(&game.random, 4) && !game.paced) publish(w, &game.random);
    check_holds(w, holds, count, "on the main lane, before the end of the frame");
}

/// A job that outlasts its frame, and slow frames until then, so that boundaries and a grace period pass. The attached
/// threads pause: nobody but the job may hold the grace period up.
static void linger_sometimes(fa_worker *w)
{
    if (game.lingering > 0 || game.paced || !stress_one_in(&game.random, LINGER_EVERY)) return;
    pause_readers();
    struct task task = {.seed = stress_next(&game.random),
                        .record = &game.frame_records[fa_frame_number(game.fa) % FRAME_RECORDS]};
    stress_must(fa_submit_copy(w, NULL, linger, &task, sizeof task));
    game.lingering = (uint32_t)(LINGER_NS / LINGER_SLEEP_US / 1000) + 1;
    game.lingered++;
}

static void rest_between(void)
{
    if (game.lingering > 0) {
        stress_sleep_us(LINGER_SLEEP_US);
        if (--game.lingering == 0) atomic_store(&game.pause, false);
    } else if (game.paced || stress_one_in(&game.random, 32)) {
        stress_sleep_us(stress_below(&game.random, 500));
    }
}

static void run_frame(fa_worker *w, bool one_at_a_time)
{
    bool quiet = atomic_load(&game.pause);
    begin_frame();
    stress_phase("submitting");
    free_some_loose(w);
    submit_jobs(w);
    if (!one_at_a_time) linger_sometimes(w);
    take_part(w);
    fa_stats stats = end_frame();
    if (quiet && one_at_a_time) check_accounts(&stats);
    rest_between();
}

static void run_frames(uint64_t until_ns, bool one_at_a_time)
{
    fa_worker *w = fa_self(game.fa);
    for (uint64_t frame = 1; stress_now_ns() < until_ns; frame++) {
        if (one_at_a_time && frame % CYCLE == CYCLE - QUIET)
            pause_readers();
        else if (one_at_a_time && frame % CYCLE == 0)
            atomic_store(&game.pause, false);
        run_frame(w, one_at_a_time);
    }
}

// Rounds -----------------------------------------------------------------------------------------------------------------------

static void empty_cells(fa_worker *w)
{
    for (uint32_t i = 0; i < CELLS; i++) stress_must(fa_cell_drop(w, &game.cells[i]));
    for (uint32_t i = 0; i < SIDES; i++) {
        struct version *side = atomic_exchange(&game.sides[i], NULL);
        if (side != NULL) stress_must(fa_retire(w, side));
    }
}

/// Empties everything and waits, frame by frame, until nothing is left.
static void drain(void)
{
    fa_worker *w = fa_self(game.fa);
    uint64_t since = stress_now_ns();
    fa_stats stats;
    for (uint32_t frames = 1;; frames++) {
        begin_frame();
        while (game.loose_count > 0) free_some_loose(w);
        empty_cells(w); // each time: frames in flight go on for a while
        stats = end_frame();
        if (stats.frames_alive == 0 && stats.backlog == 0 && game.loose_count == 0 && in_cells() == 0) break;
        if (stress_now_ns() - since > stress_sanitized_times(BACKLOG_NS, 5))
            stress_fail("%" PRIu32 " frames and %.1f s after the last reader left: %" PRIu64
                        " versions in the backlog, %" PRIu32 " frames alive",
                        frames, (double)(stress_now_ns() - since) / 1e9, stats.backlog, stats.frames_alive);
        if (frames > 8) stress_sleep_us(200);
    }
    check_accounts(&stats);
    if (stats.retired != stats.reclaimed || stats.pool_live + stats.heap_live != 0)
        stress_fail("at the end %" PRIu64 " versions retired, %" PRIu64 " reclaimed, %" PRIu64 " + %" PRIu64
                    " objects live",
                    stats.retired, stats.reclaimed, stats.pool_live, stats.heap_live);
    game.retired_total += stats.retired;
    if (stats.promotion_failed != 0) stress_fail("%" PRIu64 " promotions failed", stats.promotion_failed);
}

static void start_readers(void)
{
    atomic_store(&game.pause, false);
    atomic_store(&game.stop, false);
    for (uint32_t i = 0; i < READERS; i++) {
        struct reader *reader = &game.readers[i];
        *reader = (struct reader){.random = stress_stream(stress_next(&game.random), i)};
        int error = pthread_create(&reader->thread, NULL, read_along, reader);
        if (error != 0) stress_fail("no thread: %s", strerror(error));
    }
}

static void run_round(struct stress_run *run)
{
    static const uint32_t workers[] = {0, 1, 2, 2, 3, 3, 4, 8}, frames[] = {1, 1, 2, 3, 4, 4, 8, 8};
    fa_config config = stress_config(run->workers != 0 ? run->workers : workers[stress_below(&game.random, 8)]);
    config.frames_in_flight = frames[stress_below(&game.random, 8)];
    game.lingering = 0;
    config.search_spin_us = stress_one_in(&game.random, 2) ? 0 : 20;
    uint64_t until = stress_now_ns() + ROUND_NS;
    game.round++;
    stress_phase("fa_create");
    stress_must(fa_create(&config, &game.fa));
    memset(game.accounts, 0, sizeof game.accounts);
    memset(game.frame_records, 0, sizeof game.frame_records);
    game.put_by_promotion = 0;
    game.paced = false;
    game.before = run->operations;
    start_readers();
    run_frames(until < run->deadline_ns ? until : run->deadline_ns, config.frames_in_flight == 1);
    atomic_store(&game.stop, true);
    for (uint32_t i = 0; i < READERS; i++) (void)pthread_join(game.readers[i].thread, NULL);
    drain();
    stress_take_contention(run, game.fa);
    stress_phase("fa_destroy");
    stress_must(fa_destroy(game.fa));
}

static void run_rounds(struct stress_run *run)
{
    if (run->planted) stress_spoil_payloads();
    uint64_t held = 0, puts = 0;
    memset(&game, 0, sizeof game);
    game.run = run;
    game.random = stress_stream(run->seed, 0);
    while (!stress_time_is_up(run)) {
        run_round(run);
        held += sum_accounts(offsetof(struct account, held));
        puts += sum_accounts(offsetof(struct account, puts)) + game.put_by_promotion;
    }
    stress_figure(run, "rounds", (double)game.round);
    stress_figure(run, "frames", (double)game.frames);
    stress_figure(run, "exact boundaries", (double)game.exact);
    stress_figure(run, "versions put into cells", (double)puts);
    stress_figure(run, "versions retired", (double)game.retired_total);
    stress_figure(run, "versions held", (double)held);
    stress_figure(run, "jobs that lingered", (double)game.lingered);
    stress_figure(run, "retained", (double)game.retained_total);
    stress_figure(run, "  promoted", (double)game.promoted_total);
    stress_figure(run, "  promoted without a copy", (double)game.moved_total);
    stress_figure(run, "backlog at most", (double)game.backlog_most);
    stress_figure(run, "backlog's age at most, ms", (double)game.backlog_ns_most / 1e6);
}

static void explain(void)
{
    fa_stats stats;
    if (game.fa == NULL || fa_stats_read(game.fa, &stats) != FA_OK) return;
    (void)fprintf(stderr,
                  "  round %" PRIu64 ", frame %" PRIu64 ", %" PRIu32 " alive, %" PRIu32 " holds, backlog %" PRIu64 "\n",
                  game.round, fa_frame_number(game.fa), stats.frames_alive, stats.frame_holds, stats.backlog);
    for (uint32_t i = 0; i < READERS; i++)
        (void)fprintf(stderr, "  attached thread %u is %s\n", i,
                      atomic_load(&game.readers[i].working) ? "working" : "quiet");
}

int main(int argc, char **argv)
{
    static const struct stress_program program = {
        .name = "stress_promote",
        .doc = "Promotes, publishes, drops and retires objects in reference cells while jobs, the main thread and "
               "attached "
               "threads read them and hold them over waits and loops. Checks every byte that is read, that everything "
               "retired is freed in the end, and the statistics at quiet boundaries.",
        .operation = "reads and writes",
        .run = run_rounds,
        .planted = STRESS_SPOILED,
        .explain = explain,
    };
    return stress_main(argc, argv, &program);
}
