// SPDX-License-Identifier: MIT
//
// What there is to see where: for each square of 512 units the pictures on the floors and walls in it. The camera's
// surroundings say which pictures are worth loading.
//
// Built once, from the lines and from the grid's cells; read by the main lane.
#pragma once

#include "grid.h"

#define SIGHTS_SHIFT (9 + FIX_SHIFT)

struct sights {
    int32_t left; // fixed point; the grid's origin
    int32_t bottom;
    uint32_t columns;
    uint32_t rows;
    uint32_t *first; // square s lists pictures[first[s]] to pictures[first[s + 1] - 1], each once, ascending
    uint16_t *pictures;
};

/// The grid's sectors must have been found. False when there is no memory.
bool sights_build(const struct grid *grid, const struct memory *memory, struct sights *out, struct failure *failure);

struct sights_square {
    int32_t column;
    int32_t row;
};

static inline struct sights_square sights_at(const struct sights *sights, struct point p)
{
    return (struct sights_square){(p.x - sights->left) >> SIGHTS_SHIFT, (p.y - sights->bottom) >> SIGHTS_SHIFT};
}
