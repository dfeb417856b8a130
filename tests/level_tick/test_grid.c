// SPDX-License-Identifier: MIT
//
// Geometry: rays against walls, the walkable grid, areas and islands.
#include "forge.h"

#include "examples/level_tick/regions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct forge forge;
static struct level level;
static struct walls walls;
static struct grid grid;
static struct regions regions;

static bool read_level(const char *path, const struct memory *memory, struct failure *failure)
{
    struct wad wad;
    bool good = wad_open(path, memory, &wad, failure) && level_load(&wad, "MAP01", memory, &level, failure);
    wad_close(&wad);
    return good;
}

/// Everything from the file to the regions; one allocation is refused.
static bool build(const char *path, uint32_t refused, struct failure *failure)
{
    struct memory memory = forge_memory(refused);
    if (!read_level(path, &memory, failure) || !walls_build(&level, &memory, &walls, failure) ||
        !grid_create(&level, &walls, &memory, &grid, failure))
        return false;
    // In pieces and backwards, as parallel loops may.
    bool good = true;
    for (uint32_t row = grid.rows; row-- > 0;) good = grid_find_sectors(&grid, &memory.scratch, row, row + 1) && good;
    if (!good) return (fail)(failure, "no memory for crossings"); // in brackets: no macro of cmocka
    for (uint32_t row = grid.rows; row-- > 0;) grid_find_open(&grid, row, row + 1);
    for (uint32_t row = grid.rows; row-- > 0;) grid_find_exits(&grid, row, row + 1);
    return regions_build(&grid, &memory, &regions, failure);
}

static int set_up(void **state)
{
    (void)state;
    struct failure failure;
    forge_room(&forge);
    bool good = build(forge_write(&forge), FORGE_UNLIMITED, &failure);
    forge_clean();
    return good ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    forge_forget();
    return 0;
}

static bool blocked(int x1, int y1, int x2, int y2)
{
    struct point a = {FIX(x1), FIX(y1)};
    struct point b = {FIX(x2), FIX(y2)};
    bool there = walls_stop(&walls, NULL, a, b, WALLS_FOR_FEET);
    assert_int_equal(there, walls_stop(&walls, NULL, b, a, WALLS_FOR_FEET));
    return there;
}

static void rays_stop_at_walls(void **state)
{
    (void)state;
    assert_false(blocked(-200, 200, 200, 200)); // along the north wall
    assert_true(blocked(-200, 0, 200, 0));      // through the pillar
    assert_true(blocked(0, 200, 0, 300));       // out of the room
    assert_true(blocked(-200, -200, 200, 200)); // through two corners of the pillar
    assert_false(blocked(-200, 34, 200, 34));   // just past it
    assert_false(blocked(100, 100, 100, 100));  // nowhere
    assert_true(blocked(-64, 0, 64, 1));
}

/// The same answer as looking at every wall, for many rays: the walk over blocks leaves none out.
static void rays_agree_with_brute_force(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        struct point a = {FIX(-250) + (int32_t)hash_below(hash_three(1, i, 0), FIX(500)),
                          FIX(-250) + (int32_t)hash_below(hash_three(1, i, 1), FIX(500))};
        struct point b = {FIX(-250) + (int32_t)hash_below(hash_three(1, i, 2), FIX(500)),
                          FIX(-250) + (int32_t)hash_below(hash_three(1, i, 3), FIX(500))};
        // Some on corners of blocks and along their edges, where a walk over blocks goes wrong first.
        if (i % 3 == 0) a.x = a.x / FIX(64) * FIX(64), b.y = b.y / FIX(64) * FIX(64);
        if (i % 5 == 0) a.y = b.y;
        if (i % 7 == 0) b.x = a.x + (b.y - a.y);
        bool crossed = false;
        uint32_t entries = walls.first[walls.columns * walls.rows];
        for (uint32_t n = 0; n < entries && !crossed; n++) crossed = wall_crosses(&walls.list[n], a, b);
        assert_int_equal(walls_stop(&walls, NULL, a, b, WALLS_FOR_EYES), crossed);
    }
}

static void nearest_point_is_on_the_wall(void **state)
{
    (void)state;
    struct wall wall = {.x1 = 0, .y1 = 0, .x2 = 100, .y2 = 0};
    struct point p = wall_nearest(&wall, (struct point){FIX(30), FIX(40)});
    assert_int_equal(p.x, FIX(30));
    assert_int_equal(p.y, 0);
    p = wall_nearest(&wall, (struct point){FIX(-30), FIX(40)});
    assert_int_equal(p.x, 0);
    p = wall_nearest(&wall, (struct point){FIX(300), FIX(-40)});
    assert_int_equal(p.x, FIX(100));
}

static void cells_are_open_where_a_body_fits(void **state)
{
    (void)state;
    for (uint32_t cell = 0; cell < grid_cells(&grid); cell++) {
        struct point at = grid_centre(&grid, cell);
        int32_t x = at.x < 0 ? -at.x : at.x;
        int32_t y = at.y < 0 ? -at.y : at.y;
        int32_t farther = x > y ? x : y;
        bool room = farther <= FIX(256) - BODY_RADIUS && farther >= FIX(32) + BODY_RADIUS;
        assert_int_equal(grid.open[cell], room);
    }
}

static void exits_are_symmetric(void **state)
{
    (void)state;
    for (uint32_t cell = 0; cell < grid_cells(&grid); cell++) {
        for (unsigned d = 0; d < 8; d++) {
            if ((grid.exits[cell] & (1u << d)) == 0) continue;
            uint32_t to = grid_step(&grid, cell, d);
            assert_true(grid.open[cell] && grid.open[to]);
            assert_true(grid.exits[to] & (1u << (d ^ 4u)));
        }
    }
}

static void room_is_one_island(void **state)
{
    (void)state;
    assert_int_equal(regions.island_count, 1);
    assert_int_equal(regions.islands[0].count, regions.open_count);
    uint32_t cells = 0;
    for (uint32_t i = 0; i < regions.area_count; i++) {
        const struct area *area = &regions.areas[i];
        assert_int_equal(regions.area_of[area->anchor], i);
        cells += area->cells;
    }
    assert_int_equal(cells, regions.open_count);
}

static void who_stands_in_a_wall_is_put_beside_it(void **state)
{
    (void)state;
    uint32_t cell = grid_stand(&grid, (struct point){FIX(-255), FIX(-255)});
    assert_int_not_equal(cell, CELL_NONE);
    assert_true(grid.open[cell]);
    assert_int_equal(grid_stand(&grid, (struct point){FIX(1000), FIX(1000)}), CELL_NONE);
}

static void no_room_is_no_place(void **state)
{
    (void)state;
    struct failure failure;
    struct memory memory = forge_memory(FORGE_UNLIMITED);
    struct regions none;
    struct grid low = grid;
    uint8_t *closed = calloc(grid_cells(&grid), 1);
    assert_non_null(closed);
    low.open = low.exits = closed;
    assert_false(regions_build(&low, &memory, &none, &failure));
    assert_string_equal(failure.text, "map MAP01 has no place to walk");
    free(closed);
}

/// Whichever allocation is refused, the level does not load and the sentence says why.
static void refused_memory_is_said(void **state)
{
    (void)state;
    struct failure failure = {.text = ""};
    const char *path = forge_write(&forge);
    uint32_t refused = 0;
    while (!build(path, refused, &failure)) {
        if (strncmp(failure.text, "no memory", 9) != 0) fail_msg("allocation %u: '%s'", refused, failure.text);
        failure.text[0] = '\0';
        refused++;
    }
    forge_clean();
    assert_true(refused > 20); // tables of the file, blocks, cells, areas
}

static void roots_are_exact(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t n = i < 1000 ? i : hash_u64(i) >> (i % 60);
        uint64_t root = fix_sqrt(n);
        assert_true(root * root <= n);
        // (root + 1)^2 > n, written so that it cannot overflow.
        assert_true(n - root * root <= 2 * root);
    }
    assert_int_equal(fix_sqrt(UINT64_MAX), UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rays_stop_at_walls),
        cmocka_unit_test(rays_agree_with_brute_force),
        cmocka_unit_test(nearest_point_is_on_the_wall),
        cmocka_unit_test(cells_are_open_where_a_body_fits),
        cmocka_unit_test(exits_are_symmetric),
        cmocka_unit_test(room_is_one_island),
        cmocka_unit_test(who_stands_in_a_wall_is_put_beside_it),
        cmocka_unit_test(no_room_is_no_place),
        cmocka_unit_test(refused_memory_is_said),
        cmocka_unit_test(roots_are_exact),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
