// SPDX-License-Identifier: MIT
//
// Makes small WAD files, whole ones and damaged ones, for the tests of the reader, and memory to read them into.
#pragma once

#include "examples/level_tick/memory.h"

#include <stddef.h>
#include <stdint.h>

#define FORGE_LUMPS_MAX 16
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

/// Memory from malloc() that refuses after `most` allocations of both kinds; FORGE_UNLIMITED: never.
#define FORGE_UNLIMITED UINT32_MAX
struct memory forge_memory(uint32_t most);

/// Frees all of it.
void forge_forget(void);
