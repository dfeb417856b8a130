// SPDX-License-Identifier: MIT
//
// Memory of a job: two lanes use that of one job, each allocates from it and writes to what the other allocated; the last one to be done releases it,
// and allocates in the same place again. What is above the functions here is the jobs' (jobs/inherit.c): who is a user when.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include "alloc/job_memory.h"
#include "jobs/system.h"
#include "jobs/worker.h"

#include <string.h>

extern const mc_model model_job_memory;

static fa_system *fa;
static struct {
    fai_job_memory *parent, *memory;
    uint64_t *of_parent; // in the outer memory
} world;

static fai_lane *lane_of(unsigned self)
{
    return &fai_system_worker(fa, self)->lane;
}

static uint64_t *allocate(fai_lane *lane, fai_job_memory *memory)
{
    fai_arena_answer answer;
    uint64_t *p = fai_arena_alloc_shared(lane, &memory->arena, 64, 16, NULL, &answer);
    MC_ASSERT(p != NULL);
    *p = lane->hot.index + 1;
    return p;
}

static void before(void)
{
    (void)little_attach(fa);
    fai_lane *lane = lane_of(0);
    world.parent = fai_job_memory_make(lane);
    world.memory = fai_job_memory_make(lane);
    MC_ASSERT(world.parent != NULL && world.memory != NULL);
    world.memory->parent = world.parent; // whose one user it is
    world.of_parent = allocate(lane, world.parent);
    fai_job_memory_keep(world.memory); // for thread 1
}

static uint64_t objects_of(const fai_lane *lane, const fai_job_memory *memory)
{
    uint64_t objects, bytes, window;
    fai_arena_sum(lane, &memory->arena, &objects, &bytes, &window);
    return objects;
}

static void thread(void)
{
    unsigned self = mc_self();
    fai_lane *lane = lane_of(self);
    mc_dawdle(30);
    uint64_t *own = allocate(lane, world.memory);
    uint64_t objects = objects_of(lane, world.memory);
    MC_ASSERT(objects >= 1 && objects <= 2);
    if (self == 0) (void)allocate(lane, world.parent);
    MC_ASSERT(*own == self + 1);
    fai_job_memory_drop(lane, world.memory);
    fai_job_memory *next = fai_job_memory_make(lane); // perhaps where that was
    MC_ASSERT(next != NULL);
    MC_ASSERT(*allocate(lane, next) == self + 1);
    fai_job_memory_drop(lane, next);
}

static void after(void)
{
    for (unsigned i = 0; i < 2; i++) fai_outbox_post_all(lane_of(i));
    int64_t memories = 0, bytes = 0;
    for (unsigned i = 0; i < 2; i++) {
        memories += lane_of(i)->stats.job_memories;
        bytes += lane_of(i)->stats.job_bytes;
    }
    MC_ASSERT(memories == 0 && bytes == 0);
}

const mc_model model_job_memory = {
    .name = "job_memory",
    .claim = "a job's memory goes with its last user, who sees what the others did; then that of its parent",
    .large = true,
    .system = &fa,
    .before = before,
    .threads = {thread, thread},
    .after = after,
};
