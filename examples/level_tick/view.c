// SPDX-License-Identifier: MIT
//
// See view.h.
#include "view.h"

#include <math.h>
#include <stdlib.h>

#define BORDER 20.0f // pixels around the level

static struct colour rgb(uint32_t hex)
{
    return (struct colour){(float)(hex >> 16 & 0xff) / 255, (float)(hex >> 8 & 0xff) / 255, (float)(hex & 0xff) / 255};
}

/// Mean and spread of the floor heights, each sector weighted by how often lines border on it: a few deep pits should
/// not take all the colours.
static void span_heights(struct view *view)
{
    const struct level *level = view->world->level;
    double sum = 0;
    double squares = 0;
    double count = 0;
    for (uint32_t i = 0; i < level->line_count; i++) {
        double height = level->sectors[level->lines[i].front].floor_height;
        sum += height;
        squares += height * height;
        count += 1;
    }
    double mean = sum / count;
    double spread = sqrt(fmax(squares / count - mean * mean, 1));
    view->low = (float)(mean - 1.6 * spread);
    view->high = (float)(mean + 1.6 * spread);
}

struct view view_of(const struct world *world, uint32_t size)
{
    const struct level *level = world->level;
    float width = (float)(level->right - level->left);
    float height = (float)(level->top - level->bottom);
    float longer = fmaxf(fmaxf(width, height), 1);
    struct view view = {.world = world, .scale = ((float)size - 2 * BORDER) / longer};
    view.width = (uint32_t)(width * view.scale + 2 * BORDER);
    view.height = (uint32_t)(height * view.scale + 2 * BORDER);
    view.left = (float)level->left - BORDER / view.scale;
    view.top = (float)level->top + BORDER / view.scale;
    span_heights(&view);
    return view;
}

struct colour view_sector(const struct view *view, uint16_t sector)
{
    if (sector == GRID_VOID) return rgb(0x0d0f14);
    const struct level_sector *s = &view->world->level->sectors[sector];
    float part = ((float)s->floor_height - view->low) / (view->high - view->low);
    part = fminf(fmaxf(part, 0), 1);
    // Low floors are cool, high ones warm.
    struct colour floor = part < 0.5f ? colour_mix(rgb(0x2f4766), rgb(0x59626b), part * 2)
                                      : colour_mix(rgb(0x59626b), rgb(0x9a8260), part * 2 - 1);
    if (s->floor == FLOOR_WATER) floor = rgb(0x1f6fa8);
    if (s->floor == FLOOR_ACID) floor = rgb(0x4f8a2a);
    if (s->floor == FLOOR_LAVA) floor = rgb(0xa8401c);
    return colour_scale(floor, view_light(s));
}

float view_light(const struct level_sector *sector)
{
    return 0.30f + 0.70f * (float)sector->light / 255;
}

struct colour view_floor(struct colour plain, struct texel texel, float light)
{
    struct colour colour = {(float)texel.r / 255, (float)texel.g / 255, (float)texel.b / 255};
    return colour_mix(plain, colour_scale(colour, 1.2f * light), 0.7f);
}

struct colour view_wall(struct colour plain, struct colour texture)
{
    float brightest = fmaxf(fmaxf(texture.r, texture.g), fmaxf(texture.b, 0.02f));
    struct colour bright = colour_scale(texture, fminf(0.95f / brightest, 2.6f));
    return colour_mix(plain, bright, 0.75f);
}

struct colour view_goal(uint32_t slot)
{
    // Hues at the golden angle: neighbours in number are far apart in colour (full saturation, half lightness).
    float hue = fmodf((float)slot * 0.61803f, 1) * 6;
    float x = 1 - fabsf(fmodf(hue, 2) - 1);
    static const int order[6][3] = {{1, 2, 0}, {2, 1, 0}, {0, 1, 2}, {0, 2, 1}, {2, 0, 1}, {1, 0, 2}};
    const int *o = order[(int)hue % 6];
    const float value[3] = {0, 1, x};
    struct colour colour = {value[o[0]], value[o[1]], value[o[2]]};
    return colour_mix(colour, (struct colour){1, 1, 1}, 0.25f);
}

struct colour view_agent(enum agent_state state)
{
    static const uint32_t colours[AGENT_STATES] = {
        [AGENT_RESTING] = 0x8f98a3,   [AGENT_WAITING] = 0xc9a6ff, [AGENT_JOINING] = 0x67d5ff,
        [AGENT_FOLLOWING] = 0x5be49b, [AGENT_HOMING] = 0xffd75e,  [AGENT_STARTLED] = 0xff5d5d,
        [AGENT_TRAILING] = 0x8f8bff,
    };
    return rgb(colours[state]);
}
