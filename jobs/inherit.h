// SPDX-License-Identifier: MIT
//
// What jobs inherit of their submitter's memory (job_memory.h). The 64 bytes of a queued job have no room for it, and most jobs have none. So an
// heir is queued as a job that runs fai_heir_run() with a record; the record holds the memory and the job as it would have been
// otherwise. Only a lane whose gate is closed (fai_lane_gate()) makes any: others pay nothing.
#pragma once

#include "jobs/worker.h"

#include <framealloc/job_memory.h>

typedef struct fai_heir {
    fai_job_memory *memory; // of which the job is a user
    fa_job_fn *fn;
    bool copied; // the argument is the address of `args`, not args[0]
    bool noted;  // the record is to be given back
    _Alignas(16) uint64_t args[3];
} fai_heir;

/// What the pieces of a loop inherit; the caller's, on its stack.
typedef struct fai_heir_range {
    fai_job_memory *memory; // the caller is a user of
    fa_range_fn *fn;
    void *arg;
} fai_heir_range;

/// [own] The running job's nearest memory, NULL if there is none.
static inline fai_job_memory *fai_worker_memory(const fai_worker *w)
{
    const fai_context *context = w->context;
    return context != NULL && (context->mark.own & FAI_MARK_MEMORY) != 0 ? context->mark.memory : NULL;
}

/// [own] Makes the job, whose function, arguments and flags are set, an heir of the running one if that has memory. False: there is no memory for a
/// record; `spare` is it, and the job must run before the caller returns.
bool fai_inherit(fai_worker *w, fai_job *job, uint32_t *flags, fai_heir *spare);

/// [own] The job that fai_inherit() was given will not be queued after all.
void fai_disinherit(fai_worker *w, fai_job *job);

/// [own] Makes the pieces of a loop heirs if the running job has memory; `range` must live until they are done.
void fai_inherit_range(const fai_worker *w, fai_heir_range *range, fa_range_fn **fn, void **arg);

/// The function that the submitter named.
fa_job_fn *fai_heir_function(fa_job_fn *fn, const void *arg);
