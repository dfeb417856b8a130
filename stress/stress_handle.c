// SPDX-License-Identifier: MIT
//
// Handles on all lanes while the main lane compacts. Jobs of overlapping frames and attached threads
//
//     read      objects of a shared table that others replace and free, hold the addresses over pauses, and check all bytes again
//     rewrite   objects of their own under pins: no write may be lost in a move
//     pin       shared objects that another lane unpins later: their address must not change meanwhile
//
// and the main lane compacts between frames under random budgets. A shared object does not change once it is in the table, so its bytes
// follow from its key for as long as anybody may read them, moved or freed. At the end of a round nothing may be live, pinned or kept.
#include "stress.h"

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

#define TABLE 4096 // shared handles
#define PINNED 64  // handed from lane to lane while pinned
#define OWN 24     // of one job
#define STEPS 400  // of one job
#define GUESTS 2   // attached threads
#define BURST 1500 // objects replaced by the main lane between two frames, so that memory becomes sparse
#define ROUND_NS (STRESS_SECOND_NS / 2)

struct object {
    uint64_t key;
    uint32_t size; // of all
};

struct pinned {
    uint64_t handle; // 0: none
    const struct object *at;
};

static struct {
    struct stress_run *run;
    fa_system *fa;
    // owner: the main thread
    struct stress_random random;
    uint64_t rounds, moves, emptied, relocated;
    // shared
    atomic_uint_fast64_t table[TABLE];
    struct pinned pinned[PINNED];
    atomic_flag pinned_busy[PINNED];
    atomic_uint_fast64_t streams, operations;
    atomic_bool stop;
} game;

static uint64_t bits_of(fa_handle handle)
{
    return (uint64_t)handle.generation << 32 | handle.index;
}

static fa_handle handle_of(uint64_t bits)
{
    return (fa_handle){(uint32_t)bits, (uint32_t)(bits >> 32)};
}

// Objects -----------------------------------------------------------------------------------------------------------------

static void write_object(struct object *object, uint32_t size, uint64_t key)
{
    *object = (struct object){.key = key, .size = size};
    stress_fill(object + 1, size - sizeof *object, key);
}

static void check_object(const struct object *object, const char *what)
{
    uint64_t key = object->key;
    uint32_t size = object->size;
    if (size < sizeof *object || size > 20000) stress_fail("%s: an object of %" PRIu32 " bytes", what, size);
    ssize_t wrong = stress_check(object + 1, size - sizeof *object, key);
    if (wrong >= 0) stress_found("%s: byte %zd of %" PRIu32 " is wrong", what, wrong, size);
}

static void on_relocate(const void *from, void *to, void *context)
{
    (void)context;
    check_object(to, "moved");
    check_object(from, "the old copy");
    game.relocated++;
}

static uint32_t draw_size(struct stress_random *random)
{
    uint32_t draw = stress_below(random, 1000);
    if (draw < 700) return stress_between(random, 60, 90);
    if (draw < 995) return stress_between(random, sizeof(struct object), 800);
    return stress_between(random, 5000, 20000);
}

/// A new object, written under a pin: a compaction may run at any time.
static fa_handle make(fa_worker *w, struct stress_random *random, uint64_t key)
{
    const fa_handle_options options = {.fixed = stress_one_in(random, 50), .on_relocate = on_relocate};
    uint32_t size = draw_size(random);
    fa_handle handle = fa_handle_alloc(w, size, 0, &options);
    struct object *object = fa_handle_pin(w, handle);
    if (object == NULL) stress_fail("no memory for a handle");
    write_object(object, size, key);
    stress_must(fa_handle_unpin(w, handle));
    return handle;
}

// What lanes do -----------------------------------------------------------------------------------------------------------

static void free_shared(fa_worker *w, uint64_t bits)
{
    if (bits != 0) stress_must(fa_handle_free(w, handle_of(bits)));
}

static void replace_one(fa_worker *w, struct stress_random *random)
{
    uint64_t bits = stress_one_in(random, 3) ? 0 : bits_of(make(w, random, stress_next(random)));
    free_shared(w, atomic_exchange(&game.table[stress_below(random, TABLE)], bits));
}

static void read_some(fa_worker *w, struct stress_random *random)
{
    const struct object *held[8];
    uint32_t count = 0;
    for (uint32_t i = 0; i < 8; i++) {
        uint64_t bits = atomic_load(&game.table[stress_below(random, TABLE)]);
        const struct object *object = bits != 0 ? fa_handle_peek(w, handle_of(bits)) : NULL;
        if (object != NULL) held[count++] = object;
    }
    if (stress_one_in(random, 16)) (void)sched_yield();
    for (uint32_t i = 0; i < count; i++) check_object(held[i], "read");
}

/// Puts a pin down for another lane, or takes one up.
static void pass_pin(fa_worker *w, struct stress_random *random)
{
    uint32_t i = stress_below(random, PINNED);
    if (atomic_flag_test_and_set(&game.pinned_busy[i])) return;
    struct pinned *at = &game.pinned[i];
    if (at->handle == 0) {
        fa_handle handle = make(w, random, stress_next(random));
        *at = (struct pinned){bits_of(handle), fa_handle_pin(w, handle)};
    } else {
        if (fa_handle_resolve(w, handle_of(at->handle)) != at->at) stress_fail("a pinned object has moved");
        if (fa_handle_free(w, handle_of(at->handle)) != FA_ERROR_BUSY) stress_fail("a pinned object was freed");
        check_object(at->at, "pinned");
        stress_must(fa_handle_unpin(w, handle_of(at->handle)));
        stress_must(fa_handle_free(w, handle_of(at->handle)));
        at->handle = 0;
    }
    atomic_flag_clear(&game.pinned_busy[i]);
}

static void rewrite(fa_worker *w, struct stress_random *random, fa_handle handle, uint64_t *key)
{
    FA_HANDLE_PINNED(w, handle, pinned);
    struct object *object = pinned.object;
    if (object == NULL) stress_fail("an object of one's own is gone");
    if (object->key != *key) stress_fail("a write was lost in a move");
    *key = stress_next(random);
    write_object(object, object->size, *key);
}

static void work(fa_worker *w)
{
    struct stress_random random = stress_stream(game.run->seed, atomic_fetch_add(&game.streams, 1));
    fa_handle own[OWN];
    uint64_t keys[OWN];
    for (uint32_t i = 0; i < OWN; i++) own[i] = make(w, &random, keys[i] = stress_next(&random));
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t i = stress_below(&random, OWN), draw = stress_below(&random, 100);
        if (draw < 30)
            replace_one(w, &random);
        else if (draw < 65)
            read_some(w, &random);
        else if (draw < 75)
            pass_pin(w, &random);
        else
            rewrite(w, &random, own[i], &keys[i]);
    }
    for (uint32_t i = 0; i < OWN; i++) {
        rewrite(w, &random, own[i], &keys[i]);
        stress_must(fa_handle_free(w, own[i]));
    }
    atomic_fetch_add(&game.operations, STEPS);
}

static void work_job(fa_worker *w, void *arg)
{
    (void)arg;
    work(w);
}

static void *work_attached(void *arg)
{
    fa_worker *w;
    stress_must(fa_attach(game.fa, &w));
    while (!atomic_load(&game.stop)) {
        work(w);
        stress_must(fa_quiescent(w));
    }
    stress_must(fa_detach(w));
    return arg;
}

// The main lane -----------------------------------------------------------------------------------------------------------

static void compact(struct stress_random *random)
{
    bool all = stress_one_in(random, 3);
    size_t bytes = all ? SIZE_MAX : stress_between(random, 1, 60000);
    uint32_t moves = all ? UINT32_MAX : stress_between(random, 1, 400);
    fa_handle_compaction result;
    uint64_t before = game.relocated;
    stress_must(fa_handles_compact(game.fa, bytes, moves, &result));
    if (result.moves > moves || result.bytes > bytes)
        stress_fail("%" PRIu32 " moves of %" PRIu64 " bytes in a budget of %" PRIu32 " of %zu", result.moves,
                    result.bytes, moves, bytes);
    if (game.relocated - before != result.moves) stress_fail("on_relocate was not called for each move");
    game.moves += result.moves;
    game.emptied += result.blocks;
}

static void run_frame(fa_worker *w, uint32_t jobs)
{
    stress_phase("a frame");
    stress_must(fa_frame_begin(game.fa));
    for (uint32_t i = 0; i < jobs; i++) stress_must(fa_submit(w, work_job, NULL));
    stress_must(fa_frame_end(game.fa, NULL));
    for (uint32_t i = 0; i < BURST; i++) replace_one(w, &game.random);
    stress_phase("compacting");
    compact(&game.random);
    stress_progress(atomic_load(&game.operations));
}

/// Frees everything and waits, frame by frame, until nothing is left.
static void drain(fa_worker *w)
{
    stress_phase("draining");
    for (uint32_t i = 0; i < PINNED; i++) {
        if (game.pinned[i].handle == 0) continue;
        stress_must(fa_handle_unpin(w, handle_of(game.pinned[i].handle)));
        stress_must(fa_handle_free(w, handle_of(game.pinned[i].handle)));
        game.pinned[i].handle = 0;
    }
    for (uint32_t i = 0; i < TABLE; i++) free_shared(w, atomic_exchange(&game.table[i], 0));
    uint64_t since = stress_now_ns();
    fa_stats stats;
    fa_handle_stats handles;
    do {
        if (stress_now_ns() - since > stress_sanitized_times(3 * STRESS_SECOND_NS, 5))
            stress_fail("%" PRIu64 " handles live, %" PRIu64 " blocks kept, %" PRIu64 " objects in the backlog",
                        handles.live, handles.blocks, stats.backlog);
        stress_must(fa_frame_begin(game.fa));
        stress_must(fa_frame_end(game.fa, NULL));
        stress_must(fa_handles_compact(game.fa, SIZE_MAX, UINT32_MAX, NULL)); // takes back what lanes allocate from
        stress_must(fa_stats_read(game.fa, &stats));
        stress_must(fa_handle_stats_read(game.fa, &handles));
        stress_sleep_us(200);
    } while (stats.backlog != 0 || handles.blocks != 0 || stats.frames_alive != 0);
    if (handles.live != 0 || handles.live_bytes != 0 || handles.pinned != 0 || handles.fixed != 0 ||
        handles.slots_free != handles.slots)
        stress_fail("at the end %" PRIu64 " live, %" PRIu64 " pinned, %" PRIu64 " fixed, %" PRIu64 " of %" PRIu64
                    " slots free",
                    handles.live, handles.pinned, handles.fixed, handles.slots_free, handles.slots);
}

static void run_round(struct stress_run *run)
{
    static const uint32_t workers[] = {0, 1, 2, 2, 3, 4}, frames[] = {1, 2, 3, 3, 4, 8};
    fa_config config = stress_config(run->workers != 0 ? run->workers : workers[stress_below(&game.random, 6)]);
    config.frames_in_flight = frames[stress_below(&game.random, 6)];
    config.handles_max = 1u << 16;
    uint64_t until = stress_now_ns() + ROUND_NS;
    pthread_t guests[GUESTS];
    stress_phase("fa_create");
    stress_must(fa_create(&config, &game.fa));
    atomic_store(&game.stop, false);
    for (uint32_t i = 0; i < GUESTS; i++) {
        int error = pthread_create(&guests[i], NULL, work_attached, NULL);
        if (error != 0) stress_fail("no thread: %s", strerror(error));
    }
    while (stress_now_ns() < until && !stress_time_is_up(run))
        run_frame(fa_self(game.fa), fa_worker_count(game.fa) + 1);
    atomic_store(&game.stop, true);
    for (uint32_t i = 0; i < GUESTS; i++) (void)pthread_join(guests[i], NULL);
    for (uint32_t i = 0; i < config.frames_in_flight; i++) { // the last jobs
        stress_must(fa_frame_begin(game.fa));
        stress_must(fa_frame_end(game.fa, NULL));
    }
    for (fa_stats stats = {.frames_alive = 1}; stats.frames_alive != 0;) {
        stress_must(fa_frame_begin(game.fa));
        stress_must(fa_frame_end(game.fa, NULL));
        stress_must(fa_stats_read(game.fa, &stats));
    }
    drain(fa_self(game.fa));
    stress_take_contention(run, game.fa);
    stress_phase("fa_destroy");
    stress_must(fa_destroy(game.fa));
    game.rounds++;
}

static void run_rounds(struct stress_run *run)
{
    if (run->planted) stress_spoil_payloads();
    memset(&game, 0, sizeof game);
    game.run = run;
    game.random = stress_stream(run->seed, 0);
    while (!stress_time_is_up(run)) run_round(run);
    if (game.moves == 0) stress_fail("nothing ever moved");
    run->operations = atomic_load(&game.operations);
    stress_figure(run, "rounds", (double)game.rounds);
    stress_figure(run, "objects moved", (double)game.moves);
    stress_figure(run, "blocks emptied", (double)game.emptied);
}

int main(int argc, char **argv)
{
    static const struct stress_program program = {
        .name = "stress_handle",
        .doc = "Allocates, frees, resolves and pins handles in jobs and attached threads while the main thread moves "
               "their objects together. Checks every byte that is read, that no write is lost, and that nothing is "
               "left in the end.",
        .operation = "operations",
        .run = run_rounds,
        .planted = STRESS_SPOILED,
    };
    return stress_main(argc, argv, &program);
}
