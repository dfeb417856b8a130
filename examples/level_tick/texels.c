// SPDX-License-Identifier: MIT
//
// See texels.h. A patch is a header of four int16 (width, height and two offsets that only sprites use), an uint32 a column:
// where its posts begin, and the posts: row, length, a byte of no meaning, the texels, another such byte; a row of 255 ends the
// column. A post that does not begin below the one before it counts from there, which is how columns of more than 254
// rows are written.
#include "texels.h"

#include "wad.h"

#include <string.h>

#define PATCH_HEADER 8u
#define POST_EXTRA 4u // bytes of a post beside its texels
#define ROW_END 255u
/// So many posts reach the bottom of the highest picture, one texel each.
#define POSTS_MAX TEXELS_SIDE_MAX

static uint32_t half(uint32_t side)
{
    return side > 1 ? side / 2 : 1;
}

struct texels_level texels_level(uint32_t width, uint32_t height, uint32_t number)
{
    struct texels_level level = {width, height, 0};
    for (; number > 0 && (level.width > 1 || level.height > 1); number--) {
        level.first += (size_t)level.width * level.height;
        level.width = half(level.width);
        level.height = half(level.height);
    }
    return level;
}

size_t texels_count(uint32_t width, uint32_t height)
{
    struct texels_level last = texels_level(width, height, UINT32_MAX);
    return last.first + 1;
}

void texels_put_flat(struct texel *to, const uint8_t *bytes, const struct texel palette[256])
{
    for (size_t i = 0; i < FLAT_BYTES; i++) to[i] = palette[bytes[i]];
}

struct target {
    struct texel *texels;
    uint32_t width;
    uint32_t height;
    const struct texel *palette;
};

static void put_post(const struct target *to, int column, int top, const uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        int row = top + (int)i;
        if (row < 0 || row >= (int)to->height) continue;
        to->texels[(size_t)row * to->width + (uint32_t)column] = to->palette[bytes[i]];
    }
}

/// False when the column runs out of the lump.
static bool put_column(const struct target *to, int column, int top, const uint8_t *lump, size_t size, size_t at)
{
    uint32_t row = 0;
    for (uint32_t post = 0; post < POSTS_MAX; post++) {
        if (at >= size) return false;
        if (lump[at] == ROW_END) return true;
        if (size - at < POST_EXTRA || size - at - POST_EXTRA < lump[at + 1]) return false;
        row = post > 0 && lump[at] <= row ? row + lump[at] : lump[at];
        put_post(to, column, top + (int)row, lump + at + 3, lump[at + 1]);
        at += POST_EXTRA + lump[at + 1];
    }
    return false;
}

bool texels_put_patch(struct texel *to, uint32_t width, uint32_t height, const uint8_t *lump, size_t size, int x, int y,
                      const struct texel palette[256])
{
    const struct target target = {to, width, height, palette};
    if (size < PATCH_HEADER || wad_i16(lump) <= 0) return false;
    uint32_t columns = wad_u16(lump);
    if ((size - PATCH_HEADER) / 4 < columns) return false;
    bool whole = true;
    for (uint32_t i = 0; i < columns; i++) {
        int column = x + (int)i;
        if (column < 0 || column >= (int)width) continue;
        uint32_t at = (uint32_t)wad_i32(lump + PATCH_HEADER + 4 * (size_t)i);
        whole = put_column(&target, column, y, lump, size, at) && whole;
    }
    return whole;
}

/// The mean of up to four texels: holes have no colour, and count as holes.
static struct texel mean_of(const struct texel *const of[4])
{
    uint32_t r = 0;
    uint32_t g = 0;
    uint32_t b = 0;
    uint32_t a = 0;
    for (size_t i = 0; i < 4; i++) {
        r += of[i]->r * (uint32_t)of[i]->a;
        g += of[i]->g * (uint32_t)of[i]->a;
        b += of[i]->b * (uint32_t)of[i]->a;
        a += of[i]->a;
    }
    if (a == 0) return (struct texel){0, 0, 0, 0};
    return (struct texel){(uint8_t)(r / a), (uint8_t)(g / a), (uint8_t)(b / a), (uint8_t)(a / 4)};
}

static void shrink_level(const struct texel *from, struct texels_level large, struct texel *to,
                         struct texels_level small)
{
    for (uint32_t y = 0; y < small.height; y++) {
        const struct texel *upper = from + (size_t)2 * y * large.width;
        const struct texel *lower = 2 * y + 1 < large.height ? upper + large.width : upper;
        for (uint32_t x = 0; x < small.width; x++) {
            uint32_t left = 2 * x;
            uint32_t right = left + 1 < large.width ? left + 1 : left;
            const struct texel *const of[4] = {upper + left, upper + right, lower + left, lower + right};
            to[(size_t)y * small.width + x] = mean_of(of);
        }
    }
}

void texels_shrink(struct texel *texels, uint32_t width, uint32_t height)
{
    struct texels_level large = texels_level(width, height, 0);
    for (uint32_t number = 1; large.width > 1 || large.height > 1; number++) {
        struct texels_level small = texels_level(width, height, number);
        shrink_level(texels + large.first, large, texels + small.first, small);
        large = small;
    }
}
