// SPDX-License-Identifier: MIT
//
// What every way of starting jobs shares.
#pragma once

#include "jobs/wake.h"

/// [own] Reports that jobs cannot be started outside a frame (FA001, FA101); returns FA_ERROR_STATE.
fa_status fai_submit_outside_frame(const fai_worker *w);

/// [own] Adds a complete job to the private part of the deque and counts it; false when the deque is full.
static inline bool fai_submit_push(fai_worker *w, const fai_job *job)
{
    fai_job *slot = fai_deque_reserve_owner(&w->deque);
    if (FA_UNLIKELY(slot == NULL)) return false;
    fai_bump(&w->tallies[w->lane.slot].submitted, 1);
    fai_job_write(slot, job);
    w->deque.head++;
    return true;
}

/// [own] Makes pushed jobs, of `counter` or none, public.
static inline void fai_submit_publish(fai_worker *w, const fa_counter *counter)
{
    FAI_COUNT(&w->lane.contention, publishes, 1);
    fai_deque_publish_owner(&w->deque, fai_deque_private_owner(&w->deque));
    fai_notify(w, counter);
}
