// SPDX-License-Identifier: MIT
//
// Budgets of lanes. What a lane holds is known from what it counts anyway, so a lane without a budget keeps no account: where memory is taken
// from arenas, slabs and blocks, one load tells that there is none.
//
//     frame memory  == bytes of the arena of the frame that the lane is in
//     objects       == Σ taken of its purses + its spans of pool and heap + its heap objects + adopted
//
// Inlined allocation never passes a limit unseen: a window of frame memory ends at the next limit, soft or hard, and magazines are filled from
// slabs within it.
#pragma once

#include "concurrent/order.h"

#include <framealloc/tag.h>

struct fai_lane;

typedef struct fai_lane_budget {
    // any writes
    FAI_ATOMIC(uint64_t) soft, hard; // 0 = none
    // the lane's thread writes, relaxed
    FAI_ATOMIC(uint64_t) held, peak; // as of the last look
    FAI_ATOMIC(uint64_t) denied, warned;
    FAI_ATOMIC(uint64_t) denied_frame; // frame + 1 in which a denial was last reported
    FAI_ATOMIC(uint64_t) above;        // 1: it was above `soft` when last looked at
} fai_lane_budget;

static inline bool fai_lane_budget_is_set(const fai_lane_budget *budget)
{
    return (fai_load_relaxed(&budget->soft) | fai_load_relaxed(&budget->hard)) != 0;
}

/// [owner] Bytes of frame memory until the next limit; UINT64_MAX: none. `held` is what the lane's frame has.
uint64_t fai_lane_budget_room(const fai_lane_budget *budget, uint64_t held);

/// [owner] Slow parts of fai_lane_grant() and fai_lane_note().
uint64_t fai_lane_grant_slow(struct fai_lane *lane, fa_lane_use use, uint64_t need, uint64_t want);
void fai_lane_note_slow(struct fai_lane *lane, fa_lane_use use);
