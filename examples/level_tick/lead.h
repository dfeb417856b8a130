// SPDX-License-Identifier: MIT
//
// Leaders: of those whom an agent sees on the way to the same goal, it walks with one that has been longer under way.
// While it has no path itself it walks after a leader that has one, to the newest place of the leader's trail that it can
// reach in a straight line; with a path it hurries when it falls behind.
//
// It knows its leader by the handle of the leader's mind and learns from that alone when the leader has arrived or given
// up. "Longer under way" is an order, so nobody leads itself by way of others.
#pragma once

#include "world.h"

/// What looking for leaders cost a piece of the loop, and what it came to.
struct lead_cost {
    uint64_t rays;
    uint64_t led;  // looks that found a leader
    uint64_t gone; // leaders whose trip was over
};

/// [sense phase] Fills sense->lead, in frame memory, when agent i looks out for its leader: every few ticks, and in
/// each without a path; NULL otherwise. The rest of `sense` is there. False without frame memory.
bool lead_find(fa_worker *w, const struct world *world, uint32_t i, struct sense *sense, struct lead_cost *cost);

/// [move phase] Keeps what the agent's mind has of it.
void lead_take(const struct sense *sense, struct mind *mind);
