// SPDX-License-Identifier: MIT
//
// What the command line asks for.
#pragma once

#include "failure.h"

#include <stdint.h>

#define OPTIONS_WORKERS_AUTO UINT32_MAX

struct options {
    const char *wad; // a path or a name to look for
    const char *map;
    const char *png;  // NULL: no picture
    const char *json; // NULL: no report
    uint64_t seed;
    uint32_t agents;
    uint32_t ticks;
    uint32_t hz; // 0: as fast as it goes
    uint32_t workers;
    uint32_t frames_in_flight;
    uint32_t art_budget; // KiB
    uint32_t png_every;  // 0: the last tick only
    bool list_maps;
    bool check;
    bool help; // printed already
};

/// Fills *out with defaults and what the arguments say. --help is printed here.
bool options_parse(int argc, char **argv, struct options *out, struct failure *failure);
