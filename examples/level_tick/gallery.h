// SPDX-License-Identifier: MIT
//
// The pictures of a level that are in memory: one stream each, in a budget that is smaller than all of them together.
//
//     asked for ──reserve, load_begin──▶ a job loads a step, and the next tick the next one ──load_end──▶ there ──evicted──▶ not there
//
// Who writes what: everything belongs to the main lane, but `parts`, `damaged` and `stopped` of an asset belong to the job that
// loads it until its counter is zero. Memory is taken and given back on the main lane alone, so that it is the same memory again and again.
// Which picture is there at a moment depends on how fast jobs load; no tick looks at a picture.
#pragma once

#include "art.h"

#include <framealloc/framealloc.h>

/// Pictures that are loaded at one time, and what a step reads of the file, bytes (the part with which it is reached is read whole):
/// together the bound on what a tick loads.
#define GALLERY_LOADS_MAX 4u
#define GALLERY_STEP_BYTES 16384u

/// One picture; by its number.
struct asset {
    struct gallery *gallery;
    fa_stream stream;   // {0}: none
    fa_counter counter; // its job
    uint32_t parts;     // loaded so far
    uint8_t priority;   // fa_stream_priority, as the stream has it
    bool loading;
    bool damaged; // some part of the file was wrong
    bool stopped; // it cannot be loaded: nobody asks for it again
};

struct gallery_tally {
    uint64_t loads;    // pictures that became ready
    uint64_t damaged;  // of them, those of which some part was wrong
    uint64_t plain;    // times that a texture did not fit beside the others of a single tile, or could not be loaded
    uint64_t given_up; // loads that made room for what a drawing needs
};

struct gallery {
    const struct art *art;
    const struct wad *wad;
    uint64_t budget; // bytes
    struct asset *assets;
    uint32_t loading[GALLERY_LOADS_MAX]; // pictures
    uint32_t loading_count;
    struct gallery_tally tally;
};

/// Makes the table, in the level's group.
bool gallery_create(const struct art *art, const struct wad *wad, uint64_t budget, const struct memory *memory,
                    struct gallery *out, struct failure *failure);

/// Whether the picture is there or on its way, or can never be: then there is nothing to ask for.
bool gallery_has(const struct gallery *gallery, uint32_t picture);

/// Whether another load may begin now.
static inline bool gallery_is_free(const struct gallery *gallery)
{
    return gallery->loading_count < GALLERY_LOADS_MAX;
}

/// Reserves a place, evicting pictures of lower priority, and puts the picture among those that are being loaded.
fa_status gallery_ask(fa_worker *w, struct gallery *gallery, uint32_t picture, fa_stream_priority priority);

/// Has its stream, if there is one, that priority from here on.
void gallery_rank(fa_worker *w, struct gallery *gallery, uint32_t picture, fa_stream_priority priority);

/// Finishes steps that are done and submits the next ones. False when a job could not be submitted.
bool gallery_step(fa_worker *w, struct gallery *gallery);

/// A set of pictures, a bit each.
static inline bool gallery_in(const uint64_t *set, uint32_t picture)
{
    return (set[picture / 64] >> picture % 64 & 1) != 0;
}

/// Shows a set of pictures to a drawing: those that are not there are loaded, on all lanes, before it returns, and all are pinned.
/// texels[picture] is set for every picture, NULL where there is none or it is not in the set. If their bytes are within the budget they all
/// come, whatever was there before: everything else may be evicted, and loads of other pictures are given up. Inside a frame.
bool gallery_show(fa_worker *w, struct gallery *gallery, const uint64_t *set, const struct texel **texels);

/// Ends what gallery_show() began; from here on these pictures may be evicted, too.
void gallery_hide(fa_worker *w, struct gallery *gallery, const struct texel **texels);

/// Frees all streams. No job may be at work.
void gallery_clear(fa_worker *w, struct gallery *gallery);
