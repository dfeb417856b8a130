// SPDX-License-Identifier: MIT
//
// See search.h. A search looks at a window around start and goal first, which costs memory for its cells only. When
// the way leaves the window, everything goes back to the checkpoint before it and the whole level is searched.
//
// Costs are 5 for a straight step and 7 for a diagonal one; the octile distance in the same numbers is consistent,
// so a cell that was taken from the open list is never opened again.
#include "search.h"

#include <stdlib.h>
#include <string.h>

#define COST_STRAIGHT 5u
#define COST_DIAGONAL 7u
/// A closed door opens again: going through costs as much as a detour of 64 cells.
#define COST_CLOSED (64u * COST_STRAIGHT)
#define COST_NONE UINT32_MAX
/// Cells around the box of start and goal that the first window takes in.
#define WINDOW_MARGIN 24u
#define CAME_NONE 0xffu

/// An entry of the open list; the smallest estimate comes first, of equals the lowest node.
struct open_entry {
    uint32_t estimate; // of the whole way
    uint32_t node;
};

/// The working memory: one node per cell of the window, numbered row by row.
struct window {
    fa_worker *worker;
    const struct search *search;
    uint32_t left;
    uint32_t bottom;
    uint32_t columns;
    uint32_t rows;
    uint32_t goal_column; // in the window
    uint32_t goal_row;
    uint32_t *best; // cost from the start, COST_NONE: not seen
    uint8_t *came;  // direction of the last step to the node, CAME_NONE at the start
    uint8_t *done;
    struct open_entry *heap;
    uint32_t heap_count;
    uint32_t heap_room;
};

enum search_result { SEARCH_FOUND, SEARCH_NO_WAY, SEARCH_NO_MEMORY };

static void *scope_array(struct window *window, size_t count, size_t size)
{
    void *memory = fa_scope_alloc_array(window->worker, count, size, FA_ALIGN_DEFAULT);
    return memory;
}

static uint32_t node_of(const struct window *window, uint32_t cell)
{
    uint32_t columns = window->search->grid->columns;
    return (cell / columns - window->bottom) * window->columns + (cell % columns - window->left);
}

/// Octile distance from a place of the window to the goal, in the costs of steps.
static uint32_t distance(const struct window *window, uint32_t column, uint32_t row)
{
    uint32_t dx = (uint32_t)abs((int32_t)column - (int32_t)window->goal_column);
    uint32_t dy = (uint32_t)abs((int32_t)row - (int32_t)window->goal_row);
    uint32_t longer = dx > dy ? dx : dy;
    uint32_t shorter = dx > dy ? dy : dx;
    return (longer - shorter) * COST_STRAIGHT + shorter * COST_DIAGONAL;
}

static bool comes_before(struct open_entry a, struct open_entry b)
{
    return a.estimate != b.estimate ? a.estimate < b.estimate : a.node < b.node;
}

static bool heap_push(struct window *window, struct open_entry entry)
{
    if (window->heap_count == window->heap_room) {
        // The old heap stays in the scope until the search ends: all of them together take less than twice the last.
        uint32_t room = window->heap_room * 2;
        struct open_entry *larger = scope_array(window, room, sizeof *larger);
        if (larger == NULL) return false;
        memcpy(larger, window->heap, window->heap_count * sizeof *larger);
        window->heap = larger;
        window->heap_room = room;
    }
    uint32_t at = window->heap_count++;
    while (at > 0 && comes_before(entry, window->heap[(at - 1) / 2])) {
        window->heap[at] = window->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    window->heap[at] = entry;
    return true;
}

static struct open_entry heap_pop(struct window *window)
{
    struct open_entry first = window->heap[0];
    struct open_entry last = window->heap[--window->heap_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= window->heap_count) break;
        if (child + 1 < window->heap_count && comes_before(window->heap[child + 1], window->heap[child])) child++;
        if (!comes_before(window->heap[child], last)) break;
        window->heap[at] = window->heap[child];
        at = child;
    }
    window->heap[at] = last;
    return first;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static void place_window(struct window *window, uint32_t from, uint32_t to, uint32_t margin)
{
    const struct grid *grid = window->search->grid;
    uint32_t left = min_u32(from % grid->columns, to % grid->columns);
    uint32_t right = max_u32(from % grid->columns, to % grid->columns);
    uint32_t bottom = min_u32(from / grid->columns, to / grid->columns);
    uint32_t top = max_u32(from / grid->columns, to / grid->columns);
    window->left = left - min_u32(left, margin);
    window->bottom = bottom - min_u32(bottom, margin);
    window->columns = min_u32(right + margin, grid->columns - 1) - window->left + 1;
    window->rows = min_u32(top + margin, grid->rows - 1) - window->bottom + 1;
    window->goal_column = to % grid->columns - window->left;
    window->goal_row = to / grid->columns - window->bottom;
}

static bool make_nodes(struct window *window)
{
    size_t nodes = (size_t)window->columns * window->rows;
    window->best = scope_array(window, nodes, sizeof *window->best);
    window->came = scope_array(window, nodes, sizeof *window->came);
    window->done = scope_array(window, nodes, sizeof *window->done);
    window->heap_room = 1024;
    window->heap_count = 0;
    window->heap = scope_array(window, window->heap_room, sizeof *window->heap);
    if (window->best == NULL || window->came == NULL || window->done == NULL || window->heap == NULL) return false;
    memset(window->best, 0xff, nodes * sizeof *window->best);
    memset(window->done, 0, nodes * sizeof *window->done);
    return true;
}

static uint32_t step_cost(const struct search *search, uint32_t to, unsigned direction)
{
    uint16_t door = search->grid->door[to];
    uint32_t cost = direction % 2 == 0 ? COST_STRAIGHT : COST_DIAGONAL;
    return door != LEVEL_NONE && search->closed[door] ? cost + COST_CLOSED : cost;
}

/// Looks at the neighbours of a node that was taken from the open list; false when memory ran out. The one division
/// is the reason that columns and rows are carried along: this is the innermost loop of the plan phase.
static bool expand(struct window *window, uint32_t node)
{
    const struct search *search = window->search;
    uint32_t column = node % window->columns;
    uint32_t row = node / window->columns;
    uint32_t cell = (row + window->bottom) * search->grid->columns + column + window->left;
    unsigned exits = search->grid->exits[cell];
    for (unsigned d = 0; d < 8; d++) {
        if ((exits & (1u << d)) == 0) continue;
        // To the left of the window's first column, or below its first row, these are negative: large as unsigned
        // numbers.
        uint32_t next_column = (uint32_t)((int32_t)column + grid_dx[d]);
        uint32_t next_row = (uint32_t)((int32_t)row + grid_dy[d]);
        if (next_column >= window->columns || next_row >= window->rows) continue;
        uint32_t next = next_row * window->columns + next_column;
        uint32_t cost = window->best[node] + step_cost(search, grid_step(search->grid, cell, d), d);
        if (cost >= window->best[next]) continue;
        window->best[next] = cost;
        window->came[next] = (uint8_t)d;
        struct open_entry entry = {cost + distance(window, next_column, next_row), next};
        if (!heap_push(window, entry)) return false;
    }
    return true;
}

static enum search_result run(struct window *window, uint32_t from)
{
    if (!make_nodes(window)) return SEARCH_NO_MEMORY;
    uint32_t start = node_of(window, from);
    uint32_t goal = node_of(window, window->search->to);
    window->best[start] = 0;
    window->came[start] = CAME_NONE;
    if (!heap_push(window, (struct open_entry){0, start})) return SEARCH_NO_MEMORY;
    while (window->heap_count > 0) {
        uint32_t node = heap_pop(window).node;
        if (node == goal) return SEARCH_FOUND;
        // A node is pushed again when a cheaper way to it is found; the dearer entry is stale by the time it comes up.
        if (window->done[node]) continue;
        window->done[node] = 1;
        if (!expand(window, node)) return SEARCH_NO_MEMORY;
    }
    return SEARCH_NO_WAY;
}

/// The steps from start to goal; of a longer path the first PATH_STEPS_MAX.
static bool take_steps(struct window *window, struct path_view *out)
{
    const struct grid *grid = window->search->grid;
    uint32_t length = 0;
    uint32_t goal = window->search->to;
    for (uint32_t cell = goal; window->came[node_of(window, cell)] != CAME_NONE; length++) {
        cell = grid_step(grid, cell, window->came[node_of(window, cell)] ^ 4u);
    }
    uint8_t *steps = scope_array(window, length + 1u, sizeof *steps);
    if (steps == NULL) return false;
    uint32_t cell = goal;
    for (uint32_t i = length; i > 0; i--) {
        steps[i - 1] = window->came[node_of(window, cell)];
        cell = grid_step(grid, cell, steps[i - 1] ^ 4u);
    }
    out->steps = steps;
    out->length = min_u32(length, PATH_STEPS_MAX);
    return true;
}

static enum search_result search_window(fa_worker *w, const struct search *search, uint32_t margin,
                                        struct path_view *out)
{
    struct window window = {.worker = w, .search = search};
    uint32_t from = search->regions->areas[search->area].anchor;
    place_window(&window, from, search->to, margin);
    enum search_result result = run(&window, from);
    if (result == SEARCH_FOUND && !take_steps(&window, out)) return SEARCH_NO_MEMORY;
    return result;
}

/// The square of an area while its patch is made.
struct patch {
    const struct search *search;
    uint8_t *direction; // per cell of the square
    uint32_t *queue;    // cells of the grid
    uint32_t count;
};

static uint32_t patch_index(const struct patch *patch, uint32_t cell)
{
    const struct area *area = &patch->search->regions->areas[patch->search->area];
    uint32_t columns = patch->search->grid->columns;
    return (cell / columns - area->bottom) * AREA_CELLS + (cell % columns - area->left);
}

static void patch_visit(struct patch *patch, uint32_t cell, uint8_t direction)
{
    if (patch->search->regions->area_of[cell] != patch->search->area) return;
    uint8_t *entry = &patch->direction[patch_index(patch, cell)];
    if (*entry != PATCH_OUTSIDE) return;
    *entry = direction;
    patch->queue[patch->count++] = cell;
}

/// From the path's cells inside the area outwards: each cell learns the direction back.
static bool make_patch(fa_worker *w, const struct search *search, struct path_view *view)
{
    const uint32_t cells = AREA_CELLS * AREA_CELLS;
    const struct grid *grid = search->grid;
    struct patch patch = {.search = search};
    patch.direction = fa_scope_array(w, uint8_t, cells);
    patch.queue = fa_scope_array(w, uint32_t, cells);
    uint8_t *packed = fa_scope_array(w, uint8_t, PATCH_BYTES);
    if (patch.direction == NULL || patch.queue == NULL || packed == NULL) return false;
    memset(patch.direction, PATCH_OUTSIDE, cells);
    uint32_t cell = search->regions->areas[search->area].anchor;
    for (uint32_t i = 0;; i++) {
        patch_visit(&patch, cell, PATCH_ON_PATH);
        if (i == view->length) break;
        cell = grid_step(grid, cell, view->steps[i]);
    }
    for (uint32_t next = 0; next < patch.count; next++) {
        for (unsigned d = 0; d < 8; d++) {
            if ((grid->exits[patch.queue[next]] & (1u << d)) == 0) continue;
            patch_visit(&patch, grid_step(grid, patch.queue[next], d), (uint8_t)(d ^ 4u));
        }
    }
    for (uint32_t i = 0; i < PATCH_BYTES; i++) {
        packed[i] = (uint8_t)(patch.direction[2 * i] | patch.direction[2 * i + 1] << 4);
    }
    view->patch = packed;
    return true;
}

bool search_path(fa_worker *w, const struct search *search, struct path_view *out)
{
    *out = (struct path_view){.length = 0};
    fa_checkpoint before = fa_checkpoint_take(w);
    enum search_result result = search_window(w, search, WINDOW_MARGIN, out);
    if (result == SEARCH_NO_WAY) {
        if (fa_checkpoint_rollback(w, before) != FA_OK) return false;
        uint32_t everything = max_u32(search->grid->columns, search->grid->rows);
        result = search_window(w, search, everything, out);
    }
    return result == SEARCH_FOUND && make_patch(w, search, out);
}
