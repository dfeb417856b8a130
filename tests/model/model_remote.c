// SPDX-License-Identifier: MIT
//
// Frees by other lanes: they go into packets, the packets to mailboxes, and home: by the owner when it needs objects, by the boundary on behalf of
// an owner that is idle, by the owner before it lets go. An object is used again only when its last user's writes are seen, and after the
// last boundary the accounts are exact. The same with threads that leave: one attaches, allocates, hands its objects over and detaches; another
// attaches as the same lane, with what came home and what has not yet, and leaves, too, with frees for the main lane in its packets.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_remote, model_depart;

enum { OBJECTS = 2 };

static fa_system *fa;
static struct {
    uint64_t *mains[OBJECTS], *others[OBJECTS];
    little_flag mains_are_there, others_are_there, other_is_done, first_is_in;
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

/// The frame in which both give each other their objects.
static void exchange(fa_worker *w)
{
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    allocate(w, world.mains);
    little_raise(&world.mains_are_there);
    little_wait_for(&world.others_are_there);
    use_and_free(w, world.others);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK); // the other lane is idle, or runs
}

/// After the last boundary.
static void all_is_home(void)
{
    fa_stats stats;
    MC_ASSERT(fa_stats_read(fa, &stats) == FA_OK);
    MC_ASSERT(stats.pool_live == 0 && stats.pool_live_bytes == 0);
    MC_ASSERT(stats.remote_frees == 2 * OBJECTS);
}

static void other_lane(void)
{
    fa_worker *w;
    MC_ASSERT(fa_attach(fa, &w) == FA_OK);
    allocate(w, world.others);
    little_raise(&world.others_are_there);
    little_wait_for(&world.mains_are_there);
    use_and_free(w, world.mains);
    MC_ASSERT(fa_detach(w) == FA_OK); // posts what is in its packets
    MC_ASSERT(fa_attach(fa, &w) == FA_OK);
    uint64_t *again[OBJECTS]; // perhaps what came home
    allocate(w, again);
    for (int i = 0; i < OBJECTS; i++) fa_pool_free(w, again[i]);
    MC_ASSERT(fa_detach(w) == FA_OK);
    little_raise(&world.other_is_done);
}

static void frame(fa_worker *w)
{
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    uint64_t *objects[OBJECTS];
    allocate(w, objects);
    for (int i = 0; i < OBJECTS; i++) fa_pool_free(w, objects[i]);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
}

static void main_lane(void)
{
    fa_worker *w = fa_self(fa);
    exchange(w);
    frame(w);
    little_wait_for(&world.other_is_done);
    frame(w);
    all_is_home();
}

const mc_model model_remote = {
    .name = "remote",
    .claim = "what other lanes free comes home once, by owner or proxy, and is used again after its last user",
    .large = true,
    .system = &fa,
    .before = before,
    .threads = {main_lane, other_lane},
};

// Threads that leave -----------------------------------------------------------------------------------------------------------

static void first(void)
{
    fa_worker *w;
    MC_ASSERT(fa_attach(fa, &w) == FA_OK);
    little_raise(&world.first_is_in);
    allocate(w, world.others);
    little_raise(&world.others_are_there);
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
    little_raise(&world.other_is_done);
}

static void empty_frame(void)
{
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
}

static void main_lane_depart(void)
{
    exchange(fa_self(fa));
    little_wait_for(&world.other_is_done);
    empty_frame();
    empty_frame();
    all_is_home();
}

const mc_model model_depart = {
    .name = "depart",
    .claim = "a lane that is left goes on to the next thread as it was; what others free to it comes home",
    .large = true,
    .system = &fa,
    .before = before,
    .threads = {main_lane_depart, first, second},
};
