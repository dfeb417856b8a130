// SPDX-License-Identifier: MIT
//
// Frames that are held: an attached thread keeps the frame that it found, allocates and submits jobs in it while the main lane ends it and goes
// on, and drops it. Its memory is used again only then.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include <string.h>

extern const mc_model model_hold;

enum { FRAMES = 4 };

static fa_system *fa;
static struct {
    uint64_t payload;
    uint64_t ran;
    little_flag holder_is_done;
} world;

static void adjust(fa_config *config)
{
    config->frames_in_flight = 2;
}

static void setup(void)
{
    fa = little_system(&model_hold, 1, adjust);
}

static void before(void)
{
    memset(&world, 0, sizeof world);
}

static void late_job(fa_worker *w, void *arg)
{
    uint64_t *of_holder = arg, *p = fa_frame_alloc(w, 64);
    MC_ASSERT(p != NULL && *of_holder == 7);
    *p = 1;
    *of_holder = 8;
    world.ran++;
}

static void holder(void)
{
    fa_worker *w;
    MC_ASSERT(fa_attach(fa, &w) == FA_OK);
    for (int turn = 0; turn < 2; turn++) {
        fa_frame frame;
        if (fa_frame_hold(w, &frame) != FA_OK) continue; // none is open
        uint64_t *p = fa_frame_alloc(w, 64);
        MC_ASSERT(p != NULL);
        *p = 7;
        fa_counter done = FA_COUNTER_INIT;
        uint64_t ran = world.ran;
        MC_ASSERT(fa_submit_counted(w, &done, late_job, p) == FA_OK);
        MC_ASSERT(fa_wait(w, &done) == FA_OK);
        MC_ASSERT(*p == 8 && world.ran == ran + 1);
        MC_ASSERT(fa_frame_drop(fa, frame) == FA_OK);
    }
    MC_ASSERT(fa_detach(w) == FA_OK);
    little_raise(&world.holder_is_done);
}

static void main_lane(void)
{
    for (uint64_t frame = 0; frame < FRAMES; frame++) {
        MC_ASSERT(fa_frame_begin(fa) == FA_OK);
        uint64_t *p = fa_frame_alloc(fa_self(fa), 64);
        MC_ASSERT(p != NULL);
        *p = frame;
        MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
    }
    little_wait_for(&world.holder_is_done);
    little_stop(fa, false);
}

static void thread(unsigned self)
{
    if (self == 0)
        main_lane();
    else if (self == 1)
        little_worker(1);
    else
        holder();
}

const mc_model model_hold = {
    .name = "hold",
    .claim = "a frame that is held, or has jobs, keeps its memory; when it retires its memory is everybody's own again",
    .threads = 3,
    .large = true,
    .setup = setup,
    .before = before,
    .thread = thread,
};
