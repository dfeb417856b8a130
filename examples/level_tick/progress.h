// SPDX-License-Identifier: MIT
//
// How far a long run is, shown on a terminal. Nothing is written when stderr is no terminal.
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct progress {
    uint32_t ticks;
    uint32_t shown_ticks;
    uint64_t shown_ns; // when the line was written last; 0: not yet
    bool terminal;
    bool written;
};

struct progress progress_begin(uint32_t ticks);
/// Writes the line if a second has passed.
void progress_show(struct progress *progress, uint32_t tick, uint64_t now_ns);
/// Removes the line.
void progress_end(struct progress *progress);
