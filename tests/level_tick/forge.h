// SPDX-License-Identifier: MIT
//
// Makes small WAD files, whole ones and damaged ones, for the tests of the reader, and memory to read them into.
#pragma once

#include "examples/level_tick/memory.h"

#include <stddef.h>
#include <stdint.h>

#define FORGE_LUMPS_MAX 24
#define FORGE_BYTES_MAX 4096

struct forge_lump {
    const char *name;
    uint8_t bytes[FORGE_BYTES_MAX];
    size_t size;
    int32_t claimed_offset; // written into the directory instead of the true one unless 0
    int32_t claimed_size;
};

struct forge {
    const char *magic;
    int32_t claimed_count; // written into the header instead of the true one unless 0
    int32_t claimed_directory;
    size_t cut; // the file ends after so many bytes unless 0
    uint32_t lump_count;
    struct forge_lump lumps[FORGE_LUMPS_MAX];
};

/// A level called MAP01: a room of 512 by 512 units around the origin with a square pillar in its middle, two things.
void forge_room(struct forge *forge);

/// The same room with art: its walls are of the texture BRICKS, 24 by 16, which is put together from the patch LEFT, 16 by 16, at 0 and
/// RIGHT, 8 by 8, at (16, 4); its floor is the flat FLOOR0_1. Texels of LEFT are 10, of RIGHT 20, of the flat 30 + their column % 2;
/// colour n of the palette is (n, 2n, 255 - n). PNAMES names one more patch that is not there.
void forge_hung_room(struct forge *forge);

/// Makes a lump a patch with one post a column, all texels `texel`.
void forge_patch(struct forge_lump *lump, int width, int height, uint8_t texel);

/// The lump with this name; fails the test when there is none.
struct forge_lump *forge_find(struct forge *forge, const char *name);

/// Appends an empty lump.
struct forge_lump *forge_add(struct forge *forge, const char *name);

void forge_remove(struct forge *forge, const char *name);

/// Appends or replaces a little-endian number.
void forge_put16(struct forge_lump *lump, int value);
void forge_set16(struct forge_lump *lump, size_t offset, int value);

/// Writes the file into a new temporary one and gives its path, in storage that the next call reuses.
const char *forge_write(const struct forge *forge);

/// Removes the file written last.
void forge_clean(void);

/// Memory from malloc() that refuses one allocation, by number of both kinds together; FORGE_UNLIMITED: none.
#define FORGE_UNLIMITED UINT32_MAX
struct memory forge_memory(uint32_t refused);

/// Frees all of it.
void forge_forget(void);
