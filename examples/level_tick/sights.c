// SPDX-License-Identifier: MIT
//
// See sights.h. Pictures are gathered as a set of bits a square, and listed from there.
#include "sights.h"

struct gathering {
    const struct sights *sights;
    uint64_t *bits; // `words` for each square
    size_t words;
};

static void see(const struct gathering *gathering, uint32_t column, uint32_t row, uint16_t picture)
{
    if (picture == LEVEL_NONE) return;
    size_t square = (size_t)row * gathering->sights->columns + column;
    gathering->bits[square * gathering->words + picture / 64] |= UINT64_C(1) << picture % 64;
}

static void see_side(const struct gathering *gathering, const struct level *level, uint16_t side, struct point from,
                     struct point to)
{
    if (side == LEVEL_NONE) return;
    const struct level_side *of = &level->sides[side];
    struct sights_square a = sights_at(gathering->sights, from);
    struct sights_square b = sights_at(gathering->sights, to);
    // A line is taken for its bounding box: a picture too many does no harm.
    for (int32_t row = a.row < b.row ? a.row : b.row; row <= (a.row < b.row ? b.row : a.row); row++) {
        for (int32_t column = a.column < b.column ? a.column : b.column;
             column <= (a.column < b.column ? b.column : a.column); column++) {
            see(gathering, (uint32_t)column, (uint32_t)row, of->upper);
            see(gathering, (uint32_t)column, (uint32_t)row, of->lower);
            see(gathering, (uint32_t)column, (uint32_t)row, of->middle);
        }
    }
}

static void see_lines(const struct gathering *gathering, const struct level *level)
{
    for (uint32_t i = 0; i < level->line_count; i++) {
        const struct level_line *line = &level->lines[i];
        struct level_vertex a = level->vertices[line->from];
        struct level_vertex b = level->vertices[line->to];
        struct point from = {FIX(a.x), FIX(a.y)};
        struct point to = {FIX(b.x), FIX(b.y)};
        see_side(gathering, level, line->front_side, from, to);
        see_side(gathering, level, line->back_side, from, to);
    }
}

static void see_floors(const struct gathering *gathering, const struct grid *grid)
{
    const uint32_t shift = SIGHTS_SHIFT - CELL_SHIFT;
    for (uint32_t cell = 0; cell < grid_cells(grid); cell++) {
        uint16_t sector = grid->sector[cell];
        if (sector == GRID_VOID) continue;
        see(gathering, cell % grid->columns >> shift, cell / grid->columns >> shift, grid->level->sectors[sector].flat);
    }
}

/// Lists the bits of every square; counts only as long as there is no list.
static uint32_t list_all(const struct gathering *gathering, struct sights *sights, uint32_t pictures)
{
    uint32_t count = 0;
    size_t squares = (size_t)sights->columns * sights->rows;
    for (size_t square = 0; square < squares; square++) {
        sights->first[square] = count;
        for (uint32_t picture = 0; picture < pictures; picture++) {
            if ((gathering->bits[square * gathering->words + picture / 64] >> picture % 64 & 1) == 0) continue;
            if (sights->pictures != NULL) sights->pictures[count] = (uint16_t)picture;
            count++;
        }
    }
    sights->first[squares] = count;
    return count;
}

static bool build(const struct grid *grid, const struct memory *memory, struct sights *out)
{
    const struct level *level = grid->level;
    size_t squares = (size_t)out->columns * out->rows;
    struct gathering gathering = {.sights = out, .words = (level->picture_count + 63) / 64};
    gathering.bits = memory_array(&memory->scratch, squares, gathering.words * sizeof *gathering.bits);
    out->first = memory_array(&memory->level, squares + 1, sizeof *out->first);
    if (gathering.bits == NULL || out->first == NULL) return false;
    see_lines(&gathering, level);
    see_floors(&gathering, grid);
    uint32_t count = list_all(&gathering, out, level->picture_count);
    out->pictures = memory_array(&memory->level, count, sizeof *out->pictures);
    if (out->pictures == NULL) return false;
    (void)list_all(&gathering, out, level->picture_count);
    return true;
}

bool sights_build(const struct grid *grid, const struct memory *memory, struct sights *out, struct failure *failure)
{
    const uint32_t shift = SIGHTS_SHIFT - CELL_SHIFT;
    *out = (struct sights){
        .left = grid->left,
        .bottom = grid->bottom,
        .columns = ((grid->columns - 1) >> shift) + 1,
        .rows = ((grid->rows - 1) >> shift) + 1,
    };
    return build(grid, memory, out) || fail(failure, "no memory for the sights of map %s", grid->level->name);
}
