// SPDX-License-Identifier: MIT
//
// Drawing on one tile of the picture: segments, discs and rings with smooth edges, shadows and glow.
//
// A tile belongs to the job that draws it. It has three layers; tile_settle() puts them together:
//   rgb     colours, drawn over each other
//   shade   how dark walls make the floor beside them, the strongest counts
//   glow    light that adds up
// Coordinates are pixels of the whole picture, from the upper left corner; whatever lies outside the tile is cut off.
#pragma once

#include <stdint.h>

#define TILE_SIZE 64

struct colour {
    float r, g, b;
};

struct spot {
    float x, y;
};

struct tile {
    int32_t left, top; // first pixel
    int32_t width, height;
    struct colour *rgb;
    struct colour *glow;
    float *shade;
};

static inline struct colour colour_mix(struct colour a, struct colour b, float part)
{
    return (struct colour){a.r + (b.r - a.r) * part, a.g + (b.g - a.g) * part, a.b + (b.b - a.b) * part};
}

static inline struct colour colour_scale(struct colour a, float factor)
{
    return (struct colour){a.r * factor, a.g * factor, a.b * factor};
}

/// A segment `width` pixels wide, drawn over what is there.
void tile_segment(struct tile *tile, struct spot a, struct spot b, float width, struct colour colour, float alpha);

/// A segment in `count` colours, at equal distances from a to b.
void tile_ribbon(struct tile *tile, struct spot a, struct spot b, float width, const struct colour *colours,
                 uint32_t count, float alpha);

/// Darkens the surroundings of a segment up to `radius` pixels from it.
void tile_shade(struct tile *tile, struct spot a, struct spot b, float radius, float strength);

/// Adds light along a segment.
void tile_glow(struct tile *tile, struct spot a, struct spot b, float width, struct colour colour);

void tile_disc(struct tile *tile, struct spot centre, float radius, struct colour colour, float alpha);
void tile_ring(struct tile *tile, struct spot centre, float radius, float width, struct colour colour, float alpha);

/// Puts shade and glow into the colours, before lines and bodies are drawn.
void tile_settle(struct tile *tile);

/// Writes the tile into a picture of 3 bytes a pixel, `stride` bytes a row.
void tile_finish(const struct tile *tile, uint8_t *picture, uint32_t stride);
