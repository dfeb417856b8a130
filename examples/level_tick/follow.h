// SPDX-License-Identifier: MIT
//
// How an agent uses its path: takes one up, reads it from its cell, and walks to the farthest place on it that it can
// reach in a straight line.
#pragma once

#include "world.h"

/// What following cost a piece of the loop.
struct follow_cost {
    uint64_t reads;
    uint64_t rays;
};

/// Moves the agent's place on its path on and gives the point to walk to; takes a path up or lays it down first as
/// the table says. False when the agent has no path in this tick. `i` is its number.
bool follow(fa_worker *w, struct world *world, uint32_t i, struct agent *agent, struct point *target,
            struct follow_cost *cost);

/// Lays the path down.
void follow_stop(struct agent *agent);
