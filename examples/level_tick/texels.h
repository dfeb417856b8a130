// SPDX-License-Identifier: MIT
//
// A picture as a renderer wants it: texels of 32 bits and smaller copies of itself (mip maps), each half as wide and as
// high as the one before, down to a single texel.
//
// Sources are the lumps of a WAD file, one byte a texel, an index of the palette: flats row by row, patches column by
// column. Nothing in them is believed: whatever lies outside the lump or the picture is left out.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXELS_SIDE_MAX 4096u // wider or higher pictures are none
#define FLAT_SIDE 64u
#define FLAT_BYTES (FLAT_SIDE * FLAT_SIDE)
#define PALETTE_BYTES 768u

struct texel {
    uint8_t r, g, b;
    uint8_t a; // 0: a hole
};

/// One of the sizes of a picture.
struct texels_level {
    uint32_t width;
    uint32_t height;
    size_t first; // its first texel; rows from the top
};

/// Level `number`, or the last one, a single texel, if there are fewer.
struct texels_level texels_level(uint32_t width, uint32_t height, uint32_t number);

/// Texels of all levels together.
size_t texels_count(uint32_t width, uint32_t height);

/// Fills level 0 of a flat from FLAT_BYTES bytes.
void texels_put_flat(struct texel *to, const uint8_t *bytes, const struct texel palette[256]);

/// Draws a patch into level 0 of a picture with its upper left corner at (x, y). False when the lump is damaged: what is whole of
/// it is drawn all the same.
bool texels_put_patch(struct texel *to, uint32_t width, uint32_t height, const uint8_t *lump, size_t size, int x, int y,
                      const struct texel palette[256]);

/// Makes every level from the one before.
void texels_shrink(struct texel *texels, uint32_t width, uint32_t height);
