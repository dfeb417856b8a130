// SPDX-License-Identifier: MIT
//
// Handles: the main lane compacts and reclaims while another lane resolves, pins, writes and frees. Who resolved sees the object whole until
// its next quiescent state; a pinned object stays where it is; what was written under a pin is never lost by a move.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include "alloc/lane.h"
#include "jobs/worker.h"

#include <string.h>

extern const mc_model model_handle, model_handle_tick, model_handle_free, model_chunk, model_chunk_give,
    model_chunk_room, model_chunk_seal;

enum { SIZE = 64, REST_FRAMES = 3 };

static fa_system *fa;
static struct {
    fa_handle mains, others;
    little_flag mains_is_there, others_is_there, other_is_done;
} world;

static void before_tick(void)
{
    memset(&world, 0, sizeof world);
}

static void write_object(uint64_t *p, uint64_t value)
{
    p[0] = value;
    p[1] = ~value;
}

static void check(const uint64_t *p)
{
    MC_ASSERT(p[0] != 0 && p[1] == ~p[0]);
}

static fa_handle make(fa_worker *w, uint64_t value)
{
    fa_handle handle = fa_handle_alloc(w, SIZE, 16, NULL);
    MC_ASSERT(!fa_handle_is_none(handle));
    write_object(fa_handle_resolve(w, handle), value);
    return handle;
}

static void other_lane(void)
{
    fa_worker *w;
    MC_ASSERT(fa_attach(fa, &w) == FA_OK);
    world.others = make(w, 1); // in a chunk of its own
    little_raise(&world.others_is_there);
    MC_ASSERT(fa_detach(w) == FA_OK); // the compaction may take the chunk from an idle lane only
    MC_ASSERT(fa_attach(fa, &w) == FA_OK);
    little_wait_for(&world.mains_is_there);
    const uint64_t *seen = fa_handle_peek(w, world.others);
    MC_ASSERT(seen != NULL);
    check(seen);
    uint64_t *p = fa_handle_pin(w, world.others);
    MC_ASSERT(p != NULL);
    write_object(p, p[0] + 1);
    MC_ASSERT(fa_handle_peek(w, world.others) == p);
    MC_ASSERT(fa_handle_unpin(w, world.others) == FA_OK);
    seen = fa_handle_peek(w, world.mains);
    MC_ASSERT(seen != NULL);
    MC_ASSERT(fa_handle_free(w, world.mains) == FA_OK);
    check(seen); // until the next quiescent state
    MC_ASSERT(fa_handle_peek(w, world.mains) == NULL);
    make(w, 9);
    MC_ASSERT(fa_detach(w) == FA_OK);
    little_raise(&world.other_is_done);
}

static void main_lane(void)
{
    fa_worker *w = fa_self(fa);
    world.mains = make(w, 1);
    little_raise(&world.mains_is_there);
    little_wait_for(&world.others_is_there);
    for (int turn = 0; turn < 2; turn++) {
        fa_handle_compaction done;
        MC_ASSERT(fa_handles_compact(fa, 1 << 20, 16, &done) == FA_OK);
    }
    for (int frame = 0; frame < REST_FRAMES; frame++) {
        MC_ASSERT(fa_frame_begin(fa) == FA_OK);
        make(w, 7); // may be where something was freed or moved away
        MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
        fai_pause();
    }
    little_wait_for(&world.other_is_done);
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    const uint64_t *p = fa_handle_resolve(w, world.others);
    MC_ASSERT(p != NULL && p[0] == 2 && p[1] == ~(uint64_t)2);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
    little_stop(fa, true);
}

const mc_model model_handle_tick = {
    .name = "handle_tick",
    .claim = "a resolved object stays whole, a pinned one stays where it is, and a move loses nothing",
    .large = true,
    .system = &fa,
    .before = before_tick,
    .threads = {main_lane, other_lane, little_reclaimer},
};

// A move against what another lane does, alone ------------------------------------------------------------------------------

static fa_worker *other;

static fai_memory *memory_of(fa_system *system)
{
    return (fai_memory *)(void *)system; // its first member
}

static void on_relocate(const void *from, void *to, void *context)
{
    (void)context;
    mc_had_written(to, SIZE); // the copy, by the step that made it known
    check(from);              // after all that was written under pins
}

static fa_handle make_told(fa_worker *w)
{
    fa_handle_options options = {.on_relocate = on_relocate};
    fa_handle handle = fa_handle_alloc(w, SIZE, 16, &options);
    write_object(fa_handle_resolve(w, handle), 1);
    return handle;
}

/// Two chunks with an object each, neither a lane's.
static void before_move(void)
{
    memset(&world, 0, sizeof world);
    world.mains = make_told(fa_self(fa));
    other = little_attach(fa);
    mc_act_as(1);
    world.others = make_told(other);
    MC_ASSERT(fa_detach(other) == FA_OK);
    mc_act_as(0);
    fai_memory_trim_handles(memory_of(fa));
    other = little_attach(fa);
}

static void use(fa_worker *w, fa_handle handle)
{
    uint64_t *p = fa_handle_pin(w, handle);
    MC_ASSERT(p != NULL);
    check(p);
    write_object(p, p[0] + 1);
    MC_ASSERT(fa_handle_peek(w, handle) == p);
    MC_ASSERT(fa_handle_unpin(w, handle) == FA_OK);
}

static void thread_move(void)
{
    unsigned self = mc_self();
    mc_dawdle(self == 0 ? 20 : 150);
    if (self == 0) {
        fa_handle_compaction done;
        MC_ASSERT(fa_handles_compact(fa, 1 << 20, 16, &done) == FA_OK);
        return;
    }
    use(other, world.others);
    use(other, world.mains);
    if (mc_choose(2) == 0) MC_ASSERT(fa_handle_free(other, world.others) == FA_OK);
    make_told(other);
}

static void after_move(void)
{
    const uint64_t *p = fa_handle_peek(fa_self(fa), world.mains);
    MC_ASSERT(p != NULL && p[0] == 2);
    check(p);
}

const mc_model model_handle = {
    .name = "handle",
    .claim = "a move and a pin, a write or a free of the same object exclude each other",
    .large = true,
    .system = &fa,
    .before = before_move,
    .threads = {thread_move, thread_move},
    .after = after_move,
};

// Objects that come home while their chunk is allocated from -----------------------------------------------------------------

static void *freed[2];

static fa_handle make_large(fa_worker *w)
{
    fa_handle handle = fa_handle_alloc(w, 8192, 16, NULL);
    MC_ASSERT(!fa_handle_is_none(handle));
    *(uint64_t *)fa_handle_resolve(w, handle) = 5;
    return handle;
}

/// The other lane's chunk is full; two of its objects were freed and their grace period is over.
static void before_chunk(void)
{
    other = little_attach(fa);
    mc_act_as(1);
    fa_handle handles[8];
    for (int i = 0; i < 8; i++) handles[i] = make_large(other);
    for (int i = 0; i < 2; i++) {
        freed[i] = fa_handle_resolve(other, handles[i]);
        MC_ASSERT(fa_handle_free(other, handles[i]) == FA_OK);
    }
    mc_act_as(0);
}

static void thread_chunk(void)
{
    mc_dawdle(20);
    if (mc_self() == 0) {
        for (int i = 0; i < 2; i++) {
            *(uint64_t *)freed[i] = 0; // as in a system that fills what is freed
            fai_handle_reclaim(memory_of(fa), freed[i]);
        }
        (void)make_large(fa_self(fa)); // perhaps from the other's chunk, if that was given up
    } else {
        (void)make_large(other);
        (void)make_large(other);
    }
}

const mc_model model_chunk = {
    .name = "chunk",
    .claim = "a free object of a chunk is had by one lane, when who freed it has done with it",
    .large = true,
    .system = &fa,
    .before = before_chunk,
    .threads = {thread_chunk, thread_chunk},
};

// A chunk that its lane gives up while the last object comes back --------------------------------------------------------------

static bool goes_on;

/// The other lane's chunk has one object, freed.
static void before_give(void)
{
    goes_on = mc_choose(2) == 0;
    other = little_attach(fa);
    mc_act_as(1);
    fa_handle handle = make_large(other);
    freed[0] = fa_handle_resolve(other, handle);
    MC_ASSERT(fa_handle_free(other, handle) == FA_OK);
    mc_act_as(0);
}

static void thread_give(void)
{
    mc_dawdle(20);
    if (mc_self() == 0) {
        *(uint64_t *)freed[0] = 0;
        fai_handle_reclaim(memory_of(fa), freed[0]);
        if (goes_on) (void)make_large(fa_self(fa)); // perhaps from that chunk
        return;
    }
    fai_handle_lane_trim(&fai_worker_of(other)->lane);
    if (goes_on) (void)make_large(other); // perhaps in the memory that the chunk had
}

static void after_give(void)
{
    MC_ASSERT(goes_on || fai_load_relaxed(&memory_of(fa)->handles.chunk_count) == 0);
}

const mc_model model_chunk_give = {
    .name = "chunk_give",
    .claim = "an empty chunk is given back once, by its lane or by the last free",
    .large = true,
    .system = &fa,
    .before = before_give,
    .threads = {thread_give, thread_give},
    .after = after_give,
};

// A chunk that one lane makes and lists, and another takes --------------------------------------------------------------------

static void before_room(void)
{
    other = little_attach(fa);
}

static void thread_room(void)
{
    fa_worker *w = mc_self() == 0 ? fa_self(fa) : other;
    mc_dawdle(40);
    for (int i = 0; i < 2; i++) {
        (void)make_large(w);
        fai_handle_lane_trim(&fai_worker_of(w)->lane);
    }
}

const mc_model model_chunk_room = {
    .name = "chunk_room",
    .claim = "a chunk with room that is listed is had by one lane, as its last owner left it",
    .large = true,
    .system = &fa,
    .before = before_room,
    .threads = {thread_room, thread_room},
};

// A chunk of two words that is full, until one object comes back ---------------------------------------------------------------

enum { OBJECT = 896, FIRST_WORD = 64, CAPACITY = FAI_UNIT_BYTES / OBJECT };

static void *make_object(fa_worker *w)
{
    fa_handle handle = fa_handle_alloc(w, OBJECT, 16, NULL);
    MC_ASSERT(!fa_handle_is_none(handle));
    return fa_handle_resolve(w, handle);
}

/// The other lane has the first word's objects, of which one was freed.
static void before_seal(void)
{
    other = little_attach(fa);
    mc_act_as(1);
    for (int i = 0; i < FIRST_WORD - 1; i++) (void)make_object(other);
    fa_handle handle = fa_handle_alloc(other, OBJECT, 16, NULL);
    freed[0] = fa_handle_resolve(other, handle);
    MC_ASSERT(fa_handle_free(other, handle) == FA_OK);
    mc_act_as(0);
}

static void thread_seal(void)
{
    if (mc_self() == 0) {
        mc_dawdle(40);
        fai_handle_reclaim(memory_of(fa), freed[0]);
        for (int i = 0; i < 2; i++) (void)make_object(fa_self(fa)); // that one, and what else the chunk seems to have
        return;
    }
    for (int i = FIRST_WORD; i < CAPACITY + 1; i++) (void)make_object(other);
}

const mc_model model_chunk_seal = {
    .name = "chunk_seal",
    .claim = "who makes room in a full chunk has it, as its owner left it",
    .large = true,
    .system = &fa,
    .before = before_seal,
    .threads = {thread_seal, thread_seal},
};

// A free, and the next object in the same memory ------------------------------------------------------------------------------

static void before_free(void)
{
    memset(&world, 0, sizeof world);
    world.mains = make(fa_self(fa), 1);
    other = little_attach(fa);
}

static void thread_free(void)
{
    fa_worker *w = fa_self(fa);
    mc_dawdle(20);
    if (mc_self() != 0) {
        uint64_t *p = fa_handle_pin(other, world.mains);
        if (p == NULL) return;
        write_object(p, 2);
        MC_ASSERT(fa_handle_unpin(other, world.mains) == FA_OK);
        return;
    }
    void *p = fa_handle_peek(w, world.mains);
    while (fa_handle_free(w, world.mains) == FA_ERROR_BUSY) fai_pause(); // pinned
    *(uint64_t *)p = 0; // nobody reads it without a pin here, so no grace period is needed
    fai_handle_reclaim(memory_of(fa), p);
    make(w, 3);
}

const mc_model model_handle_free = {
    .name = "handle_free",
    .claim = "what was written under a pin comes before the free",
    .large = true,
    .system = &fa,
    .before = before_free,
    .threads = {thread_free, thread_free},
};
