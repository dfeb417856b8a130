// SPDX-License-Identifier: MIT
//
// Streams: two lanes reserve at the same time and so evict the same streams, which one of them pins meanwhile. A plan of eviction and a pin exclude
// each other, nothing is evicted for nothing, and the budget holds.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_stream, model_stream_tick, model_budget;

enum { STREAMS = 2, SIZE = 1 << 20 };

static fa_system *fa;
static fa_stream loaded[STREAMS]; // before each execution
static struct {
    FAI_ATOMIC(uint32_t) evicted[STREAMS], pinned[STREAMS];
    FAI_ATOMIC(uint32_t) reserved;
    little_flag other_is_done;
} world;

static void on_evict(fa_worker *w, const fa_stream_eviction *eviction)
{
    (void)w;
    uintptr_t which = (uintptr_t)eviction->user;
    MC_ASSERT(which < STREAMS);
    MC_ASSERT(fai_load_relaxed(&world.pinned[which]) == 0);
    MC_ASSERT(*(const uint64_t *)eviction->data == which + 1);
    MC_ASSERT(fai_add_relaxed(&world.evicted[which], 1u) == 0);
}

static fa_status make(fa_worker *w, fa_stream_priority priority, uint64_t value, fa_stream *out)
{
    fa_stream_options options = {.user = (void *)(uintptr_t)(value - 1), .evict = on_evict};
    fa_status status = fa_stream_reserve(w, SIZE, priority, &options, out);
    if (status != FA_OK) return status;
    void *memory;
    MC_ASSERT(fa_stream_load_begin(w, *out, &memory) == FA_OK);
    *(uint64_t *)memory = value;
    MC_ASSERT(fa_stream_load_end(w, *out) == FA_OK);
    return FA_OK;
}

/// That there is no room is an answer here.
static void no_room(const fa_diagnostic *diagnostic, void *context)
{
    (void)context;
    if (strcmp(diagnostic->code, "FA402") != 0) mc_fail(diagnostic->message, diagnostic->code, 0);
}

static void adjust(fa_config *config)
{
    config->report = no_room;
    config->stream_bytes_max = STREAMS * SIZE;
}

static void load(void)
{
    memset(&world, 0, sizeof world);
    memset(loaded, 0, sizeof loaded);
    for (uint64_t i = 0; i < STREAMS; i++) MC_ASSERT(make(fa_self(fa), FA_STREAM_LOW, i + 1, &loaded[i]) == FA_OK);
}

static void reserve(fa_worker *w)
{
    fa_stream stream;
    fa_status status = fa_stream_reserve(w, SIZE, FA_STREAM_NORMAL, NULL, &stream);
    MC_ASSERT(status == FA_OK || status == FA_ERROR_FULL || status == FA_ERROR_BUSY);
    if (status == FA_OK) (void)fai_add_relaxed(&world.reserved, 1u);
}

static void pin(fa_worker *w, uint32_t which)
{
    const void *data;
    size_t size;
    if (fa_stream_pin(w, loaded[which], &data, &size) != FA_OK) return;
    (void)fai_add_relaxed(&world.pinned[which], 1u);
    MC_ASSERT(fai_load_relaxed(&world.evicted[which]) == 0);
    MC_ASSERT(*(const uint64_t *)data == which + 1);
    (void)fai_sub_relaxed(&world.pinned[which], 1u);
    MC_ASSERT(fa_stream_unpin(w, loaded[which]) == FA_OK);
}

static void read_unpinned(fa_worker *w, uint32_t which)
{
    size_t size;
    const uint64_t *data = fa_stream_read(w, loaded[which], &size);
    if (data != NULL) MC_ASSERT(*data == which + 1);
    fai_pause();
    if (data != NULL) MC_ASSERT(*data == which + 1); // until the next quiescent state, evicted or not
}

static void other_lane(void)
{
    fa_worker *w;
    MC_ASSERT(fa_attach(fa, &w) == FA_OK);
    read_unpinned(w, 1);
    pin(w, 0);
    reserve(w);
    MC_ASSERT(fa_detach(w) == FA_OK);
    little_raise(&world.other_is_done);
}

static void main_lane(void)
{
    fa_worker *w = fa_self(fa);
    reserve(w);
    for (int frame = 0; frame < 3; frame++) {
        MC_ASSERT(fa_frame_begin(fa) == FA_OK);
        uint64_t *p = fa_pool_alloc(w, SIZE); // may be where a stream was
        if (p != NULL) *p = 0;
        MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
        fai_pause();
    }
    little_wait_for(&world.other_is_done);
    fa_stream_stats stats;
    MC_ASSERT(fa_stream_stats_read(fa, &stats) == FA_OK);
    uint64_t evicted = 0;
    for (int i = 0; i < STREAMS; i++) evicted += fai_load_relaxed(&world.evicted[i]);
    MC_ASSERT(evicted == fai_load_relaxed(&world.reserved)); // each made room for one
    MC_ASSERT(stats.reserved_bytes == STREAMS * SIZE && stats.evictions == evicted);
    little_stop(fa, true);
}

const mc_model model_stream_tick = {
    .name = "stream_tick",
    .claim = "a plan of eviction and a pin exclude each other; what was read stays whole; the budget holds",
    .large = true,
    .system = &fa,
    .adjust = adjust,
    .before = load,
    .threads = {main_lane, other_lane, little_reclaimer},
};

// Plans against pins, alone ---------------------------------------------------------------------------------------------------

static fa_worker *other;

static void before_plan(void)
{
    load();
    other = little_attach(fa);
}

/// What is seen of a stream that a plan has claimed; on this lane that lasts until a quiescent state.
static void look(fa_worker *w, uint32_t which)
{
    fa_stream_state state = fa_stream_state_of(fa, loaded[which]);
    read_unpinned(w, which);
    if (state == FA_STREAM_NONE || state == FA_STREAM_EVICTING)
        MC_ASSERT(fa_stream_read(w, loaded[which], NULL) == NULL);
}

static void thread_plan(void)
{
    mc_dawdle(60);
    if (mc_self() == 0) {
        reserve(fa_self(fa));
        reserve(fa_self(fa));
        return;
    }
    pin(other, mc_choose(2));
    if (mc_choose(2) == 0) reserve(other);
    if (mc_choose(2) == 0) look(other, 1);
    pin(other, 1);
}

static void after_plan(void)
{
    uint64_t evicted = 0;
    for (int i = 0; i < STREAMS; i++) evicted += fai_load_relaxed(&world.evicted[i]);
    MC_ASSERT(evicted == fai_load_relaxed(&world.reserved));
}

const mc_model model_stream = {
    .name = "stream",
    .claim = "of a plan of eviction and a pin, one wins",
    .large = true,
    .system = &fa,
    .adjust = adjust,
    .before = before_plan,
    .threads = {thread_plan, thread_plan},
    .after = after_plan,
};

// Parts of the budget that are given back -------------------------------------------------------------------------------------

enum { BUDGET = 4 }; // of which one is loaded, and pinned

static void four(fa_config *config)
{
    config->report = no_room;
    config->stream_bytes_max = BUDGET * SIZE;
}

static void before_budget(void)
{
    memset(&world, 0, sizeof world);
    MC_ASSERT(make(fa_self(fa), FA_STREAM_LOW, 1, &loaded[0]) == FA_OK);
    MC_ASSERT(fa_stream_pin(fa_self(fa), loaded[0], NULL, NULL) == FA_OK);
    other = little_attach(fa);
}

/// One lane takes what is free, finds that it is not enough, and gives it back; meanwhile the other, for whom it is enough, is never told
/// that there is no room.
static void thread_budget(void)
{
    fa_stream stream;
    mc_dawdle(30);
    if (mc_self() == 0) {
        fa_status status = fa_stream_reserve(fa_self(fa), BUDGET * SIZE, FA_STREAM_NORMAL, NULL, &stream);
        MC_ASSERT(status == FA_ERROR_FULL || status == FA_ERROR_BUSY);
        return;
    }
    fa_status status = fa_stream_reserve(other, 2 * SIZE, FA_STREAM_NORMAL, NULL, &stream);
    MC_ASSERT(status == FA_OK || status == FA_ERROR_BUSY);
    if (status == FA_OK) (void)fai_add_relaxed(&world.reserved, 1u);
}

static void after_budget(void)
{
    fa_stream_stats stats;
    MC_ASSERT(fa_stream_stats_read(fa, &stats) == FA_OK);
    MC_ASSERT(stats.reserved_bytes == SIZE + fai_load_relaxed(&world.reserved) * 2 * SIZE);
}

const mc_model model_budget = {
    .name = "budget",
    .claim = "what others hold for a moment is not taken for used: no room is said only when there is none",
    .large = true,
    .system = &fa,
    .adjust = four,
    .before = before_budget,
    .threads = {thread_budget, thread_budget},
    .after = after_budget,
};
