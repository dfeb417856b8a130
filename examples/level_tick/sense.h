// SPDX-License-Identifier: MIT
//
// The sense phase: each agent learns who is around it, which of them it sees, whether it sees its goal, and whom to walk
// after if it has no path (lead.h).
#pragma once

#include "world.h"

#define SENSE_NEIGHBOURS 8u
#define SENSE_RADIUS FIX(48)
#define SENSE_GOAL_RADIUS FIX(384)

/// Fills world->senses. False after a fault.
bool sense_run(fa_worker *w, struct world *world);
