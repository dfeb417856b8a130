// SPDX-License-Identifier: MIT
//
// The level of the soak: the smallest of freedoom's, or where that is not installed one that is drawn into a file in memory.
#pragma once

#include <stdint.h>

struct soak_level {
    char path[4096]; // of the WAD file; lasts as long as the process
    const char *map;
    const char *origin;  // for the verdict
    uint64_t art_budget; // bytes: less than its art takes, so that pictures are evicted
};

/// Fails the run when there is neither.
void soak_level_find(struct soak_level *out);
