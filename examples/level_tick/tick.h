// SPDX-License-Identifier: MIT
//
// A run: the system, the world, and the loop that ticks it.
//
//   run_begin    system, load phase (frame 1)
//   run_ticks    a frame for each: stream, plan beside sense, move beside sweep and audit, events, perhaps a picture; after
//                it minds are moved together, within a budget
//   run_end      waits for everything that ticks left behind; then the numbers are final
//   run_destroy  gives everything back
//
// The phases of a tick are waited for before the next begins, whatever the number of frames in flight. What
// overlaps later ticks is the work that no tick depends on: loading art, freeing events, the audit, writing a picture.
#pragma once

#include "load.h"
#include "options.h"
#include "render.h"
#include "stream.h"

#include <framealloc/framealloc.h>

#include <signal.h>

/// What compactions came to.
struct compaction {
    uint64_t moves;
    uint64_t bytes;      // in what moved
    uint64_t blocks;     // emptied
    uint64_t unfinished; // ticks in which the budget ended it
};

struct run {
    fa_system *fa;
    fa_worker *w; // main lane
    struct world world;
    struct place place;
    struct stream stream;
    uint32_t ticks; // that ran
    uint32_t sample_count;
    uint64_t *samples; // length of each tick without a picture, ns; heap memory
    uint64_t wall_ns;  // first tick's begin to last tick's end, pauses included
    uint32_t workers;
    uint32_t frames_in_flight;
    uint64_t failed_promotions;
    uint64_t leaked; // objects and groups that were left when everything should have gone
    uint64_t checksum;
    fa_stream_stats streams;            // as stats
    fa_stats stats;                     // at the end of run_end()
    fa_handle_stats handles;            // likewise
    struct compaction compaction;       // of all ticks
    fa_phase_stats phases[PHASE_COUNT]; // all frames together
    fa_group_info level_group;          // of the place, before it was freed
    struct planner_totals planners;     // likewise
    fa_snapshot snapshot;               // as the last tick left it
    fa_tag_stats tags[PHASE_COUNT];     // a phase's tag has its name
    struct render_target picture;       // of the last tick; its output is the caller's to open and commit
    struct render_target *pictures;     // of other ticks, a ring
    char (*picture_names)[512];
};

/// `wad_path` must outlive the run. On failure run_destroy() is still to be called.
bool run_begin(const struct options *options, const char *wad_path, struct run *run, struct failure *failure);

/// Ticks until options->ticks have run or *stop is set. False when the run is broken: the sentence says in which tick.
bool run_ticks(const struct options *options, struct run *run, const volatile sig_atomic_t *stop,
               struct failure *failure);

bool run_end(struct run *run, struct failure *failure);

void run_destroy(struct run *run);
