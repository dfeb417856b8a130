// SPDX-License-Identifier: MIT
//
// Jobs for the main thread: a worker's job submits one, and waits for it or not, while the main lane goes to sleep in the frame's end or in a wait of its
// own, in a main-thread job or outside jobs. The main lane is woken, runs it, and sees what its submitter did.
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_main_jobs;

enum { NOWHERE, OUTSIDE, INSIDE, PLACES };

static fa_system *fa;
static struct {
    uint64_t payload, ran; // plain
    bool waits;
    unsigned main_waits; // OUTSIDE or INSIDE jobs, or not
} world;

static void before(void)
{
    memset(&world, 0, sizeof world);
    world.waits = mc_choose(2) == 0;
    world.main_waits = (unsigned)mc_choose(PLACES);
}

static void on_main(fa_worker *w, void *arg)
{
    (void)arg;
    MC_ASSERT(w == fa_self(fa) && mc_self() == 0);
    MC_ASSERT(world.payload == 1);
    world.payload = 2;
    world.ran++;
}

static void anywhere(fa_worker *w, void *arg)
{
    (void)arg;
    fa_counter done = FA_COUNTER_INIT;
    world.payload = 1;
    const fa_job job = {.fn = on_main, .flags = FA_JOB_MAIN, .counter = world.waits ? &done : NULL};
    MC_ASSERT(fa_submit_job(w, &job) == FA_OK);
    if (!world.waits) return;
    MC_ASSERT(fa_wait(w, &done) == FA_OK);
    MC_ASSERT(world.payload == 2);
}

static void start(fa_worker *w, void *arg)
{
    (void)arg;
    fa_counter done = FA_COUNTER_INIT;
    MC_ASSERT(fa_submit_counted(w, world.main_waits == NOWHERE ? NULL : &done, anywhere, NULL) == FA_OK);
    MC_ASSERT(fa_wait(w, &done) == FA_OK);
}

static void main_lane(void)
{
    fa_worker *w = fa_self(fa);
    const fa_job job = {.fn = start, .flags = FA_JOB_MAIN};
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    if (world.main_waits == INSIDE)
        MC_ASSERT(fa_submit_job(w, &job) == FA_OK);
    else
        start(w, NULL);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
    MC_ASSERT(world.ran == 1 && world.payload == 2);
    little_stop(fa, false);
}

const mc_model model_main_jobs = {
    .name = "main_jobs",
    .claim = "a job for the main thread wakes it, and runs there once",
    .large = true,
    .system = &fa,
    .workers = 1,
    .before = before,
    .threads = {main_lane, little_worker},
};
