// SPDX-License-Identifier: MIT
//
// Threads that leave: one attaches, allocates, hands its objects over and detaches, while the main lane frees them and ends frames; another thread
// attaches as the same lane, with what came home and what has not yet, and leaves, too, with frees for the main lane in its packets. In the end
// everything is home and the accounts are exact.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_depart;

enum { OBJECTS = 2 };

static fa_system *fa;
static struct {
    uint64_t *firsts[OBJECTS], *mains[OBJECTS];
    little_flag firsts_are_there, mains_are_there, first_is_in, second_is_done;
} world;

static void before(void)
{
    memset(&world, 0, sizeof world);
}

static void allocate(fa_worker *w, uint64_t *objects[OBJECTS])
{
    for (int i = 0; i < OBJECTS; i++) {
        objects[i] = fa_pool_alloc(w, 64);
        MC_ASSERT(objects[i] != NULL);
        *objects[i] = 1;
    }
}

static void use_and_free(fa_worker *w, uint64_t *objects[OBJECTS])
{
    for (int i = 0; i < OBJECTS; i++) {
        MC_ASSERT(*objects[i] == 1);
        *objects[i] = 2;
        fa_pool_free(w, objects[i]);
    }
}

static void first(void)
{
    fa_worker *w;
    MC_ASSERT(fa_attach(fa, &w) == FA_OK);
    little_raise(&world.first_is_in);
    allocate(w, world.firsts);
    little_raise(&world.firsts_are_there);
    MC_ASSERT(fa_detach(w) == FA_OK);
}

static void second(void)
{
    fa_worker *w;
    fa_status status;
    little_wait_for(&world.first_is_in);
    while ((status = fa_attach(fa, &w)) == FA_ERROR_FULL) fai_pause(); // the one lane for attached threads
    MC_ASSERT(status == FA_OK);
    uint64_t *own[OBJECTS]; // perhaps what came home
    allocate(w, own);
    little_wait_for(&world.mains_are_there);
    use_and_free(w, world.mains);
    use_and_free(w, own);
    MC_ASSERT(fa_detach(w) == FA_OK);
    little_raise(&world.second_is_done);
}

static void frame(void)
{
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
}

static void main_lane(void)
{
    fa_worker *w = fa_self(fa);
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    allocate(w, world.mains);
    little_raise(&world.mains_are_there);
    little_wait_for(&world.firsts_are_there);
    use_and_free(w, world.firsts);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
    little_wait_for(&world.second_is_done);
    frame();
    frame();
    fa_stats stats;
    MC_ASSERT(fa_stats_read(fa, &stats) == FA_OK);
    MC_ASSERT(stats.pool_live == 0 && stats.pool_live_bytes == 0);
    MC_ASSERT(stats.remote_frees == 2 * OBJECTS);
}

const mc_model model_depart = {
    .name = "depart",
    .claim = "a lane that is left goes on to the next thread as it was; what others free to it comes home",
    .large = true,
    .system = &fa,
    .before = before,
    .threads = {main_lane, first, second},
};
