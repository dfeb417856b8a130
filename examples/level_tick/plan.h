// SPDX-License-Identifier: MIT
//
// The plan phase: which paths are missing or stale, and the jobs that search them.
//
// plan_begin() looks at all agents in one pass on the main lane, so that which paths are planned depends on the
// world alone; plan_end() waits for the searches. Between the two another phase may run that reads neither entries
// nor cells. Paths that nobody used for a while are dropped by a job that runs beside the move phase, under its
// readers' eyes.
#pragma once

#include "world.h"

/// Most searches in one tick, each by a planner of its own. A search takes some hundred microseconds on a large level.
#define PLANS_PER_TICK PLANNER_COUNT

struct plan {
    fa_counter searches;
    fa_counter sweep;
    uint32_t *dropped; // keys, in frame memory
    uint32_t dropped_count;
};

/// False after a fault.
bool plan_begin(fa_worker *w, struct world *world, struct plan *plan);
bool plan_end(fa_worker *w, struct world *world, struct plan *plan);

/// Starts and joins the job that empties the cells of dropped paths.
bool plan_sweep_begin(fa_worker *w, struct world *world, struct plan *plan);
bool plan_sweep_end(fa_worker *w, struct world *world, struct plan *plan);

/// Reads the version of a path that an agent follows. False, and tallied as corrupt, when it is not there or not
/// what its writer sealed. `thorough` verifies every byte.
bool plan_read(const fa_worker *w, struct world *world, uint32_t key, uint32_t version, bool thorough,
               struct path_view *out);
