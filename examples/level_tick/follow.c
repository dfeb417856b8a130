// SPDX-License-Identifier: MIT
//
// See follow.h. Whether an agent has a path is decided by the entries of the table, which are the same on every
// lane; the cell is then read for the path's contents. When the cell does not hold what the entry promises,
// something is broken: the run counts it and fails.
#include "follow.h"

#include "plan.h"

/// Steps that an agent looks ahead, and how far ahead of it its place on the path may run.
#define LOOK_STEPS 8u
#define LOOK_RADIUS FIX(96)
/// The last place of a path counts as reached so near to it.
#define END_RADIUS FIX(20)
/// Every byte of a path is verified when it is taken up and then by each follower every so many ticks.
#define VERIFY_PERIOD 16u

/// A place on a path while somebody looks ahead along it.
struct place {
    uint32_t cell;
    uint32_t step; // PATH_JOINING: still on the patch
};

/// A path and the area that it starts in.
struct route {
    const struct grid *grid;
    const struct area *area;
    struct path_view view;
};

void follow_stop(struct agent *agent)
{
    agent->key = 0;
    agent->version = 0;
    agent->path_cell = 0;
    agent->path_step = PATH_JOINING;
}

static bool may_step(const struct grid *grid, uint32_t cell, unsigned direction)
{
    return direction < 8 && (grid->exits[cell] & (1u << direction)) != 0;
}

/// The step of the path at which it passes a cell; PATH_JOINING if it does not.
static uint32_t find_step(const struct route *route, uint32_t cell)
{
    uint32_t at = route->area->anchor;
    for (uint32_t step = 0;; step++) {
        if (at == cell) return step;
        if (step == route->view.length || !may_step(route->grid, at, route->view.steps[step])) return PATH_JOINING;
        at = grid_step(route->grid, at, route->view.steps[step]);
    }
}

static bool in_square(const struct route *route, uint32_t cell, uint32_t *index)
{
    uint32_t column = cell % route->grid->columns - route->area->left;
    uint32_t row = cell / route->grid->columns - route->area->bottom;
    *index = row * AREA_CELLS + column;
    return column < AREA_CELLS && row < AREA_CELLS;
}

/// One step on; false at the path's end and where the path makes no sense, which is then tallied.
static bool advance(struct world *world, const struct route *route, struct place *place)
{
    unsigned direction = PATCH_OUTSIDE;
    if (place->step == PATH_JOINING) {
        uint32_t index;
        if (in_square(route, place->cell, &index)) direction = path_patch(&route->view, index);
        if (direction == PATCH_ON_PATH) place->step = find_step(route, place->cell);
    }
    if (place->step != PATH_JOINING) {
        if (place->step >= route->view.length) return false;
        direction = route->view.steps[place->step];
    }
    if (!may_step(route->grid, place->cell, direction)) {
        tally(&world->tallies.corrupt, 1);
        return false;
    }
    place->cell = grid_step(route->grid, place->cell, direction);
    if (place->step != PATH_JOINING) place->step++;
    return true;
}

/// Moves the agent's place to the farthest of the next steps that it can reach in a straight line.
static void look_ahead(struct world *world, const struct route *route, struct agent *agent, struct follow_cost *cost)
{
    struct place places[LOOK_STEPS + 1] = {{agent->path_cell, agent->path_step}};
    struct point ahead = grid_centre(world->grid, agent->path_cell);
    int64_t limit = (int64_t)LOOK_RADIUS * LOOK_RADIUS;
    if (point_square(point_minus(ahead, agent->at)) > limit) return;
    uint32_t last = 0;
    for (; last < LOOK_STEPS; last++) {
        places[last + 1] = places[last];
        if (!advance(world, route, &places[last + 1])) break;
    }
    // Also without a step the place itself may have changed from the patch to the path.
    for (uint32_t k = last; k > 0; k /= 2) {
        cost->rays++;
        ahead = grid_centre(world->grid, places[k].cell);
        if (walls_stop(world->walls, world->closed, agent->at, ahead, WALLS_FOR_FEET)) continue;
        agent->path_cell = places[k].cell;
        agent->path_step = places[k].step;
        return;
    }
}

/// Lays a path down that no longer counts and takes one up that does.
static bool choose_path(const struct world *world, struct agent *agent, bool *taken_up)
{
    const struct path_entry *entries = world->paths.entries;
    uint32_t wanted = world->goals[agent->goal].epoch;
    uint32_t epoch = 0;
    bool counts = agent->version != 0 && path_active(&entries[agent->key], world->tick, &epoch) == agent->version;
    if (counts && epoch == wanted) return true;
    uint32_t key = world_key(world, agent);
    uint32_t own_epoch = 0;
    uint32_t own = key == PATH_KEY_NONE ? 0 : path_active(&entries[key], world->tick, &own_epoch);
    // An old path, to where the goal was, is better than none until the new one is there.
    if (own != 0 && (own_epoch == wanted || !counts)) {
        *taken_up = true;
        agent->key = key;
        agent->version = own;
        agent->path_cell = agent->cell;
        agent->path_step = PATH_JOINING;
        return true;
    }
    if (!counts) follow_stop(agent);
    return counts;
}

bool follow(fa_worker *w, struct world *world, uint32_t i, struct agent *agent, struct point *target,
            struct follow_cost *cost)
{
    if (agent->goal == GOAL_NONE) return false;
    bool thorough = (world->tick + i) % VERIFY_PERIOD == 0;
    if (!choose_path(world, agent, &thorough)) return false;
    struct route route = {.grid = world->grid, .area = &world->regions->areas[agent->key / GOAL_COUNT]};
    cost->reads++;
    if (!plan_read(w, world, agent->key, agent->version, thorough, &route.view)) {
        follow_stop(agent);
        return false;
    }
    look_ahead(world, &route, agent, cost);
    *target = grid_centre(world->grid, agent->path_cell);
    bool at_end = agent->path_step != PATH_JOINING && agent->path_step >= route.view.length;
    int64_t end = (int64_t)END_RADIUS * END_RADIUS;
    if (at_end && point_square(point_minus(*target, agent->at)) < end) follow_stop(agent);
    return true;
}
