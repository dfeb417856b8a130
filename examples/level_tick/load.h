// SPDX-License-Identifier: MIT
//
// The load phase: a level read from its file becomes a place where agents can walk, and is filled with them.
//
// All that lives as long as the level lies in one allocation group, which carries the level's name: the tables of the file,
// walls, grid, regions and what its pictures are made of, and the world that is made on them. Two jobs fill it side by side: one
// finds out where one can walk, the other how it looks.
#pragma once

#include "stream.h"
#include "world.h"

/// Everything about a level that no tick changes.
struct place {
    fa_group group;
    struct wad wad; // open: pictures are read when they are needed
    struct level level;
    struct walls walls;
    struct grid grid;
    struct regions regions;
    struct art art;
    struct sights sights;
};

/// Reads the level and finds where one can walk, in parallel. Call it inside a frame of the main lane `w`. On failure, too,
/// load_free() is still to be called.
bool load_level(fa_worker *w, const char *wad_path, const char *map, struct place *out, struct failure *failure);

/// Makes the world on it, which goes with the place.
bool load_world(fa_worker *w, const struct place *place, uint32_t agents, uint64_t seed, struct world *out,
                struct failure *failure);

/// Makes what streams its art, within `budget` bytes; it goes with the place, too, but its streams must be gone before.
bool load_stream(fa_worker *w, const struct place *place, uint64_t budget, struct stream *out, struct failure *failure);

/// Frees the place and the worlds on it at once; counts and the name stay readable.
void load_free(fa_worker *w, struct place *place);
