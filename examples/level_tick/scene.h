// SPDX-License-Identifier: MIT
//
// What the parts of a drawing share: the world from above, the picture that it is drawn into, the textures that may be
// looked at. Read by all lanes while tiles are drawn.
#pragma once

#include "art.h"
#include "image.h"
#include "view.h"

#include <math.h>

struct trace;

struct scene {
    struct world *world;
    struct view view;
    struct image *image;
    const struct art *art;
    const struct texel **texels; // per picture, NULL: draw it plain
    struct trace *traces;        // frame memory
    uint32_t trace_count;
    uint32_t tile_columns;
};

static inline struct spot scene_vertex(const struct scene *scene, uint16_t vertex)
{
    struct level_vertex v = scene->world->level->vertices[vertex];
    return view_units(&scene->view, v.x, v.y);
}

/// Whether something between two corners may touch the tile.
static inline bool scene_touches(const struct tile *tile, struct spot a, struct spot b, float reach)
{
    return fmaxf(a.x, b.x) + reach >= (float)tile->left &&
           fminf(a.x, b.x) - reach <= (float)(tile->left + tile->width) &&
           fmaxf(a.y, b.y) + reach >= (float)tile->top && fminf(a.y, b.y) - reach <= (float)(tile->top + tile->height);
}

/// Where a tile lies in the picture; it has no pixels yet.
static inline struct tile scene_tile(const struct scene *scene, uint32_t number)
{
    struct tile tile = {
        .left = (int32_t)(number % scene->tile_columns * TILE_SIZE),
        .top = (int32_t)(number / scene->tile_columns * TILE_SIZE),
        .width = TILE_SIZE,
        .height = TILE_SIZE,
    };
    int32_t width = (int32_t)scene->image->width - tile.left;
    int32_t height = (int32_t)scene->image->height - tile.top;
    if (tile.width > width) tile.width = width;
    if (tile.height > height) tile.height = height;
    return tile;
}

/// The smaller copy of a picture whose texels are nearest in size to `pixels` of the drawing.
static inline uint32_t scene_detail(const struct scene *scene, float pixels)
{
    float units = pixels / scene->view.scale;
    return units < 1 ? 0 : (uint32_t)lrintf(log2f(units));
}
