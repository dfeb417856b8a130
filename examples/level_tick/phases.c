// SPDX-License-Identifier: MIT
//
// See phases.h.
#include "phases.h"

#include "audit.h"
#include "events.h"
#include "move.h"
#include "plan.h"
#include "sense.h"

typedef bool phase_part(fa_worker *w, struct world *world, struct plan *plan);

static bool sense(fa_worker *w, struct world *world, struct plan *plan)
{
    (void)plan;
    return sense_run(w, world);
}

static bool move(fa_worker *w, struct world *world, struct plan *plan)
{
    (void)plan;
    return move_run(w, world);
}

static bool events(fa_worker *w, struct world *world, struct plan *plan)
{
    (void)plan;
    return events_run(w, world);
}

/// What the part allocates, and the jobs that it submits, is attributed to the phase; the tag has its budget.
static bool in_phase(fa_worker *w, struct world *world, enum phase phase, struct plan *plan, phase_part *part)
{
    FA_PHASE(w, phase_names[phase]);
    FA_TAG(w, phase_names[phase]);
    return part(w, world, plan);
}

/// Its jobs load pictures beside all other phases.
static bool load_art(fa_worker *w, struct stream *stream, struct world *world)
{
    FA_PHASE(w, phase_names[PHASE_STREAM]);
    FA_TAG(w, phase_names[PHASE_STREAM]);
    return stream_run(w, stream, world);
}

bool phases_run(fa_worker *w, struct world *world, struct stream *stream)
{
    struct plan plan;
    if (!world_prepare(w, world) || !load_art(w, stream, world)) return false;
    // Searches run beside the sense phase: it looks at neither table nor cells.
    bool good = in_phase(w, world, PHASE_PLAN, &plan, plan_begin);
    good = good && in_phase(w, world, PHASE_SENSE, &plan, sense);
    good = in_phase(w, world, PHASE_PLAN, &plan, plan_end) && good;
    if (!good) return false;
    good = in_phase(w, world, PHASE_PLAN, &plan, plan_sweep_begin) && audit_submit(w, world);
    good = good && in_phase(w, world, PHASE_MOVE, &plan, move);
    good = in_phase(w, world, PHASE_PLAN, &plan, plan_sweep_end) && good;
    if (!good || !in_phase(w, world, PHASE_EVENTS, &plan, events)) return false;
    world_swap(world);
    return true;
}

fa_status phases_let_go(fa_worker *w, struct world *world)
{
    fa_status status = FA_OK;
    for (uint32_t key = 0; status == FA_OK && key < world->paths.count; key++) {
        status = fa_cell_drop(w, &world->paths.cells[key]);
    }
    events_drop(w, world);
    return status;
}
