// SPDX-License-Identifier: MIT
//
// See grid.h. Sectors are found row by row: the lines that cross the row, sorted, and the side that each turns to the
// east. Needs none of the lumps that a node builder makes.
#include "grid.h"

#include <stdlib.h>
#include <string.h>

const int8_t grid_dx[8] = {1, 1, 0, -1, -1, -1, 0, 1};
const int8_t grid_dy[8] = {0, 1, 1, 1, 0, -1, -1, -1};

bool grid_create(const struct level *level, const struct walls *walls, const struct memory *memory, struct grid *out,
                 struct failure *failure)
{
    *out = (struct grid){
        .level = level,
        .walls = walls,
        .left = walls->left,
        .bottom = walls->bottom,
        .columns = walls->columns << (WALLS_BLOCK_SHIFT - CELL_SHIFT),
        .rows = walls->rows << (WALLS_BLOCK_SHIFT - CELL_SHIFT),
    };
    size_t cells = grid_cells(out);
    out->sector = memory_array(&memory->level, cells, sizeof *out->sector);
    out->door = memory_array(&memory->level, cells, sizeof *out->door);
    out->open = memory_array(&memory->level, cells, sizeof *out->open);
    out->exits = memory_array(&memory->level, cells, sizeof *out->exits);
    if (out->sector == NULL || out->door == NULL || out->open == NULL || out->exits == NULL) {
        return fail(failure, "no memory for the grid of map %s", level->name);
    }
    memset(out->sector, 0xff, cells * sizeof *out->sector);
    memset(out->door, 0xff, cells * sizeof *out->door);
    return true;
}

uint32_t grid_cell_at(const struct grid *grid, struct point p)
{
    int32_t column = (p.x - grid->left) >> CELL_SHIFT;
    int32_t row = (p.y - grid->bottom) >> CELL_SHIFT;
    uint32_t c = column < 0 ? 0 : (uint32_t)column < grid->columns ? (uint32_t)column : grid->columns - 1;
    uint32_t r = row < 0 ? 0 : (uint32_t)row < grid->rows ? (uint32_t)row : grid->rows - 1;
    return r * grid->columns + c;
}

/// Where a line crosses a row of cell centres, and what lies to the east of it.
struct crossing {
    int32_t x;
    uint16_t sector;
};

static int compare_crossings(const void *a, const void *b)
{
    const struct crossing *first = a;
    const struct crossing *second = b;
    return (first->x > second->x) - (first->x < second->x);
}

static uint32_t find_crossings(const struct level *level, int32_t y, struct crossing *out)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < level->line_count; i++) {
        const struct level_line *line = &level->lines[i];
        struct level_vertex from = level->vertices[line->from];
        struct level_vertex to = level->vertices[line->to];
        if ((FIX(from.y) < y) == (FIX(to.y) < y)) continue;
        // The front lies to the right of the line: east of one that goes north.
        uint16_t east = from.y < to.y ? line->front : line->back;
        int64_t x = FIX(from.x) + (int64_t)(to.x - from.x) * (y - FIX(from.y)) / (to.y - from.y);
        out[count++] = (struct crossing){(int32_t)x, east};
    }
    qsort(out, count, sizeof *out, compare_crossings);
    return count;
}

static void fill_row(struct grid *grid, uint32_t row, const struct crossing *crossings, uint32_t count)
{
    uint32_t next = 0;
    uint16_t sector = GRID_VOID;
    for (uint32_t column = 0; column < grid->columns; column++) {
        uint32_t cell = row * grid->columns + column;
        int32_t x = grid_centre(grid, cell).x;
        while (next < count && crossings[next].x <= x) sector = crossings[next++].sector;
        grid->sector[cell] = sector;
        if (sector != GRID_VOID) grid->door[cell] = grid->level->sectors[sector].door;
    }
}

bool grid_find_sectors(struct grid *grid, const fa_allocator *scratch, uint32_t first_row, uint32_t last_row)
{
    struct crossing *crossings = memory_array(scratch, grid->level->line_count, sizeof *crossings);
    if (crossings == NULL) return false;
    for (uint32_t row = first_row; row < last_row; row++) {
        // One fixed-point unit off the centre, so that no corner of the level, which has whole units, lies on the row.
        int32_t y = grid_centre(grid, row * grid->columns).y + 1;
        fill_row(grid, row, crossings, find_crossings(grid->level, y, crossings));
    }
    return true;
}

/// A place, and whether a body fits there.
struct room {
    struct point centre;
    bool enough;
};

static bool check_room(const struct wall *wall, void *context)
{
    struct room *room = context;
    if (wall->kind == WALL_DOOR) return true;
    struct point gap = point_minus(wall_nearest(wall, room->centre), room->centre);
    room->enough = point_square(gap) >= (int64_t)BODY_RADIUS * BODY_RADIUS;
    return room->enough;
}

/// A level whose outline has a gap would otherwise reach the rim, where cells have no neighbours.
static bool is_rim(const struct grid *grid, uint32_t cell)
{
    uint32_t column = cell % grid->columns;
    uint32_t row = cell / grid->columns;
    return column == 0 || row == 0 || column == grid->columns - 1 || row == grid->rows - 1;
}

static bool is_open(const struct grid *grid, uint32_t cell)
{
    if (grid->sector[cell] == GRID_VOID || is_rim(grid, cell)) return false;
    const struct level_sector *sector = &grid->level->sectors[grid->sector[cell]];
    bool headroom = sector->ceiling_height - sector->floor_height >= LEVEL_HEADROOM;
    if (!headroom && sector->door == LEVEL_NONE && !sector->lift) return false;
    struct room room = {.centre = grid_centre(grid, cell), .enough = true};
    walls_around(grid->walls, room.centre, BODY_RADIUS, check_room, &room);
    return room.enough;
}

void grid_find_open(struct grid *grid, uint32_t first_row, uint32_t last_row)
{
    for (uint32_t cell = first_row * grid->columns; cell < last_row * grid->columns; cell++) {
        grid->open[cell] = is_open(grid, cell);
    }
}

/// A body's way between two centres.
struct way {
    struct point a;
    struct point b;
    bool clear;
};

/// Whether an end of a wall comes nearer to the way than a body's radius. Only ends in the way's box, grown by the
/// radius, are looked at: there all differences are small and the squares below fit.
static bool end_is_near(struct point end, const struct way *way)
{
    int32_t left = way->a.x < way->b.x ? way->a.x : way->b.x;
    int32_t right = way->a.x < way->b.x ? way->b.x : way->a.x;
    int32_t bottom = way->a.y < way->b.y ? way->a.y : way->b.y;
    int32_t top = way->a.y < way->b.y ? way->b.y : way->a.y;
    if (end.x < left - BODY_RADIUS || end.x > right + BODY_RADIUS) return false;
    if (end.y < bottom - BODY_RADIUS || end.y > top + BODY_RADIUS) return false;
    struct point along = point_minus(way->b, way->a);
    struct point to_end = point_minus(end, way->a);
    int64_t dot = (int64_t)along.x * to_end.x + (int64_t)along.y * to_end.y;
    int64_t square = point_square(along);
    // Beyond either end of the way the cells' own room decides, which grid_find_open() has checked.
    if (dot <= 0 || dot >= square) return false;
    int64_t cross = point_cross(along, to_end);
    return cross * cross < (int64_t)BODY_RADIUS * BODY_RADIUS * square;
}

static bool check_way(const struct wall *wall, void *context)
{
    struct way *way = context;
    if (wall->kind == WALL_DOOR) return true;
    way->clear = !wall_crosses(wall, way->a, way->b) &&
                 !end_is_near((struct point){FIX(wall->x1), FIX(wall->y1)}, way) &&
                 !end_is_near((struct point){FIX(wall->x2), FIX(wall->y2)}, way);
    return way->clear;
}

static bool can_walk(const struct grid *grid, uint32_t from, uint32_t to)
{
    if (!grid->open[to]) return false;
    // Always from the lower cell to the higher one: both directions get the same answer.
    struct way way = {.a = grid_centre(grid, from < to ? from : to), .b = grid_centre(grid, from < to ? to : from)};
    way.clear = true;
    struct point middle = {way.a.x + (way.b.x - way.a.x) / 2, way.a.y + (way.b.y - way.a.y) / 2};
    walls_around(grid->walls, middle, BODY_RADIUS + FIX(CELL_UNITS) / 2, check_way, &way);
    return way.clear;
}

void grid_find_exits(struct grid *grid, uint32_t first_row, uint32_t last_row)
{
    for (uint32_t cell = first_row * grid->columns; cell < last_row * grid->columns; cell++) {
        unsigned exits = 0;
        for (unsigned d = 0; grid->open[cell] && d < 8; d++) {
            if (can_walk(grid, cell, grid_step(grid, cell, d))) exits |= 1u << d;
        }
        grid->exits[cell] = (uint8_t)exits;
    }
}

uint32_t grid_stand(const struct grid *grid, struct point p)
{
    uint32_t own = grid_cell_at(grid, p);
    if (grid->open[own]) return own;
    uint32_t best = CELL_NONE;
    int64_t best_square = INT64_MAX;
    int32_t column = (int32_t)(own % grid->columns);
    int32_t row = (int32_t)(own / grid->columns);
    for (int32_t r = row - 2; r <= row + 2; r++) {
        for (int32_t c = column - 2; c <= column + 2; c++) {
            if (r < 0 || c < 0 || r >= (int32_t)grid->rows || c >= (int32_t)grid->columns) continue;
            uint32_t cell = (uint32_t)r * grid->columns + (uint32_t)c;
            struct point centre = grid_centre(grid, cell);
            int64_t square = point_square(point_minus(centre, p));
            if (!grid->open[cell] || square >= best_square) continue;
            if (walls_stop(grid->walls, NULL, p, centre, WALLS_FOR_FEET)) continue;
            best = cell;
            best_square = square;
        }
    }
    return best;
}
