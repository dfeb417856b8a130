// SPDX-License-Identifier: MIT
//
// Open cells grouped twice: into islands, between which nobody can walk, and into areas, the connected pieces of an
// island inside squares of 32 cells.
//
// Agents that start in one area share their paths, so areas are what paths are filed under; islands say which goals an
// agent can reach at all.
//
// Invariant: two cells are in the same area if and only if they lie in the same square and a way between them stays
// in that square. Numbers follow the order of the cells, so they depend on the level alone. Built once, read by
// every lane.
#pragma once

#include "grid.h"

#define AREA_CELLS 32u // side of a square
#define AREA_NONE UINT16_MAX
#define ISLAND_NONE UINT32_MAX

struct area {
    uint32_t island;
    uint32_t anchor; // the cell nearest to the area's middle: where its paths start
    uint32_t left;   // column and row of its square's first cell
    uint32_t bottom;
    uint32_t cells;
};

struct island {
    uint32_t first; // its cells are cells[first] to cells[first + count - 1]
    uint32_t count;
};

struct regions {
    uint32_t area_count;
    uint32_t island_count;
    uint32_t open_count;
    struct area *areas;
    struct island *islands; // largest first
    uint16_t *area_of;      // per cell of the grid, AREA_NONE if not open
    uint32_t *cells;        // open cells by island, in order
};

/// Fails when no cell is open.
bool regions_build(const struct grid *grid, const struct memory *memory, struct regions *out, struct failure *failure);
