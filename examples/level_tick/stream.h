// SPDX-License-Identifier: MIT
//
// The stream phase: which pictures should be in memory, by what is near a camera, and the loads of this tick.
//
// The camera follows an agent, and every few seconds another one. When it comes into another square of the sights all
// pictures are ranked anew: those of its square are critical, those of the squares around it high, of the ring around those
// normal; the rest is low and goes when there is no room. What is missing is asked for in that order, a few at a time.
//
// Everything here belongs to the main lane. No tick looks at a picture, so the world does not depend on any of it.
#pragma once

#include "gallery.h"
#include "sights.h"
#include "world.h"

/// Ticks that the camera follows one agent.
#define CAMERA_TICKS 240u

struct stream {
    struct gallery gallery;
    const struct sights *sights;
    struct sights_square camera;
    bool ranked;      // for the camera's square
    uint8_t *ranks;   // per picture, fa_stream_priority
    uint16_t *wanted; // pictures that were missing then, most important first
    uint32_t wanted_count;
    uint32_t next; // of them, to be asked for
};

bool stream_create(const struct art *art, const struct wad *wad, const struct sights *sights, uint64_t budget,
                   const struct memory *memory, struct stream *out, struct failure *failure);

/// The phase. False when a job could not be submitted (world->fault is set).
bool stream_run(fa_worker *w, struct stream *stream, struct world *world);
