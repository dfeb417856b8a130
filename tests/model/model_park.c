// SPDX-License-Identifier: MIT
//
// Sleeping and waking, alone: a job that is published while its only worker goes to sleep; a last completion while the waiter does; a grace period
// that is asked for while the reclaimer does. Whoever needs the other sleeps as well, so that a wake-up that is lost leaves all asleep.
#include "tests/model/little_system.h"

#include "concurrent/rcu.h"
#include "jobs/system.h"
#include "jobs/wake.h"

#include <string.h>

extern const mc_model model_park, model_complete, model_grace;

static fa_system *fa;
static struct {
    fai_parker done;
    uint64_t payload;
} world;

static void before_job(void)
{
    memset(&world, 0, sizeof world);
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
}

// A job for a worker that goes to sleep ---------------------------------------------------------------------------------------

static void tell(fa_worker *w, void *arg)
{
    (void)w, (void)arg;
    world.payload++;
    (void)fai_wake_any(&world.done);
}

static void submit_and_sleep(void)
{
    mc_dawdle(20);
    for (uint64_t turn = 1; turn <= 2; turn++) {
        MC_ASSERT(fa_submit(fa_self(fa), tell, NULL) == FA_OK);
        fai_publish_all(fai_worker_of(fa_self(fa)));
        fai_park_owner(&world.done);
        MC_ASSERT(world.payload == turn);
    }
    little_stop(fa, false);
}

const mc_model model_park = {
    .name = "park",
    .claim = "a job that is published is found, also by a worker that goes to sleep",
    .large = true,
    .system = &fa,
    .workers = 1,
    .before = before_job,
    .threads = {submit_and_sleep, little_worker},
};

// The last job of a counter that somebody waits for ---------------------------------------------------------------------------

static void count(fa_worker *w, void *arg)
{
    (void)w, (void)arg;
    world.payload++;
}

static void submit_and_wait(void)
{
    for (uint64_t turn = 1; turn <= 2; turn++) {
        fa_counter counter = FA_COUNTER_INIT;
        MC_ASSERT(fa_submit_counted(fa_self(fa), &counter, count, NULL) == FA_OK);
        fai_publish_all(fai_worker_of(fa_self(fa)));
        mc_dawdle(60); // the worker takes it
        MC_ASSERT(fa_wait(fa_self(fa), &counter) == FA_OK);
        MC_ASSERT(world.payload == turn);
    }
    little_stop(fa, false);
}

const mc_model model_complete = {
    .name = "complete",
    .claim = "the last completion and a waiter that goes to sleep do not miss each other",
    .large = true,
    .system = &fa,
    .workers = 1,
    .before = before_job,
    .threads = {submit_and_wait, little_worker},
};

// A grace period -----------------------------------------------------------------------------------------------------------------

static void ask_and_look(void)
{
    fai_grace *grace = &fa->memory.grace;
    mc_dawdle(20);
    fai_grace_start_owner(grace);
    for (int i = 0; !fai_grace_is_done_any(grace); i++) {
        MC_ASSERT(i < 5000);
        fai_pause();
    }
    if (mc_choose(2) == 0) fai_rcu_online(); // then neither waits for the other
    little_stop(fa, true);
}

const mc_model model_grace = {
    .name = "grace",
    .claim = "a grace period that is asked for begins, also when the reclaimer goes to sleep",
    .large = true,
    .system = &fa,
    .threads = {ask_and_look, little_reclaimer},
};
