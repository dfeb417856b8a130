// SPDX-License-Identifier: MIT
//
// See sense.h. Lists of neighbours come from the frame memory of whatever lane runs an agent's piece of the loop, each
// just as long as it must be.
#include "sense.h"

#include "crowd.h"
#include "lead.h"

#include <string.h>

/// The nearest agents found so far, sorted by distance, of equals the lowest number first.
struct nearest {
    uint32_t self;
    uint32_t count;
    uint32_t agents[SENSE_NEIGHBOURS];
    int64_t squares[SENSE_NEIGHBOURS];
};

static bool is_nearer(const struct nearest *nearest, uint32_t at, int64_t square, uint32_t agent)
{
    return square != nearest->squares[at] ? square < nearest->squares[at] : agent < nearest->agents[at];
}

static void keep_nearest(const struct crowd_member *member, int64_t square, void *context)
{
    struct nearest *nearest = context;
    if (member->agent == nearest->self) return;
    uint32_t at = nearest->count;
    if (at == SENSE_NEIGHBOURS) {
        if (!is_nearer(nearest, at - 1, square, member->agent)) return;
        at--;
    } else {
        nearest->count++;
    }
    for (; at > 0 && is_nearer(nearest, at - 1, square, member->agent); at--) {
        nearest->agents[at] = nearest->agents[at - 1];
        nearest->squares[at] = nearest->squares[at - 1];
    }
    nearest->agents[at] = member->agent;
    nearest->squares[at] = square;
}

/// What one piece of the loop used, tallied once at its end.
struct effort {
    uint64_t rays;
    struct lead_cost lead;
};

static bool sees_goal(const struct world *world, const struct agent *agent, struct effort *effort)
{
    if (agent->goal == GOAL_NONE) return false;
    struct point goal = world->goals[agent->goal].at;
    int64_t square = point_square(point_minus(goal, agent->at));
    if (square >= (int64_t)SENSE_GOAL_RADIUS * SENSE_GOAL_RADIUS) return false;
    effort->rays++;
    return !walls_stop(world->walls, world->closed, agent->at, goal, WALLS_FOR_FEET);
}

static bool sense_agent(fa_worker *w, struct world *world, uint32_t i, struct effort *effort)
{
    const struct agent *agent = &world->now[i];
    struct sense sense = {.goal_in_sight = sees_goal(world, agent, effort)};
    struct nearest nearest = {.self = i};
    crowd_around(world, agent->at, SENSE_RADIUS, keep_nearest, &nearest);
    if (nearest.count > 0) {
        uint32_t *near = fa_frame_array(w, uint32_t, nearest.count);
        if (near == NULL) return false;
        memcpy(near, nearest.agents, nearest.count * sizeof *near);
        sense.near = near;
        sense.count = (uint8_t)nearest.count;
    }
    for (uint32_t n = 0; n < nearest.count; n++) {
        struct point other = world->now[nearest.agents[n]].at;
        effort->rays++;
        if (walls_stop(world->walls, world->closed, agent->at, other, WALLS_FOR_EYES)) continue;
        sense.seen = (uint8_t)(sense.seen | 1u << n);
    }
    if (!lead_find(w, world, i, &sense, &effort->lead)) return false;
    world->senses[i] = sense;
    return true;
}

static void sense_agents(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    struct world *world = context;
    struct effort effort = {.rays = 0};
    for (uint64_t i = first; i < last; i++) {
        if (sense_agent(w, world, (uint32_t)i, &effort)) continue;
        world_fault(world, "no frame memory for what agents sense");
        return;
    }
    tally(&world->tallies.rays, effort.rays + effort.lead.rays);
    tally(&world->tallies.led, effort.lead.led);
    tally(&world->tallies.leaders_gone, effort.lead.gone);
}

bool sense_run(fa_worker *w, struct world *world)
{
    if (!crowd_build(w, world)) return false;
    world->senses = fa_frame_array(w, struct sense, world->agent_count);
    if (world->senses == NULL) {
        world_fault(world, "no frame memory for what agents sense");
        return false;
    }
    if (fa_parallel_for(w, 0, world->agent_count, 16, sense_agents, world) != FA_OK) {
        world_fault(world, "the sense phase could not run");
    }
    return !world_is_faulty(world);
}
