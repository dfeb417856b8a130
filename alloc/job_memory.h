// SPDX-License-Identifier: MIT
//
// Memory of a job: a shared arena that lives while somebody uses it. It stands in no slot and has no id that finds it: jobs reach it through
// those that they come from.
//
//     users == jobs, running or queued, whose nearest memory it is + memories whose parent it is
//
// A job's nearest memory is its own, else that of the nearest ancestor which had one when it started the next in line. Whoever adds a user
// is one, so the last to leave has it alone; it releases it at once, on its lane, and leaves the parent in its stead.
//
//            keep   drop   alloc
//   keep      -      -       -
//   drop      -      -       -     each by a user
//   alloc     -      -       -
#pragma once

#include "alloc/shared_arena.h"

typedef struct fai_job_memory {
    fai_shared_arena arena; // first: released as one
    // immutable once it is a job's
    struct fai_job_memory *parent; // of which this is a user; NULL: none
    // shared
    FAI_ATOMIC(uint64_t) users;
} fai_job_memory;

/// [own] A new memory with one user, the caller, and no parent yet. NULL: refused, nothing changed. A sink may have made another meanwhile.
fai_job_memory *fai_job_memory_make(struct fai_lane *lane);

/// [any] One user more; the caller is one.
static inline void fai_job_memory_keep(fai_job_memory *memory)
{
    (void)fai_add_relaxed(&memory->users, UINT64_C(1));
}

/// [own] One user less; the last one releases it.
void fai_job_memory_drop(struct fai_lane *lane, fai_job_memory *memory);

/// [own] Room for what the scheduler notes of a job, at 16; NULL: refused. Given back on any lane.
void *fai_job_note_take(struct fai_lane *lane, size_t size);
void fai_job_note_give(struct fai_lane *lane, void *note);
