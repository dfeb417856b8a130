// SPDX-License-Identifier: MIT
//
// See walls.h. Rays walk from block to block as in Amanatides and Woo, "A Fast Voxel Traversal Algorithm" (1987),
// with the comparison of the two next crossings multiplied out so that it stays in integers.
#include "walls.h"

#include <stdlib.h>

#define BLOCK_SIZE (1 << WALLS_BLOCK_SHIFT)

/// The opening between the two sides of a line, as a kind of wall; false when nothing stops anybody there.
static bool classify(const struct level *level, const struct level_line *line, struct wall *wall)
{
    wall->kind = WALL_SOLID;
    if (line->back == LEVEL_NONE) return true;
    if (line->front == line->back) return false;
    const struct level_sector *a = &level->sectors[line->front];
    const struct level_sector *b = &level->sectors[line->back];
    int floor = a->floor_height > b->floor_height ? a->floor_height : b->floor_height;
    int ceiling = a->ceiling_height < b->ceiling_height ? a->ceiling_height : b->ceiling_height;
    int step = abs(a->floor_height - b->floor_height);
    bool too_high = step > LEVEL_STEP_MAX && !a->lift && !b->lift;
    bool barred = too_high || (line->flags & LEVEL_LINE_BLOCKS) != 0;
    uint16_t door = a->door != LEVEL_NONE ? a->door : b->door;
    if (door != LEVEL_NONE && !barred) {
        wall->kind = WALL_DOOR;
        wall->door = door;
        return a->door != b->door;
    }
    if (ceiling <= floor && !a->lift && !b->lift) return true;
    wall->kind = WALL_LEDGE;
    return barred || (ceiling - floor < LEVEL_HEADROOM && !a->lift && !b->lift);
}

static bool make_wall(const struct level *level, uint32_t number, struct wall *wall)
{
    const struct level_line *line = &level->lines[number];
    struct level_vertex from = level->vertices[line->from];
    struct level_vertex to = level->vertices[line->to];
    *wall = (struct wall){.x1 = from.x, .y1 = from.y, .x2 = to.x, .y2 = to.y, .door = LEVEL_NONE};
    return classify(level, line, wall);
}

static uint32_t clamp_block(int32_t distance, uint32_t count)
{
    if (distance < 0) return 0;
    uint32_t block = (uint32_t)distance >> WALLS_BLOCK_SHIFT;
    return block < count ? block : count - 1;
}

static uint32_t block_column(const struct walls *walls, int32_t x)
{
    return clamp_block(x - walls->left, walls->columns);
}

static uint32_t block_row(const struct walls *walls, int32_t y)
{
    return clamp_block(y - walls->bottom, walls->rows);
}

/// Whether the wall touches the block's grown square, given that their bounding boxes meet: not all four corners lie
/// strictly on one side of it.
static bool touches_block(const struct walls *walls, const struct wall *wall, uint32_t column, uint32_t row)
{
    int32_t left = walls->left + (int32_t)(column << WALLS_BLOCK_SHIFT) - 1;
    int32_t bottom = walls->bottom + (int32_t)(row << WALLS_BLOCK_SHIFT) - 1;
    struct point from = {FIX(wall->x1), FIX(wall->y1)};
    struct point along = point_minus((struct point){FIX(wall->x2), FIX(wall->y2)}, from);
    int above = 0;
    int below = 0;
    for (int corner = 0; corner < 4; corner++) {
        struct point p = {left + (corner % 2) * (BLOCK_SIZE + 2), bottom + (corner / 2) * (BLOCK_SIZE + 2)};
        int64_t side = point_cross(along, point_minus(p, from));
        above += side > 0;
        below += side < 0;
    }
    return above < 4 && below < 4;
}

/// Enters the wall into its blocks: counts when `list` is NULL, else stores through the cursors in walls->first.
static void enter_wall(struct walls *walls, const struct wall *wall, struct wall *list)
{
    int32_t x1 = FIX(wall->x1 < wall->x2 ? wall->x1 : wall->x2) - 1;
    int32_t x2 = FIX(wall->x1 < wall->x2 ? wall->x2 : wall->x1) + 1;
    int32_t y1 = FIX(wall->y1 < wall->y2 ? wall->y1 : wall->y2) - 1;
    int32_t y2 = FIX(wall->y1 < wall->y2 ? wall->y2 : wall->y1) + 1;
    for (uint32_t row = block_row(walls, y1); row <= block_row(walls, y2); row++) {
        for (uint32_t column = block_column(walls, x1); column <= block_column(walls, x2); column++) {
            if (!touches_block(walls, wall, column, row)) continue;
            uint32_t *cursor = &walls->first[row * walls->columns + column];
            if (list != NULL) list[*cursor] = *wall;
            (*cursor)++;
        }
    }
}

static void enter_all(const struct level *level, struct walls *walls, struct wall *list)
{
    for (uint32_t i = 0; i < level->line_count; i++) {
        struct wall wall;
        if (make_wall(level, i, &wall)) enter_wall(walls, &wall, list);
    }
}

/// Turns counts into first positions: first[b] becomes the sum of the counts before b.
static uint32_t sum_counts(uint32_t *first, size_t blocks)
{
    uint32_t sum = 0;
    for (size_t b = 0; b <= blocks; b++) {
        uint32_t count = first[b];
        first[b] = sum;
        sum += count;
    }
    return sum;
}

bool walls_build(const struct level *level, const struct memory *memory, struct walls *out, struct failure *failure)
{
    // The origin lies on a multiple of a block, so that cells of any smaller power of two fit blocks exactly.
    int32_t left = FIX(level->left - WALLS_MARGIN) & ~(BLOCK_SIZE - 1);
    int32_t bottom = FIX(level->bottom - WALLS_MARGIN) & ~(BLOCK_SIZE - 1);
    *out = (struct walls){
        .left = left,
        .bottom = bottom,
        .columns = (uint32_t)((FIX(level->right + WALLS_MARGIN) - left) >> WALLS_BLOCK_SHIFT) + 1,
        .rows = (uint32_t)((FIX(level->top + WALLS_MARGIN) - bottom) >> WALLS_BLOCK_SHIFT) + 1,
    };
    size_t blocks = (size_t)out->columns * out->rows;
    out->first = memory_array(&memory->level, blocks + 1, sizeof *out->first);
    if (out->first == NULL) return fail(failure, "no memory for the walls of map %s", level->name);
    enter_all(level, out, NULL);
    uint32_t entries = sum_counts(out->first, blocks);
    out->list = memory_array(&memory->level, entries, sizeof *out->list);
    if (out->list == NULL) return fail(failure, "no memory for the walls of map %s", level->name);
    enter_all(level, out, out->list);
    // Each cursor has moved on to the next block's first entry: shift them back by one block.
    for (size_t b = blocks; b > 0; b--) out->first[b] = out->first[b - 1];
    out->first[0] = 0;
    return true;
}

bool wall_crosses(const struct wall *wall, struct point a, struct point b)
{
    struct point p1 = {FIX(wall->x1), FIX(wall->y1)};
    struct point p2 = {FIX(wall->x2), FIX(wall->y2)};
    struct point along = point_minus(p2, p1);
    bool a_left = point_cross(along, point_minus(a, p1)) > 0;
    bool b_left = point_cross(along, point_minus(b, p1)) > 0;
    if (a_left == b_left) return false;
    struct point ray = point_minus(b, a);
    int64_t side1 = point_cross(ray, point_minus(p1, a));
    int64_t side2 = point_cross(ray, point_minus(p2, a));
    // Ends count as part of the wall, so that nothing slips through where two walls meet.
    return !(side1 > 0 && side2 > 0) && !(side1 < 0 && side2 < 0);
}

static bool stops(const struct wall *wall, const uint8_t *closed, enum walls_for what)
{
    if (wall->kind == WALL_LEDGE) return what == WALLS_FOR_FEET;
    if (wall->kind == WALL_DOOR) return closed != NULL && closed[wall->door];
    return true;
}

static bool block_stops(const struct walls *walls, size_t block, const uint8_t *closed, struct point a, struct point b,
                        enum walls_for what)
{
    for (uint32_t i = walls->first[block]; i < walls->first[block + 1]; i++) {
        const struct wall *wall = &walls->list[i];
        if (stops(wall, closed, what) && wall_crosses(wall, a, b)) return true;
    }
    return false;
}

bool walls_stop(const struct walls *walls, const uint8_t *closed, struct point a, struct point b, enum walls_for what)
{
    uint32_t column = block_column(walls, a.x);
    uint32_t row = block_row(walls, a.y);
    uint32_t last_column = block_column(walls, b.x);
    uint32_t last_row = block_row(walls, b.y);
    struct point ray = point_minus(b, a);
    int64_t rise = ray.y < 0 ? -(int64_t)ray.y : ray.y;
    int64_t run = ray.x < 0 ? -(int64_t)ray.x : ray.x;
    for (;;) {
        if (block_stops(walls, (size_t)row * walls->columns + column, closed, a, b, what)) return true;
        if (column == last_column && row == last_row) return false;
        // Distance to the next block boundary on each axis; which is met first: to_x / run against to_y / rise.
        int32_t edge_x = walls->left + (int32_t)((column + (ray.x > 0)) << WALLS_BLOCK_SHIFT);
        int32_t edge_y = walls->bottom + (int32_t)((row + (ray.y > 0)) << WALLS_BLOCK_SHIFT);
        int64_t to_x = llabs((int64_t)edge_x - a.x) * rise;
        int64_t to_y = llabs((int64_t)edge_y - a.y) * run;
        bool step_x = row == last_row || (column != last_column && to_x <= to_y);
        if (step_x) {
            column = ray.x > 0 ? column + 1 : column - 1;
        } else {
            row = ray.y > 0 ? row + 1 : row - 1;
        }
    }
}

struct point wall_nearest(const struct wall *wall, struct point p)
{
    struct point from = {FIX(wall->x1), FIX(wall->y1)};
    int64_t dx = wall->x2 - wall->x1; // map units: 17 bits
    int64_t dy = wall->y2 - wall->y1;
    int64_t square = dx * dx + dy * dy;
    int64_t dot = dx * (p.x - from.x) + dy * (p.y - from.y); // 42 bits
    if (dot <= 0 || square == 0) return from;
    if (dot >= square * FIX_ONE) return (struct point){FIX(wall->x2), FIX(wall->y2)};
    return (struct point){from.x + (int32_t)(dx * dot / square), from.y + (int32_t)(dy * dot / square)};
}

void walls_around(const struct walls *walls, struct point p, int32_t radius, wall_visitor *visit, void *context)
{
    for (uint32_t row = block_row(walls, p.y - radius); row <= block_row(walls, p.y + radius); row++) {
        for (uint32_t column = block_column(walls, p.x - radius); column <= block_column(walls, p.x + radius);
             column++) {
            size_t block = (size_t)row * walls->columns + column;
            for (uint32_t i = walls->first[block]; i < walls->first[block + 1]; i++) {
                if (!visit(&walls->list[i], context)) return;
            }
        }
    }
}
