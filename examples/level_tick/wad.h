// SPDX-License-Identifier: MIT
//
// WAD files: a header, a directory of named lumps, and the lumps.
//
//   header     4 bytes "IWAD" or "PWAD", int32 number of lumps, int32 offset of the directory
//   directory  per lump: int32 offset, int32 size, 8 bytes name, zero padded
//
// Nothing in the file is believed: after wad_open() every lump of the directory lies inside the file, so that
// reading one can only fail for reasons of the system. The file is read piece by piece rather than mapped, because
// a mapped file that somebody truncates kills its reader.
#pragma once

#include "failure.h"
#include "memory.h"

#include <stddef.h>
#include <stdint.h>

struct wad_lump {
    uint32_t offset;
    uint32_t size;
    char name[9]; // upper case, printable, zero terminated
};

struct wad {
    const char *path; // the caller's
    int file;
    uint32_t lump_count;
    struct wad_lump *lumps;
};

/// Opens the file, whose name must outlive it, and checks its directory, which is part of the level's memory. On failure no
/// file is left open and *out may be closed all the same.
bool wad_open(const char *path, const struct memory *memory, struct wad *out, struct failure *failure);

/// Safe on a wad that was never opened ({0}) or failed to.
void wad_close(struct wad *wad);

/// Reads a whole lump into memory that `to` gives; *out is never NULL on success, also for an empty lump.
bool wad_read(const struct wad *wad, uint32_t lump, const fa_allocator *to, uint8_t **out, struct failure *failure);

/// A name as it stands in the file, made upper case, printable and zero terminated.
void wad_copy_name(char to[9], const uint8_t from[8]);

/// Whether the lump has this name, in upper or lower case.
bool wad_is_named(const struct wad_lump *lump, const char *name);

/// Little-endian values of a lump.
static inline uint16_t wad_u16(const uint8_t *bytes)
{
    // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): a lump that has records has bytes
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static inline int16_t wad_i16(const uint8_t *bytes)
{
    uint16_t value = wad_u16(bytes);
    return (int16_t)(value < 0x8000 ? value : (int32_t)value - 0x10000);
}

static inline int32_t wad_i32(const uint8_t *bytes)
{
    uint32_t value = (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    return (int32_t)value;
}
