// SPDX-License-Identifier: MIT
//
// The render phase: level, paths and agents from above, drawn tile by tile by jobs, written as PNG by a main-thread
// job. Floors and walls are drawn with their textures (floors.h, lines.h), a batch of tiles at a time (hanging.h).
//
// The picture lies in frame memory. Drawing reads the world and is waited for; writing reads only the picture, so
// that with several frames in flight later ticks run meanwhile. Colours are computed in floating point: a picture
// is no part of the world.
#pragma once

#include "gallery.h"
#include "image.h"
#include "world.h"

/// Pixels of the picture's longer side.
#define RENDER_SIZE 1600

/// What the job that writes the picture works with. The caller keeps it until the job has run.
struct render_target {
    struct output output;   // open
    bool commit;            // give the file its name as soon as it is written
    struct image image;     // set by render_run()
    struct failure failure; // empty, or why the picture could not be written
};

/// Draws the world into frame memory, with the pictures of the gallery, and submits the job that writes it. False after a fault.
bool render_run(fa_worker *w, struct world *world, struct gallery *gallery, struct render_target *target);
