// SPDX-License-Identifier: MIT
//
// See audit.h.
#include "audit.h"

/// The whole table is read once in so many ticks.
#define AUDIT_TICKS 16u

struct audit {
    struct world *world;
    uint32_t first;
};

static void audit_job(fa_worker *w, void *argument)
{
    const struct audit *audit = argument;
    struct world *world = audit->world;
    uint64_t verified = 0;
    for (uint32_t key = audit->first; key < world->paths.count; key += AUDIT_TICKS) {
        const struct path *path = fa_cell_read(w, &world->paths.cells[key]);
        if (path == NULL) continue;
        verified++;
        if (!path_is_good(path, key)) tally(&world->tallies.corrupt, 1);
    }
    tally(&world->tallies.audits, verified);
}

bool audit_submit(fa_worker *w, struct world *world)
{
    struct audit audit = {world, world->tick % AUDIT_TICKS};
    fa_job job = {.fn = audit_job, .arg = &audit, .arg_size = sizeof audit, .name = "audit"};
    if (fa_submit_job(w, &job) == FA_OK) return true;
    world_fault(world, "the audit could not be submitted");
    return false;
}
