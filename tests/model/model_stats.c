// SPDX-License-Identifier: MIT
//
// Statistics: a thread that is no lane reads them while the main lane publishes those of the next frame. It never gets half of one and half of
// another: every frame allocates one object, so the two counts are equal. And what a lane published is in the statistics of the first boundary
// that could have seen it, or of a later one: nothing is forgotten. The same for what tags allocate, which somebody watches.
#include "tests/model/little_system.h"

#include "jobs/system.h"
#include "jobs/worker.h"

#include <string.h>

extern const mc_model model_stats, model_stats_read, model_stats_lane, model_behavior;

static fa_system *fa;
static fa_worker *other;
static fa_tag tag;

static void thread(void)
{
    if (mc_self() != 0) {
        fa_stats stats;
        mc_dawdle(500);
        MC_ASSERT(fa_stats_read(fa, &stats) == FA_OK);
        MC_ASSERT(stats.pool_allocs == stats.frame && stats.pool_live == stats.frame);
        return;
    }
    for (int frame = 0; frame < 3; frame++) {
        MC_ASSERT(fa_frame_begin(fa) == FA_OK);
        MC_ASSERT(fa_pool_alloc(fa_self(fa), 64) != NULL);
        MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
    }
}

const mc_model model_stats = {
    .name = "stats",
    .claim = "statistics that are read are those of one frame",
    .large = true,
    .system = &fa,
    .threads = {thread, thread},
};

// Publishing and reading, alone -----------------------------------------------------------------------------------------------

static void publish(uint64_t number)
{
    fa->memory.merged.frame = fa->memory.merged.frame_bytes = number;
    fa->memory.merged.pool_allocs = number;
    fai_memory_publish(&fa->memory);
}

static void before_read(void)
{
    publish(1);
}

static void thread_read(void)
{
    mc_dawdle(100);
    if (mc_self() == 0) {
        publish(2);
        publish(3);
        return;
    }
    fa_stats stats;
    MC_ASSERT(fa_stats_read(fa, &stats) == FA_OK);
    MC_ASSERT(stats.frame >= 1 && stats.frame <= 3 && stats.frame_bytes == stats.frame);
}

const mc_model model_stats_read = {
    .name = "stats_read",
    .claim = "who reads while two versions are published gets one, whole",
    .large = true,
    .system = &fa,
    .before = before_read,
    .threads = {thread_read, thread_read},
};

// From the lane to the boundary -----------------------------------------------------------------------------------------------

static void before_lane(void)
{
    other = little_attach(fa);
    fai_memory_publish(&fa->memory);
}

static void thread_lane(void)
{
    mc_dawdle(60);
    if (mc_self() == 0) {
        fai_memory_publish(&fa->memory);
        return;
    }
    MC_ASSERT(fa_pool_alloc(other, 64) != NULL);
    fai_lane_publish(&fai_worker_of(other)->lane);
}

static void after_lane(void)
{
    fa_stats stats;
    fai_memory_publish(&fa->memory);
    MC_ASSERT(fa_stats_read(fa, &stats) == FA_OK);
    MC_ASSERT(stats.pool_live == 1 && stats.pool_allocs == 1);
}

const mc_model model_stats_lane = {
    .name = "stats_lane",
    .claim = "what a lane published is in the statistics, at the latest at the next boundary",
    .large = true,
    .system = &fa,
    .before = before_lane,
    .threads = {thread_lane, thread_lane},
    .after = after_lane,
};

// What tags allocate ----------------------------------------------------------------------------------------------------------

enum { OBJECTS = 3 };

static void look(void)
{
    fai_memory *memory = &fa->memory;
    fai_behavior_add_frame(memory, 1);
    fai_behavior_look(memory);
    fa_behavior found;
    MC_ASSERT(fa_behavior_read(fa, tag, &found) == FA_OK);
    MC_ASSERT(found.pool_objects <= OBJECTS);
    MC_ASSERT(found.pool_same_frame_least == 0); // none is ever freed
}

static void before_behavior(void)
{
    other = little_attach(fa);
    fa_behavior_limits limits = fa_behavior_default();
    limits.frames = 3; // the last look, which ends the window, shows them all
    for (int kind = 0; kind < FA_BEHAVIOR_KINDS; kind++) limits.most[kind] = -1;
    MC_ASSERT(fa_behavior_watch(fa, &limits) == FA_OK);
    mc_act_as(1);
    fa_tag_scope scope = fa_tag_begin(other, "tag"); // stays open
    (void)scope;
    tag = fa_tag_current(other);
    fai_lane_publish(&fai_worker_of(other)->lane); // what is made from here on counts
    void *before[2 * OBJECTS];
    for (int i = 0; i < 2 * OBJECTS; i++) before[i] = fa_pool_alloc(other, 64);
    fai_lane_publish(&fai_worker_of(other)->lane);
    for (int i = 0; i < 2 * OBJECTS; i++) fa_pool_free(other, before[i]);
    mc_act_as(0);
    look();
    MC_ASSERT(fa_behavior_unwatch(fa) == FA_OK); // what was published is of no use any more
    MC_ASSERT(fa_behavior_watch(fa, &limits) == FA_OK);
}

static void thread_behavior(void)
{
    mc_dawdle(60);
    if (mc_self() == 0) {
        for (int i = 0; i < 3; i++) look();
        return;
    }
    for (int i = 0; i < OBJECTS; i++) {
        fai_lane_publish(&fai_worker_of(other)->lane);
        MC_ASSERT(fa_pool_alloc(other, 64) != NULL);
    }
    fai_lane_publish(&fai_worker_of(other)->lane);
}

const mc_model model_behavior = {
    .name = "behavior",
    .claim = "objects that live are not taken for freed",
    .large = true,
    .system = &fa,
    .before = before_behavior,
    .threads = {thread_behavior, thread_behavior},
};
