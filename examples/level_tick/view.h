// SPDX-License-Identifier: MIT
//
// From the level to the picture: scale, colours of sectors, goals and agents.
#pragma once

#include "canvas.h"
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
struct colour view_goal(uint32_t slot);
struct colour view_agent(enum agent_state state);
