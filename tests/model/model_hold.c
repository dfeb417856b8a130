// SPDX-License-Identifier: MIT
//
// Frames that are held: an attached thread keeps the frame that it found, allocates and submits jobs in it while the main lane ends it and goes
// on, and drops it. Its memory is used again only then; and a lane that gives back what it does not need has what a dead frame left it.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include "jobs/worker.h"

#include <string.h>

extern const mc_model model_drop, model_hold, model_holds, model_late, model_trim;

enum { FRAMES = 4 };

static fa_system *fa;
static struct {
    uint64_t payload;
    uint64_t ran;
    bool waits;
    little_flag holder_is_done, first_is_open, second_is_open, holder_was_in, holder_is_in;
} world;

static void adjust(fa_config *config)
{
    config->frames_in_flight = 2;
}

static void before(void)
{
    memset(&world, 0, sizeof world);
    world.waits = true;
}

static void late_job(fa_worker *w, void *arg)
{
    uint64_t *of_holder = arg, *p = fa_frame_alloc(w, 64);
    MC_ASSERT(p != NULL && *of_holder == 7);
    *p = 1;
    *of_holder = 8;
    if (world.waits) world.ran++;
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
        uint64_t ran = world.waits ? world.ran : 0;
        MC_ASSERT(fa_submit_counted(w, world.waits ? &done : NULL, late_job, p) == FA_OK);
        if (world.waits) {
            MC_ASSERT(fa_wait(w, &done) == FA_OK);
            MC_ASSERT(*p == 8 && world.ran == ran + 1);
        }
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

const mc_model model_hold = {
    .name = "hold",
    .claim = "a frame that is held, or has jobs, keeps its memory; when it retires its memory is everybody's own again",
    .large = true,
    .system = &fa,
    .workers = 1,
    .adjust = adjust,
    .before = before,
    .threads = {main_lane, little_worker, holder},
};

// Jobs that outlast the hold ---------------------------------------------------------------------------------------------------

static void before_late(void)
{
    memset(&world, 0, sizeof world);
}

const mc_model model_late = {
    .name = "late",
    .claim = "the only frame in flight does not retire before the jobs of who held it for a moment are done",
    .large = true,
    .system = &fa,
    .workers = 1,
    .before = before_late,
    .threads = {main_lane, little_worker, holder},
};

// A lane that gives back memory -----------------------------------------------------------------------------------------------

static fa_worker *other;

static void before_trim(void)
{
    memset(&world, 0, sizeof world);
    other = little_attach(fa);
}

/// The other lane, which was in the first frame and is in the second, gives back memory while the main lane retires the first.
static void in_frame(bool trims)
{
    fa_frame frame;
    MC_ASSERT(fa_frame_hold(other, &frame) == FA_OK);
    MC_ASSERT(fa_frame_alloc(other, 64) != NULL);
    if (trims) {
        little_raise(&world.holder_is_in);
        mc_dawdle(60);
        fai_lane_trim(&fai_worker_of(other)->lane);
        MC_ASSERT(fa_frame_alloc(other, 64) != NULL);
    }
    MC_ASSERT(fa_frame_drop(fa, frame) == FA_OK);
}

static void main_lane_trim(void)
{
    fa_frame first;
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    MC_ASSERT(fa_frame_hold(fa_self(fa), &first) == FA_OK);
    little_raise(&world.first_is_open);
    little_wait_for(&world.holder_was_in);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK); // held
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    little_raise(&world.second_is_open);
    little_wait_for(&world.holder_is_in);
    MC_ASSERT(fa_frame_drop(fa, first) == FA_OK);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK); // retires the first
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
}

static void other_lane_trim(void)
{
    little_wait_for(&world.first_is_open);
    in_frame(false);
    little_raise(&world.holder_was_in);
    little_wait_for(&world.second_is_open);
    in_frame(true);
    mc_dawdle(60);
    fai_lane_trim(
        &fai_worker_of(other)->lane); // outside frames, as when memory runs out there: then frames are not touched
}

const mc_model model_trim = {
    .name = "trim",
    .claim = "a lane that gives back the memory of dead frames does not meddle with the main lane's retiring them",
    .large = true,
    .system = &fa,
    .adjust = adjust,
    .before = before_trim,
    .threads = {main_lane_trim, other_lane_trim},
};

// Holds against ends, alone ---------------------------------------------------------------------------------------------------

static void before_holds(void)
{
    other = little_attach(fa);
}

static void thread_holds(void)
{
    for (int turn = 0; turn < FRAMES; turn++) {
        fa_frame frame;
        mc_dawdle(30);
        if (mc_self() == 0) {
            MC_ASSERT(fa_frame_begin(fa) == FA_OK); // waits for a frame that is held
            mc_dawdle(30);
            MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
        } else if (fa_frame_hold(other, &frame) == FA_OK) {
            MC_ASSERT(fa_frame_alloc(other, 64) != NULL);
            MC_ASSERT(fa_frame_drop(fa, frame) == FA_OK);
        }
    }
}

const mc_model model_holds = {
    .name = "holds",
    .claim =
        "who enters a frame finds it as it was opened; who waits for a frame that is held is woken when it is dropped",
    .large = true,
    .system = &fa,
    .adjust = adjust,
    .before = before_holds,
    .threads = {thread_holds, thread_holds},
};

// The drop that somebody waits for --------------------------------------------------------------------------------------------

static fa_frame held;

static void before_drop(void)
{
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    other = little_attach(fa);
    mc_act_as(1);
    MC_ASSERT(fa_frame_hold(other, &held) == FA_OK);
    mc_act_as(0);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
}

static void thread_drop(void)
{
    mc_dawdle(60);
    if (mc_self() == 0)
        MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    else
        MC_ASSERT(fa_frame_drop(fa, held) == FA_OK);
}

const mc_model model_drop = {
    .name = "drop",
    .claim = "who waits for a frame that is held is woken by the drop",
    .large = true,
    .system = &fa,
    .before = before_drop,
    .threads = {thread_drop, thread_drop},
};
