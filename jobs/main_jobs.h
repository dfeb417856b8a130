// SPDX-License-Identifier: MIT
//
// Jobs for the main lane: posted by any lane to an inbox, run by the main lane in the order of arrival. A job lies in
// its submitter's frame memory, which lives until the job is done.
//
// Who may run together ("-" yes, "X" the caller must exclude):
//            submit   run
//   submit     -       -
//   run        -       X
#pragma once

#include "jobs/worker.h"

typedef struct fai_main_job {
    fai_inbox_entry entry; // first: an inbox entry is a job
    struct fai_main_job *next;
    fai_job job;
} fai_main_job;

/// [own] Queues a copy of the job; false when there is no frame memory for it.
bool fai_main_jobs_submit(fai_worker *w, const fai_job *job);

/// [main] Whether there may be some.
static inline bool fai_main_jobs_any(const fa_system *fa)
{
    return fa->main_first != NULL || !fai_inbox_is_empty_any(&fa->main_inbox);
}

/// [main] Runs the first that is wanted; false if there is none.
bool fai_main_jobs_run_one(fai_worker *w, const fai_want *want);

/// [main] Runs those that are wanted, new arrivals included; returns how many.
uint32_t fai_main_jobs_run(fai_worker *w, const fai_want *want);
