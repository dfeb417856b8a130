// SPDX-License-Identifier: MIT
//
// See lines.h. A wall has the colour that its texture has at each place along it: the mean of the rows that somebody in front
// of it sees.
#include "lines.h"

#include <stdlib.h>

#define SHADOW_RADIUS 9.0f

struct pen {
    struct colour colour;
    float width;
    float alpha;
};

static bool is_solid(const struct level *level, const struct level_line *line)
{
    if (line->back == LEVEL_NONE) return true;
    const struct level_sector *a = &level->sectors[line->front];
    const struct level_sector *b = &level->sectors[line->back];
    if (a->door != LEVEL_NONE || b->door != LEVEL_NONE) return false;
    int floor = a->floor_height > b->floor_height ? a->floor_height : b->floor_height;
    int ceiling = a->ceiling_height < b->ceiling_height ? a->ceiling_height : b->ceiling_height;
    return ceiling <= floor;
}

static bool is_door(const struct level *level, const struct level_line *line, uint16_t *door)
{
    if (line->back == LEVEL_NONE) return false;
    uint16_t a = level->sectors[line->front].door;
    uint16_t b = level->sectors[line->back].door;
    *door = a != LEVEL_NONE ? a : b;
    return *door != LEVEL_NONE && a != b;
}

static int step_of(const struct level *level, const struct level_line *line)
{
    return abs(level->sectors[line->front].floor_height - level->sectors[line->back].floor_height);
}

static struct pen choose_pen(const struct world *world, const struct level_line *line)
{
    const struct level *level = world->level;
    uint16_t door;
    if (line->back == LEVEL_NONE) return (struct pen){{0.86f, 0.84f, 0.78f}, 1.3f, 0.95f};
    if (is_door(level, line, &door)) {
        bool closed = world->closed[door] != 0;
        return (struct pen){closed ? (struct colour){1, 0.45f, 0.2f} : (struct colour){0.95f, 0.75f, 0.3f}, 1.6f,
                            0.95f};
    }
    int step = step_of(level, line);
    if (is_solid(level, line)) return (struct pen){{0.78f, 0.76f, 0.70f}, 1.1f, 0.85f};
    if (step > LEVEL_STEP_MAX) return (struct pen){{0.78f, 0.72f, 0.60f}, 1.0f, 0.50f};
    if (step > 0) return (struct pen){{0.75f, 0.75f, 0.75f}, 0.8f, 0.16f};
    return (struct pen){{0.6f, 0.6f, 0.65f}, 0.8f, 0.06f};
}

void lines_shade(const struct scene *scene, struct tile *tile)
{
    const struct level *level = scene->world->level;
    for (uint32_t i = 0; i < level->line_count; i++) {
        const struct level_line *line = &level->lines[i];
        struct spot a = scene_vertex(scene, line->from);
        struct spot b = scene_vertex(scene, line->to);
        if (!scene_touches(tile, a, b, SHADOW_RADIUS) || !is_solid(level, line)) continue;
        tile_shade(tile, a, b, SHADOW_RADIUS, 0.55f);
    }
}

// --- Textures -------------------------------------------------------------------------------------------------------

uint16_t lines_picture(const struct level *level, const struct level_line *line, uint16_t *side)
{
    uint16_t door;
    *side = line->front_side;
    if (line->back == LEVEL_NONE) return level->sides[*side].middle;
    if (is_door(level, line, &door)) return LEVEL_NONE; // doors keep the colours that say whether they are open
    const struct level_sector *front = &level->sectors[line->front];
    const struct level_sector *back = &level->sectors[line->back];
    if (!is_solid(level, line) && step_of(level, line) <= LEVEL_STEP_MAX) return LEVEL_NONE;
    // The side that one sees from below carries the picture of the step.
    if (front->floor_height > back->floor_height) *side = line->back_side;
    uint16_t lower = level->sides[*side].lower;
    return lower != LEVEL_NONE ? lower : level->sides[*side].upper;
}

/// Units of a wall that are seen.
static int height_of(const struct level *level, const struct level_line *line)
{
    const struct level_sector *front = &level->sectors[line->front];
    if (line->back == LEVEL_NONE) return front->ceiling_height - front->floor_height;
    return step_of(level, line);
}

/// A texture at a size that suits the drawing, and which rows of it are seen.
struct strip {
    const struct texel *texels;
    struct texels_level level;
    uint32_t shift; // texels of the whole picture for one of these, as a power of two
    uint32_t top;
    uint32_t rows;
};

static bool choose_strip(const struct scene *scene, uint16_t picture, const struct level_side *side, int height,
                         struct strip *out)
{
    const struct texel *texels = picture == LEVEL_NONE ? NULL : scene->texels[picture];
    if (texels == NULL) return false;
    const struct art_picture *of = &scene->art->pictures[picture];
    out->shift = scene_detail(scene, 1);
    out->level = texels_level(of->width, of->height, out->shift);
    out->texels = texels + out->level.first;
    int top = side->y % (int)of->height;
    out->top = (uint32_t)(top < 0 ? top + (int)of->height : top) >> out->shift;
    uint32_t rows = height > 0 ? (uint32_t)height >> out->shift : 0;
    out->rows = rows < 1 ? 1 : rows > out->level.height ? out->level.height : rows;
    return true;
}

/// The mean of the rows that are seen at a column of the whole picture; false where they are a hole.
static bool strip_colour(const struct strip *strip, int column, struct colour *out)
{
    int width = (int)strip->level.width;
    int x = (column >> strip->shift) % width;
    if (x < 0) x += width;
    uint32_t sum[4] = {0};
    for (uint32_t row = 0; row < strip->rows; row++) {
        const struct texel *texel =
            &strip->texels[(size_t)((strip->top + row) % strip->level.height) * strip->level.width + (uint32_t)x];
        sum[0] += texel->r * (uint32_t)texel->a;
        sum[1] += texel->g * (uint32_t)texel->a;
        sum[2] += texel->b * (uint32_t)texel->a;
        sum[3] += texel->a;
    }
    if (sum[3] == 0) return false;
    float all = 255.0f * (float)sum[3];
    *out = (struct colour){(float)sum[0] / all, (float)sum[1] / all, (float)sum[2] / all};
    return true;
}

/// Draws a wall in the colours of its texture, one a pixel of its length.
static bool draw_textured(fa_worker *w, const struct scene *scene, struct tile *tile, const struct level_line *line,
                          const struct strip *strip, const struct level_side *side, const struct pen *pen)
{
    FA_SCOPE(w);
    struct spot a = scene_vertex(scene, line->from);
    struct spot b = scene_vertex(scene, line->to);
    float length = hypotf(b.x - a.x, b.y - a.y);
    uint32_t count = (uint32_t)length + 1;
    struct colour *colours = fa_scope_array(w, struct colour, count);
    if (colours == NULL) return false;
    bool front = side == &scene->world->level->sides[line->front_side];
    for (uint32_t i = 0; i < count; i++) {
        // Columns count from the left as one faces the wall: from the begin of a front, from the end of a back.
        float along = ((float)(front ? i : count - 1 - i) + 0.5f) * length / (float)count;
        struct colour colour;
        bool there = strip_colour(strip, side->x + (int)(along / scene->view.scale), &colour);
        colours[i] = there ? view_wall(pen->colour, colour) : pen->colour;
    }
    tile_ribbon(tile, a, b, pen->width, colours, count, pen->alpha);
    return true;
}

static bool draw_line(fa_worker *w, const struct scene *scene, struct tile *tile, const struct level_line *line,
                      const struct pen *pen)
{
    const struct level *level = scene->world->level;
    struct strip strip;
    uint16_t number;
    uint16_t picture = lines_picture(level, line, &number);
    const struct level_side *side = &level->sides[number];
    if (choose_strip(scene, picture, side, height_of(level, line), &strip))
        return draw_textured(w, scene, tile, line, &strip, side, pen);
    tile_segment(tile, scene_vertex(scene, line->from), scene_vertex(scene, line->to), pen->width, pen->colour,
                 pen->alpha);
    return true;
}

/// Faint lines first, so that walls lie over steps where they meet.
bool lines_draw(fa_worker *w, const struct scene *scene, struct tile *tile)
{
    const struct level *level = scene->world->level;
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < level->line_count; i++) {
            const struct level_line *line = &level->lines[i];
            struct spot a = scene_vertex(scene, line->from);
            struct spot b = scene_vertex(scene, line->to);
            if (!scene_touches(tile, a, b, LINES_REACH)) continue;
            struct pen pen = choose_pen(scene->world, line);
            if ((pen.alpha > 0.7f) != (pass == 1)) continue;
            if (!draw_line(w, scene, tile, line, &pen)) return false;
        }
    }
    return true;
}
