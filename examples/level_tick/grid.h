// SPDX-License-Identifier: MIT
//
// The level as cells of 16 units: which sector each lies in, whether a body can stand there, and to which of its eight
// neighbours it can walk.
//
// Invariant: exits are symmetric: cell a has an exit to b if and only if b has one to a. A cell with an exit is
// open, and so is the cell that it leads to. Doors count as open here; who searches a path looks at `door`.
//
// The three grid_find_… passes work on any range of rows and write only there; each needs the one before it
// finished on the rows it reads (its own and the two next to them), so each can be a parallel loop.
#pragma once

#include "walls.h"

#define CELL_UNITS 16
#define CELL_SHIFT (4 + FIX_SHIFT)
#define BODY_RADIUS FIX(8) // of everybody
#define GRID_VOID UINT16_MAX
#define CELL_NONE UINT32_MAX

struct grid {
    const struct level *level;
    const struct walls *walls;
    int32_t left; // fixed point; the same origin as the walls' blocks
    int32_t bottom;
    uint32_t columns;
    uint32_t rows;
    uint16_t *sector; // of the cell's centre, GRID_VOID outside the level
    uint16_t *door;   // that the centre lies in, or LEVEL_NONE
    uint8_t *open;    // 1: a body fits
    uint8_t *exits;   // bit d: one can walk in direction d
};

/// Directions, against the clock from east; the opposite of d is d ^ 4.
extern const int8_t grid_dx[8];
extern const int8_t grid_dy[8];

bool grid_create(const struct level *level, const struct walls *walls, const struct memory *memory, struct grid *out,
                 struct failure *failure);

/// The passes, in this order; false when there is no memory.
bool grid_find_sectors(struct grid *grid, const fa_allocator *scratch, uint32_t first_row, uint32_t last_row);
void grid_find_open(struct grid *grid, uint32_t first_row, uint32_t last_row);
void grid_find_exits(struct grid *grid, uint32_t first_row, uint32_t last_row);

static inline uint32_t grid_cells(const struct grid *grid)
{
    return grid->columns * grid->rows;
}

static inline struct point grid_centre(const struct grid *grid, uint32_t cell)
{
    uint32_t column = cell % grid->columns;
    uint32_t row = cell / grid->columns;
    int32_t half = 1 << (CELL_SHIFT - 1);
    return (struct point){grid->left + (int32_t)(column << CELL_SHIFT) + half,
                          grid->bottom + (int32_t)(row << CELL_SHIFT) + half};
}

/// The cell that p lies in; places outside the grid belong to its rim.
uint32_t grid_cell_at(const struct grid *grid, struct point p);

/// The cell next to `cell` in direction d; the caller knows that there is one (cells of the rim are never open).
static inline uint32_t grid_step(const struct grid *grid, uint32_t cell, unsigned d)
{
    return (uint32_t)((int64_t)cell + grid_dy[d] * (int64_t)grid->columns + grid_dx[d]);
}

/// The open cell that somebody at p stands on: p's own or, of those within two cells that can be walked to, the
/// nearest. CELL_NONE when there is none.
uint32_t grid_stand(const struct grid *grid, struct point p);
