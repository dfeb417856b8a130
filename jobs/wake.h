// SPDX-License-Identifier: MIT
//
// Waking others. Whoever publishes jobs looks at who sleeps (sleepers.h), and wakes one idle lane unless some lane
// searches already; a lane that searched and found something wakes the next if there is more. So a burst of jobs costs
// one wake-up at first, and as many lanes as there is work for wake each other.
//
// All functions are the lane's thread's own, and may run together on all lanes.
#pragma once

#include "jobs/worker.h"

/// [own] Wakes an idle lane to search, unless one searches.
void fai_wake_idle(fai_worker *w);

/// [own] Wakes the lanes that wait for the counter (NULL: for any).
void fai_wake_waiting(fai_worker *w, const fa_counter *counter);

/// [own] Wakes a lane. If it was in a set the caller has removed it.
void fai_wake_lane(fai_worker *w, uint32_t lane);

/// [own] Starts to look for work; false if enough lanes do. The last one that stops looks whether others are needed.
bool fai_search_begin(fai_worker *w);
void fai_search_end(fai_worker *w);

/// [own] Whether any lane has public jobs; asks those that have none.
bool fai_work_is_visible(const fai_worker *w);

/// [own] Right after publishing jobs of `counter` (NULL: of none): wakes an idle lane unless one searches, and who
/// waits for the counter.
static inline void fai_notify(fai_worker *w, const fa_counter *counter)
{
    const fai_sleepers *sleepers = &fai_worker_system(w)->sleepers;
    // [sleepers.announce] seq_cst: the jobs, published by a read-modify-write, before the look at who sleeps.
    fai_fence_after_rmw_seq_cst();
    if (FA_UNLIKELY(fai_lane_set_any(&sleepers->idle, sleepers->words) != 0) &&
        fai_load_relaxed(&sleepers->searching) == 0)
        fai_wake_idle(w);
    if (counter != NULL && FA_UNLIKELY(fai_lane_set_any(&sleepers->waiting, sleepers->words) != 0))
        fai_wake_waiting(w, counter);
}

/// [own] Makes all of the own deque public; if some of it was not, wakes an idle lane and everybody who waits.
void fai_publish_all(fai_worker *w);
