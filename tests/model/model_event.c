// SPDX-License-Identifier: MIT
//
// Events: a lane writes records into its ring, which the main lane makes meanwhile, and reads. What is delivered is as it was written, in order;
// what found no room is counted; the end of a zone whose begin was recorded always has its place. The functions below the public ones are called,
// because a build without tracing records nothing by itself.
#include "tests/model/little_system.h"

#include "jobs/system.h"
#include "jobs/worker.h"

#include <string.h>

extern const mc_model model_event;

enum { RECORDS = 6, CAPACITY = 4, LANE = 1 };

static fa_system *fa;
static struct {
    uint64_t delivered, last;
} world;

static void before(void)
{
    memset(&world, 0, sizeof world);
    fa->memory.config.event_capacity = CAPACITY;
    (void)little_attach(fa);
}

static void hear(const fa_event *event, void *context)
{
    (void)context;
    MC_ASSERT(event->lane == LANE && event->b == ~event->a && event->a > world.last);
    world.last = event->a;
    world.delivered++;
}

static void record(fai_lane *lane)
{
    for (uint64_t i = 1; i <= RECORDS; i++) fai_event_record_own(lane, FA_EVENT_STEAL, NULL, i, ~i, 0);
}

static void deliver(fai_memory *memory)
{
    fa_listener listener;
    MC_ASSERT(fai_events_make_rings(memory, LANE + 1));
    MC_ASSERT(fai_events_listen(memory, FA_EVENT_ALL, hear, NULL, &listener) == FA_OK);
    for (int i = 0; i < 3; i++) fai_events_drain(memory, UINT64_MAX);
}

static void thread(void)
{
    mc_dawdle(20);
    if (mc_self() == 0)
        deliver(&fa->memory);
    else
        record(&fai_system_worker(fa, LANE)->lane);
}

static void after(void)
{
    fai_events_drain(&fa->memory, UINT64_MAX);
    MC_ASSERT(world.delivered + fai_events_dropped(&fa->memory) == RECORDS);
}

const mc_model model_event = {
    .name = "event",
    .claim = "an event that is delivered is as it was recorded, in order; the others are counted",
    .large = true,
    .system = &fa,
    .before = before,
    .threads = {thread, thread},
    .after = after,
};
