// SPDX-License-Identifier: MIT
//
// A* over the grid, and the patch of directions that leads everybody in an area to the path found.
//
// A pure function of its arguments: the same search gives the same path on any lane. The nodes are the planner's
// (planner.h); everything else is scope memory of the lane that runs it and is gone with the caller's scope.
#pragma once

#include "paths.h"
#include "planner.h"

struct search {
    const struct grid *grid;
    const struct regions *regions;
    const uint8_t *closed; // per door: walking through a closed one means waiting there
    uint16_t area;         // the path starts at its anchor
    uint32_t to;           // cell on the same island
    struct planner *planner;
};

/// Finds the path and its patch, both in scope memory. False when memory ran out or, which the caller excludes, there
/// is no way.
bool search_path(fa_worker *w, const struct search *search, struct path_view *out);
