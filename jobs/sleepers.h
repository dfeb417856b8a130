// SPDX-License-Identifier: MIT
//
// Who sleeps, and who looks for work. Two sets of lanes, and a count:
//
//     idle       lanes without a job that are parked, or about to be
//     waiting    lanes parked inside a wait, or about to be; fai_worker.waiting_for says for which counter
//     searching  lanes that look for work, or were woken to do so
//
// The rule that loses no wake-up: whoever publishes a job passes a full fence and then looks here; whoever goes to
// sleep enters its set with a full fence and then looks at every deque. One of the two sees the other (Dekker). And:
// work published => a lane searches, or nobody sleeps. A publisher may leave an idle lane asleep while another
// searches, because the last one that stops searching looks again (Vyukov's rule for the Go scheduler).
//
//     invariant: a lane is woken by whoever removed it from its set, once; it removes itself when it wakes otherwise
//
// Who may run together: everything with everything.
#pragma once

#include "concurrent/check.h"
#include "concurrent/contention.h"
#include "concurrent/order.h"

#define FAI_LANE_WORDS 4 // 64 lanes each: 1 main lane, FA_WORKERS_MAX workers, FA_ATTACHED_MAX attached threads

_Static_assert(1 + 192 + 62 <= FAI_LANE_WORDS * 64, "every lane has a bit");

typedef struct fai_lane_set {
    FAI_ATOMIC(uint64_t) words[FAI_LANE_WORDS];
} fai_lane_set;

typedef struct fai_sleepers {
    // shared, all on one line: a publisher reads it at every job, and it changes only when lanes go to sleep or wake
    FAI_OWN_LINE fai_lane_set idle;
    fai_lane_set waiting;
    FAI_ATOMIC(uint32_t) searching;
    // immutable after init
    uint32_t words; // in use
} fai_sleepers;

/// Enters the set; a full fence.
static inline void fai_lane_set_add(fai_lane_set *set, uint32_t lane)
{
    FA_ASSERT(lane < FAI_LANE_WORDS * 64);
    // [sleepers.announce] seq_cst: the sleeper's entry before its last look at the deques.
    (void)fai_or_seq_cst(&set->words[lane / 64], UINT64_C(1) << (lane % 64));
    // [sleepers.announce] seq_cst: the same.
    fai_fence_after_rmw_seq_cst();
}

/// Leaves the set; returns whether the lane was in it. Whoever gets true has taken over the duty to wake it.
static inline bool fai_lane_set_remove(fai_lane_set *set, uint32_t lane)
{
    uint64_t bit = UINT64_C(1) << (lane % 64);
    // [sleepers.leave] acq_rel: who removes an idle lane has counted it as searching before, and the lane, which finds itself removed, takes
    // itself off that count after.
    return (fai_and_acq_rel(&set->words[lane / 64], ~bit) & bit) != 0;
}

static inline bool fai_lane_set_has(const fai_lane_set *set, uint32_t lane)
{
    return (fai_load_relaxed(&set->words[lane / 64]) >> (lane % 64) & 1) != 0;
}

static inline uint64_t fai_lane_set_any(const fai_lane_set *set, uint32_t words)
{
    uint64_t any = fai_load_relaxed(&set->words[0]);
    for (uint32_t i = 1; i < words; i++) any |= fai_load_relaxed(&set->words[i]);
    return any;
}
