// SPDX-License-Identifier: MIT
//
// The tick as a whole: jobs are submitted, found by workers that sleep, submit others, and allocate; the frame ends when all are done, and its
// memory is used again. No wake-up is lost, no job runs twice or late, and what jobs wrote is seen by who waited.
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_tick, model_tick_two;

enum { FRAMES = 2, JOBS = 4 }; // two submitted by the main lane, two by those

static struct {
    uint64_t payload[FRAMES][JOBS]; // plain
    uint64_t *memory[FRAMES][JOBS]; // of the frame
    uint32_t frame;
} world;
static fa_system *fa;

static void work(uint32_t number, fa_worker *w)
{
    uint32_t frame = world.frame;
    world.payload[frame][number]++;
    uint64_t *p = fa_frame_alloc(w, 64);
    MC_ASSERT(p != NULL);
    *p = number + 1;
    world.memory[frame][number] = p;
}

static void child(fa_worker *w, void *arg)
{
    work((uint32_t)(uintptr_t)arg, w);
}

static void parent(fa_worker *w, void *arg)
{
    uint32_t number = (uint32_t)(uintptr_t)arg;
    work(number, w);
    MC_ASSERT(fa_submit(w, child, (void *)(uintptr_t)(number + 2)) == FA_OK);
}

static void before(void)
{
    memset(world.payload, 0, sizeof world.payload);
    world.frame = 0;
}

static void main_lane(void)
{
    fa_worker *w = fa_self(fa);
    for (uint32_t frame = 0; frame < FRAMES; frame++) {
        world.frame = frame;
        MC_ASSERT(fa_frame_begin(fa) == FA_OK);
        for (uintptr_t i = 0; i < 2; i++) MC_ASSERT(fa_submit(w, parent, (void *)i) == FA_OK);
        MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
        for (uint32_t i = 0; i < JOBS; i++) {
            MC_ASSERT(world.payload[frame][i] == 1);
            *world.memory[frame][i] = 0; // it is the main lane's again
        }
    }
    little_stop(fa, false);
}

const mc_model model_tick = {
    .name = "tick",
    .claim = "every job of a frame has run once when the frame ends, and its memory is the main lane's again",
    .large = true,
    .system = &fa,
    .workers = 1,
    .before = before,
    .threads = {main_lane, little_worker},
};

const mc_model model_tick_two = {
    .name = "tick_two",
    .claim = "the same with two workers",
    .large = true,
    .system = &fa,
    .workers = 2,
    .before = before,
    .threads = {main_lane, little_worker, little_worker},
};
