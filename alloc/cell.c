// SPDX-License-Identifier: MIT
//
// Reference cells, and the way of an old version: unlinked, recorded by the lane, gathered at a boundary, held for a grace period, freed
// at a later boundary.
//
//     retired == reclaimed + waiting.count + gathered.count + those still with lanes
#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/check.h"

#include <string.h>

bool fai_lane_reserve_retired(fai_lane *lane)
{
    fai_retired_list *list = &lane->retired;
    if (list->count < list->capacity) return true;
    void *objects = list->objects;
    if (!fai_lane_grow(lane, &objects, list->count, &list->capacity, sizeof(void *))) return false;
    list->objects = objects;
    return true;
}

bool fai_lane_retire(fai_lane *lane, void *object)
{
    if (!fai_lane_reserve_retired(lane)) return false;
    lane->retired.objects[lane->retired.count++] = object;
    FAI_TALLY(lane, retired, 1);
    lane->changed = true;
    return true;
}

/// The version that a cell holds is another system's, or the cell was never initialised: this one could not retire it.
static fa_status refuse_foreign(const fai_lane *lane, const void *version)
{
    if (lane->checked)
        fai_report(lane->memory, lane, "FA201", "a version is replaced or dropped in the system that it is of",
                   "publish and drop with a lane of the cell's own system, and begin with {0}",
                   "a cell holds %p, which is no object of this system", version);
    return FA_ERROR_INVALID;
}

fa_status fa_cell_publish(fa_worker *w, fa_cell *cell, void *object)
{
    if (w == NULL || cell == NULL) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status usable = fai_lane_check(lane);
    if (usable != FA_OK) return usable;
    if (object != NULL && fai_lane_kind_of(lane, object) == FAI_KIND_NONE) return FA_ERROR_INVALID;
    if (!fai_lane_reserve_retired(lane)) {
        fai_lane_report_refused(lane, sizeof(void *));
        return FA_ERROR_MEMORY;
    }
    void *old = fai_load_relaxed(&cell->pointer);
    do {
        if (old == object) return FA_OK;
        if (FA_UNLIKELY(old != NULL && !fai_blocks_contain(&lane->memory->blocks, old)))
            return refuse_foreign(lane, old);
        // [cell.publish] release: a reader sees the object as it is now. acquire: whoever frees the old version comes after its
        // publisher.
    } while (!fai_cas_acq_rel(&cell->pointer, &old, object));
    if (old == NULL) return FA_OK;
    bool recorded = fai_lane_retire(lane, old);
    FA_ASSERT(recorded);
    (void)recorded;
    return FA_OK;
}

fa_status fa_cell_drop(fa_worker *w, fa_cell *cell)
{
    return fa_cell_publish(w, cell, NULL);
}

fa_status fa_retire(fa_worker *w, void *object)
{
    if (w == NULL) return FA_ERROR_INVALID;
    fai_lane *lane = fai_lane_of(w);
    fa_status usable = fai_lane_check(lane);
    if (usable != FA_OK) return usable;
    if (fai_lane_kind_of(lane, object) == FAI_KIND_NONE) return FA_ERROR_INVALID;
    if (fai_lane_retire(lane, object)) return FA_OK;
    fai_lane_report_refused(lane, sizeof(void *));
    return FA_ERROR_MEMORY;
}

// At the boundary -------------------------------------------------------------------------------------------------------

void fai_lane_offer_retired(fai_lane *lane)
{
    if (lane->retired.count == 0) return;
    // [cell.offer] acquire: the list that the main lane has emptied.
    if (fai_load_acquire(&lane->offered_ready) != 0) return;
    fai_retired_list empty = lane->offered;
    lane->offered = lane->retired;
    lane->retired = empty;
    FA_ASSERT(lane->retired.count == 0);
    // [cell.offer] release: publishes the list.
    fai_store_release(&lane->offered_ready, 1u);
}

/// Moves a list to the end of `gathered`; what finds no room, when no memory is to be had, stays for the next boundary.
static void move_to_gathered(fai_memory *memory, fai_retired_list *from)
{
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    fai_retired_list *to = &memory->gathered;
    if (from->count == 0) return;
    if (to->count == 0) memory->gathered_frame = fai_load_relaxed(&memory->frame_number);
    while (to->capacity - to->count < from->count) {
        void *objects = to->objects;
        if (!fai_lane_grow(main_lane, &objects, to->count, &to->capacity, sizeof(void *))) break;
        to->objects = objects;
    }
    uint32_t moved = to->capacity - to->count < from->count ? to->capacity - to->count : from->count;
    memcpy(to->objects + to->count, from->objects, moved * sizeof(void *));
    to->count += moved;
    from->count -= moved;
    memmove(from->objects, from->objects + moved, from->count * sizeof(void *));
}

void fai_memory_gather(fai_memory *memory, fai_lane *lane)
{
    move_to_gathered(memory, &lane->retired);
}

FAI_APART static void gather_offered(fai_memory *memory, fai_lane *lane)
{
    // [cell.offer] acquire: sees the list, and every unlinking of its objects.
    if (fai_load_acquire(&lane->offered_ready) == 0) return;
    move_to_gathered(memory, &lane->offered);
    // [cell.offer] release: gives the emptied list back.
    if (lane->offered.count == 0) fai_store_release(&lane->offered_ready, 0u);
}

static void free_all(fai_memory *memory, fai_retired_list *list)
{
    fai_lane *main_lane = fai_memory_lane(memory, 0);
    for (uint32_t i = 0; i < list->count; i++) {
        void *object = list->objects[i];
        if (fai_store_has(memory, object))
            fai_handle_reclaim(memory, object);
        else
            (void)fai_lane_free(main_lane, object, FAI_KIND_NONE);
    }
    memory->reclaimed += list->count;
    memory->stats_due |= list->count > 0;
    list->count = 0;
}

FAI_APART static void reclaim(fai_memory *memory)
{
    fai_store_relaxed(&memory->grace_runs, 0u);
    free_all(memory, &memory->waiting);
    fai_streams_reclaim(memory);
    fai_arenas_release_waiting(memory);
}

FAI_FRAME_END void fai_memory_reclaim(fai_memory *memory)
{
    for (uint32_t i = 1; i < fai_memory_lanes_used(memory); i++) {
        fai_lane *lane = fai_memory_lane(memory, i);
        if (fai_load_relaxed(&lane->offered_ready) != 0) gather_offered(memory, lane);
    }
    if (fai_load_relaxed(&memory->grace_runs) && fai_grace_is_done_any(&memory->grace)) reclaim(memory);
}

FAI_APART static void start_grace(fai_memory *memory)
{
    bool streams = fai_streams_gather(memory), arenas = fai_arenas_gather(memory);
    if (!streams && !arenas && memory->gathered.count == 0) return;
    fai_grace_start_owner(&memory->grace);
    fai_store_relaxed(&memory->grace_runs, 1u);
    fai_retired_list empty = memory->waiting;
    memory->waiting = memory->gathered;
    memory->waiting_frame = memory->gathered_frame;
    memory->gathered = empty;
}

FAI_FRAME_END void fai_memory_start_grace(fai_memory *memory)
{
    // Streams and shared arenas retire by themselves.
    bool any = memory->gathered.count > 0 || fai_load_relaxed(&memory->loose_counters) != 0;
    if (any && !fai_load_relaxed(&memory->grace_runs)) start_grace(memory);
}

void fai_memory_reclaim_all(fai_memory *memory)
{
    fai_grace_close_owner(&memory->grace);
    for (uint32_t i = 0; i < fai_memory_lanes_used(memory); i++) {
        fai_lane *lane = fai_memory_lane(memory, i);
        if (i > 0) gather_offered(memory, lane);
        free_all(memory, &lane->offered);
        free_all(memory, &lane->retired);
    }
    free_all(memory, &memory->waiting);
    free_all(memory, &memory->gathered);
}
