// SPDX-License-Identifier: MIT
//
// Path searches: whatever attempt is kept, the path is the one that a search without speculation and with nodes of its
// own finds; planners keep their nodes and say so.
#include "forge.h"

#include "examples/level_tick/search.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COLUMNS 110u
#define ROWS 120u
#define CELLS (COLUMNS * ROWS)
#define MARGIN 24u // of the window that is searched before the whole level
#define DOORS 4u
#define CLOSED 320u // what going through a closed door costs
#define GOALS 3u

static fa_system *fa;
static fa_worker *w;

static int set_up(void **state)
{
    (void)state;
    fa_config config = fa_config_default();
    config.worker_count = 0;
    config.checked = false; // else what was freed is overwritten, and no left-over could be taken for something new
    if (fa_create(&config, &fa) != FA_OK) return 1;
    w = fa_self(fa);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return fa_destroy(fa) == FA_OK ? 0 : 1;
}

// Levels ----------------------------------------------------------------------------------------------------------------

struct ground {
    uint8_t open[CELLS];
    uint8_t exits[CELLS];
    uint16_t door[CELLS];
    uint8_t closed[DOORS];
    struct level level;
    struct grid grid;
    struct regions regions;
};

static struct ground ground;

static bool is_open(uint32_t cell, unsigned d)
{
    return ground.open[grid_step(&ground.grid, cell, d)] != 0;
}

/// Cells next to each other are joined, diagonally only where no corner is cut.
static void join_cells(void)
{
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        ground.exits[cell] = 0;
        for (unsigned d = 0; d < 8 && ground.open[cell]; d++) {
            bool joined = is_open(cell, d) && (d % 2 == 0 || (is_open(cell, d - 1) && is_open(cell, (d + 1) % 8)));
            if (joined) ground.exits[cell] |= (uint8_t)(1u << d);
        }
    }
}

typedef bool plan_fn(uint32_t column, uint32_t row);

/// A level that is open where `is_floor` says so; its rim is not. Some cells lie in doors.
static void make_ground(plan_fn *is_floor)
{
    struct failure failure;
    forge_forget();
    struct memory memory = forge_memory(FORGE_UNLIMITED);
    ground.grid = (struct grid){.level = &ground.level,
                                .columns = COLUMNS,
                                .rows = ROWS,
                                .door = ground.door,
                                .open = ground.open,
                                .exits = ground.exits};
    for (uint32_t cell = 0; cell < CELLS; cell++) {
        uint32_t column = cell % COLUMNS;
        uint32_t row = cell / COLUMNS;
        bool rim = column == 0 || row == 0 || column == COLUMNS - 1 || row == ROWS - 1;
        ground.open[cell] = !rim && is_floor(column, row);
        bool in_door = column % 20 < 2 && hash_below(hash_three(7, cell, 0), 2) == 0;
        ground.door[cell] = in_door ? (uint16_t)(row % DOORS) : LEVEL_NONE;
    }
    for (uint32_t door = 0; door < DOORS; door++) ground.closed[door] = door % 2;
    join_cells();
    assert_true(regions_build(&ground.grid, &memory, &ground.regions, &failure));
}

static bool bare(uint32_t column, uint32_t row)
{
    (void)column;
    (void)row;
    return true;
}

static bool rubble(uint32_t column, uint32_t row)
{
    return hash_below(hash_three(3, column, row), 100) >= 28;
}

/// Two rooms whose only gap is far from where most ways would cross.
static bool divided(uint32_t column, uint32_t row)
{
    return column != COLUMNS / 2 || row > ROWS - 6;
}

static bool boulders(uint32_t column, uint32_t row)
{
    return hash_below(hash_three(5, column / 6, row / 6), 100) >= 30;
}

// The reference ---------------------------------------------------------------------------------------------------------

/// A* over a box of cells, straight from the book: the cell with the least (estimate, number) comes next.
struct reference {
    uint32_t left, right, bottom, top;
    uint32_t goal;
    uint32_t cost[CELLS];
    uint8_t came[CELLS];
    uint8_t open[CELLS]; // 1: on the list
    uint32_t list[CELLS];
    uint32_t count;
};

static struct reference reference;

static uint32_t octile(uint32_t a, uint32_t b)
{
    uint32_t dx = (uint32_t)abs((int)(a % COLUMNS) - (int)(b % COLUMNS));
    uint32_t dy = (uint32_t)abs((int)(a / COLUMNS) - (int)(b / COLUMNS));
    return dx > dy ? 5 * (dx - dy) + 7 * dy : 5 * (dy - dx) + 7 * dx;
}

static uint32_t take_least(void)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < reference.count; i++) {
        uint32_t a = reference.list[i];
        uint32_t b = reference.list[best];
        uint32_t of_a = reference.cost[a] + octile(a, reference.goal);
        uint32_t of_b = reference.cost[b] + octile(b, reference.goal);
        if (of_a < of_b || (of_a == of_b && a < b)) best = i;
    }
    uint32_t cell = reference.list[best];
    reference.list[best] = reference.list[--reference.count];
    reference.open[cell] = 0;
    return cell;
}

static void visit_next(uint32_t cell, unsigned d)
{
    uint32_t next = grid_step(&ground.grid, cell, d);
    uint32_t column = next % COLUMNS;
    uint32_t row = next / COLUMNS;
    if (column < reference.left || column > reference.right || row < reference.bottom || row > reference.top) return;
    uint32_t cost = reference.cost[cell] + (d % 2 == 0 ? 5 : 7);
    uint16_t door = ground.door[next];
    if (door != LEVEL_NONE && ground.closed[door]) cost += CLOSED;
    if (cost >= reference.cost[next]) return;
    reference.cost[next] = cost;
    reference.came[next] = (uint8_t)d;
    if (reference.open[next]) return;
    reference.open[next] = 1;
    reference.list[reference.count++] = next;
}

static bool find_in_box(uint32_t from, uint32_t to)
{
    memset(reference.cost, 0xff, sizeof reference.cost);
    memset(reference.open, 0, sizeof reference.open);
    reference.goal = to;
    reference.cost[from] = 0;
    reference.list[0] = from;
    reference.count = 1;
    while (reference.count > 0) {
        uint32_t cell = take_least();
        if (cell == to) return true;
        for (unsigned d = 0; d < 8; d++) {
            if (ground.exits[cell] & (1u << d)) visit_next(cell, d);
        }
    }
    return false;
}

static uint32_t least(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/// Which attempt should be kept; the path is in `reference`.
static enum attempt find_reference(uint32_t from, uint32_t to)
{
    uint32_t left = least(from % COLUMNS, to % COLUMNS);
    uint32_t right = most(from % COLUMNS, to % COLUMNS);
    uint32_t bottom = least(from / COLUMNS, to / COLUMNS);
    uint32_t top = most(from / COLUMNS, to / COLUMNS);
    reference.left = left - least(left, MARGIN);
    reference.right = right + MARGIN;
    reference.bottom = bottom - least(bottom, MARGIN);
    reference.top = top + MARGIN;
    if (find_in_box(from, to)) return reference.cost[to] == octile(from, to) ? ATTEMPT_STRAIGHT : ATTEMPT_NEAR;
    reference.left = reference.bottom = 0;
    reference.right = reference.top = UINT32_MAX;
    assert_true(find_in_box(from, to));
    return ATTEMPT_WHOLE;
}

// Searches --------------------------------------------------------------------------------------------------------------

/// The found path, from its end back, against the reference's.
static void compare(const struct path_view *view, uint32_t from, uint32_t to)
{
    uint32_t cell = to;
    for (uint32_t step = view->length; step > 0; step--) {
        assert_int_equal(view->steps[step - 1], reference.came[cell]);
        cell = grid_step(&ground.grid, cell, reference.came[cell] ^ 4u);
    }
    assert_int_equal(cell, from);
}

/// Searches from every area to some goals on its island, all by one planner. Counts what should be kept.
static void search_everywhere(struct planner *planner, uint64_t expected[ATTEMPTS])
{
    for (uint32_t area = 0; area < ground.regions.area_count; area++) {
        const struct area *of = &ground.regions.areas[area];
        const struct island *island = &ground.regions.islands[of->island];
        for (uint32_t i = 0; i < GOALS; i++) {
            uint32_t nth = hash_below(hash_three(9, area, i), island->count);
            struct search search = {
                &ground.grid, &ground.regions, ground.closed, (uint16_t)area, ground.regions.cells[island->first + nth],
                planner};
            struct path_view view;
            FA_SCOPE(w);
            assert_true(search_path(w, &search, &view));
            expected[find_reference(of->anchor, search.to)]++;
            compare(&view, of->anchor, search.to);
        }
    }
}

static void paths_are_those_of_a_full_search(void **state)
{
    (void)state;
    static plan_fn *const plans[] = {bare, rubble, divided, boulders};
    uint64_t expected[ATTEMPTS] = {0};
    uint64_t rolled_back = 0;
    struct planner planners[PLANNER_COUNT];
    assert_int_equal(planners_create(w, CELLS, planners), FA_OK);
    struct planner *planner = &planners[3];
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
        make_ground(plans[i]);
        search_everywhere(planner, expected);
    }
    for (enum attempt attempt = 0; attempt < ATTEMPTS; attempt++) {
        assert_int_equal(planner->kept[attempt], expected[attempt]);
        assert_true(expected[attempt] > 0); // the levels are such that each is needed
        rolled_back += attempt * expected[attempt];
    }
    assert_int_equal(planner->rolled_back, rolled_back);
    assert_true(planner->reused > 0 && planner->resets > 0);
    planners_destroy(w, planners);
    forge_forget();
}

/// What a failed attempt had of scope memory is gone: short paths lie as far behind what was there before whether the first
/// attempt found them or the second.
static void failed_attempts_leave_nothing(void **state)
{
    (void)state;
    make_ground(boulders);
    struct planner planners[PLANNER_COUNT];
    assert_int_equal(planners_create(w, CELLS, planners), FA_OK);
    uintptr_t taken[ATTEMPTS] = {0};
    for (uint32_t n = 0; n < ground.regions.open_count; n++) {
        uint32_t cell = ground.regions.cells[n];
        uint16_t area = ground.regions.area_of[cell];
        if (octile(cell, ground.regions.areas[area].anchor) > 7 * 5) continue;
        struct search search = {&ground.grid, &ground.regions, ground.closed, area, cell, &planners[0]};
        struct path_view view;
        FA_SCOPE(w);
        uintptr_t before = (uintptr_t)fa_scope_alloc(w, 16);
        uint64_t failed = planners[0].rolled_back;
        if (!search_path(w, &search, &view) || view.length > 10) continue;
        enum attempt kept = planners[0].rolled_back == failed ? ATTEMPT_STRAIGHT : ATTEMPT_NEAR;
        if (taken[kept] == 0) taken[kept] = (uintptr_t)view.steps - before;
        assert_int_equal((uintptr_t)view.steps - before, taken[kept]);
    }
    assert_int_not_equal(taken[ATTEMPT_STRAIGHT], 0);
    assert_int_equal(taken[ATTEMPT_NEAR], taken[ATTEMPT_STRAIGHT]);
    planners_destroy(w, planners);
    forge_forget();
}

// Planners --------------------------------------------------------------------------------------------------------------

/// Writes all nodes, as a search does, after making sure that none looks written.
static void use_nodes(struct nodes nodes, uint32_t count)
{
    assert_non_null(nodes.list);
    assert_int_not_equal(nodes.mark, 0);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_not_equal(nodes.list[i].mark, nodes.mark);
        nodes.list[i] = (struct node){.cost = i, .mark = nodes.mark};
    }
}

static void planners_keep_their_nodes(void **state)
{
    (void)state;
    struct planner planners[PLANNER_COUNT];
    assert_int_equal(planners_create(w, PLANNER_NODES_MAX * 2, planners), FA_OK);
    struct planner *planner = &planners[0];
    FA_SCOPE(w);
    use_nodes(planner_nodes(w, planner, 100), 100);
    assert_int_equal(planner->reused, 0);
    const struct node *first = planner->nodes;
    for (int i = 0; i < 3; i++) use_nodes(planner_nodes(w, planner, planner->room), planner->room);
    assert_ptr_equal(planner->nodes, first);
    assert_int_equal(planner->reused, 3);
    assert_int_equal(planner->resets, 0);
    uint32_t room = planner->room;
    use_nodes(planner_nodes(w, planner, room + 1), room + 1);
    assert_int_equal(planner->room, 2 * room);
    assert_int_equal(planner->resets, 1);
    use_nodes(planner_nodes(w, planner, PLANNER_NODES_MAX), PLANNER_NODES_MAX);
    assert_int_equal(planner->resets, 2);
    assert_int_equal(planner->too_large, 0);
    fa_scratch_info info;
    assert_int_equal(fa_scratch_read(w, planner->pool, &info), FA_OK);
    assert_string_equal(info.name, "planner 0");
    assert_int_equal(info.objects, 1); // what was there before the resets is gone
    assert_int_equal(fa_scratch_read(w, planners[1].pool, &info), FA_OK);
    assert_int_equal(info.objects, 0);
    planners_destroy(w, planners);
}

/// So few that whoever comes second has them where the first one's were.
static void nodes_begin_unreached(void **state)
{
    (void)state;
    struct planner planners[PLANNER_COUNT];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(planners_create(w, 100, planners), FA_OK);
        use_nodes(planner_nodes(w, &planners[0], 100), 100);
        planners_destroy(w, planners);
    }
}

static void too_many_nodes_are_in_scope_memory(void **state)
{
    (void)state;
    struct planner planners[PLANNER_COUNT];
    assert_int_equal(planners_create(w, 100, planners), FA_OK);
    for (int i = 0; i < 2; i++) {
        FA_SCOPE(w);
        use_nodes(planner_nodes(w, &planners[0], 101), 101);
    }
    assert_int_equal(planners[0].too_large, 2);
    assert_null(planners[0].nodes);
    planners_destroy(w, planners);
}

static void marks_begin_anew(void **state)
{
    (void)state;
    struct planner planners[PLANNER_COUNT];
    assert_int_equal(planners_create(w, 100, planners), FA_OK);
    FA_SCOPE(w);
    for (uint32_t i = 0; i < UINT16_MAX + 3u; i++) {
        struct nodes nodes = planner_nodes(w, &planners[0], 100);
        assert_int_not_equal(nodes.mark, 0);
        // What the first attempt wrote must not look written when its mark comes again.
        assert_int_not_equal(nodes.list[99].mark, nodes.mark);
        if (i == 0) nodes.list[99].mark = nodes.mark;
    }
    planners_destroy(w, planners);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_are_those_of_a_full_search),   cmocka_unit_test(failed_attempts_leave_nothing),
        cmocka_unit_test(planners_keep_their_nodes),          cmocka_unit_test(nodes_begin_unreached),
        cmocka_unit_test(too_many_nodes_are_in_scope_memory), cmocka_unit_test(marks_begin_anew),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
