// SPDX-License-Identifier: MIT
//
// See lead.h.
#include "lead.h"

/// Who has a path looks out for its leader every so many ticks.
#define LOOK_PERIOD 8u
/// Places of a leader's trail that are tried, newest first; each is a ray.
#define PLACES_MAX 4u
/// From here on one falls behind; beyond the other one loses the leader.
#define BEHIND_RADIUS FIX(64)
#define LEAD_RADIUS FIX(256)

static bool is_within(const struct world *world, const struct mind *leader, uint32_t i, int32_t radius)
{
    struct point way = point_minus(world->now[leader->owner].at, world->now[i].at);
    return point_square(way) < (int64_t)radius * radius;
}

/// The leader that it has and whether it is still there: a trip that is over leaves a handle that names nothing.
static const struct mind *own_leader(const fa_worker *w, const struct world *world, uint32_t i, const struct mind *mind,
                                     fa_handle *handle, struct lead_cost *cost)
{
    if (fa_handle_is_none(mind->leader)) return NULL;
    const struct mind *leader = mind_at(w, mind->leader);
    if (leader == NULL) cost->gone++;
    if (leader == NULL || !is_within(world, leader, i, LEAD_RADIUS)) return NULL;
    *handle = mind->leader;
    return leader;
}

/// The nearest of those it sees that may lead it.
static const struct mind *new_leader(const fa_worker *w, const struct world *world, const struct sense *sense,
                                     const struct mind *mind, fa_handle *handle)
{
    for (uint32_t n = 0; n < sense->count; n++) {
        if ((sense->seen & (1u << n)) == 0) continue;
        const struct mind *other = mind_at(w, world->minds[sense->near[n]]);
        if (other == NULL || other->goal != mind->goal || !mind_is_older(other, mind)) continue;
        *handle = world->minds[sense->near[n]];
        return other;
    }
    return NULL;
}

/// The newest place of the leader's trail that agent i can reach in a straight line.
static bool find_place(const fa_worker *w, const struct world *world, uint32_t i, const struct mind *leader,
                       struct point *place, struct lead_cost *cost)
{
    if (world->now[leader->owner].version == 0) return false; // it does not know the way either
    const uint32_t *trail = mind_trail(w, leader);
    for (uint32_t n = 0; n < PLACES_MAX && n < leader->count; n++) {
        *place = grid_centre(world->grid, trail[leader->count - 1 - n]);
        cost->rays++;
        if (!walls_stop(world->walls, world->closed, world->now[i].at, *place, WALLS_FOR_FEET)) return true;
    }
    return false;
}

bool lead_find(fa_worker *w, const struct world *world, uint32_t i, struct sense *sense, struct lead_cost *cost)
{
    bool lost = world->now[i].version == 0 && !sense->goal_in_sight;
    if (!lost && (world->tick + i) % LOOK_PERIOD != 0) return true;
    const struct mind *mind = mind_at(w, world->minds[i]);
    if (mind == NULL) return true; // between two trips, or it rests
    struct lead *lead = fa_frame_new(w, struct lead);
    if (lead == NULL) return false;
    *lead = (struct lead){.leader = {0, 0}};
    sense->lead = lead;
    const struct mind *leader = own_leader(w, world, i, mind, &lead->leader, cost);
    if (leader == NULL) leader = new_leader(w, world, sense, mind, &lead->leader);
    if (leader == NULL) return true;
    cost->led++;
    lead->hurries = !is_within(world, leader, i, BEHIND_RADIUS);
    lead->walks = lost && find_place(w, world, i, leader, &lead->to, cost);
    return true;
}

void lead_take(const struct sense *sense, struct mind *mind)
{
    if (sense->lead == NULL) return;
    mind->leader = sense->lead->leader;
    mind->hurries = sense->lead->hurries;
}
