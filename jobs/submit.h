// SPDX-License-Identifier: MIT
//
// What every way of starting jobs shares.
#pragma once

#include "jobs/wake.h"

/// [own] What stands behind lane.gate when it is closed: FA_OK if the lane may submit all the same (in checked systems the gate is always
/// closed). FA_ERROR_WRONG_THREAD and FA_ERROR_STATE (FA001: outside a frame) are reported.
/// FA_ERROR_INVALID: the counter (or NULL) counts jobs of another system (FA201).
fa_status fai_submit_check(const fai_worker *w, fa_counter *counter);

static inline fa_status fai_submit_gate(const fai_worker *w, fa_counter *counter)
{
    return FA_LIKELY(w->lane.gate != FAI_NO_SLOT) ? FA_OK : fai_submit_check(w, counter);
}

/// [own] Key and place of a job whose function, counter and arguments are set. In line, so that it need not be in memory.
static inline __attribute__((always_inline)) void fai_submit_complete(fai_worker *w, fai_job *job, uint32_t flags)
{
    FA_ASSERT(job->fn != NULL && w->lane.order != NULL);
    uint32_t bits;
    fai_order_child(w->lane.order, &job->high, &job->low, &bits);
    job->meta = fai_job_meta(w->lane.slot, bits, flags, fai_lane_label(&w->lane), w->run);
}

/// [own] The slot that was reserved is written: it belongs to the private part now, and counts.
static inline void fai_submit_pushed(fai_worker *w)
{
    fai_bump(&w->tallies[w->lane.slot].submitted, 1);
    w->deque.head++;
}

/// [own] Adds a complete job to the private part of the deque and counts it; false when the deque is full.
static inline bool fai_submit_push(fai_worker *w, const fai_job *job)
{
    fai_job *slot = fai_deque_reserve_owner(&w->deque);
    if (FA_UNLIKELY(slot == NULL)) return false;
    fai_job_write(slot, job);
    fai_submit_pushed(w);
    return true;
}

/// [own] Makes pushed jobs, of `counter` or none, public.
static inline void fai_submit_publish(fai_worker *w, const fa_counter *counter)
{
    FAI_COUNT(&w->lane.contention, publishes, 1);
    fai_deque_publish_owner(&w->deque, fai_deque_private_owner(&w->deque));
    fai_notify(w, counter);
}
