// SPDX-License-Identifier: MIT
//
// Quarantine of checked systems: a lane keeps the objects of slabs that it freed last from being handed out again, oldest out first. They
// are free for all accounts; only their slab does not know yet.
//
//     ring: the last `quarantined` objects freed, at most config.quarantine, ending before `quarantine_next`
#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/check.h"

static bool has_ring(fai_lane *lane)
{
    uint32_t capacity = lane->memory->config.quarantine;
    if (!lane->memory->config.checked || capacity == 0) return false;
    if (lane->quarantine == NULL) lane->quarantine = fai_store_take(lane, capacity * sizeof(void *), FA_ALIGN_DEFAULT);
    return lane->quarantine != NULL; // without memory the object is simply free
}

static void let_out(fai_lane *lane, void *p)
{
    const fai_slab *slab = fai_slab_of(&lane->memory->blocks, p);
    fai_record_verify_freed(lane, p, slab->object_size);
    bool given = fai_slabs_give(&lane->slabs, p);
    FA_ASSERT(given);
    (void)given;
}

void fai_quarantine_put(fai_lane *lane, void *p)
{
    if (!has_ring(lane)) {
        (void)fai_slabs_give(&lane->slabs, p);
        return;
    }
    uint32_t capacity = lane->memory->config.quarantine, at = lane->quarantine_next;
    FA_ASSERT(lane->quarantined <= capacity && at < capacity);
    void *oldest = lane->quarantined == capacity ? lane->quarantine[at] : NULL;
    lane->quarantine[at] = p;
    lane->quarantine_next = at + 1 < capacity ? at + 1 : 0;
    if (oldest != NULL)
        let_out(lane, oldest);
    else
        lane->quarantined++;
}

void fai_quarantine_empty(fai_lane *lane)
{
    uint32_t capacity = lane->memory->config.quarantine;
    while (lane->quarantined > 0) {
        uint32_t oldest = (lane->quarantine_next + capacity - lane->quarantined) % capacity;
        lane->quarantined--;
        let_out(lane, lane->quarantine[oldest]);
    }
}
