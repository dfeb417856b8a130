// SPDX-License-Identifier: MIT
//
// A course of the soak: a system with a level and its crowd, tick by tick, without a picture. The thread that begins one is its main lane.
// Whatever goes wrong fails the run.
#pragma once

#include "examples/level_tick/load.h"
#include "soak_level.h"
#include "stress.h"

struct course {
    fa_system *fa;
    fa_worker *w;
    struct place place;
    struct world world;
    struct stream stream;
    uint32_t frames_in_flight;
    uint64_t promotions, moves; // so far
};

/// A system by `config`, and the level in it.
void course_begin(struct course *course, const fa_config *config, const struct soak_level *level, uint64_t seed);

/// One tick's frame. What the caller does between the two, in the frame, happens beside the tick.
void course_frame_begin(struct course *course);
void course_frame_end(struct course *course);

/// All phases of the tick, in between.
void course_tick(struct course *course);

/// Frames without a tick until all that have ended have retired: no job is at work.
void course_settle(struct course *course);

/// Of the world, between two frames.
uint64_t course_digest(const struct course *course);

/// Takes the world down. Everything must be home then.
void course_end(struct course *course);
