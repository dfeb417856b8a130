// SPDX-License-Identifier: MIT
//
// See floors.h.
#include "floors.h"

#include <stdlib.h>

#define SAMPLES 2 // per pixel and axis, for the edges of floors

struct crossing {
    float x; // pixels
    uint16_t sector;
};

static int compare_crossings(const void *a, const void *b)
{
    const struct crossing *first = a;
    const struct crossing *second = b;
    return (first->x > second->x) - (first->x < second->x);
}

/// Lines that cross some row of the tile, wherever in the row: the nearest to the left of the tile says what it
/// begins with.
static uint32_t collect_lines(const struct scene *scene, const struct tile *tile, uint32_t *out)
{
    const struct level *level = scene->world->level;
    uint32_t count = 0;
    for (uint32_t i = 0; i < level->line_count; i++) {
        float y1 = scene_vertex(scene, level->lines[i].from).y;
        float y2 = scene_vertex(scene, level->lines[i].to).y;
        if (fmaxf(y1, y2) < (float)tile->top || fminf(y1, y2) > (float)(tile->top + tile->height)) continue;
        if (out != NULL) out[count] = i;
        count++;
    }
    return count;
}

static uint32_t cross_row(const struct scene *scene, const uint32_t *lines, uint32_t count, float y,
                          struct crossing *out)
{
    const struct level *level = scene->world->level;
    uint32_t crossings = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct level_line *line = &level->lines[lines[i]];
        struct spot a = scene_vertex(scene, line->from);
        struct spot b = scene_vertex(scene, line->to);
        if ((a.y < y) == (b.y < y)) continue;
        // y grows downwards here: a line that goes north goes up the picture, with its front to the right.
        uint16_t right = b.y < a.y ? line->front : line->back;
        out[crossings++] = (struct crossing){a.x + (b.x - a.x) * (y - a.y) / (b.y - a.y), right};
    }
    qsort(out, crossings, sizeof *out, compare_crossings);
    return crossings;
}

/// A floor as it is painted along a row.
struct paint {
    struct colour plain;
    float light;
    const struct texel *row; // of the flat, at this height of the drawing; NULL: plain
    uint32_t mask;           // of a column in it
};

static struct paint choose_paint(const struct scene *scene, uint16_t sector, uint32_t detail, float y)
{
    struct paint paint = {.plain = view_sector(&scene->view, sector)};
    if (sector == GRID_VOID) return paint;
    const struct level_sector *of = &scene->world->level->sectors[sector];
    const struct texel *texels = of->flat == LEVEL_NONE ? NULL : scene->texels[of->flat];
    if (texels == NULL) return paint;
    struct texels_level level = texels_level(FLAT_SIDE, FLAT_SIDE, detail);
    // Flats lie on the level's own grid of 64 units; their rows run southwards.
    int32_t v = (int32_t)floorf(-(scene->view.top - y / scene->view.scale)) & (int32_t)(FLAT_SIDE - 1);
    paint.row = texels + level.first + (size_t)((uint32_t)v * level.height / FLAT_SIDE) * level.width;
    paint.mask = level.width - 1;
    paint.light = view_light(of);
    return paint;
}

static void draw_floor_row(const struct scene *scene, struct tile *tile, int32_t row, float y,
                           const struct crossing *crossings, uint32_t count)
{
    const uint32_t detail = scene_detail(scene, 1);
    const float share = 1.0f / (SAMPLES * SAMPLES);
    const float units = 1 / scene->view.scale / (float)(1u << detail);
    const float origin = scene->view.left / (float)(1u << detail);
    uint32_t next = 0;
    uint16_t sector = GRID_VOID;
    struct paint paint = choose_paint(scene, sector, detail, y);
    for (int32_t sample = 0; sample < tile->width * SAMPLES; sample++) {
        float x = (float)tile->left + ((float)sample + 0.5f) / SAMPLES;
        uint32_t before = next;
        while (next < count && crossings[next].x <= x) sector = crossings[next++].sector;
        if (next != before) paint = choose_paint(scene, sector, detail, y);
        struct colour colour = paint.plain;
        if (paint.row != NULL) {
            int32_t column = (int32_t)floorf(origin + x * units);
            colour = view_floor(paint.plain, paint.row[(uint32_t)column & paint.mask], paint.light);
        }
        struct colour *pixel = &tile->rgb[row * TILE_SIZE + sample / SAMPLES];
        *pixel = (struct colour){pixel->r + colour.r * share, pixel->g + colour.g * share, pixel->b + colour.b * share};
    }
}

bool floors_draw(fa_worker *w, const struct scene *scene, struct tile *tile)
{
    FA_SCOPE(w);
    uint32_t count = collect_lines(scene, tile, NULL);
    uint32_t *lines = fa_scope_array(w, uint32_t, count + 1u);
    struct crossing *crossings = fa_scope_array(w, struct crossing, count + 1u);
    if (lines == NULL || crossings == NULL) return false;
    (void)collect_lines(scene, tile, lines);
    for (int32_t sample = 0; sample < tile->height * SAMPLES; sample++) {
        float y = (float)tile->top + ((float)sample + 0.5f) / SAMPLES;
        uint32_t found = cross_row(scene, lines, count, y, crossings);
        draw_floor_row(scene, tile, sample / SAMPLES, y, crossings, found);
    }
    return true;
}

bool floors_middle(fa_worker *w, const struct scene *scene, const struct tile *tile, uint16_t *sector)
{
    FA_SCOPE(w);
    uint32_t count = collect_lines(scene, tile, NULL);
    uint32_t *lines = fa_scope_array(w, uint32_t, count + 1u);
    struct crossing *crossings = fa_scope_array(w, struct crossing, count + 1u);
    *sector = GRID_VOID;
    if (lines == NULL || crossings == NULL) return false;
    (void)collect_lines(scene, tile, lines);
    uint32_t found = cross_row(scene, lines, count, (float)tile->top + (float)tile->height / 2, crossings);
    for (uint32_t i = 0; i < found && crossings[i].x <= (float)tile->left + (float)tile->width / 2; i++)
        *sector = crossings[i].sector;
    return true;
}
