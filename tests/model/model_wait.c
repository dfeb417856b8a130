// SPDX-License-Identifier: MIT
//
// Waits: the main lane and a job each wait for jobs of a counter, which other lanes run; the last completion and the waiter that parks do not miss
// each other, and the waiter sees what the jobs wrote.
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_wait;

static fa_system *fa;
static struct {
    uint64_t payload[4];
} world;

static void before(void)
{
    memset(&world, 0, sizeof world);
}

static void leaf(fa_worker *w, void *arg)
{
    (void)w;
    world.payload[(uintptr_t)arg]++;
}

static void waiter(fa_worker *w, void *arg)
{
    (void)arg;
    fa_counter counter = FA_COUNTER_INIT; // gone when this returns
    MC_ASSERT(fa_submit_counted(w, &counter, leaf, (void *)1) == FA_OK);
    MC_ASSERT(fa_submit_counted(w, &counter, leaf, (void *)2) == FA_OK);
    MC_ASSERT(fa_wait(w, &counter) == FA_OK);
    MC_ASSERT(world.payload[1] == 1 && world.payload[2] == 1);
    world.payload[0]++;
}

static void main_lane(void)
{
    fa_worker *w = fa_self(fa);
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    fa_counter counter = FA_COUNTER_INIT;
    MC_ASSERT(fa_submit_counted(w, &counter, waiter, NULL) == FA_OK);
    MC_ASSERT(fa_submit_counted(w, &counter, leaf, (void *)3) == FA_OK);
    MC_ASSERT(fa_wait(w, &counter) == FA_OK);
    for (int i = 0; i < 4; i++) MC_ASSERT(world.payload[i] == 1);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
    little_stop(fa, false);
}

const mc_model model_wait = {
    .name = "wait",
    .claim = "a wait returns when the last job of its counter is done, and not before",
    .large = true,
    .system = &fa,
    .workers = 2,
    .before = before,
    .threads = {main_lane, little_worker, little_worker},
};
