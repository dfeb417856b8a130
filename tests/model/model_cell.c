// SPDX-License-Identifier: MIT
//
// Reference cells and grace periods: the main lane replaces a cell's object frame by frame, a reader follows it, the reclaimer waits for
// quiescent states. An object is whole when it is read and stays so until the reader's next quiescent state, although its memory is used again.
// A reader that is a job may wait: what it runs inside, or sleeps, is no quiescent state. And versions may be replaced, and retired, by a lane that
// never rests: it offers what it retired to the boundary.
#include "tests/model/little_flag.h"
#include "tests/model/little_system.h"

#include "jobs/system.h"
#include "jobs/worker.h"

#include <string.h>

extern const mc_model model_cell, model_nested, model_offer;

enum { FRAMES = 4, READS = 2 };

static fa_system *fa;
static struct {
    fa_cell cell;
    fa_counter inner; // jobs that the reading one waits for
    little_flag reader_is_done, inner_are_there;
} world;

static void before(void)
{
    memset(&world, 0, sizeof world);
}

static void check(const uint64_t *version)
{
    MC_ASSERT(version[0] != 0 && version[1] == ~version[0]);
}

static void reader(void)
{
    fa_worker *w;
    MC_ASSERT(fa_attach(fa, &w) == FA_OK);
    for (int i = 0; i < READS; i++) {
        const uint64_t *version = fa_cell_read(w, &world.cell);
        if (version != NULL) check(version);
        fai_pause();
        if (version != NULL) check(version);
        MC_ASSERT(fa_quiescent(w) == FA_OK);
    }
    MC_ASSERT(fa_detach(w) == FA_OK);
    little_raise(&world.reader_is_done);
}

static void publish(fa_worker *w, uint64_t value)
{
    uint64_t *version = fa_pool_alloc(w, 64);
    MC_ASSERT(version != NULL);
    version[0] = value;
    version[1] = ~value;
    MC_ASSERT(fa_cell_publish(w, &world.cell, version) == FA_OK);
}

static void frame(uint64_t number)
{
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    publish(fa_self(fa), number);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
    fai_pause();
}

static void main_lane(void)
{
    for (uint64_t number = 1; number <= FRAMES; number++) frame(number);
    little_wait_for(&world.reader_is_done);
    little_stop(fa, true);
}

const mc_model model_cell = {
    .name = "cell",
    .claim = "what was read from a cell stays whole until the reader's next quiescent state",
    .large = true,
    .system = &fa,
    .before = before,
    .threads = {main_lane, reader, little_reclaimer},
};

// A reader that waits ---------------------------------------------------------------------------------------------------------

static void overlapping(fa_config *config)
{
    config->frames_in_flight = 4;
}

static void before_nested(void)
{
    memset(&world, 0, sizeof world);
    publish(fa_self(fa), 1);
}

static void inner(fa_worker *w, void *arg)
{
    (void)arg;
    if (w == fa_self(fa)) mc_dawdle(100); // so that the reader has to sleep
}

static void reading_job(fa_worker *w, void *arg)
{
    (void)arg;
    const uint64_t *version = fa_cell_read(w, &world.cell);
    check(version);
    for (int i = 0; i < 2; i++) MC_ASSERT(fa_submit_counted(w, &world.inner, inner, NULL) == FA_OK);
    little_raise(&world.inner_are_there);
    MC_ASSERT(fa_wait(w, &world.inner) == FA_OK);
    check(version);
    little_raise(&world.reader_is_done);
}

/// What of a frame and its end concerns cells: so much less comes between a reader's sleep and the next use of what it read.
static void little_frame(uint64_t number)
{
    fai_memory *memory = &fa->memory;
    publish(fa_self(fa), number);
    fai_memory_gather(memory, fai_memory_lane(memory, 0));
    fai_memory_reclaim(memory);
    fai_memory_start_grace(memory);
    fai_pause();
}

static void main_lane_nested(void)
{
    MC_ASSERT(fa_frame_begin(fa) == FA_OK);
    MC_ASSERT(fa_submit(fa_self(fa), reading_job, NULL) == FA_OK);
    MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
    if (mc_choose(2) == 0) { // helps
        little_wait_for(&world.inner_are_there);
        MC_ASSERT(fa_wait(fa_self(fa), &world.inner) == FA_OK);
    }
    for (uint64_t number = 2; number <= FRAMES + 2; number++) little_frame(number);
    while (fai_load_acquire(&world.reader_is_done) == 0) { // as long as it takes, and the main lane helps
        MC_ASSERT(fa_frame_begin(fa) == FA_OK);
        MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
        fai_pause();
    }
    little_stop(fa, true);
}

const mc_model model_nested = {
    .name = "nested",
    .claim = "what a job read from a cell stays whole while it waits and its lane runs others, or sleeps",
    .large = true,
    .system = &fa,
    .workers = 1,
    .adjust = overlapping,
    .before = before_nested,
    .threads = {main_lane_nested, little_worker, little_reclaimer},
};

// A publisher that never rests ------------------------------------------------------------------------------------------------

static fa_worker *publisher;

static void before_offer(void)
{
    memset(&world, 0, sizeof world);
    publisher = little_attach(fa);
}

/// What a worker does between two jobs when the boundary has asked it to; an attached lane stands for it.
static void publish_and_offer(void)
{
    for (uint64_t number = 1; number <= 3; number++) {
        publish(publisher, 100 + number);
        const uint64_t *version = fa_cell_read(publisher, &world.cell);
        check(version);
        fai_lane_service_if_due(&fai_worker_of(publisher)->lane);
        if (version != NULL) check(version);
        fai_rcu_quiescent();
    }
    MC_ASSERT(fa_quiescent(publisher) == FA_OK);
    MC_ASSERT(fa_detach(publisher) == FA_OK);
    little_raise(&world.reader_is_done);
}

static void main_lane_offer(void)
{
    for (uint64_t number = 1; number <= FRAMES; number++) frame(number);
    little_wait_for(&world.reader_is_done);
    MC_ASSERT(fa_cell_drop(fa_self(fa), &world.cell) == FA_OK);
    for (uint64_t number = 0;; number++) { // everything comes home
        fa_stats stats;
        MC_ASSERT(fa_frame_begin(fa) == FA_OK);
        MC_ASSERT(fa_frame_end(fa, NULL) == FA_OK);
        MC_ASSERT(fa_stats_read(fa, &stats) == FA_OK);
        if (stats.backlog == 0 && stats.pool_live == 0) break;
        fai_pause();
    }
    little_stop(fa, true);
}

const mc_model model_offer = {
    .name = "offer",
    .claim = "versions that a lane retires, and offers, go home once, when nobody reads them",
    .large = true,
    .takes_time = true,
    .system = &fa,
    .before = before_offer,
    .threads = {main_lane_offer, publish_and_offer, little_reclaimer},
};
