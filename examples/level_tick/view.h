// SPDX-License-Identifier: MIT
//
// From the level to the picture: scale, colours of sectors, goals and agents.
#pragma once

#include "canvas.h"
#include "texels.h"
#include "world.h"

struct view {
    const struct world *world;
    float left; // of the picture, map units
    float top;
    float scale; // pixels per map unit
    uint32_t width;
    uint32_t height;
    float low; // floor heights that the colours span
    float high;
};

/// A view of the whole level, `size` pixels at its longer side.
struct view view_of(const struct world *world, uint32_t size);

static inline struct spot view_units(const struct view *view, float x, float y)
{
    return (struct spot){(x - view->left) * view->scale, (view->top - y) * view->scale};
}

static inline struct spot view_point(const struct view *view, struct point at)
{
    return view_units(view, (float)at.x / FIX_ONE, (float)at.y / FIX_ONE);
}

struct colour view_sector(const struct view *view, uint16_t sector);
/// How bright a sector is drawn, 0 to 1.
float view_light(const struct level_sector *sector);
/// A texel of a floor in the sector's light; some of its plain colour, which says how high it lies, is left.
struct colour view_floor(struct colour plain, struct texel texel, float light);
/// A colour of a texture, as bright as walls must be to be told from floors.
struct colour view_wall(struct colour plain, struct colour texture);
struct colour view_goal(uint32_t slot);
struct colour view_agent(enum agent_state state);
