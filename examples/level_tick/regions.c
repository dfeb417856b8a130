// SPDX-License-Identifier: MIT
//
// See regions.h. Both groupings are floods with an explicit queue: of a level for islands, of a square for areas.
#include "regions.h"

#include <stdlib.h>

/// Working memory of the floods.
struct flood {
    const struct grid *grid;
    uint32_t *island_of; // per cell
    uint32_t *queue;     // every cell at most once
};

/// Puts every cell that can be walked to from `start` into the queue and answers how many.
static uint32_t flood_island(const struct flood *flood, uint32_t start, uint32_t island)
{
    uint32_t count = 0;
    flood->queue[count++] = start;
    flood->island_of[start] = island;
    for (uint32_t next = 0; next < count; next++) {
        uint32_t cell = flood->queue[next];
        for (unsigned d = 0; d < 8; d++) {
            if ((flood->grid->exits[cell] & (1u << d)) == 0) continue;
            uint32_t to = grid_step(flood->grid, cell, d);
            if (flood->island_of[to] != ISLAND_NONE) continue;
            flood->island_of[to] = island;
            flood->queue[count++] = to;
        }
    }
    return count;
}

static bool same_square(const struct grid *grid, uint32_t a, uint32_t b)
{
    return a % grid->columns / AREA_CELLS == b % grid->columns / AREA_CELLS &&
           a / grid->columns / AREA_CELLS == b / grid->columns / AREA_CELLS;
}

static uint32_t flood_area(const struct flood *flood, uint16_t *area_of, uint32_t start, uint16_t area)
{
    uint32_t count = 0;
    flood->queue[count++] = start;
    area_of[start] = area;
    for (uint32_t next = 0; next < count; next++) {
        uint32_t cell = flood->queue[next];
        for (unsigned d = 0; d < 8; d++) {
            if ((flood->grid->exits[cell] & (1u << d)) == 0) continue;
            uint32_t to = grid_step(flood->grid, cell, d);
            if (area_of[to] != AREA_NONE || !same_square(flood->grid, start, to)) continue;
            area_of[to] = area;
            flood->queue[count++] = to;
        }
    }
    return count;
}

/// The queued cell nearest to the mean of all queued ones; of equals the first in the grid.
static uint32_t find_anchor(const struct flood *flood, uint32_t count)
{
    uint64_t sum_x = 0;
    uint64_t sum_y = 0;
    uint32_t columns = flood->grid->columns;
    for (uint32_t i = 0; i < count; i++) {
        sum_x += flood->queue[i] % columns;
        sum_y += flood->queue[i] / columns;
    }
    uint32_t best = CELL_NONE;
    int64_t best_square = INT64_MAX;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t cell = flood->queue[i];
        int64_t dx = (int64_t)(cell % columns) * count - (int64_t)sum_x;
        int64_t dy = (int64_t)(cell / columns) * count - (int64_t)sum_y;
        int64_t square = dx * dx + dy * dy;
        if (square > best_square || (square == best_square && cell > best)) continue;
        best = cell;
        best_square = square;
    }
    return best;
}

/// Numbers areas; when `areas` is NULL only counts them.
static uint32_t number_areas(const struct flood *flood, uint16_t *area_of, struct area *areas)
{
    const struct grid *grid = flood->grid;
    uint32_t count = 0;
    for (uint32_t cell = 0; cell < grid_cells(grid); cell++) area_of[cell] = AREA_NONE;
    for (uint32_t cell = 0; cell < grid_cells(grid); cell++) {
        if (!grid->open[cell] || area_of[cell] != AREA_NONE || count == AREA_NONE) continue;
        uint32_t cells = flood_area(flood, area_of, cell, (uint16_t)count);
        if (areas != NULL) {
            areas[count] = (struct area){
                .island = flood->island_of[cell],
                .anchor = find_anchor(flood, cells),
                .left = cell % grid->columns / AREA_CELLS * AREA_CELLS,
                .bottom = cell / grid->columns / AREA_CELLS * AREA_CELLS,
                .cells = cells,
            };
        }
        count++;
    }
    return count;
}

static uint32_t number_islands(const struct flood *flood, uint32_t *open_count)
{
    const struct grid *grid = flood->grid;
    uint32_t count = 0;
    *open_count = 0;
    for (uint32_t cell = 0; cell < grid_cells(grid); cell++) flood->island_of[cell] = ISLAND_NONE;
    for (uint32_t cell = 0; cell < grid_cells(grid); cell++) {
        if (!grid->open[cell] || flood->island_of[cell] != ISLAND_NONE) continue;
        *open_count += flood_island(flood, cell, count++);
    }
    return count;
}

static int larger_first(const void *a, const void *b)
{
    const struct island *first = a;
    const struct island *second = b;
    if (first->count != second->count) return first->count < second->count ? 1 : -1;
    return (first->first > second->first) - (first->first < second->first); // still the number, see sort_islands()
}

/// Renumbers islands by size and lists their cells. `rank` gives the new number of an old one.
static void sort_islands(const struct flood *flood, struct regions *regions, uint32_t *rank)
{
    uint32_t cells = grid_cells(flood->grid);
    for (uint32_t i = 0; i < regions->island_count; i++) regions->islands[i] = (struct island){.first = i};
    for (uint32_t cell = 0; cell < cells; cell++) {
        if (flood->island_of[cell] != ISLAND_NONE) regions->islands[flood->island_of[cell]].count++;
    }
    qsort(regions->islands, regions->island_count, sizeof *regions->islands, larger_first);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < regions->island_count; i++) {
        struct island *island = &regions->islands[i];
        rank[island->first] = i;
        island->first = sum;
        sum += island->count;
        island->count = 0; // counts again while the cells are filed
    }
    for (uint32_t cell = 0; cell < cells; cell++) {
        if (flood->island_of[cell] == ISLAND_NONE) continue;
        flood->island_of[cell] = rank[flood->island_of[cell]];
        struct island *island = &regions->islands[flood->island_of[cell]];
        regions->cells[island->first + island->count++] = cell;
    }
}

static bool build(const struct grid *grid, const struct memory *memory, struct regions *out)
{
    size_t cells = grid_cells(grid);
    struct flood flood = {
        .grid = grid,
        .island_of = memory_array(&memory->scratch, cells, sizeof *flood.island_of),
        .queue = memory_array(&memory->scratch, cells, sizeof *flood.queue),
    };
    out->area_of = memory_array(&memory->level, cells, sizeof *out->area_of);
    if (flood.island_of == NULL || flood.queue == NULL || out->area_of == NULL) return false;
    out->island_count = number_islands(&flood, &out->open_count);
    out->area_count = number_areas(&flood, out->area_of, NULL);
    uint32_t *rank = memory_array(&memory->scratch, out->island_count, sizeof *rank);
    out->islands = memory_array(&memory->level, out->island_count, sizeof *out->islands);
    out->areas = memory_array(&memory->level, out->area_count, sizeof *out->areas);
    out->cells = memory_array(&memory->level, out->open_count, sizeof *out->cells);
    if (rank == NULL || out->islands == NULL || out->areas == NULL || out->cells == NULL) return false;
    sort_islands(&flood, out, rank);
    (void)number_areas(&flood, out->area_of, out->areas);
    return true;
}

bool regions_build(const struct grid *grid, const struct memory *memory, struct regions *out, struct failure *failure)
{
    *out = (struct regions){.area_count = 0};
    if (!build(grid, memory, out)) return fail(failure, "no memory for the regions of map %s", grid->level->name);
    return out->open_count > 0 || fail(failure, "map %s has no place to walk", grid->level->name);
}
