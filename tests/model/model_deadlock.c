// SPDX-License-Identifier: MIT
//
// Waits that can never end: two jobs on two lanes, each of which waits for the other's counter, in a checked system. One of them is told, and then all
// of it ends; and where the second does not wait nobody is told. The search alone: what a lane shows at different moments may make up a circle, which is
// none.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include "jobs/deadlock.h"
#include "jobs/worker.h"

#include <string.h>

extern const mc_model model_deadlock, model_deadlock_look;

enum { JOBS = 2 };

static fa_system *fa;
static struct {
    fa_counter counters[JOBS];
    little_flag runs[JOBS];
    FAI_ATOMIC(uint32_t) told;
    bool circle;
} world;

static void hear(const fa_diagnostic *diagnostic, void *context)
{
    (void)context;
    if (strcmp(diagnostic->code, "FA905") != 0) mc_fail(diagnostic->message, diagnostic->code, 0);
    (void)fai_add_relaxed(&world.told, 1u);
}

static void adjust(fa_config *config)
{
    config->checked = true;
    config->report = hear;
}

static void before(void)
{
    memset(&world, 0, sizeof world);
    world.circle = mc_choose(2) == 0;
}

static void job(fa_worker *w, void *arg)
{
    uintptr_t self = (uintptr_t)arg, other = 1 - self;
    little_raise(&world.runs[self]);
    little_wait_for(&world.runs[other]); // so it is on the other lane
    if (self == 1 && !world.circle) return;
    fa_status status = fa_wait(w, &world.counters[other]);
    MC_ASSERT(status == FA_OK || (world.circle && status == FA_ERROR_DEADLOCK));
}

static void main_lane(void)
{
    fa_worker *w = fa_self(fa);
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    for (uintptr_t i = 0; i < JOBS; i++) MC_ASSERT(fa_submit_counted(w, &world.counters[i], job, (void *)i) == FA_OK);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
    for (unsigned i = 0; i < JOBS; i++) MC_ASSERT(fa_is_done(&world.counters[i]));
    uint32_t told = fai_load_relaxed(&world.told);
    MC_ASSERT(world.circle ? told == 1 || told == 2 : told == 0);
    little_stop(fa, false);
}

const mc_model model_deadlock = {
    .name = "deadlock",
    .claim = "of two jobs that wait for each other one is told; of others none",
    .large = true,
    .system = &fa,
    .workers = 1,
    .adjust = adjust,
    .before = before,
    .threads = {main_lane, little_worker},
};

// The search alone ------------------------------------------------------------------------------------------------------------

enum { A, B, C, D, COUNTERS };

static fa_counter counters[COUNTERS];
static fai_worker *lanes[2];

static void before_look(void)
{
    memset(counters, 0, sizeof counters);
    lanes[0] = fai_worker_of(fa_self(fa));
    lanes[1] = fai_worker_of(little_attach(fa));
}

/// Lane 1 runs the job of C, which waits for D; and when that is over that of A, which waits for B. Lane 0 runs the job of B, which waits for C: never is
/// there a circle.
static void thread_look(void)
{
    unsigned self = mc_self();
    fai_worker *w = lanes[self];
    mc_dawdle(15);
    if (self == 0) {
        fai_context context = {.counter = &counters[B]};
        w->context = &context;
        fai_deadlock_show(w, &counters[C]);
        MC_ASSERT(fai_deadlock_over_lanes(w, &counters[C]) == NULL);
        fai_deadlock_hide(w);
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        fai_context context = {.counter = &counters[i == 0 ? C : A]};
        w->context = &context;
        fai_deadlock_show(w, &counters[i == 0 ? D : B]);
        fai_deadlock_hide(w);
    }
}

const mc_model model_deadlock_look = {
    .name = "deadlock_look",
    .claim = "waits that were not at the same time make up no circle",
    .system = &fa,
    .adjust = adjust,
    .before = before_look,
    .threads = {thread_look, thread_look},
};
