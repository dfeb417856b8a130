// SPDX-License-Identifier: MIT
//
// See plan.h.
#include "plan.h"

#include "search.h"

/// A path that nobody used for so many ticks is dropped; the whole table is looked through once in PLAN_SWEEPS ticks.
#define PLAN_UNUSED 96u
#define PLAN_SWEEPS 32u

/// What a search job gets: it fits into the job (FA_JOB_INLINE).
struct errand {
    struct world *world;
    uint32_t key;
    uint32_t planner;
};
_Static_assert(sizeof(struct errand) <= FA_JOB_INLINE, "an errand travels inside its job");

bool plan_read(const fa_worker *w, struct world *world, uint32_t key, uint32_t version, bool thorough,
               struct path_view *out)
{
    const struct path *path = fa_cell_read(w, &world->paths.cells[key]);
    bool good = path != NULL && (thorough ? path_is_good(path, key) : path_head_is_good(path, key));
    good = good && path_find(path, version, out);
    if (!good) tally(&world->tallies.corrupt, 1);
    return good;
}

/// The version that the new path supersedes, NULL if there is none: readers need it until PATH_DELAY ticks have passed.
static const struct path_view *find_previous(fa_worker *w, struct world *world, uint32_t key, struct path_view *view)
{
    uint32_t version = world->paths.entries[key].previous;
    if (version == 0) return NULL;
    return plan_read(w, world, key, version, true, view) ? view : NULL;
}

static void search_job(fa_worker *w, void *argument)
{
    const struct errand *errand = argument;
    struct world *world = errand->world;
    uint32_t key = errand->key;
    FA_SCOPE(w);
    struct search search = {
        .grid = world->grid,
        .regions = world->regions,
        .closed = world->closed,
        .area = (uint16_t)(key / GOAL_COUNT),
        .to = world->goals[key % GOAL_COUNT].cell,
        .planner = &world->planners[errand->planner],
    };
    struct path_view found;
    struct path_view before;
    if (!search_path(w, &search, &found)) {
        world_fault(world, "a path search ran out of memory");
        return;
    }
    found.epoch = world->goals[key % GOAL_COUNT].epoch;
    const struct path_view *previous = find_previous(w, world, key, &before);
    size_t bytes = path_bytes(found.length, previous);
    fa_retain retain = fa_retain_for(FA_REUSABLE);
    retain.cell = &world->paths.cells[key];
    retain.user = retain.key = key;
    retain.type = "path";
    struct path *path = fa_frame_retained(w, bytes, _Alignof(struct path), &retain);
    if (path == NULL) {
        world_fault(world, "no frame memory to retain a path");
        return;
    }
    path_fill(path, key, world->tick, &found, world->paths.entries[key].previous, previous);
    tally(&world->tallies.path_searches, 1);
}

static bool submit_search(fa_worker *w, struct world *world, struct plan *plan, uint32_t key, uint32_t planner)
{
    struct errand errand = {world, key, planner};
    fa_job job = {
        .fn = search_job,
        .arg = &errand,
        .arg_size = sizeof errand,
        .counter = &plan->searches,
        .name = "plan: search",
    };
    if (fa_submit_job(w, &job) == FA_OK) return true;
    world_fault(world, "a path search could not be submitted");
    return false;
}

/// Opens a new version of the entry.
static void renew(struct world *world, uint32_t key)
{
    struct path_entry *entry = &world->paths.entries[key];
    if (entry->planned == 0) world->paths.live++;
    entry->previous = path_active(entry, world->tick, &entry->previous_epoch);
    entry->planned = world->tick;
    entry->planned_epoch = world->goals[key % GOAL_COUNT].epoch;
    entry->used = world->tick;
}

/// Whether this agent needs a path that is not on its way yet; marks those that it uses.
static bool needs_path(struct world *world, const struct agent *agent, uint32_t *key)
{
    struct path_entry *entries = world->paths.entries;
    *key = world_key(world, agent);
    if (*key == PATH_KEY_NONE) return false;
    uint32_t wanted = world->goals[agent->goal].epoch;
    if (agent->version != 0) {
        struct path_entry *followed = &entries[agent->key];
        followed->used = world->tick;
        uint32_t epoch;
        bool lasting = followed->planned == agent->version;
        bool fresh = path_active(followed, world->tick, &epoch) == agent->version && epoch == wanted;
        if (lasting && fresh) return false;
    }
    struct path_entry *entry = &entries[*key];
    entry->used = world->tick;
    if (path_pending(entry, world->tick)) return false;
    uint32_t epoch;
    bool there = path_active(entry, world->tick, &epoch) != 0;
    return !there || epoch != wanted;
}

/// Empties the entries that nobody used, in one slice of the table, and lists their keys.
static bool find_unused(fa_worker *w, struct world *world, struct plan *plan)
{
    struct path_table *paths = &world->paths;
    size_t room = paths->count / PLAN_SWEEPS + 1;
    plan->dropped = fa_frame_array(w, uint32_t, room);
    if (plan->dropped == NULL) {
        world_fault(world, "no frame memory for the list of dropped paths");
        return false;
    }
    for (uint32_t key = world->tick % PLAN_SWEEPS; key < paths->count; key += PLAN_SWEEPS) {
        struct path_entry *entry = &paths->entries[key];
        if (entry->planned == 0 || path_pending(entry, world->tick)) continue;
        if (world->tick - entry->used < PLAN_UNUSED) continue;
        *entry = (struct path_entry){.planned = 0};
        paths->live--;
        plan->dropped[plan->dropped_count++] = key;
    }
    return true;
}

bool plan_begin(fa_worker *w, struct world *world, struct plan *plan)
{
    *plan = (struct plan){.searches = FA_COUNTER_INIT, .sweep = FA_COUNTER_INIT};
    uint32_t planned = 0;
    // Another agent comes first in each tick, so that none waits forever.
    uint32_t first = hash_below(hash_u64(world->tick), world->agent_count);
    for (uint32_t n = 0; n < world->agent_count; n++) {
        uint32_t i = first + n < world->agent_count ? first + n : first + n - world->agent_count;
        uint32_t key;
        if (!needs_path(world, &world->now[i], &key)) continue;
        bool full = world->paths.entries[key].planned == 0 && world->paths.live >= PATHS_MAX;
        if (planned == PLANS_PER_TICK || full) continue;
        renew(world, key);
        if (!submit_search(w, world, plan, key, planned++)) return false;
    }
    return find_unused(w, world, plan);
}

bool plan_end(fa_worker *w, struct world *world, struct plan *plan)
{
    if (fa_wait(w, &plan->searches) != FA_OK) world_fault(world, "the wait for path searches failed");
    return !world_is_faulty(world);
}

struct sweep {
    struct world *world;
    const uint32_t *keys;
    uint32_t count;
};

static void sweep_job(fa_worker *w, void *argument)
{
    const struct sweep *sweep = argument;
    for (uint32_t i = 0; i < sweep->count; i++) {
        if (fa_cell_drop(w, &sweep->world->paths.cells[sweep->keys[i]]) != FA_OK) {
            world_fault(sweep->world, "a path could not be dropped");
        }
    }
    tally(&sweep->world->tallies.path_drops, sweep->count);
}

bool plan_sweep_begin(fa_worker *w, struct world *world, struct plan *plan)
{
    if (plan->dropped_count == 0) return true;
    struct sweep sweep = {world, plan->dropped, plan->dropped_count};
    fa_job job = {
        .fn = sweep_job,
        .arg = &sweep,
        .arg_size = sizeof sweep,
        .counter = &plan->sweep,
        .name = "plan: sweep",
    };
    if (fa_submit_job(w, &job) != FA_OK) world_fault(world, "the sweep could not be submitted");
    return !world_is_faulty(world);
}

bool plan_sweep_end(fa_worker *w, struct world *world, struct plan *plan)
{
    if (fa_wait(w, &plan->sweep) != FA_OK) world_fault(world, "the wait for the sweep failed");
    return !world_is_faulty(world);
}
