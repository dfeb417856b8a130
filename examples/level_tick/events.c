// SPDX-License-Identifier: MIT
//
// See events.h.
#include "events.h"

#include "crowd.h"

#include <string.h>

#define FREEING_JOBS 4u

const char *const event_names[EVENT_KINDS] = {"steps", "bumps", "arrivals", "shouts"};
_Static_assert(EVENT_KINDS <= sizeof((struct tallies *)0)->events / sizeof(uint64_t), "each kind has a tally");

static const struct {
    int32_t radius;
    uint32_t loudness;
    bool by_sight; // heard only by those who see it: walls swallow it
} noises[EVENT_KINDS] = {
    [EVENT_STEP] = {FIX(40), 1, false},
    [EVENT_BUMP] = {FIX(64), 3, false},
    [EVENT_ARRIVAL] = {FIX(96), 4, false},
    [EVENT_SHOUT] = {FIX(160), 24, true},
};

static uint64_t seal_of(const struct event *event)
{
    uint64_t digest = digest_add(DIGEST_START, event->source | (uint64_t)event->tick << 32);
    digest = digest_add(digest, (uint32_t)event->at.x | (uint64_t)(uint32_t)event->at.y << 32);
    return digest_add(digest, event->kind);
}

bool event_emit(fa_worker *w, struct world *world, uint32_t source, enum event_kind kind, struct point at)
{
    struct event *event = fa_pool_new(w, struct event);
    if (event == NULL) {
        world_fault(world, "no pool memory for an event");
        return false;
    }
    *event = (struct event){.source = source, .tick = world->tick, .at = at, .kind = kind};
    event->seal = seal_of(event);
    world->born[source] = event;
    return true;
}

struct hearing {
    struct world *world;
    const struct event *event;
    uint64_t rays;
};

static void hear(const struct crowd_member *member, int64_t square, void *context)
{
    (void)square;
    struct hearing *hearing = context;
    const struct event *event = hearing->event;
    if (member->agent == event->source) return;
    if (noises[event->kind].by_sight) {
        hearing->rays++;
        const struct world *world = hearing->world;
        if (walls_stop(world->walls, world->closed, event->at, member->at, WALLS_FOR_EYES)) return;
    }
    tally_u32(&hearing->world->heard[member->agent], noises[event->kind].loudness);
}

/// The events phase's list of events to be freed.
struct spent {
    struct world *world;
    struct event **events; // per agent, NULL where there was none
};

static void consume(struct world *world, struct event *event, uint32_t source, uint64_t counts[EVENT_KINDS],
                    uint64_t *rays)
{
    bool good = event->seal == seal_of(event) && event->source == source && event->tick + 1 == world->tick;
    if (!good || event->kind >= EVENT_KINDS) {
        tally(&world->tallies.corrupt, 1);
        return;
    }
    struct hearing hearing = {.world = world, .event = event};
    crowd_around(world, event->at, noises[event->kind].radius, hear, &hearing);
    counts[event->kind]++;
    *rays += hearing.rays;
}

static void consume_events(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    (void)w;
    struct spent *spent = context;
    struct world *world = spent->world;
    uint64_t counts[EVENT_KINDS] = {0};
    uint64_t rays = 0;
    for (uint64_t n = first; n < last; n++) {
        // From the other half of the crowd: a lane that works on the same range in each phase still meets other
        // lanes' events.
        uint32_t i = (uint32_t)((n + world->agent_count / 2) % world->agent_count);
        struct event *event = world->taken[i];
        world->taken[i] = NULL;
        spent->events[i] = event;
        if (event != NULL) consume(world, event, i, counts, &rays);
    }
    for (uint32_t kind = 0; kind < EVENT_KINDS; kind++) tally(&world->tallies.events[kind], counts[kind]);
    tally(&world->tallies.rays, rays);
}

/// A slice of the list; nobody waits for the job that frees it but the frame that holds the list.
struct remains {
    struct event **events;
    uint64_t count;
};

static void free_events(fa_worker *w, void *argument)
{
    const struct remains *remains = argument;
    for (uint64_t i = 0; i < remains->count; i++) fa_pool_free(w, remains->events[i]);
}

static bool submit_freeing(fa_worker *w, struct world *world, struct event **events)
{
    struct remains remains[FREEING_JOBS];
    for (uint64_t i = 0; i < FREEING_JOBS; i++) {
        uint64_t from = world->agent_count * i / FREEING_JOBS;
        uint64_t to = world->agent_count * (i + 1) / FREEING_JOBS;
        remains[i] = (struct remains){events + from, to - from};
    }
    if (fa_submit_many(w, NULL, free_events, remains, sizeof *remains, FREEING_JOBS) == FA_OK) return true;
    world_fault(world, "the jobs that free events could not be submitted");
    return false;
}

bool events_run(fa_worker *w, struct world *world)
{
    struct spent spent = {.world = world};
    spent.events = fa_frame_array(w, struct event *, world->agent_count);
    if (spent.events == NULL) {
        world_fault(world, "no frame memory for the list of events");
        return false;
    }
    if (fa_parallel_for(w, 0, world->agent_count, 32, consume_events, &spent) != FA_OK) {
        world_fault(world, "the events phase could not run");
        return false;
    }
    return submit_freeing(w, world, spent.events) && !world_is_faulty(world);
}

void events_drop(fa_worker *w, struct world *world)
{
    for (uint32_t i = 0; i < world->agent_count; i++) {
        fa_pool_free(w, world->born[i]);
        fa_pool_free(w, world->taken[i]);
        world->born[i] = world->taken[i] = NULL;
    }
}
