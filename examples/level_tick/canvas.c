// SPDX-License-Identifier: MIT
//
// See canvas.h. Every shape is a distance: how far a pixel's centre lies from it decides how much of the pixel it
// covers.
#include "canvas.h"

#include <math.h>

struct box {
    int32_t left, top, right, bottom; // right and bottom are outside
};

static struct box shape_box(const struct tile *tile, struct spot a, struct spot b, float reach)
{
    struct box box = {
        (int32_t)floorf(fminf(a.x, b.x) - reach),
        (int32_t)floorf(fminf(a.y, b.y) - reach),
        (int32_t)ceilf(fmaxf(a.x, b.x) + reach) + 1,
        (int32_t)ceilf(fmaxf(a.y, b.y) + reach) + 1,
    };
    if (box.left < tile->left) box.left = tile->left;
    if (box.top < tile->top) box.top = tile->top;
    if (box.right > tile->left + tile->width) box.right = tile->left + tile->width;
    if (box.bottom > tile->top + tile->height) box.bottom = tile->top + tile->height;
    return box;
}

/// Where on the segment the point nearest to p lies: 0 at a, 1 at b.
static float segment_part(struct spot p, struct spot a, struct spot b)
{
    float dx = b.x - a.x;
    float dy = b.y - a.y;
    float square = dx * dx + dy * dy;
    float part = square > 0 ? ((p.x - a.x) * dx + (p.y - a.y) * dy) / square : 0;
    return fminf(fmaxf(part, 0), 1);
}

static float segment_distance(struct spot p, struct spot a, struct spot b)
{
    float part = segment_part(p, a, b);
    return hypotf(p.x - a.x - part * (b.x - a.x), p.y - a.y - part * (b.y - a.y));
}

static struct spot pixel_centre(int32_t x, int32_t y)
{
    return (struct spot){(float)x + 0.5f, (float)y + 0.5f};
}

static int32_t pixel_index(const struct tile *tile, int32_t x, int32_t y)
{
    return (y - tile->top) * TILE_SIZE + (x - tile->left);
}

static float coverage(float distance, float radius)
{
    return fminf(fmaxf(radius + 0.5f - distance, 0), 1);
}

static void blend(struct tile *tile, int32_t x, int32_t y, struct colour colour, float alpha)
{
    struct colour *pixel = &tile->rgb[pixel_index(tile, x, y)];
    *pixel = colour_mix(*pixel, colour, alpha);
}

void tile_segment(struct tile *tile, struct spot a, struct spot b, float width, struct colour colour, float alpha)
{
    tile_ribbon(tile, a, b, width, &colour, 1, alpha);
}

void tile_ribbon(struct tile *tile, struct spot a, struct spot b, float width, const struct colour *colours,
                 uint32_t count, float alpha)
{
    struct box box = shape_box(tile, a, b, width);
    // A line thinner than a pixel is drawn a pixel wide and fainter.
    float strength = alpha * fminf(width, 1);
    float radius = fmaxf(width, 1) / 2;
    for (int32_t y = box.top; y < box.bottom; y++) {
        for (int32_t x = box.left; x < box.right; x++) {
            float part = coverage(segment_distance(pixel_centre(x, y), a, b), radius);
            if (part <= 0) continue;
            uint32_t at = (uint32_t)(segment_part(pixel_centre(x, y), a, b) * (float)count);
            blend(tile, x, y, colours[at < count ? at : count - 1], part * strength);
        }
    }
}

void tile_shade(struct tile *tile, struct spot a, struct spot b, float radius, float strength)
{
    struct box box = shape_box(tile, a, b, radius);
    for (int32_t y = box.top; y < box.bottom; y++) {
        for (int32_t x = box.left; x < box.right; x++) {
            float near = 1 - segment_distance(pixel_centre(x, y), a, b) / radius;
            if (near <= 0) continue;
            float *shade = &tile->shade[pixel_index(tile, x, y)];
            *shade = fmaxf(*shade, near * near * strength);
        }
    }
}

void tile_glow(struct tile *tile, struct spot a, struct spot b, float width, struct colour colour)
{
    struct box box = shape_box(tile, a, b, width);
    for (int32_t y = box.top; y < box.bottom; y++) {
        for (int32_t x = box.left; x < box.right; x++) {
            float part = 1 - segment_distance(pixel_centre(x, y), a, b) / width;
            if (part <= 0) continue;
            struct colour *glow = &tile->glow[pixel_index(tile, x, y)];
            struct colour light = colour_scale(colour, part);
            *glow = (struct colour){glow->r + light.r, glow->g + light.g, glow->b + light.b};
        }
    }
}

void tile_disc(struct tile *tile, struct spot centre, float radius, struct colour colour, float alpha)
{
    struct box box = shape_box(tile, centre, centre, radius + 1);
    for (int32_t y = box.top; y < box.bottom; y++) {
        for (int32_t x = box.left; x < box.right; x++) {
            float part = coverage(segment_distance(pixel_centre(x, y), centre, centre), radius);
            if (part > 0) blend(tile, x, y, colour, part * alpha);
        }
    }
}

void tile_ring(struct tile *tile, struct spot centre, float radius, float width, struct colour colour, float alpha)
{
    struct box box = shape_box(tile, centre, centre, radius + width);
    for (int32_t y = box.top; y < box.bottom; y++) {
        for (int32_t x = box.left; x < box.right; x++) {
            float distance = fabsf(segment_distance(pixel_centre(x, y), centre, centre) - radius);
            float part = coverage(distance, width / 2);
            if (part > 0) blend(tile, x, y, colour, part * alpha);
        }
    }
}

void tile_settle(struct tile *tile)
{
    for (int32_t i = 0; i < TILE_SIZE * TILE_SIZE; i++) {
        struct colour lit = colour_scale(tile->rgb[i], 1 - tile->shade[i]);
        // Light adds up without limit; what is shown comes close to full and never beyond.
        struct colour glow = tile->glow[i];
        lit.r += (1 - lit.r) * (1 - expf(-glow.r));
        lit.g += (1 - lit.g) * (1 - expf(-glow.g));
        lit.b += (1 - lit.b) * (1 - expf(-glow.b));
        tile->rgb[i] = lit;
    }
}

static uint8_t to_byte(float value, float dither)
{
    return (uint8_t)(fminf(fmaxf(value, 0), 1) * 254.0f + dither);
}

void tile_finish(const struct tile *tile, uint8_t *picture, uint32_t stride)
{
    // Ordered dithering (Bayer 1973): smooth shadows would otherwise show steps.
    static const float bayer[4][4] = {
        {0.5f, 8.5f, 2.5f, 10.5f}, {12.5f, 4.5f, 14.5f, 6.5f}, {3.5f, 11.5f, 1.5f, 9.5f}, {15.5f, 7.5f, 13.5f, 5.5f}};
    for (int32_t y = tile->top; y < tile->top + tile->height; y++) {
        uint8_t *out = picture + (uint32_t)y * (uint64_t)stride + (uint32_t)tile->left * 3u;
        for (int32_t x = tile->left; x < tile->left + tile->width; x++, out += 3) {
            struct colour pixel = tile->rgb[pixel_index(tile, x, y)];
            float dither = bayer[y % 4][x % 4] / 16;
            out[0] = to_byte(pixel.r, dither);
            out[1] = to_byte(pixel.g, dither);
            out[2] = to_byte(pixel.b, dither);
        }
    }
}
