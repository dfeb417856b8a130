// SPDX-License-Identifier: MIT
//
// The simulated world: agents that walk a level, the goals they walk to, the paths they share.
//
// Who writes what, phase by phase (a phase ends before the next begins; "pure" is computed from seed and tick alone):
//
//   prepare  main lane     tick, goals, closed: pure
//   stream   main lane     nothing of the world: which textures are in memory (stream.h)
//   plan     main lane     paths.entries
//            one search    planners[n]; retains a new path, which reaches paths.cells when its frame retires
//   sense    one agent     senses[i], in frame memory
//   move     one agent     next[i], born[i], heard[i] = 0, minds[i] and the mind that it names
//   events   one event     taken[i] = NULL; heard[j] += n, atomic: sums do not depend on their order
//
// Everything else is read only in that phase, and agents are read from now[], where nobody writes. So the world
// after a tick does not depend on which lane did what in which order, and world_digest() is the same for any number
// of workers.
//
// It does not depend on frames in flight either: a path planned in tick t is used from tick t + PATH_DELAY on, when
// with any legal number of frames in flight frame t has retired and the path is in its cell (paths.h).
#pragma once

#include "mind.h"
#include "paths.h"
#include "planner.h"
#include "regions.h"

#include <framealloc/framealloc.h>

#define GOAL_NONE UINT8_MAX
/// A goal moves this often, in ticks; each at another time.
#define GOAL_PERIOD 480u
#define DOOR_PERIOD 256u
#define DOOR_CLOSED 48u // ticks of each period

enum agent_state {
    AGENT_RESTING,   // can reach no goal
    AGENT_WAITING,   // for a path to be planned
    AGENT_TRAILING,  // … and meanwhile walks after its leader
    AGENT_JOINING,   // on the way to its path
    AGENT_FOLLOWING, // its path
    AGENT_HOMING,    // sees its goal and walks straight there
    AGENT_STARTLED,  // heard something loud
    AGENT_STATES,
};

struct agent {
    struct point at;
    struct point velocity; // per tick
    uint32_t cell;         // open cell it stands on, or stood on last
    uint32_t key;          // of the path it follows
    uint32_t version;      // tick in which that was planned, 0: follows none
    uint32_t path_cell;    // cell of the path that it walks to
    uint32_t path_step;    // steps of the path up to there, PATH_JOINING before it
    uint32_t trips;        // goals reached or given up
    uint16_t speed;
    uint16_t still;   // ticks without getting anywhere
    uint16_t startle; // ticks that a startle lasts
    uint16_t calm;    // ticks until it can be startled again
    uint8_t goal;     // slot, GOAL_NONE
    uint8_t state;    // agent_state
    uint64_t trail;   // digest of everything above, over all ticks
};

/// Whom an agent walks with; see lead.h.
struct lead {
    fa_handle leader; // a mind; none if there is nobody
    struct point to;  // where to walk after it
    bool walks;       // there is such a place
    bool hurries;
};

/// What an agent perceives; see sense.h.
struct sense {
    const uint32_t *near;    // agents around it, nearest first
    const struct lead *lead; // NULL: it did not look
    uint8_t count;
    uint8_t seen; // bit i: nothing stands between it and near[i]
    bool goal_in_sight;
};

struct goal {
    uint32_t island;
    uint32_t epoch; // how often it has moved
    uint32_t cell;
    struct point at;
};

/// The goal slots of an island: first to first + count - 1.
struct goal_slots {
    uint8_t first;
    uint8_t count;
};

enum phase { PHASE_LOAD, PHASE_STREAM, PHASE_SENSE, PHASE_PLAN, PHASE_MOVE, PHASE_EVENTS, PHASE_RENDER, PHASE_COUNT };
extern const char *const phase_names[PHASE_COUNT]; // as fa_phase_begin() is told

struct event;
struct crowd;

/// Counters that jobs add to with relaxed atomics; sums, so their order does not matter.
struct tallies {
    uint64_t path_reads;
    uint64_t path_searches;
    uint64_t path_drops;
    uint64_t audits;  // paths verified from end to end
    uint64_t corrupt; // paths or events that were not what they should be
    uint64_t rays;
    uint64_t minds_begun;
    uint64_t minds_ended;
    uint64_t led;                  // agents that had a leader when they looked
    uint64_t leaders_gone;         // … whose leader's trip was over
    uint64_t events[8];            // consumed, by kind
    uint64_t states[AGENT_STATES]; // agents by state, summed over all ticks
};

struct world {
    // immutable after world_create()
    const struct level *level;
    const struct walls *walls;
    const struct grid *grid;
    const struct regions *regions;
    uint64_t seed;
    uint32_t agent_count;
    struct goal_slots slots[GOAL_COUNT]; // of the GOAL_COUNT largest islands
    // main lane: changed between phases only
    uint32_t tick; // the first is 1
    struct goal goals[GOAL_COUNT];
    const uint8_t *closed; // per door, frame memory of this tick
    struct agent *now;
    struct agent *next;
    fa_handle *minds;     // per agent, none without a trip
    struct event **born;  // per agent: its event of this tick
    struct event **taken; // … of the tick before
    struct sense *senses; // frame memory of this tick
    struct crowd *crowd;
    struct path_table paths;
    struct planner planners[PLANNER_COUNT]; // each also its search job's
    // shared: see the table above
    uint32_t *heard; // per agent: noise since its last move
    struct tallies tallies;
    const char *fault; // first thing that went wrong in a job, in static storage
};

/// Makes the agents and everything that lives as long as the world, in the level's group on the main lane `w`. Call it
/// inside a frame. When the group is freed, paths and events must be gone and world_drop() called, also after a failure.
bool world_create(fa_worker *w, fa_group group, const struct regions *regions, const struct grid *grid, uint32_t agents,
                  uint64_t seed, struct world *out, struct failure *failure);

/// Begins tick world->tick + 1: goals, doors. False when frame memory ran out (world->fault is set).
bool world_prepare(fa_worker *w, struct world *world);

/// Makes what move wrote the state that the next tick reads.
void world_swap(struct world *world);

/// [main lane, between ticks]
uint64_t world_digest(const fa_worker *w, const struct world *world);

/// [main lane, after the last tick] Ends all minds and planners. Errors as mind_end().
fa_status world_drop(fa_worker *w, struct world *world);

/// [any lane] Records the first fault; the tick that finds one ends the run.
void world_fault(struct world *world, const char *text);
bool world_is_faulty(const struct world *world);

static inline void tally(uint64_t *counter, uint64_t amount)
{
    if (amount != 0) (void)__atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

static inline void tally_u32(uint32_t *counter, uint32_t amount)
{
    (void)__atomic_fetch_add(counter, amount, __ATOMIC_RELAXED);
}

/// Another goal for agent i, reachable from its cell and, if there is a choice, not the one it has.
uint8_t world_choose_goal(const struct world *world, uint32_t i, const struct agent *agent);

/// The key that agent's paths are filed under where it stands now; PATH_KEY_NONE without a goal.
uint32_t world_key(const struct world *world, const struct agent *agent);
