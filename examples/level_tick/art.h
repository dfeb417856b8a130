// SPDX-License-Identifier: MIT
//
// The art of a level: what its pictures are made of, and where that lies in the file. The pictures themselves are
// loaded when somebody wants to see them (gallery.h).
//
//   flats      lumps of 64 by 64 bytes between F_START and F_END, by name
//   textures   TEXTURE1 and TEXTURE2 say which patches a texture is put together from and where; PNAMES says their names
//   PLAYPAL    colours of the 256 bytes
//
// A picture that the file does not have, or describes wrongly, has no parts and is drawn plain; a file without any art is
// a level without pictures.
#pragma once

#include "level.h"
#include "texels.h"

/// A lump, and where in the picture it goes.
struct art_part {
    uint32_t lump;
    int16_t x;
    int16_t y;
};

struct art_picture {
    uint32_t width; // texels; 0: there is no such picture
    uint32_t height;
    uint32_t first; // its parts are parts[first] to parts[first + count - 1]
    uint32_t count;
    bool flat;
};

struct art {
    uint32_t count; // as level.picture_count
    uint32_t missing;
    uint64_t bytes; // of all pictures, decoded
    struct art_picture *pictures;
    struct art_part *parts;
    struct texel palette[256];
};

/// False when there is no memory or the file cannot be read.
bool art_build(const struct wad *wad, const struct level *level, const struct memory *memory, struct art *out,
               struct failure *failure);

/// Bytes of a picture, decoded; 0 if there is none.
static inline size_t art_bytes(const struct art_picture *picture)
{
    return picture->width == 0 ? 0 : texels_count(picture->width, picture->height) * sizeof(struct texel);
}

/// Draws parts [from, …) of a picture into its texels (texels_count() of them): until `step` bytes of the file were read or the picture is
/// whole. Answers the number of the next part, picture->count at the end; *damaged becomes true when some part was wrong. Part 0
/// clears the texels first. May be called on any lane, for one picture by one at a time.
uint32_t art_draw(const struct art *art, const struct wad *wad, const struct art_picture *picture, uint32_t from,
                  uint32_t step, const fa_allocator *scratch, struct texel *texels, bool *damaged);
