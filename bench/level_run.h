// SPDX-License-Identifier: MIT
//
// The run of examples/level_tick on its largest map, driven by bench_level.cpp: 4096 agents, one worker beside the main thread, no
// pictures. One run at a time.
#pragma once

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/// Loads the level. `hz`: ticks a second, 0 = as fast as it goes. NULL, or why not; level_run_end() is to be called anyway.
const char *level_run_begin(uint32_t ticks_max, uint32_t hz);

/// So many ticks more, of ticks_max in all. NULL, or why not.
const char *level_run_ticks(uint32_t ticks);

/// The length of each tick so far, ns, without pauses.
const uint64_t *level_run_samples(uint32_t *count);

/// Takes everything down. NULL, or why not; `checksum` is the world's after the last tick.
const char *level_run_end(uint64_t *checksum);

#ifdef __cplusplus
}
#endif
