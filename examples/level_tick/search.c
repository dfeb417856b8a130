// SPDX-License-Identifier: MIT
//
// See search.h. A search is tried three times, each a speculation that is rolled back when it finds no way:
//
//   straight  in the box of start and goal, along ways that are nowhere longer than the octile distance
//   near      in a window around that box
//   whole     on the whole level
//
// The straight attempt costs next to nothing and finds the very path that the near one would. Costs are 5 for a
// straight step and 7 for a diagonal one; the octile distance in the same numbers is consistent: a cell's estimate is
// never below that of the cell it was reached from, and cells are taken from the open list in the order of
// (estimate, cell). If there is a way as short as the distance, A* therefore never takes a cell with a larger
// estimate before the goal, and whether such a cell is on the list or not changes nothing: its estimate from a dearer way
// does not keep a cheaper one out. Nor is a cell outside the box on such a way. So what the straight attempt leaves out
// the near one would never have looked at.
#include "search.h"

#include <stdlib.h>
#include <string.h>

#define COST_STRAIGHT 5u
#define COST_DIAGONAL 7u
/// A closed door opens again: going through costs as much as a detour of 64 cells.
#define COST_CLOSED (64u * COST_STRAIGHT)
/// Cells around the box of start and goal that the first window takes in.
#define WINDOW_MARGIN 24u
#define CAME_NONE 0xffu
#define BOUND_NONE UINT32_MAX

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
    uint32_t bound; // cells with a larger estimate are left out
    struct nodes nodes;
    struct open_entry *heap;
    uint32_t heap_count;
    uint32_t heap_room;
};

/// As an attempt answers to fa_speculate(): 0 is success.
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
    window->nodes = planner_nodes(window->worker, window->search->planner, window->columns * window->rows);
    window->heap_room = 1024;
    window->heap_count = 0;
    window->heap = scope_array(window, window->heap_room, sizeof *window->heap);
    return window->nodes.list != NULL && window->heap != NULL;
}

/// Notes the cheapest way to a node so far and puts the node on the open list, unless the way leads too far round. False
/// when memory ran out.
static bool reach(struct window *window, uint32_t node, uint32_t cost, uint32_t distance_left, unsigned came)
{
    uint32_t estimate = cost + distance_left;
    if (estimate > window->bound) return true;
    window->nodes.list[node] = (struct node){.cost = cost, .mark = window->nodes.mark, .came = (uint8_t)came};
    return heap_push(window, (struct open_entry){estimate, node});
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
    uint32_t cost_here = window->nodes.list[node].cost;
    unsigned exits = search->grid->exits[cell];
    for (unsigned d = 0; d < 8; d++) {
        if ((exits & (1u << d)) == 0) continue;
        // To the left of the window's first column, or below its first row, these are negative: large as unsigned
        // numbers.
        uint32_t next_column = (uint32_t)((int32_t)column + grid_dx[d]);
        uint32_t next_row = (uint32_t)((int32_t)row + grid_dy[d]);
        if (next_column >= window->columns || next_row >= window->rows) continue;
        uint32_t next = next_row * window->columns + next_column;
        const struct node *known = &window->nodes.list[next];
        uint32_t cost = cost_here + step_cost(search, grid_step(search->grid, cell, d), d);
        if (known->mark == window->nodes.mark && cost >= known->cost) continue;
        if (!reach(window, next, cost, distance(window, next_column, next_row), d)) return false;
    }
    return true;
}

static enum search_result run(struct window *window, uint32_t from)
{
    if (!make_nodes(window)) return SEARCH_NO_MEMORY;
    uint32_t start = node_of(window, from);
    uint32_t goal = node_of(window, window->search->to);
    if (!reach(window, start, 0, 0, CAME_NONE)) return SEARCH_NO_MEMORY;
    while (window->heap_count > 0) {
        uint32_t node = heap_pop(window).node;
        if (node == goal) return SEARCH_FOUND;
        // A node is pushed again when a cheaper way to it is found; the dearer entry is stale by the time it comes up.
        if (window->nodes.list[node].done) continue;
        window->nodes.list[node].done = 1;
        if (!expand(window, node)) return SEARCH_NO_MEMORY;
    }
    return SEARCH_NO_WAY;
}

static unsigned came_to(const struct window *window, uint32_t cell)
{
    return window->nodes.list[node_of(window, cell)].came;
}

/// The steps from start to goal; of a longer path the first PATH_STEPS_MAX.
static bool take_steps(struct window *window, struct path_view *out)
{
    const struct grid *grid = window->search->grid;
    uint32_t length = 0;
    uint32_t goal = window->search->to;
    for (uint32_t cell = goal; came_to(window, cell) != CAME_NONE; length++) {
        cell = grid_step(grid, cell, came_to(window, cell) ^ 4u);
    }
    uint8_t *steps = scope_array(window, length + 1u, sizeof *steps);
    if (steps == NULL) return false;
    uint32_t cell = goal;
    for (uint32_t i = length; i > 0; i--) {
        steps[i - 1] = (uint8_t)came_to(window, cell);
        cell = grid_step(grid, cell, steps[i - 1] ^ 4u);
    }
    out->steps = steps;
    out->length = min_u32(length, PATH_STEPS_MAX);
    return true;
}

/// What fa_speculate() runs.
struct trial {
    const struct search *search;
    enum attempt attempt;
    struct path_view *out;
};

static int try_search(fa_worker *w, void *argument)
{
    const struct trial *trial = argument;
    const struct search *search = trial->search;
    const struct grid *grid = search->grid;
    const uint32_t margins[ATTEMPTS] = {0, WINDOW_MARGIN, max_u32(grid->columns, grid->rows)};
    struct window window = {.worker = w, .search = search, .bound = BOUND_NONE};
    uint32_t from = search->regions->areas[search->area].anchor;
    place_window(&window, from, search->to, margins[trial->attempt]);
    if (trial->attempt == ATTEMPT_STRAIGHT) {
        window.bound = distance(&window, from % grid->columns - window.left, from / grid->columns - window.bottom);
    }
    enum search_result result = run(&window, from);
    if (result == SEARCH_FOUND && !take_steps(&window, trial->out)) return SEARCH_NO_MEMORY;
    return (int)result;
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
    for (enum attempt attempt = 0; attempt < ATTEMPTS; attempt++) {
        struct trial trial = {search, attempt, out};
        fa_speculation found = fa_speculate(w, try_search, &trial);
        if (found.outcome == FA_OUTCOME_KEPT) {
            search->planner->kept[attempt]++;
            return make_patch(w, search, out);
        }
        if (found.outcome != FA_OUTCOME_ROLLED_BACK || found.error != SEARCH_NO_WAY) return false;
        search->planner->rolled_back++;
    }
    return false;
}
