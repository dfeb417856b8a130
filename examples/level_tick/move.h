// SPDX-License-Identifier: MIT
//
// The move phase: where each agent wants to go, how it gets on with its neighbours, what the walls let it do.
#pragma once

#include "world.h"

/// Fills world->next and world->born from world->now. False after a fault.
bool move_run(fa_worker *w, struct world *world);
