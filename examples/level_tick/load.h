// SPDX-License-Identifier: MIT
//
// The load phase: a level read from its file becomes a place where agents can walk, and is filled with them.
#pragma once

#include "world.h"

/// Everything about a level that no tick changes.
struct place {
    struct level level;
    struct walls walls;
    struct grid grid;
    struct regions regions;
};

/// Reads the level. Needs no system; on failure nothing is left behind.
bool load_level(const char *wad_path, const char *map, struct place *out, struct failure *failure);

/// Finds where one can walk, in parallel, and makes the world. Call it inside a frame.
bool load_world(fa_worker *w, struct place *place, uint32_t agents, uint64_t seed, struct world *out,
                struct failure *failure);

void load_free(struct place *place);
