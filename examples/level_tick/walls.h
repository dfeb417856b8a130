// SPDX-License-Identifier: MIT
//
// The lines of a level that stop somebody, sorted into square blocks so that a ray or a body meets only those nearby.
//
// Invariant: a wall is listed in every block whose square, grown by one fixed-point unit on each side, it touches. The
// squares that a ray passes therefore list every wall that the ray can cross, also where it runs through a corner.
// Each block holds copies, not indices: looking through a block reads one run of memory.
//
// Built once, read by every lane.
#pragma once

#include "fixed.h"
#include "level.h"

#define WALLS_BLOCK_SHIFT (6 + FIX_SHIFT) // 64 units
/// Empty space around the level, so that nothing near its rim needs a special case.
#define WALLS_MARGIN 128

#define LEVEL_STEP_MAX 24 // a higher step stops walkers, map units
#define LEVEL_HEADROOM 56 // a lower opening stops walkers

enum wall_kind {
    WALL_SOLID, // stops walkers and rays
    WALL_LEDGE, // stops walkers: a high step, a low opening, a railing
    WALL_DOOR,  // stops both while its door is closed
};

struct wall {
    int16_t x1, y1, x2, y2; // map units
    uint16_t door;          // of a WALL_DOOR
    uint8_t kind;
};

struct walls {
    int32_t left; // fixed point, on a block boundary
    int32_t bottom;
    uint32_t columns; // of blocks
    uint32_t rows;
    uint32_t *first; // block b lists list[first[b]] to list[first[b + 1] - 1]
    struct wall *list;
};

/// What stops a ray.
enum walls_for { WALLS_FOR_EYES, WALLS_FOR_FEET };

bool walls_build(const struct level *level, const struct memory *memory, struct walls *out, struct failure *failure);

/// Whether something stops the way from a to b. `closed` says for each door whether it is closed; NULL: all are open.
bool walls_stop(const struct walls *walls, const uint8_t *closed, struct point a, struct point b, enum walls_for what);

/// The point of the wall that is nearest to p.
struct point wall_nearest(const struct wall *wall, struct point p);

/// Whether the way from a to b crosses the wall; touching counts.
bool wall_crosses(const struct wall *wall, struct point a, struct point b);

/// Calls `visit` for each wall in the blocks within `radius` of p until one answers false. A wall may come more
/// than once.
typedef bool wall_visitor(const struct wall *wall, void *context);
void walls_around(const struct walls *walls, struct point p, int32_t radius, wall_visitor *visit, void *context);
