// SPDX-License-Identifier: MIT
//
// See move.h. A body is a circle of BODY_RADIUS. It is pushed out of walls that it would touch; if its centre would
// then have crossed one, it stays where it was. So nobody ever passes through a wall, whatever pushes it.
#include "move.h"

#include "events.h"
#include "follow.h"
#include "lead.h"
#include "sense.h"

#define SPEED_MAX FIX(6)
#define ACCELERATION (FIX_ONE)
/// Neighbours nearer than this push each other apart.
#define PERSONAL_SPACE FIX(20)
#define ARRIVAL_RADIUS FIX(40)
#define STILL_MAX 60u      // ticks without getting anywhere, then another goal
#define STILL_DISTANCE 128 // … is less than half a unit a tick
#define STEP_PERIOD 8u     // ticks from one audible step to the next
#define STARTLE_NOISE 24u
#define STARTLE_TICKS 35u
#define CALM_TICKS 350u
/// One agent in so many takes fright for no reason at all, each tick.
#define FRIGHT_ODDS 16384u

/// A piece of the loop: what it works with and what it used.
struct mover {
    fa_worker *worker;
    struct world *world;
    struct follow_cost cost;
    uint64_t states[AGENT_STATES];
    uint64_t rays;
    uint64_t minds_begun;
    uint64_t minds_ended;
};

static struct point seek(const struct agent *agent, struct point target, int32_t speed)
{
    struct point way = point_minus(target, agent->at);
    // Nearer than one tick's walk: arrive instead of overshooting.
    struct point wish = point_limit(way, speed);
    struct point change = point_limit(point_minus(wish, agent->velocity), ACCELERATION);
    return (struct point){agent->velocity.x + change.x, agent->velocity.y + change.y};
}

/// Away from the neighbours that it sees, the stronger the nearer they are.
static struct point separate(const struct world *world, uint32_t i)
{
    const struct sense *sense = &world->senses[i];
    struct point push = {0, 0};
    for (uint32_t n = 0; n < sense->count; n++) {
        if ((sense->seen & (1u << n)) == 0) continue;
        struct point away = point_minus(world->now[i].at, world->now[sense->near[n]].at);
        int32_t distance = fix_length(away);
        if (distance >= PERSONAL_SPACE) break; // the nearest come first
        if (distance == 0) {
            // On the very same spot: one goes east, the other west.
            away = (struct point){i < sense->near[n] ? -FIX_ONE : FIX_ONE, 0};
            distance = FIX_ONE;
        }
        int32_t strength = (PERSONAL_SPACE - distance) / 8;
        push.x += away.x * strength / distance;
        push.y += away.y * strength / distance;
    }
    return push;
}

static bool push_out(const struct wall *wall, void *context)
{
    struct point *at = context;
    // A door that closes on somebody does not push: it only lets nobody through.
    if (wall->kind == WALL_DOOR) return true;
    struct point gap = point_minus(*at, wall_nearest(wall, *at));
    if (point_square(gap) >= (int64_t)BODY_RADIUS * BODY_RADIUS) return true;
    int32_t distance = fix_length(gap);
    if (distance == 0) return true; // exactly on the wall: there is no side to push to
    at->x += gap.x * (BODY_RADIUS - distance) / distance;
    at->y += gap.y * (BODY_RADIUS - distance) / distance;
    return true;
}

/// Where a body that stands at `from` and wants to go to `to` comes to stand.
static struct point collide(struct mover *mover, struct point from, struct point to, bool *bumped)
{
    const struct world *world = mover->world;
    struct point at = to;
    // Twice: out of one wall may be into the other of a corner.
    for (int pass = 0; pass < 2; pass++) walls_around(world->walls, at, BODY_RADIUS, push_out, &at);
    *bumped = at.x != to.x || at.y != to.y;
    mover->rays++;
    if (!walls_stop(world->walls, world->closed, from, at, WALLS_FOR_FEET)) return at;
    *bumped = true;
    return from;
}

/// Ends the trip; the next one begins with the next tick.
static void change_goal(struct mover *mover, uint32_t i, struct agent *agent)
{
    struct world *world = mover->world;
    agent->trips++;
    agent->goal = world_choose_goal(world, i, agent);
    agent->still = 0;
    follow_stop(agent);
    if (mind_end(mover->worker, world->minds[i]) != FA_OK) world_fault(world, "a mind could not be freed");
    world->minds[i] = (fa_handle){0, 0};
    mover->minds_ended++;
}

/// The mind of the trip, begun with it, and what the agent learnt of its leader. NULL after a fault, and who rests has
/// none.
static struct mind *recall(struct mover *mover, uint32_t i, const struct agent *agent)
{
    struct world *world = mover->world;
    if (agent->goal == GOAL_NONE) return NULL;
    if (fa_handle_is_none(world->minds[i])) {
        world->minds[i] = mind_begin(mover->worker, i, world->tick, agent->goal);
        mover->minds_begun++;
    }
    struct mind *mind = mind_at(mover->worker, world->minds[i]);
    if (mind == NULL) {
        world_fault(world, "no memory for a mind");
        return NULL;
    }
    if (mind->owner != i) tally(&world->tallies.corrupt, 1);
    lead_take(&world->senses[i], mind);
    return mind;
}

/// Whether two open cells are the same or neighbours: the grid's rim is not open, so numbers tell.
static bool is_next_to(const struct grid *grid, uint32_t a, uint32_t b)
{
    uint32_t gap = a > b ? a - b : b - a;
    return gap <= 1 || gap - (grid->columns - 1) <= 2;
}

/// Notes about every other cell that the agent passes.
static void remember(const struct mover *mover, struct mind *mind, uint32_t cell)
{
    if (mind->count > 0 && is_next_to(mover->world->grid, mind->last, cell)) return;
    if (!mind_pass(mover->worker, mind, cell)) world_fault(mover->world, "no memory for a trail");
}

/// What noise does to it; true when it has just taken fright.
static bool listen(struct world *world, uint32_t i, struct agent *agent)
{
    uint32_t noise = world->heard[i];
    world->heard[i] = 0;
    if (agent->startle > 0) agent->startle--;
    if (agent->calm > 0) {
        agent->calm--;
        return false;
    }
    bool alone = hash_below(hash_three(world->seed, world->tick, i), FRIGHT_ODDS) == 0;
    if (noise < STARTLE_NOISE && !alone) return false;
    agent->startle = STARTLE_TICKS;
    agent->calm = CALM_TICKS;
    return true;
}

/// Where it wants to go: sets the state, and the velocity to get there.
static void steer(struct mover *mover, uint32_t i, const struct mind *mind, struct agent *agent)
{
    const struct world *world = mover->world;
    const struct lead *lead = world->senses[i].lead;
    struct point target = agent->at;
    if (agent->goal == GOAL_NONE) {
        agent->state = AGENT_RESTING;
    } else if (world->senses[i].goal_in_sight) {
        agent->state = AGENT_HOMING;
        target = world->goals[agent->goal].at;
        follow_stop(agent);
    } else if (follow(mover->worker, mover->world, i, agent, &target, &mover->cost)) {
        agent->state = agent->path_step == PATH_JOINING ? AGENT_JOINING : AGENT_FOLLOWING;
    } else if (lead != NULL && lead->walks) {
        agent->state = AGENT_TRAILING;
        target = lead->to;
    } else {
        agent->state = AGENT_WAITING;
    }
    int32_t speed = agent->speed;
    if (agent->startle > 0)
        speed = speed * 3 / 2;
    else if (mind != NULL && mind->hurries)
        speed = speed * 5 / 4;
    agent->velocity = seek(agent, target, speed);
    if (agent->startle > 0) agent->state = AGENT_STARTLED;
}

static void walk(struct mover *mover, uint32_t i, struct agent *agent, bool *bumped)
{
    const struct world *world = mover->world;
    struct point push = separate(world, i);
    struct point wish = {agent->velocity.x + push.x, agent->velocity.y + push.y};
    wish = point_limit(wish, SPEED_MAX);
    struct point from = agent->at;
    agent->at = collide(mover, from, (struct point){from.x + wish.x, from.y + wish.y}, bumped);
    // What a wall took away is gone: nobody presses on at full speed behind one.
    agent->velocity = point_limit(point_minus(agent->at, from), SPEED_MAX);
    uint32_t cell = grid_cell_at(world->grid, agent->at);
    if (world->grid->open[cell]) agent->cell = cell;
    bool waits = agent->state == AGENT_WAITING || agent->state == AGENT_TRAILING;
    bool wants = agent->goal != GOAL_NONE && !waits;
    bool stands = point_square(agent->velocity) < STILL_DISTANCE * STILL_DISTANCE;
    agent->still = wants && stands ? (uint16_t)(agent->still + 1) : 0;
}

static bool has_arrived(const struct world *world, uint32_t i, const struct agent *agent)
{
    if (!world->senses[i].goal_in_sight) return false;
    struct point way = point_minus(world->goals[agent->goal].at, agent->at);
    return point_square(way) < (int64_t)ARRIVAL_RADIUS * ARRIVAL_RADIUS;
}

static uint64_t extend_trail(const struct agent *agent)
{
    uint64_t trail = digest_add(agent->trail, (uint32_t)agent->at.x | (uint64_t)(uint32_t)agent->at.y << 32);
    trail = digest_add(trail, agent->path_cell | (uint64_t)agent->path_step << 32);
    return digest_add(trail, agent->version | (uint64_t)agent->state << 32 | (uint64_t)agent->goal << 40);
}

static bool emit(struct mover *mover, uint32_t i, enum event_kind kind, struct point at)
{
    return event_emit(mover->worker, mover->world, i, kind, at);
}

static bool move_agent(struct mover *mover, uint32_t i)
{
    struct world *world = mover->world;
    struct agent agent = world->now[i];
    bool frightened = listen(world, i, &agent);
    bool bumped;
    struct mind *mind = recall(mover, i, &agent);
    steer(mover, i, mind, &agent);
    walk(mover, i, &agent, &bumped);
    bool arrived = has_arrived(world, i, &agent);
    if (mind != NULL) remember(mover, mind, agent.cell);
    if (arrived || agent.still > STILL_MAX) change_goal(mover, i, &agent);
    agent.trail = extend_trail(&agent);
    world->next[i] = agent;
    mover->states[agent.state]++;
    if (frightened) return emit(mover, i, EVENT_SHOUT, agent.at);
    if (arrived) return emit(mover, i, EVENT_ARRIVAL, agent.at);
    bool moving = point_square(agent.velocity) > FIX_ONE * FIX_ONE;
    if (!moving || (world->tick + i) % STEP_PERIOD != 0) return true;
    return emit(mover, i, bumped ? EVENT_BUMP : EVENT_STEP, agent.at);
}

static void move_agents(fa_worker *w, uint64_t first, uint64_t last, void *context)
{
    struct world *world = context;
    struct mover mover = {.worker = w, .world = world};
    for (uint64_t i = first; i < last; i++) {
        if (!move_agent(&mover, (uint32_t)i)) return;
    }
    tally(&world->tallies.path_reads, mover.cost.reads);
    tally(&world->tallies.rays, mover.cost.rays + mover.rays);
    tally(&world->tallies.minds_begun, mover.minds_begun);
    tally(&world->tallies.minds_ended, mover.minds_ended);
    for (uint32_t state = 0; state < AGENT_STATES; state++) tally(&world->tallies.states[state], mover.states[state]);
}

bool move_run(fa_worker *w, struct world *world)
{
    if (fa_parallel_for(w, 0, world->agent_count, 16, move_agents, world) != FA_OK) {
        world_fault(world, "the move phase could not run");
    }
    return !world_is_faulty(world);
}
