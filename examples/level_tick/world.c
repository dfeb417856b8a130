// SPDX-License-Identifier: MIT
//
// See world.h: making the world, beginning a tick, the checksum.
#include "world.h"

const char *const phase_names[PHASE_COUNT] = {"load", "stream", "sense", "plan", "move", "events", "render"};

/// Agents on smaller islands rest: a few cells are no place to walk to.
#define ISLAND_WITH_GOALS 64u

/// Made and ended at load.
#define SPARE_MINDS 512u

/// Separate streams of hash values from one seed.
enum { STREAM_PLACE = 1, STREAM_GOAL, STREAM_CHOICE, STREAM_DOOR, STREAM_SPEED };

static uint64_t draw(const struct world *world, uint64_t stream, uint64_t a, uint64_t b)
{
    return hash_three(world->seed ^ stream << 56, a, b);
}

/// Shares the goals out among islands by size, each next one to the island with most cells for each goal it then has
/// (D'Hondt). Islands are sorted by size, so those that get any come first.
static void share_goals(struct world *world)
{
    const struct regions *regions = world->regions;
    for (uint32_t slot = 0; slot < GOAL_COUNT; slot++) {
        uint32_t best = 0;
        uint64_t best_share = 0;
        for (uint32_t i = 0; i < GOAL_COUNT && i < regions->island_count; i++) {
            uint64_t share = regions->islands[i].count * UINT64_C(1024) / (world->slots[i].count + 1u);
            if (i > 0 && regions->islands[i].count < ISLAND_WITH_GOALS) break;
            if (share <= best_share) continue;
            best = i;
            best_share = share;
        }
        world->slots[best].count++;
    }
    uint8_t first = 0;
    for (uint32_t i = 0; i < GOAL_COUNT; i++) {
        world->slots[i].first = first;
        for (uint8_t slot = first; slot < first + world->slots[i].count; slot++) world->goals[slot].island = i;
        first = (uint8_t)(first + world->slots[i].count);
    }
}

static void place_goals(struct world *world)
{
    for (uint32_t slot = 0; slot < GOAL_COUNT; slot++) {
        struct goal *goal = &world->goals[slot];
        const struct island *island = &world->regions->islands[goal->island];
        goal->epoch = (world->tick + slot * GOAL_PERIOD / GOAL_COUNT) / GOAL_PERIOD;
        uint64_t hash = draw(world, STREAM_GOAL, slot, goal->epoch);
        goal->cell = world->regions->cells[island->first + hash_below(hash, island->count)];
        goal->at = grid_centre(world->grid, goal->cell);
    }
}

uint32_t world_key(const struct world *world, const struct agent *agent)
{
    uint16_t area = world->regions->area_of[agent->cell];
    // Only a level of 65 535 areas has open cells without one.
    if (agent->goal == GOAL_NONE || area == AREA_NONE) return PATH_KEY_NONE;
    return area * GOAL_COUNT + agent->goal;
}

static const struct goal_slots *slots_at(const struct world *world, uint32_t cell)
{
    uint16_t area = world->regions->area_of[cell];
    uint32_t island = area == AREA_NONE ? ISLAND_NONE : world->regions->areas[area].island;
    return island < GOAL_COUNT && world->slots[island].count > 0 ? &world->slots[island] : NULL;
}

uint8_t world_choose_goal(const struct world *world, uint32_t i, const struct agent *agent)
{
    const struct goal_slots *slots = slots_at(world, agent->cell);
    if (slots == NULL) return GOAL_NONE;
    uint32_t choice = hash_below(draw(world, STREAM_CHOICE, i, agent->trips), slots->count);
    if (slots->first + choice == agent->goal) choice = (choice + 1) % slots->count;
    return (uint8_t)(slots->first + choice);
}

/// Things stand where the level puts them, as near as one can walk; the rest of the crowd anywhere.
static struct agent make_agent(const struct world *world, uint32_t i)
{
    const struct level *level = world->level;
    const struct regions *regions = world->regions;
    struct agent agent = {.cell = CELL_NONE, .goal = GOAL_NONE, .path_step = PATH_JOINING, .trail = DIGEST_START};
    if (i < level->thing_count) {
        agent.at = (struct point){FIX(level->things[i].x), FIX(level->things[i].y)};
        agent.cell = grid_stand(world->grid, agent.at);
    }
    if (agent.cell == CELL_NONE || !world->grid->open[grid_cell_at(world->grid, agent.at)]) {
        uint32_t any = regions->cells[hash_below(draw(world, STREAM_PLACE, i, 0), regions->open_count)];
        if (agent.cell == CELL_NONE) agent.cell = any;
        agent.at = grid_centre(world->grid, agent.cell);
    }
    agent.speed = (uint16_t)(FIX(2) + hash_below(draw(world, STREAM_SPEED, i, 0), FIX(2)));
    const struct goal_slots *slots = slots_at(world, agent.cell);
    if (slots != NULL) {
        // Three goals for each area: neighbours share paths from the start.
        uint64_t hash = draw(world, STREAM_CHOICE, regions->area_of[agent.cell], UINT32_MAX - i % 3);
        agent.goal = (uint8_t)(slots->first + hash_below(hash, slots->count));
    }
    agent.state = slots == NULL ? AGENT_RESTING : AGENT_WAITING;
    return agent;
}

/// The mind of an agent's first trip. None, and a fault, without memory.
static fa_handle make_mind(fa_worker *w, struct world *world, uint32_t i)
{
    const struct agent *agent = &world->now[i];
    if (agent->goal == GOAL_NONE) return (fa_handle){0, 0};
    fa_handle handle = mind_begin(w, i, world->tick, agent->goal);
    struct mind *mind = mind_at(w, handle);
    if (mind == NULL || !mind_pass(w, mind, agent->cell)) world_fault(world, "no memory for a mind");
    return handle;
}

static void make_agents(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    struct world *world = context;
    for (uint64_t i = first; i < last; i++) {
        world->now[i] = make_agent(world, (uint32_t)i);
        world->minds[i] = make_mind(w, world, (uint32_t)i);
        if (!fa_handle_is_none(world->minds[i])) tally(&world->tallies.minds_begun, 1);
    }
}

/// Minds with trails as long as they get, for a moment: so no tick is the first to ask for one of that size, and there are
/// spare handles, as each lane keeps some at hand.
static bool try_minds(fa_worker *w)
{
    fa_handle minds[SPARE_MINDS];
    bool good = true;
    for (uint32_t i = 0; i < SPARE_MINDS; i++) {
        minds[i] = mind_begin(w, i, 0, 0);
        struct mind *mind = mind_at(w, minds[i]);
        for (uint32_t cell = 0; mind != NULL && cell < TRAIL_MAX; cell++) good = mind_pass(w, mind, cell) && good;
        good = good && mind != NULL;
    }
    for (uint32_t i = 0; i < SPARE_MINDS; i++) good = mind_end(w, minds[i]) == FA_OK && good;
    return good;
}

/// Makes the arrays, zeroed: every page of them is touched now rather than in a tick.
static bool make_arrays(fa_worker *w, fa_group group, struct world *world)
{
    fa_group_source source = {w, group};
    const fa_allocator level = fa_allocator_group(&source);
    const size_t agents = world->agent_count;
    world->now = memory_array(&level, agents, sizeof *world->now);
    world->next = memory_array(&level, agents, sizeof *world->next);
    world->minds = memory_array(&level, agents, sizeof *world->minds);
    world->born = memory_array(&level, agents, sizeof *world->born);
    world->taken = memory_array(&level, agents, sizeof *world->taken);
    world->heard = memory_array(&level, agents, sizeof *world->heard);
    world->paths.entries = memory_array(&level, world->paths.count, sizeof *world->paths.entries);
    world->paths.cells = memory_array(&level, world->paths.count, sizeof *world->paths.cells);
    return world->now != NULL && world->next != NULL && world->minds != NULL && world->born != NULL &&
           world->taken != NULL && world->heard != NULL && world->paths.entries != NULL && world->paths.cells != NULL;
}

bool world_create(fa_worker *w, fa_group group, const struct regions *regions, const struct grid *grid, uint32_t agents,
                  uint64_t seed, struct world *out, struct failure *failure)
{
    *out = (struct world){
        .level = grid->level,
        .walls = grid->walls,
        .grid = grid,
        .regions = regions,
        .seed = seed,
        .agent_count = agents,
        .paths.count = regions->area_count * GOAL_COUNT,
    };
    if (!make_arrays(w, group, out)) return fail(failure, "no memory for %u agents", agents);
    share_goals(out);
    place_goals(out);
    fa_status status = planners_create(w, grid_cells(grid), out->planners);
    if (status == FA_OK) status = fa_parallel_for(w, 0, agents, 64, make_agents, out);
    if (status == FA_OK && (world_is_faulty(out) || !try_minds(w))) status = FA_ERROR_MEMORY;
    return status == FA_OK || fail(failure, "the crowd cannot be made: %s", fa_status_text(status));
}

bool world_prepare(fa_worker *w, struct world *world)
{
    world->tick++;
    place_goals(world);
    uint32_t doors = world->level->door_count;
    uint8_t *closed = fa_frame_array(w, uint8_t, doors + 1u);
    if (closed == NULL) {
        world_fault(world, "no frame memory for the doors");
        return false;
    }
    for (uint32_t door = 0; door < doors; door++) {
        uint32_t phase = hash_below(draw(world, STREAM_DOOR, door, 0), DOOR_PERIOD);
        closed[door] = (world->tick + phase) % DOOR_PERIOD < DOOR_CLOSED;
    }
    world->closed = closed;
    return true;
}

void world_swap(struct world *world)
{
    struct agent *old = world->now;
    world->now = world->next;
    world->next = old;
    struct event **taken = world->taken;
    world->taken = world->born;
    world->born = taken;
}

static uint64_t digest_agent(uint64_t digest, const struct agent *agent)
{
    digest = digest_add(digest, (uint32_t)agent->at.x | (uint64_t)(uint32_t)agent->at.y << 32);
    digest = digest_add(digest, (uint32_t)agent->velocity.x | (uint64_t)(uint32_t)agent->velocity.y << 32);
    digest = digest_add(digest, agent->key | (uint64_t)agent->version << 32);
    digest = digest_add(digest, agent->path_cell | (uint64_t)agent->path_step << 32);
    digest = digest_add(digest, agent->trips | (uint64_t)agent->goal << 32 | (uint64_t)agent->state << 40);
    return digest_add(digest, agent->trail);
}

fa_status world_drop(fa_worker *w, struct world *world)
{
    fa_status status = FA_OK;
    for (uint32_t i = 0; world->minds != NULL && i < world->agent_count && status == FA_OK; i++) {
        if (!fa_handle_is_none(world->minds[i])) status = mind_end(w, world->minds[i]);
    }
    planners_destroy(w, world->planners);
    return status;
}

uint64_t world_digest(const fa_worker *w, const struct world *world)
{
    uint64_t digest = digest_add(DIGEST_START, world->tick);
    for (uint32_t i = 0; i < world->agent_count; i++) {
        digest = digest_agent(digest, &world->now[i]);
        digest = digest_add(digest, world->heard[i]);
        digest = mind_digest(w, digest, world->minds[i]);
    }
    for (uint32_t key = 0; key < world->paths.count; key++) {
        const struct path_entry *entry = &world->paths.entries[key];
        if (entry->planned != 0) digest = digest_add(digest, key | (uint64_t)entry->planned << 32);
    }
    const struct tallies *tallies = &world->tallies;
    for (size_t i = 0; i < sizeof tallies->events / sizeof *tallies->events; i++) {
        digest = digest_add(digest, tallies->events[i]);
    }
    return digest;
}

void world_fault(struct world *world, const char *text)
{
    const char *none = NULL;
    (void)__atomic_compare_exchange_n(&world->fault, &none, text, false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

bool world_is_faulty(const struct world *world)
{
    return __atomic_load_n(&world->fault, __ATOMIC_ACQUIRE) != NULL;
}
