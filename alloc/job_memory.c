// SPDX-License-Identifier: MIT
//
// Memory of jobs: its beginning and end. See job_memory.h; share.c allocates from it.
#include "alloc/job_memory.h"

#include "alloc/lane.h"
#include "alloc/store.h"
#include "concurrent/check.h"

#include <string.h>

#define LANE_SHIFT 56 // of an id: lane + 1, then a number of that lane

/// Memory that others released is on its way home meanwhile: a long job would pile it up if it waited for the boundary.
static void bring_home(fai_lane *lane)
{
    if (!fai_mailbox_is_empty(&lane->mailbox)) fai_mailbox_drain(lane);
}

fai_job_memory *fai_job_memory_make(fai_lane *lane)
{
    bring_home(lane);
    fai_job_memory *memory = fai_arena_take(lane, sizeof *memory, _Alignof(fai_job_memory));
    if (memory == NULL) {
        fai_lane_arena_stats(lane)->job_refused++;
        fai_lane_report_refused(lane, sizeof *memory);
        return NULL;
    }
    memset(memory, 0, sizeof *memory);
    memory->arena.use = FAI_USE_JOB;
    memory->arena.id = (uint64_t)(lane->hot.index + 1) << LANE_SHIFT | ++lane->job_memories;
    memory->users = 1;
    if (FA_STATISTICS) fai_lane_arena_stats(lane)->job_memories++;
    return memory;
}

void fai_job_memory_drop(fai_lane *lane, fai_job_memory *memory)
{
    while (memory != NULL) {
        // [job_memory.users] acq_rel: what its users did, and what they allocated, is over for who releases it.
        uint64_t before = fai_sub_acq_rel(&memory->users, UINT64_C(1));
        FA_ASSERT(before > 0);
        if (before != 1) return;
        fai_job_memory *parent = memory->parent;
        memory->arena.closed_shares = fai_arena_close_shares(&memory->arena);
        if (FA_STATISTICS) fai_lane_arena_stats(lane)->job_memories--;
        fai_arena_release(lane, &memory->arena);
        memory = parent;
    }
}

void *fai_job_note_take(fai_lane *lane, size_t size)
{
    bring_home(lane);
    return fai_store_take(lane, size, FA_ALIGN_DEFAULT);
}

void fai_job_note_give(fai_lane *lane, void *note)
{
    fai_store_give(lane, note);
}

void fai_lane_use_memory(fai_lane *lane, fai_job_mark *mark, fai_job_memory *memory, bool own)
{
    FA_ASSERT(memory != NULL && (mark->own & FAI_MARK_OWN_MEMORY) == 0);
    if ((mark->own & FAI_MARK_MEMORY) == 0) lane->heirs++;
    mark->own |= own ? FAI_MARK_MEMORY | FAI_MARK_OWN_MEMORY : FAI_MARK_MEMORY;
    mark->memory = memory;
    lane->gate = fai_lane_gate(lane);
}

void fai_lane_end_job_slow(fai_lane *lane, const fai_job_mark *mark)
{
    if ((mark->own & FAI_MARK_MEMORY) != 0) {
        FA_ASSERT(lane->heirs > 0);
        lane->heirs--;
        lane->gate = fai_lane_gate(lane);
        fai_job_memory_drop(lane, mark->memory);
    }
    uint32_t own = mark->own & FAI_MARK_LABEL;
    if (fai_lane_label(lane) != mark->label || own != mark->label) fai_lane_restore_label(lane, mark->label, own);
}
